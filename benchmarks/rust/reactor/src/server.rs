//! The server: one session at a time, whose path says what it is for.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use harness::{PIECE, QUIET};
use serde_json::json;
use webtransport_reactor::proto::tls::{ServerTls, generate_self_signed};
use webtransport_reactor::proto::{Config, Response, SessionError};
use webtransport_reactor::{EndpointHandle, RecvHandle, SendHandle, SessionHandle};

use crate::common::Loop;
use crate::{ACCEPT, DATAGRAMS, LONG, READ, WRITE};

pub(crate) fn serve(main: &Loop, address: IpAddr) {
    let (certificate, key) = generate_self_signed(&["localhost".into()], SystemTime::now()).unwrap();
    let tls = ServerTls::new(vec![certificate], &key).unwrap();
    let server = EndpointHandle::server(Config::default(), tls, (address, 0).into()).unwrap();
    server.attach(main.mailbox.clone());
    harness::serving(server.local_address().port());
    loop {
        let request = loop {
            match server.accept(ACCEPT) {
                Some(request) => break request,
                None => drop(main.wait(LONG)),
            }
        };
        let path = request.request().path.clone();
        let Ok(session) = request.accept(Response::new(200)) else { continue };
        let _over = match path.as_str() {
            "/datagrams" => echo_datagrams(main, &session),
            "/count" => count(main, &session),
            path => serve_streams(main, &session, path),
        };
    }
}

/// Until the client has closed it
type Over = Result<std::convert::Infallible, SessionError>;

fn echo_datagrams(main: &Loop, session: &SessionHandle) -> Over {
    loop {
        match session.receive_datagram(DATAGRAMS)? {
            Some(datagram) => drop(session.send_datagram(&datagram)),
            None => drop(main.wait(LONG)),
        }
    }
}

fn serve_streams(main: &Loop, session: &SessionHandle, path: &str) -> Over {
    let mut streams: Vec<Stream> = Vec::new();
    loop {
        while let Some((send, recv)) = session.accept_bi(ACCEPT)? {
            streams.push(Stream { send, recv, work: Work::of(path), out: Vec::new(), written: 0 });
        }
        let mut moved = false;
        streams.retain_mut(|stream| {
            let mut going_on = true;
            while going_on && stream.step(&mut going_on) {
                moved = true;
            }
            going_on
        });
        if !moved {
            main.wait(LONG);
        }
    }
}

struct Stream {
    send: SendHandle,
    recv: RecvHandle,
    work: Work,
    /// What is being written, and how much of it was
    out: Vec<u8>,
    written: usize,
}

enum Work {
    Sink {
        size: usize,
    },
    Source {
        asked: Vec<u8>,
        left: Option<usize>,
    },
    Echo,
    /// What was written last is followed by the end
    Finish,
}

impl Work {
    fn of(path: &str) -> Self {
        match path {
            "/sink" => Self::Sink { size: 0 },
            "/source" => Self::Source { asked: Vec::new(), left: None },
            _ => Self::Echo,
        }
    }
}

impl Stream {
    /// Do a piece of the work, if it can be done now; `going_on` becomes false when there is none left
    fn step(&mut self, going_on: &mut bool) -> bool {
        if self.written < self.out.len() {
            match self.send.write(&self.out[self.written..], WRITE) {
                Ok(Some(taken)) => self.written += taken,
                Ok(None) => return false,
                Err(_) => *going_on = false,
            }
            return true;
        }
        if let Work::Finish = self.work {
            let _ = self.send.finish();
            *going_on = false;
            return true;
        }
        if let Work::Source { left: Some(left), .. } = &mut self.work {
            let size = PIECE.min(*left);
            *left -= size;
            let last = *left == 0;
            self.put(&[0x5a; PIECE][..size]);
            if last {
                self.work = Work::Finish;
            }
            return true;
        }
        let chunks = match self.recv.read(1 << 20, READ) {
            Ok(Some(chunks)) => chunks,
            Ok(None) => return false,
            Err(_) => {
                *going_on = false;
                return true;
            }
        };
        if chunks.is_empty() {
            self.ended();
            return true;
        }
        match &mut self.work {
            Work::Sink { size } => *size += chunks.len(),
            Work::Source { asked, .. } => chunks.iter().for_each(|chunk| asked.extend_from_slice(chunk)),
            Work::Echo | Work::Finish => {
                self.out.clear();
                self.written = 0;
                chunks.iter().for_each(|chunk| self.out.extend_from_slice(chunk));
            }
        }
        true
    }

    /// The client has finished
    fn ended(&mut self) {
        match &mut self.work {
            Work::Sink { size } => {
                let size = size.to_string();
                self.put(size.as_bytes());
                self.work = Work::Finish;
            }
            Work::Source { asked, left } => *left = Some(String::from_utf8_lossy(asked).parse().unwrap()),
            Work::Echo | Work::Finish => self.work = Work::Finish,
        }
    }

    fn put(&mut self, data: &[u8]) {
        self.out.clear();
        self.out.extend_from_slice(data);
        self.written = 0;
    }
}

fn count(main: &Loop, session: &SessionHandle) -> Over {
    let (mut received, mut first, mut last) = (0u64, Instant::now(), Instant::now());
    let mut asked: Option<(SendHandle, RecvHandle)> = None;
    loop {
        while session.receive_datagram(DATAGRAMS)?.is_some() {
            last = Instant::now();
            if received == 0 {
                first = last;
            }
            received += 1;
        }
        if asked.is_none() {
            asked = session.accept_bi(ACCEPT)?;
        }
        if let Some((send, recv)) = &asked {
            while matches!(recv.read(PIECE, READ), Ok(Some(chunks)) if !chunks.is_empty()) {}
            if last.elapsed() < QUIET {
                main.wait(QUIET);
                continue;
            }
            session.refresh();
            let (dropped, came) = (session.datagram_counts().1.dropped, session.connection_stats().datagram_frames_received);
            let seconds = (last - first).as_secs_f64();
            let told = json!({ "received": received, "seconds": seconds, "dropped": dropped, "came": came });
            let _ = main.write_all(send, told.to_string().as_bytes());
            let _ = send.finish();
            asked = None;
        }
        main.wait(LONG);
    }
}
