//! Endpoints that go away: nothing new comes to them, what is there may end in its own time.

mod sim;

use std::time::Duration;

use quinn_proto::{Dir, StreamId};
use sim::raw::{
    Attack, CHROMIUM, SERVER, attack, connect_request, costs, costs_stream, event, frame, raw_server, request, settings, varint,
};
use sim::{Net, Pair, Side, target};
use webtransport_proto::{Config, ConnectError, ConnectId, Event, Response, SessionError, SessionId};

/// A raw client with a session on a server that would take more
fn established() -> (Attack, StreamId, SessionId) {
    established_with(&[(0x33, 1), (0x2c7c_f000, 1)])
}

fn established_with(client: &[(u64, u64)]) -> (Attack, StreamId, SessionId) {
    let mut sim = attack(Config { max_sessions_without_flow_control: 8, ..Config::default() });
    sim.client.send(Dir::Uni, &settings(client));
    let connect = sim.client.send(Dir::Bi, &connect_request());
    let session = request(&mut sim);
    let now = sim.now;
    assert!(sim.server.accept_session(now, session, &Response::new(200)));
    (sim, connect, session)
}

fn drain(pair: &mut Pair) {
    let now = pair.now();
    pair.sim.server.drain(now);
}

fn draining(pair: &mut Pair, side: Side) -> SessionId {
    pair.event(side, "draining", |event| match event {
        Event::SessionDraining { session } => Some(*session),
        _ => None,
    })
}

fn failure(pair: &mut Pair) -> ConnectError {
    pair.event(Side::Client, "failure", |event| match event {
        Event::ConnectFailed { error, .. } => Some(error.clone()),
        _ => None,
    })
}

/// The frames of the server's control stream after its SETTINGS and the one that means nothing
fn goaway_of(sim: &mut Attack) -> Option<Vec<u8>> {
    let control = *sim.client.accepted(Dir::Uni).first()?;
    let (data, _) = sim.client.read(control);
    (!data.is_empty()).then_some(data)
}

#[test]
fn a_draining_server_tells_every_session_once_and_ends_none() {
    let mut pair = Pair::new(Net::default());
    let (first, _) = pair.connect();
    let (second, _) = pair.connect();
    drain(&mut pair);
    drain(&mut pair);
    let mut told = [draining(&mut pair, Side::Client), draining(&mut pair, Side::Client)];
    told.sort_unstable();
    assert_eq!(told, [first, second]);
    draining(&mut pair, Side::Server);
    draining(&mut pair, Side::Server);
    pair.sim.run(Duration::from_secs(1));
    for side in [Side::Client, Side::Server] {
        assert!(!pair.has_event(side, |event| matches!(event, Event::SessionDraining { .. } | Event::SessionClosed { .. })));
    }
    for session in [first, second] {
        let stream = pair.open(Side::Client, session, Dir::Uni);
        assert_eq!(pair.accept(Side::Server).as_u64(), stream.as_u64());
    }
}

#[test]
fn a_draining_server_refuses_new_connections() {
    let mut pair = Pair::new(Net::default());
    drain(&mut pair);
    pair.ask("/");
    let error = failure(&mut pair).to_string();
    assert!(error.contains("server closed the connection during the handshake"), "{error}");
    assert_eq!((pair.sim.client.connections(), pair.sim.server.connections()), (0, 0));
}

#[test]
fn a_server_that_drains_during_the_handshake_takes_no_session() {
    let mut pair = Pair::new(Net::default());
    pair.ask("/");
    pair.sim.until("a connection", |sim| (sim.server.connections() > 0).then_some(()));
    drain(&mut pair);
    let error = failure(&mut pair).to_string();
    assert!(error.contains("server is going away"), "{error}");
    pair.sim.until("no connections", |sim| (sim.client.connections() + sim.server.connections() == 0).then_some(()));
}

#[test]
fn goaway_leaves_room_for_streams_and_requests_are_refused_one_by_one() {
    let (mut sim, connect, _) = established();
    sim.run(Duration::from_secs(1));
    goaway_of(&mut sim);
    let now = sim.now;
    sim.server.drain(now);
    let bytes = sim.until("GOAWAY", goaway_of);
    assert_eq!(bytes, frame(0x07, &varint((1 << 62) - 4)), "browsers open no stream from that number on");
    let late = sim.client.send(Dir::Bi, &connect_request());
    costs_stream(&mut sim, late, 0x10b);
    assert!(sim.client.stopped.contains(&(late, 0x10b)));
    assert!(sim.client.read(connect).1.is_ok(), "the session goes on");
}

#[test]
fn browsers_get_the_capsule_and_no_goaway() {
    for settings in [&CHROMIUM[..], &[(0x33, 1), (0xc671_706a, 1)]] {
        let (mut sim, connect, _) = established_with(settings);
        sim.run(Duration::from_secs(1));
        goaway_of(&mut sim);
        let _ = sim.client.read(connect);
        let now = sim.now;
        sim.server.drain(now);
        sim.run(Duration::from_secs(1));
        assert_eq!(goaway_of(&mut sim), None, "it would break the session");
        assert_eq!(sim.client.read(connect), (vec![0x00, 0x05, 0x80, 0x00, 0x78, 0xae, 0x00], Ok(false)));
        let late = sim.client.send(Dir::Bi, &connect_request());
        costs_stream(&mut sim, late, 0x10b);
    }
}

