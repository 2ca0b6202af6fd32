//! A peer that speaks QUIC and nothing else: any bytes on any stream, any datagram, any reset, while our side does anything
//! an application may do.
#![no_main]
#![allow(clippy::unwrap_used)]

#[path = "../../crates/proto/tests/sim/mod.rs"]
mod sim;

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use quinn_proto::VarInt;
use sim::raw::{CHROMIUM, SERVER, connect_request, raw_client, raw_server, settings};
use sim::{Net, Node, Sim, target};
use webtransport_proto::{Config, ConnectId, Dir, Endpoint, Event, Field, Response, SessionId, StreamId};

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = usize::from(self.byte());
        (!from.is_empty()).then(|| from[at % from.len()])
    }
}

fn dir(bit: u8) -> Dir {
    if bit & 1 == 0 { Dir::Bi } else { Dir::Uni }
}

/// What our side has
#[derive(Default)]
struct Ours {
    sessions: Vec<SessionId>,
    streams: Vec<StreamId>,
}

impl Ours {
    fn events(&mut self, endpoint: &mut Endpoint) {
        let mut count = 0;
        while let Some(event) = endpoint.poll_event() {
            count += 1;
            assert!(count < 100_000, "it never stops telling");
            match event {
                Event::SessionRequested { session, .. } | Event::SessionEstablished { session, .. } => self.sessions.push(session),
                Event::StreamOpened { stream, .. } => self.streams.push(stream),
                _ => {}
            }
        }
    }

    fn act(&mut self, now: std::time::Instant, endpoint: &mut Endpoint, op: u8, input: &mut Input<'_>) {
        if let Some(session) = input.pick(&self.sessions) {
            match op {
                0 => drop(endpoint.accept_session(now, session, &Response::new(200))),
                1 => drop(endpoint.reject_session(now, session, &Response::new(404))),
                2 => endpoint.drain_session(now, session),
                3 => endpoint.close_session(now, session, u32::from(input.byte()), "bye"),
                4 => self.streams.extend(endpoint.open_stream(now, session, dir(input.byte()))),
                5 => drop(endpoint.send_datagram(session, input.bytes())),
                _ => {}
            }
        }
        if let Some(stream) = input.pick(&self.streams) {
            match op {
                6 => endpoint.write(stream, Bytes::copy_from_slice(input.bytes())),
                7 => endpoint.finish(stream),
                8 => endpoint.reset(now, stream, u32::from(input.byte())),
                9 => endpoint.stop(stream, u32::from(input.byte())),
                10 | 11 => drop(endpoint.read(now, stream, 1 + usize::from(input.byte()))),
                12 => drop(endpoint.check_reset(now, stream)),
                13 => endpoint.set_send_order(stream, u32::from(input.byte() % 3), i64::from(input.byte())),
                _ => {}
            }
        }
        match op {
            14 => endpoint.drain(now),
            15 => {
                let mut target = target("/again");
                target.headers = vec![Field::from(("x", "y"))];
                endpoint.connect(now, ConnectId(2), target);
            }
            _ => {}
        }
    }
}

/// One side is ours, the other is the fuzzer's
macro_rules! play {
    ($sim:expr, $ours:ident, $raw:ident, $input:expr) => {{
        let (sim, input) = ($sim, $input);
        let mut ours = Ours::default();
        let mut streams = Vec::new();
        while !input.0.is_empty() && sim.$raw.lost.is_none() {
            let op = input.byte();
            streams.extend(sim.$raw.take_accepted());
            let side = sim.$raw.quic().side();
            let sends = |id: &quinn_proto::StreamId| id.dir() == Dir::Bi || id.initiator() == side;
            let receives = |id: &quinn_proto::StreamId| id.dir() == Dir::Bi || id.initiator() != side;
            if op & 0x80 != 0 {
                ours.act(sim.now, &mut sim.$ours, op & 0x0f, input);
            } else {
                let quic = sim.$raw.quic();
                match op & 0x07 {
                    0 | 1 => {
                        if let Some(id) = quic.streams().open(dir(op)) {
                            let _ = quic.send_stream(id).write(input.bytes());
                            streams.push(id);
                        }
                    }
                    2 => {
                        if let Some(id) = input.pick(&streams).filter(sends) {
                            let _ = quic.send_stream(id).write(input.bytes());
                        }
                    }
                    3 => {
                        if let Some(id) = input.pick(&streams).filter(sends) {
                            let _ = quic.send_stream(id).finish();
                        }
                    }
                    4 => {
                        if let Some(id) = input.pick(&streams).filter(sends) {
                            let _ = quic.send_stream(id).reset(VarInt::from_u32(u32::from(input.byte()) << 8));
                        }
                    }
                    5 => {
                        if let Some(id) = input.pick(&streams).filter(receives) {
                            let _ = quic.recv_stream(id).stop(VarInt::from_u32(u32::from(input.byte())));
                        }
                    }
                    6 => {
                        let _ = quic.datagrams().send(Bytes::copy_from_slice(input.bytes()), true);
                    }
                    _ => sim.run(Duration::from_millis(1 << (input.byte() % 14))),
                }
            }
            ours.events(&mut sim.$ours);
        }
        end(sim, |sim| &mut sim.$ours);
    }};
}

/// It comes to an end, and leaves nothing
fn end<C: Node, S: Node>(sim: &mut Sim<C, S>, ours: impl Fn(&mut Sim<C, S>) -> &mut Endpoint) {
    let now = sim.now;
    ours(sim).close(now, 7, b"end");
    let mut steps = 0;
    while sim.step() {
        while ours(sim).poll_event().is_some() {}
        steps += 1;
        assert!(steps < 10_000, "it never ends");
    }
    assert_eq!(ours(sim).connections(), 0);
}

fuzz_target!(|data: &[u8]| {
    let input = &mut Input(data);
    let kind = input.byte();
    let config = Config { max_sessions_without_flow_control: 2, max_concurrent_streams: 10, ..Config::default() };
    if kind & 1 == 0 {
        let mut sim = raw_client(Net::default(), config);
        sim.until("handshake", |sim| sim.client.connected.then_some(()));
        if kind & 2 == 0 {
            sim.client.send(Dir::Uni, &settings(&CHROMIUM));
        }
        if kind & 4 == 0 {
            sim.client.send(Dir::Bi, &connect_request());
        }
        play!(&mut sim, server, client, input);
    } else {
        let mut sim = raw_server(Net::default(), config);
        let now = sim.now;
        sim.client.connect(now, ConnectId(1), target("/"));
        sim.until("handshake", |sim| sim.server.connected.then_some(()));
        if kind & 2 == 0 {
            sim.server.send(Dir::Uni, &settings(&SERVER));
        }
        sim.run(Duration::from_millis(50));
        play!(&mut sim, client, server, input);
    }
});
