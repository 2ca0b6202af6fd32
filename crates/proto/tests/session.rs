//! Sessions come to be, and end, with everyone told who did what.

mod sim;

use std::time::Duration;

use sim::{Net, Pair, Side, target};
use webtransport_proto::{CloseSource, Config, ConnectError, ConnectId, Dialect, Dir, Event, Field, Read, Response, SessionError};

fn by_session(code: Option<u64>, reason: &str) -> SessionError {
    SessionError::Peer { by: CloseSource::Session, code, reason: reason.into() }
}

#[test]
fn request_and_answer_carry_their_fields() {
    let mut pair = Pair::new(Net::default());
    let now = pair.now();
    let mut target = target("/room?id=7");
    target.headers.push(Field::new("x-answer", "42"));
    pair.sim.client.connect(now, ConnectId(9), target);
    let (session, request, dialect) = pair.event(Side::Server, "request", |event| match event {
        Event::SessionRequested { session, request, dialect, .. } => Some((*session, request.clone(), *dialect)),
        _ => None,
    });
    assert_eq!((request.authority.as_str(), request.path.as_str()), ("localhost:4433", "/room?id=7"));
    assert!(request.headers.iter().any(|field| field.name == "x-answer" && field.value == "42"));
    assert_eq!(dialect, Dialect::Draft16);
    let mut response = Response::new(204);
    response.headers.push(Field::new("x-hello", "there"));
    let now = pair.now();
    assert!(pair.sim.server.accept_session(now, session, &response));
    let (connect, response) = pair.event(Side::Client, "established", |event| match event {
        Event::SessionEstablished { connect, response, .. } => Some((*connect, response.clone())),
        _ => None,
    });
    assert_eq!(connect, ConnectId(9));
    assert_eq!(response.status, 204);
    assert!(response.headers.iter().any(|field| field.name == "x-hello" && field.value == "there"));
}

#[test]
fn rejection_reaches_the_client_with_its_status() {
    let mut pair = Pair::new(Net::default());
    pair.ask("/");
    let session = pair.event(Side::Server, "request", |event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let now = pair.now();
    assert!(pair.sim.server.reject_session(now, session, &Response::new(403)));
    assert!(!pair.sim.server.reject_session(now, session, &Response::new(403)), "answered once");
    let error = pair.event(Side::Client, "failure", |event| match event {
        Event::ConnectFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(matches!(error, ConnectError::Rejected(response) if response.status == 403));
    gone(&mut pair);
}

/// Both sides forget the connection
fn gone(pair: &mut Pair) {
    pair.sim.until("no connections", |sim| (sim.client.connections() + sim.server.connections() == 0).then_some(()));
}

#[test]
fn close_tells_the_peer_code_and_reason() {
    for (closer, other) in [(Side::Client, Side::Server), (Side::Server, Side::Client)] {
        let mut pair = Pair::new(Net::default());
        let (client, server) = pair.connect();
        let session = if closer == Side::Client { client } else { server };
        pair.close(closer, session, 7, "bye");
        assert_eq!(pair.closed(closer), SessionError::Local);
        assert_eq!(pair.closed(other), by_session(Some(7), "bye"));
        pair.event(closer, "gone", |event| matches!(event, Event::SessionGone { .. }).then_some(()));
        gone(&mut pair);
    }
}

#[test]
fn simultaneous_close_keeps_each_sides_own() {
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    pair.close(Side::Client, client, 1, "client");
    pair.close(Side::Server, server, 2, "server");
    assert_eq!(pair.closed(Side::Client), SessionError::Local);
    assert_eq!(pair.closed(Side::Server), SessionError::Local);
    gone(&mut pair);
    for side in [Side::Client, Side::Server] {
        assert!(!pair.has_event(side, |event| matches!(event, Event::SessionClosed { .. })), "{side:?} was told twice");
    }
}

#[test]
fn reason_is_cut_at_a_character_boundary() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let reason = "é".repeat(513);
    pair.close(Side::Client, client, 0, &format!("x{reason}"));
    assert_eq!(pair.closed(Side::Server), by_session(Some(0), &format!("x{}", "é".repeat(511))));
}

#[test]
fn finished_streams_are_delivered_before_the_close() {
    for seed in 0..40 {
        let mut pair = Pair::new(Net { seed, loss: 200, reorder: 100, ..Net::default() });
        let (client, _) = pair.connect();
        let data = vec![b'x'; 10_000];
        let stream = pair.open(Side::Client, client, Dir::Uni);
        pair.write(Side::Client, stream, &data);
        pair.finish(Side::Client, stream);
        pair.close(Side::Client, client, 7, "bye");
        let stream = pair.accept(Side::Server);
        let (read, end) = pair.read(Side::Server, stream);
        assert_eq!((read == data, end), (true, Read::Finished), "seed {seed}");
        assert_eq!(pair.closed(Side::Server), by_session(Some(7), "bye"), "seed {seed}");
    }
}

#[test]
fn what_was_finished_stays_readable_after_the_close() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let whole = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, whole, b"all of it");
    pair.finish(Side::Client, whole);
    let part = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, part, b"some of it");
    let (whole, part) = (pair.accept(Side::Server), pair.accept(Side::Server));
    pair.close(Side::Client, client, 0, "");
    pair.closed(Side::Server);
    assert_eq!(pair.read(Side::Server, whole), (b"all of it".to_vec(), Read::Finished));
    assert_eq!(pair.read(Side::Server, part), (vec![], Read::Closed));
    assert_eq!(pair.read_now(Side::Server, whole), Read::Closed);
}