#[test]
fn streams_of_a_refused_request_are_refused_too() {
    let (mut sim, _, _) = established();
    let now = sim.now;
    sim.server.drain(now);
    let stream = sim.client.send(Dir::Uni, &[&varint(0x54)[..], &varint(4), b"early"].concat());
    sim.run(Duration::from_secs(1));
    let late = sim.client.send(Dir::Bi, &connect_request());
    costs_stream(&mut sim, late, 0x10b);
    sim.until("stop", |sim| sim.client.stopped.contains(&(stream, 0x3994_bd84)).then_some(()));
}

#[test]
fn a_request_that_came_before_the_drain_may_be_accepted_and_drains_at_once() {
    let mut pair = Pair::new(Net::default());
    pair.ask("/");
    let session = pair.event(Side::Server, "request", |event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    drain(&mut pair);
    pair.sim.run(Duration::from_secs(1));
    let now = pair.now();
    assert!(pair.sim.server.accept_session(now, session, &Response::new(200)));
    let established = pair.event(Side::Client, "established", |event| match event {
        Event::SessionEstablished { session, .. } => Some(*session),
        _ => None,
    });
    assert_eq!(draining(&mut pair, Side::Client), established);
    assert_eq!(draining(&mut pair, Side::Server), session);
}

#[test]
fn draining_connections_end_with_their_last_session() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    drain(&mut pair);
    draining(&mut pair, Side::Client);
    pair.close(Side::Client, client, 7, "bye");
    assert!(matches!(pair.closed(Side::Server), SessionError::Peer { code: Some(7), .. }));
    pair.sim.until("no connections", |sim| (sim.client.connections() + sim.server.connections() == 0).then_some(()));
}

#[test]
fn a_session_is_asked_to_drain_once() {
    let (mut sim, connect, session) = established();
    sim.run(Duration::from_secs(1));
    let _ = sim.client.read(connect);
    let now = sim.now;
    sim.server.drain_session(now, session);
    sim.server.drain_session(now, session);
    sim.run(Duration::from_secs(1));
    assert_eq!(sim.client.read(connect), (vec![0x00, 0x05, 0x80, 0x00, 0x78, 0xae, 0x00], Ok(false)), "one capsule");
}

/// Our client against a server that says what it is told to: the session's request is there
fn asked() -> sim::Sim<webtransport_proto::Endpoint, sim::raw::Raw> {
    let mut sim = raw_server(Net::default(), Config::default());
    let now = sim.now;
    sim.client.connect(now, ConnectId(1), target("/"));
    sim.until("handshake", |sim| sim.server.connected.then_some(()));
    sim.server.send(Dir::Uni, &settings(&SERVER));
    sim.until("request", |sim| sim.server.accepted(Dir::Bi).first().map(|_| ()));
    assert!(matches!(sim.client.poll_event(), Some(Event::ConnectAsked { .. })));
    sim
}

fn control() -> StreamId {
    StreamId::new(quinn_proto::Side::Server, Dir::Uni, 0)
}

#[test]
fn a_request_that_the_servers_goaway_excludes_fails_at_once() {
    let mut sim = asked();
    // As a server may: first nothing but the wish, then the number (RFC 9114 §5.2)
    sim.server.send_more(control(), &frame(0x07, &varint((1 << 62) - 4)));
    sim.run(Duration::from_secs(1));
    assert!(sim.client.poll_event().is_none(), "the request may still be answered");
    sim.server.send_more(control(), &frame(0x07, &varint(0)));
    let error = sim.until("failure", |sim| match sim.client.poll_event() {
        Some(Event::ConnectFailed { error, .. }) => Some(error.to_string()),
        _ => None,
    });
    assert!(error.contains("going away"), "{error}");
    let code = sim.until("connection close", |sim| sim.server.lost.is_some().then(|| sim.server.close_code()));
    assert_eq!(code, Some(0x100));
}

#[test]
fn the_servers_goaway_names_a_request_and_may_not_grow() {
    for ids in [&[1][..], &[2], &[3], &[4, 8]] {
        let mut sim = asked();
        for &id in ids {
            sim.server.send_more(control(), &frame(0x07, &varint(id)));
        }
        let code = sim.until("connection close", |sim| sim.server.lost.is_some().then(|| sim.server.close_code()));
        assert_eq!(code, Some(0x108), "{ids:?}");
    }
}

#[test]
fn the_clients_goaway_carries_a_push_id_and_refuses_nothing() {
    let (mut sim, _, _) = established();
    sim.client.send_more(StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0), &frame(0x07, &varint(3)));
    event(&mut sim, "draining", |event| matches!(event, Event::SessionDraining { .. }).then_some(()));
    sim.client.send(Dir::Bi, &connect_request());
    request(&mut sim);
    sim.client.send_more(StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0), &frame(0x07, &varint(4)));
    costs(sim, 0x108);
}

/// `close` of an endpoint waits for sessions that are closing, and for no others
#[test]
fn a_connection_that_waits_for_its_last_sessions_takes_no_more() {
    let (mut sim, connect, session) = established();
    let now = sim.now;
    sim.server.close_session(now, session, 0, "");
    sim.server.close(now, 0, b"");
    let late = sim.client.send(Dir::Bi, &connect_request());
    costs_stream(&mut sim, late, 0x10b);
    assert!(!std::iter::from_fn(|| sim.server.poll_event()).any(|event| matches!(event, Event::SessionRequested { .. })));
    sim.client.finish(connect);
    costs(sim, 0);
}
