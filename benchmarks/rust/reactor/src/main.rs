//! The floor of Rust: the scenarios between two programs on our reactor, with no Python in the way.

#![allow(clippy::unwrap_used)]

mod server;

#[path = "../../../../crates/reactor/tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Loop, target};
use harness::{Arguments, PIECE, QUIET, Role, SMALL};
use serde_json::Value;
use webtransport_reactor::proto::Config;
use webtransport_reactor::{EndpointHandle, RecvHandle, SendHandle, SessionHandle};

/// The tokens that calls park: which of them it was does not matter to one who looks at everything again
const CONNECTING: u64 = 1;
const ACCEPT: u64 = 2;
const OPEN: u64 = 3;
const DATAGRAMS: u64 = 4;
const WRITE: u64 = 5;
const READ: u64 = 6;

/// As long as a call may wait for something to happen
const LONG: Duration = Duration::from_secs(5);

fn main() {
    let arguments = Arguments::parse();
    let main = Loop::new();
    match arguments.role {
        Role::Serve { .. } => server::serve(&main, arguments.address.ip()),
        Role::Client => {
            let client = main.client(Config::default());
            harness::run(&mut Client { main, client, arguments, session: None, stream: None });
        }
    }
}

struct Client {
    main: Loop,
    client: EndpointHandle,
    arguments: Arguments,
    session: Option<SessionHandle>,
    stream: Option<(SendHandle, RecvHandle)>,
}

impl Client {
    fn session(&self) -> &SessionHandle {
        self.session.as_ref().unwrap()
    }

    fn round_trip(&self, (send, recv): &(SendHandle, RecvHandle)) {
        self.main.write_all(send, &[1; SMALL]).unwrap();
        let mut left = SMALL;
        while left > 0 {
            left -= self.main.until(|| recv.read(left, READ).transpose()).unwrap().len();
        }
    }
}

impl harness::Client for Client {
    fn connect(&mut self, path: &str) {
        (self.stream, self.session) = (None, None);
        let mut target = target(self.arguments.address);
        target.path = path.into();
        let connecting = self.client.connect(target).unwrap();
        self.session = Some(self.main.until(|| connecting.poll(CONNECTING).transpose()).unwrap());
    }

    fn upload(&mut self, size: usize, piece: usize, streams: usize) {
        let data = vec![0x5a; piece];
        let mut parts: Vec<_> = (0..streams).map(|_| (self.main.open_bi(self.session()), size / streams)).collect();
        loop {
            let mut moved = false;
            for ((send, _), left) in parts.iter_mut().filter(|(_, left)| *left > 0) {
                if let Some(taken) = send.write(&data[..piece.min(*left)], WRITE).unwrap() {
                    *left -= taken;
                    moved = true;
                    if *left == 0 {
                        send.finish().unwrap();
                    }
                }
            }
            if parts.iter().all(|(_, left)| *left == 0) {
                break;
            }
            if !moved {
                self.main.wait(LONG);
            }
        }
        for ((_, recv), _) in &parts {
            let arrived = String::from_utf8(self.main.read_to_end(recv).unwrap()).unwrap();
            assert_eq!(arrived, (size / streams).to_string());
        }
    }

    fn download(&mut self, size: usize) {
        let (send, recv) = self.main.open_bi(self.session());
        self.main.write_all(&send, size.to_string().as_bytes()).unwrap();
        send.finish().unwrap();
        let mut arrived = 0;
        loop {
            match self.main.until(|| recv.read(1 << 20, READ).transpose()).unwrap() {
                chunks if chunks.is_empty() => break,
                chunks => arrived += chunks.len(),
            }
        }
        assert_eq!(arrived, size);
    }

    fn open(&mut self) {
        self.stream = Some(self.main.open_bi(self.session()));
    }

    fn ping_pong(&mut self) {
        self.round_trip(self.stream.as_ref().unwrap());
    }

    fn rpc(&mut self) {
        let stream = self.main.open_bi(self.session());
        self.main.write_all(&stream.0, &[1; SMALL]).unwrap();
        stream.0.finish().unwrap();
        assert_eq!(self.main.read_to_end(&stream.1).unwrap().len(), SMALL);
    }

    fn rpc_many(&mut self, in_flight: usize, time: Duration) -> usize {
        let (start, mut done) = (Instant::now(), 0);
        let mut calls: Vec<(SendHandle, RecvHandle)> = Vec::new();
        loop {
            let over = start.elapsed() >= time;
            while !over && calls.len() < in_flight {
                let Some((send, recv)) = self.session().open_bi(OPEN).unwrap() else { break };
                assert_eq!(send.write(&[1; SMALL], WRITE), Ok(Some(SMALL)));
                send.finish().unwrap();
                calls.push((send, recv));
            }
            let before = done;
            calls.retain(|(_, recv)| {
                loop {
                    match recv.read(PIECE, READ).unwrap() {
                        Some(chunks) if chunks.is_empty() => {
                            done += 1;
                            break false;
                        }
                        Some(_) => {}
                        None => break true,
                    }
                }
            });
            if calls.is_empty() && over {
                return done;
            }
            if done == before {
                self.main.wait(LONG);
            }
        }
    }

    fn send_datagrams(&mut self, payload: &[u8], count: usize) {
        for _ in 0..count {
            self.session().send_datagram(payload).unwrap();
            self.main.until(|| self.session().are_datagrams_sent(DATAGRAMS).unwrap().then_some(()));
        }
    }

    fn receive_datagram(&mut self) -> bool {
        let start = Instant::now();
        loop {
            if self.session().receive_datagram(DATAGRAMS).unwrap().is_some() {
                return true;
            }
            let Some(left) = QUIET.checked_sub(start.elapsed()) else { return false };
            self.main.wait(left);
        }
    }

    fn how_many(&mut self) -> Value {
        let (send, recv) = self.main.open_bi(self.session());
        self.main.write_all(&send, b"how many?").unwrap();
        send.finish().unwrap();
        serde_json::from_slice(&self.main.read_to_end(&recv).unwrap()).unwrap()
    }

    fn dropped(&self) -> u64 {
        self.session().datagram_counts().0.dropped
    }

    fn left(&self) -> u64 {
        self.session().refresh();
        self.session().connection_stats().datagram_frames_sent
    }
}
