//! Work for the gate to count: two of our endpoints as state machines, and a simulated network between them, so that what is executed
//! does not depend on a clock, on sockets or on what else the machine does.
//!
//! `bench-gate SCENARIO N` connects, does *N* pieces of work and ends; with 0 it only connects. The difference is what the work costs.

#![allow(clippy::unwrap_used)]

#[path = "../../../../crates/proto/tests/sim/mod.rs"]
mod sim;

use std::env;
use std::time::Duration;

use bytes::Bytes;
use sim::{Net, Pair, Sim, target};
use webtransport_proto::{ConnectId, Dir, Endpoint, Event, Read, Response, SessionId, StreamId};

const PIECE: usize = 64 << 10;
/// Bytes of a stream that wait in the state machine at most, as a pipe would hold them back
const QUEUED: usize = 256 << 10;
const SMALL: &[u8] = &[7; 64];

fn main() {
    let mut arguments = env::args().skip(1);
    let scenario = arguments.next().expect("usage: bench-gate SCENARIO N");
    let n: usize = arguments.next().and_then(|n| n.parse().ok()).expect("usage: bench-gate SCENARIO N");
    let loss = if scenario == "lossy" { 10 } else { 0 };
    let mut bench = Bench::new(Net { latency: Duration::from_millis(1), loss, ..Net::default() });
    match scenario.as_str() {
        "bulk" | "lossy" => bench.bulk(n << 20),
        "rpc" => bench.rpc(n, 1),
        "rpc-64" => bench.rpc(n, 64),
        "datagrams" => bench.datagrams(n),
        "connect" => bench.connect(n),
        _ => panic!("no such scenario: {scenario}"),
    }
}

struct Bench {
    sim: Sim<Endpoint, Endpoint>,
    session: SessionId,
}

impl Bench {
    fn new(net: Net) -> Self {
        let mut pair = Pair::new(net);
        let (session, _) = pair.connect();
        pair.sim.run(Duration::from_secs(2)); // the path's MTU is found, and the handshake's last packets are gone
        let mut bench = Self { sim: pair.sim, session };
        bench.events();
        bench
    }

    /// What has happened to the client and to the server
    fn events(&mut self) -> (Vec<Event>, Vec<Event>) {
        let client = std::iter::from_fn(|| self.sim.client.poll_event()).collect();
        let server = std::iter::from_fn(|| self.sim.server.poll_event()).collect();
        (client, server)
    }

    /// Let something happen
    fn step(&mut self) -> (Vec<Event>, Vec<Event>) {
        assert!(self.sim.step(), "nothing happens any more");
        self.events()
    }

    fn bulk(&mut self, size: usize) {
        if size == 0 {
            return;
        }
        let stream = self.sim.client.open_stream(self.sim.now, self.session, Dir::Uni).unwrap();
        let piece = Bytes::from(vec![0x5a; PIECE]);
        let (mut written, mut taken, mut arrived, mut incoming) = (0, 0, 0, None);
        while arrived < size {
            while written < size && written - taken < QUEUED {
                self.sim.client.write(stream, piece.clone());
                written += PIECE;
                if written == size {
                    self.sim.client.finish(stream);
                }
            }
            let (client, server) = self.step();
            for event in client {
                if let Event::StreamWritten { bytes, .. } = event {
                    taken += bytes;
                }
            }
            for event in server {
                if let Event::StreamOpened { stream, .. } = event {
                    incoming = Some(stream);
                }
            }
            if let Some(stream) = incoming {
                while let Read::Chunk(chunk) = self.sim.server.read(self.sim.now, stream, PIECE) {
                    arrived += chunk.len();
                }
            }
        }
    }

    fn rpc(&mut self, calls: usize, in_flight: usize) {
        let (mut begun, mut done) = (0, 0);
        let (mut asking, mut answering): (Vec<StreamId>, Vec<StreamId>) = (Vec::new(), Vec::new());
        while done < calls {
            while begun < calls && asking.len() < in_flight {
                let Some(stream) = self.sim.client.open_stream(self.sim.now, self.session, Dir::Bi) else { break };
                self.sim.client.write(stream, Bytes::from_static(SMALL));
                self.sim.client.finish(stream);
                asking.push(stream);
                begun += 1;
            }
            let (_, server) = self.step();
            answering.extend(server.iter().filter_map(|event| match event {
                Event::StreamOpened { stream, .. } => Some(*stream),
                _ => None,
            }));
            let now = self.sim.now;
            answering.retain(|stream| {
                let ended = read(&mut self.sim.server, now, *stream);
                if ended {
                    self.sim.server.write(*stream, Bytes::from_static(SMALL));
                    self.sim.server.finish(*stream);
                }
                !ended
            });
            let before = asking.len();
            asking.retain(|stream| !read(&mut self.sim.client, now, *stream));
            done += before - asking.len();
        }
    }

    fn datagrams(&mut self, count: usize) {
        let (mut sent, mut arrived) = (0, 0);
        while arrived < count {
            let mut room = self.sim.client.datagram_room(self.session);
            while room > 0 && sent < count {
                self.sim.client.send_datagram(self.session, SMALL).unwrap();
                sent += 1;
                room = room.saturating_sub(SMALL.len());
            }
            let (_, server) = self.step();
            arrived += server.iter().filter(|event| matches!(event, Event::DatagramReceived { .. })).count();
        }
    }

    fn connect(&mut self, count: usize) {
        for number in 0..count {
            self.sim.client.connect(self.sim.now, ConnectId(1000 + number as u64), target("/"));
            let mut closed = false;
            while !closed {
                let (client, server) = self.step();
                for event in server {
                    if let Event::SessionRequested { session, .. } = event {
                        assert!(self.sim.server.accept_session(self.sim.now, session, &Response::new(200)));
                    }
                }
                for event in client {
                    match event {
                        Event::SessionEstablished { session, .. } => self.sim.client.close_session(self.sim.now, session, 0, ""),
                        Event::ConnectFailed { error, .. } => panic!("{error}"),
                        Event::SessionGone { .. } => closed = true,
                        _ => {}
                    }
                }
            }
        }
    }
}

/// Read what there is; true at the end
fn read(endpoint: &mut Endpoint, now: std::time::Instant, stream: StreamId) -> bool {
    loop {
        match endpoint.read(now, stream, PIECE) {
            Read::Chunk(_) => {}
            Read::Blocked => return false,
            Read::Finished => return true,
            other => panic!("{other:?}"),
        }
    }
}
