//! Peers that want to cost us memory or work: each is closed or bounded, and others go on as if nothing happened.

mod sim;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use quinn_proto::{Dir, StreamId, VarInt};
use sim::raw::{
    Attack, CHROMIUM, attack, capsule, closed, concat, connect_request, costs, established, frame, raw_client_with, request,
    settings, varint,
};
use sim::{Net, Pair, Side, client_endpoint, seeded, server_address, server_endpoint, target};
use webtransport_proto::{Config, ConnectId, Event, Read, Response, Retry, SessionError, Target};

/// Counts what its thread holds, both sides of a simulation
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

#[allow(unsafe_code)]
// SAFETY: all is done by the system's allocator
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| held.set(held.get() + layout.size() as isize));
        // SAFETY: the caller's promise
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: the caller's promise
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> isize {
    HELD.with(Cell::get)
}

/// What an attack of `rounds` rounds made us hold, after `warm` of them
fn growth(sim: &mut Attack, warm: usize, rounds: usize, mut round: impl FnMut(&mut Attack)) -> isize {
    for _ in 0..warm {
        round(sim);
    }
    let before = held();
    for _ in 0..rounds {
        round(sim);
    }
    held() - before
}

/// Let a little time pass, and take what the server tells; returns how much that was
fn turn(sim: &mut Attack) -> usize {
    sim.run(Duration::from_millis(21));
    std::iter::from_fn(|| sim.server.poll_event()).count()
}

#[test]
fn an_idle_session_costs_little() {
    // On a connection of its own, the client's side and the server's together
    let mut pair = Pair::new(Net::default());
    let mut connect = |n| (0..n).map(|_| pair.connect()).count() as isize;
    connect(10);
    let before = held();
    let sessions = connect(100);
    let each = (held() - before) / sessions;
    assert!(each < 70_000, "{each} bytes each");
}

/// Whatever came of a session, and of its streams: both sides together hold afterwards what they held before, while the connection lives on
#[test]
fn sessions_that_come_and_go_leave_nothing() {
    let mut pair = Pair::new(Net::default());
    let mut warm = 0;
    for round in 0..900 {
        let connect = ConnectId(1000 + round);
        let now = pair.now();
        pair.sim.client.connect(now, connect, Target { pool: true, ..target("/") });
        if round % 6 == 5 {
            pair.sim.client.cancel_connect(now, connect);
        } else {
            pass(&mut pair, round);
        }
        pair.sim.run(Duration::from_millis(200));
        for side in [Side::Client, Side::Server] {
            while pair.has_event(side, |_| true) {}
        }
        // The first one stays, and keeps the connection for the others
        assert_eq!((pair.sim.client.connections(), pair.sim.server.connections()), (1, 1), "round {round}");
        if round == 600 {
            warm = held();
        }
    }
    let grown = held() - warm;
    assert!(grown < 10_000, "{grown} bytes more");
}