#[test]
fn close_of_the_endpoint_is_the_applications_and_keeps_its_code() {
    let mut pair = Pair::new(Net::default());
    pair.connect();
    let now = pair.now();
    pair.sim.server.close(now, 0x1234_5678_9abc, b"maintenance");
    assert_eq!(pair.closed(Side::Server), SessionError::Local);
    let error = SessionError::Peer { by: CloseSource::Application, code: Some(0x1234_5678_9abc), reason: "maintenance".into() };
    assert_eq!(pair.closed(Side::Client), error);
    assert_eq!(pair.sim.server.connections(), 0);
}

#[test]
fn a_full_network_does_not_hold_back_the_close_of_the_endpoint() {
    // RFC 9002 §2: CONNECTION_CLOSE is not congestion controlled
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &vec![b'x'; 1 << 20]);
    pair.sim.until("the network is full", |sim| sim.client.stats(client)?.at_send_capacity.then_some(()));
    let now = pair.now();
    pair.sim.client.close(now, 5, b"enough");
    pair.sim.flush();
    assert!(pair.sim.client.stats(client).unwrap().congestion_window < 1 << 20);
    let error = SessionError::Peer { by: CloseSource::Application, code: Some(5), reason: "enough".into() };
    assert_eq!(pair.closed(Side::Server), error);
    assert!(pair.now() - now <= Net::default().latency);
}

#[test]
fn closing_the_endpoint_does_not_overtake_a_sessions_close() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    pair.close(Side::Client, client, 7, "bye");
    let now = pair.now();
    pair.sim.client.close(now, 0, b"");
    assert_eq!(pair.closed(Side::Server), by_session(Some(7), "bye"));
    gone(&mut pair);
}

#[test]
fn silence_is_a_time_out_and_nobodys_close() {
    let config = Config { max_idle_timeout: Some(Duration::from_secs(5)), ..Config::default() };
    let mut pair = Pair::with(Net::default(), config.clone(), config);
    pair.connect();
    pair.sim.blackhole = true;
    assert_eq!(pair.closed(Side::Client), SessionError::TimedOut);
    assert_eq!(pair.closed(Side::Server), SessionError::TimedOut);
}

#[test]
fn keep_alive_outlives_the_idle_time_out() {
    let config = Config {
        max_idle_timeout: Some(Duration::from_secs(3)),
        keep_alive_interval: Some(Duration::from_secs(1)),
        ..Config::default()
    };
    let mut pair = Pair::with(Net::default(), config.clone(), config);
    pair.connect();
    pair.sim.run(Duration::from_secs(60));
    for side in [Side::Client, Side::Server] {
        assert!(!pair.has_event(side, |event| matches!(event, Event::SessionClosed { .. })));
    }
}

#[test]
fn nobody_there_is_a_time_out() {
    let config = Config { max_idle_timeout: Some(Duration::from_secs(1)), ..Config::default() };
    let mut pair = Pair::with(Net::default(), config, Config::default());
    pair.sim.blackhole = true;
    pair.ask("/");
    let error = pair.event(Side::Client, "failure", |event| match event {
        Event::ConnectFailed { error, .. } => Some(error.clone()),
        _ => None,
    });
    assert!(matches!(error, ConnectError::TimedOut), "{error}");
}

#[test]
fn a_connection_without_sessions_is_closed() {
    let mut pair = Pair::new(Net::default());
    pair.ask("/");
    let session = pair.event(Side::Server, "request", |event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let now = pair.now();
    pair.sim.client.cancel_connect(now, ConnectId(1));
    pair.event(Side::Server, "gone", |event| {
        matches!(event, Event::SessionClosed { session: gone, .. } if *gone == session).then_some(())
    });
    let now = pair.now();
    assert!(!pair.sim.server.accept_session(now, session, &Response::new(200)), "the client has gone");
    gone(&mut pair);
    pair.sim.run(Duration::from_secs(30));
    assert!(pair.sim.client.poll_timeout().is_none(), "nothing is left behind");
}

#[test]
fn many_sessions_in_a_row_leave_nothing() {
    let mut pair = Pair::new(Net::default());
    for _ in 0..20 {
        let (client, _) = pair.connect();
        pair.close(Side::Client, client, 0, "");
        pair.closed(Side::Server);
    }
    gone(&mut pair);
}

#[test]
fn drain_reaches_the_peer_and_ends_nothing() {
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    let now = pair.now();
    pair.sim.server.drain_session(now, server);
    pair.event(Side::Client, "draining", |event| {
        matches!(event, Event::SessionDraining { session } if *session == client).then_some(())
    });
    let stream = pair.open(Side::Client, client, Dir::Uni);
    assert_eq!(pair.accept(Side::Server).as_u64(), stream.as_u64());
}

#[test]
fn whoever_was_left_says_no_more() {
    // RFC 9000 §10.2.2
    let mut pair = Pair::new(Net::default());
    pair.connect();
    pair.sim.run(Duration::from_secs(1));
    let sent = pair.sim.server.totals().packets_sent;
    pair.sim.client.close(pair.now(), 0, b"");
    pair.event(Side::Server, "connection gone", |event| matches!(event, Event::ConnectionGone { .. }).then_some(()));
    pair.sim.run(Duration::from_secs(1));
    assert_eq!(pair.sim.server.totals().packets_sent, sent);
}

#[test]
fn nothing_wakes_a_session_that_waits() {
    let mut pair = Pair::new(Net::default());
    pair.connect();
    pair.sim.run(Duration::from_secs(2));
    let wait = pair.sim.next_at().unwrap() - pair.now();
    assert!(wait > Duration::from_secs(25), "something happens in {wait:?}, before QUIC's time-out of 30 s");
}