/// A session, and an end of it
fn pass(pair: &mut Pair, round: u64) {
    let server = pair.event(Side::Server, "request", |event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let now = pair.now();
    if round % 6 == 4 {
        pair.sim.server.reject_session(now, server, &Response::new(403));
        return;
    }
    assert!(pair.sim.server.accept_session(now, server, &Response::new(200)));
    let client = pair.event(Side::Client, "established", |event| match event {
        Event::SessionEstablished { session, .. } => Some(*session),
        _ => None,
    });
    if round == 0 {
        return;
    }
    for (side, session) in [(Side::Client, client), (Side::Server, server)] {
        for end in 0..3 {
            let stream = pair.open(side, session, webtransport_proto::Dir::Bi);
            pair.write(side, stream, &[7; 5000]);
            match end {
                0 => pair.endpoint(side).stop(stream, 1),
                1 => pair.endpoint(side).reset(now, stream, 2),
                _ => {} // ends with the session
            }
        }
        pair.endpoint(side).send_datagram(session, b"for nobody").expect("room");
    }
    if round % 2 == 0 {
        pair.sim.run(Duration::from_millis(50));
    }
    let (side, session) = if round % 3 == 0 { (Side::Client, client) } else { (Side::Server, server) };
    pair.close(side, session, 7, "bye");
}

#[test]
fn streams_that_come_and_go_leave_nothing() {
    let (mut sim, ..) = established();
    let grown = growth(&mut sim, 50, 300, |sim| {
        for dir in [Dir::Uni, Dir::Bi] {
            let ty = if dir == Dir::Uni { 0x54 } else { 0x41 };
            while let Some(id) = sim.client.quic().streams().open(dir) {
                let _ = sim.client.quic().send_stream(id).write(&concat(&[&varint(ty), &varint(0), b"x"]));
                let _ = sim.client.quic().send_stream(id).reset(VarInt::from_u32(7));
                if dir == Dir::Bi {
                    let _ = sim.client.quic().recv_stream(id).stop(VarInt::from_u32(7));
                }
            }
        }
        sim.run(Duration::from_millis(21));
        let now = sim.now;
        while let Some(event) = sim.server.poll_event() {
            if let Event::StreamOpened { stream, .. } | Event::StreamReadable { stream } = event {
                while let Read::Chunk(_) = sim.server.read(now, stream, 100) {}
                sim.server.finish(stream);
            }
        }
    });
    assert!(sim.client.lost.is_none());
    assert!(grown < 200_000, "{grown} bytes more");
}

#[test]
fn requests_that_come_and_go_leave_nothing() {
    let (mut sim, ..) = established();
    let mut requests = Vec::new();
    let grown = growth(&mut sim, 20, 200, |sim| {
        for id in requests.drain(..) {
            let _ = sim.client.quic().send_stream(id).reset(VarInt::from_u32(0x10c));
            let _ = sim.client.quic().recv_stream(id).stop(VarInt::from_u32(0x10c));
        }
        while let Some(id) = sim.client.quic().streams().open(Dir::Bi) {
            sim.client.send_more(id, &[0x01, 0x40]); // HEADERS of a length to come
            requests.push(id);
        }
        turn(sim);
    });
    assert!(sim.client.lost.is_none());
    assert!(grown < 100_000, "{grown} bytes more");
}

#[test]
fn streams_that_never_say_what_they_are_are_limited_in_number() {
    let mut sim = attack(Config::default());
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    let mut opened = 0;
    for dir in [Dir::Uni, Dir::Bi] {
        // One byte of a type that has two
        while let Some(id) = sim.client.quic().streams().open(dir) {
            sim.client.send_more(id, &[0x40]);
            opened += 1;
        }
    }
    let grown = growth(&mut sim, 5, 100, |sim| {
        turn(sim);
        for dir in [Dir::Uni, Dir::Bi] {
            opened += usize::from(sim.client.quic().streams().open(dir).is_some());
        }
    });
    assert!(opened < 300 && grown < 50_000, "{opened} streams, {grown} bytes more");
    // And they keep no connection without a session
    costs(sim, 0x100);
}

#[test]
fn requests_that_never_end_are_given_up() {
    let mut sim = attack(Config { request_timeout: Duration::from_secs(5), ..Config::default() });
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    let mut requests = Vec::new();
    while let Some(id) = sim.client.quic().streams().open(Dir::Bi) {
        sim.client.send_more(id, &[0x01, 0x80, 0x00, 0xff, 0x00]);
        requests.push(id);
    }
    // A byte now and then does not help
    for _ in 0..4 {
        sim.run(Duration::from_secs(1));
        for &id in &requests {
            sim.client.send_more(id, &[0]);
        }
    }
    sim.run(Duration::from_secs(2));
    for &id in &requests {
        assert_eq!(sim.client.read(id).1, Err(0x10d), "{id}");
    }
}

#[test]
fn frames_without_meaning_are_passed_over_and_not_kept() {
    let (mut sim, connect, _) = established();
    let control = StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0);
    let priority_update = frame(0xf0700, b"\x00u=1");
    let grease = concat(&[&frame(0x1f * 9 + 0x21, &[1; 100]), &capsule(0x29 * 9 + 0x17, &[2; 100]), &frame(0x00, b"")]);
    let data_of_nothing = frame(0x00, b"").repeat(100);
    let mut told = 0;
    let grown = growth(&mut sim, 20, 200, |sim| {
        let _ = sim.client.quic().send_stream(control).write(&concat(&[&priority_update.repeat(50), &frame(0x0d, &[7])]));
        let _ = sim.client.quic().send_stream(connect).write(&concat(&[&grease.repeat(5), &data_of_nothing]));
        told += turn(sim);
    });
    assert!(sim.client.lost.is_none());
    assert!(told < 10 && grown < 100_000, "{told} events, {grown} bytes more");
}

#[test]
fn goaways_and_drains_are_told_once() {
    let (mut sim, connect, _) = established();
    let control = StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0);
    let mut told = 0;
    for _ in 0..100 {
        sim.client.send_more(control, &frame(0x07, &[0]));
        sim.client.send_more(connect, &capsule(0x78ae, b"").repeat(10));
        told += turn(&mut sim);
    }
    assert!(told < 10, "{told} events");
}

#[test]
fn datagrams_for_sessions_that_never_come_keep_their_number() {
    let mut sim = attack(Config { idle_connection_timeout: Duration::from_secs(3600), ..Config::default() });
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    let grown = growth(&mut sim, 300, 600, |sim| {
        for session in 0..4_u64 {
            sim.client.send_datagram(&concat(&[&varint(session), &[1; 20]]));
        }
        turn(sim);
    });
    assert!(grown < 50_000, "{grown} bytes more");
}

#[test]
fn lengths_of_any_size_reserve_nothing() {
    let huge = varint((1 << 62) - 1);
    // By stream: what it says it is, and what that costs; 0: nothing, the rest is waited for, or skipped
    for (first, code) in [(0x01_u64, 0x107), (0x04, 0x107), (0x07, 0x106), (0x0d, 0x106), (0x21, 0), (0x00, 0x105)] {
        let mut sim = attack(Config::default());
        sim.client.send(Dir::Uni, &settings(&CHROMIUM));
        turn(&mut sim);
        let before = held();
        sim.client.send(Dir::Bi, &concat(&[&varint(first), &huge, &[0; 1000]]));
        turn(&mut sim);
        assert!(held() - before < 100_000, "{first:#x}: {} bytes", held() - before);
        if code == 0 {
            assert!(sim.client.lost.is_none());
        } else {
            costs(sim, code);
        }
    }
    for ty in [0x00_u64, 0x29 * 3 + 0x17, 0x2843, 0x78ae, 0x190b_4d3d] {
        let (mut sim, connect, _) = established();
        turn(&mut sim);
        let before = held();
        let header = concat(&[&varint(ty), &huge, &[0; 1000]]);
        sim.client.send_more(connect, &concat(&[&varint(0), &huge, &header]));
        turn(&mut sim);
        assert!(held() - before < 100_000, "{ty:#x}: {} bytes", held() - before);
        assert!(sim.client.lost.is_none());
    }
}

#[test]
fn a_peer_that_does_not_read_its_connect_stream_is_closed() {
    // Its window for the CONNECT stream is soon full. Each limit that it raises by one lets us be blocked once more, of
    // which a fair peer would have to be told.
    let mut transport = quinn_proto::TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(500));
    let mut sim = raw_client_with(Net::default(), Config::default(), transport);
    sim.until("handshake", |sim| sim.client.connected.then_some(()));
    sim.client.send(Dir::Uni, &settings(&[(0x33, 1), (0x2c7c_f000, 1), (0x2b61, 1), (0x2b64, 10), (0x2b65, 10)]));
    let connect = sim.client.send(Dir::Bi, &connect_request());
    let session = request(&mut sim);
    let now = sim.now;
    assert!(sim.server.accept_session(now, session, &Response::new(200)));
    let stream = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.write(stream, vec![1; 100_000].into());
    for limit in 2..1500_u64 {
        sim.client.send_more(connect, &capsule(0x190b_4d3d, &varint(limit)));
        sim.run(Duration::from_millis(21));
        let _ = sim.client.read(StreamId::from(VarInt::from_u64(stream.as_u64()).unwrap()));
        if sim.client.lost.is_some() {
            break;
        }
    }
    let error = closed(&mut sim);
    assert!(matches!(error, SessionError::Protocol(_)), "{error:?}");
    costs(sim, 0x107);
}

#[test]
fn a_flood_of_beginnings_costs_little_and_keeps_nobody_out() {
    // Initial packets of a thousand clients of which nothing is heard again: the server asks for their addresses when a
    // quarter of the handshakes that it permits is under way
    let config = Config { max_pending_handshakes: 64, max_idle_timeout: None, retry: Retry::Load, ..Config::default() };
    let mut sim =
        sim::Sim::new(client_endpoint(seeded(&Config::default(), 1)), server_endpoint(seeded(&config, 2)), Net::default());
    let mut ghosts = client_endpoint(seeded(&Config { max_idle_timeout: None, ..Config::default() }, 3));
    let before = held();
    let mut ghost_memory = 0;
    for ghost in 0..1000_u16 {
        let own = held();
        ghosts.connect(sim.now, ConnectId(ghost.into()), target("/"));
        let mut initial = Vec::new();
        let transmit = ghosts.poll_transmit(sim.now, 1, &mut initial).unwrap();
        ghost_memory += held() - own;
        let from = ([127, 0, 0, 2], 2000 + ghost).into();
        sim.server.handle_datagram(sim.now, from, None, None, initial[..transmit.size].into());
        sim.run(Duration::from_micros(100));
    }
    assert!(sim.server.connections() <= 16, "{} half-open connections", sim.server.connections());
    assert!(held() - before - ghost_memory < 8 << 20, "{} bytes", held() - before - ghost_memory);
    // Another client gets in, by a Retry
    let now = sim.now;
    sim.client.connect(now, ConnectId(1), target("/"));
    sim.until("request", |sim| {
        std::iter::from_fn(|| sim.server.poll_event()).find_map(|event| match event {
            Event::SessionRequested { .. } => Some(()),
            _ => None,
        })
    });
    // Those that never finish their handshake are given up, even where silence is no reason to
    sim.run(Duration::from_secs(15));
    assert_eq!(sim.server.connections(), 1);
}

#[test]
fn others_go_on_while_one_attacks() {
    let (mut sim, connect, _) = established();
    sim.strays = Some(Vec::new());
    // A friend of the same server, from another address
    let mut friend = client_endpoint(seeded(&Config::default(), 5));
    let from = ([127, 0, 0, 3], 3000).into();
    friend.connect(sim.now, ConnectId(1), target("/friend"));
    let data: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    let mut received = Vec::new();
    let mut friends = None;
    let mut rounds = 0;
    while received.len() < data.len() {
        rounds += 1;
        assert!(rounds < 3000, "{} bytes in {:?}", received.len(), sim.now - sim::epoch());
        for dir in [Dir::Uni, Dir::Bi] {
            while let Some(id) = sim.client.quic().streams().open(dir) {
                let _ = sim.client.quic().send_stream(id).write(&concat(&[&varint(0x54), &varint(0), &[1; 3000]]));
                let _ = sim.client.quic().send_stream(id).reset(VarInt::from_u32(7));
            }
        }
        let _ = sim.client.quic().send_stream(connect).write(&capsule(0x29 * 9 + 0x17, &[2; 500]));
        let _ = sim.client.quic().datagrams().send(vec![0; 900].into(), true);
        sim.run(Duration::from_millis(2));
        let now = sim.now;
        for datagram in sim.strays.replace(Vec::new()).unwrap() {
            friend.handle_datagram(now, server_address(), None, None, datagram[..].into());
        }
        if friend.poll_timeout().is_some_and(|at| at <= now) {
            friend.handle_timeout(now);
        }
        while let Some(event) = friend.poll_event() {
            if let Event::SessionEstablished { session, .. } = event {
                let stream = friend.open_stream(now, session, webtransport_proto::Dir::Uni).unwrap();
                friend.write(stream, data.clone().into());
                friend.finish(stream);
            }
        }
        let mut buf = Vec::new();
        while let Some(transmit) = friend.poll_transmit(now, 1, &mut buf) {
            sim.server.handle_datagram(now, from, None, None, buf[..transmit.size].into());
            buf.clear();
        }
        while let Some(event) = sim.server.poll_event() {
            match event {
                Event::SessionRequested { session, request, .. } if request.path == "/friend" => {
                    assert!(sim.server.accept_session(now, session, &Response::new(200)));
                    friends = Some(session.connection());
                }
                Event::StreamOpened { stream, .. } | Event::StreamReadable { stream } => {
                    while let Read::Chunk(chunk) = sim.server.read(now, stream, usize::MAX) {
                        if Some(stream.connection()) == friends {
                            received.extend_from_slice(&chunk);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    assert_eq!(received, data);
}
