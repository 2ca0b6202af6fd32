//! Sessions that share a connection where both sides want it, and what becomes of those for which there is no room (WT §5).

mod sim;

use std::collections::BTreeSet;
use std::time::Duration;

use sim::{Net, Pair, Side, target};
use webtransport_proto::{
    Config, ConnectError, ConnectId, ConnectionId, Dialect, Dir, Event, Response, SessionError, SessionId, Target,
};

fn pooled() -> Target {
    Target { pool: true, ..target("/") }
}

fn ask(pair: &mut Pair, connect: u64, target: Target) {
    let now = pair.now();
    pair.sim.client.connect(now, ConnectId(connect), target);
}

fn ask_pooled(pair: &mut Pair, connects: std::ops::Range<u64>) {
    for connect in connects {
        ask(pair, connect, pooled());
    }
}

/// Accept every request until so many sessions are there; the client's names of them
fn establish(pair: &mut Pair, count: usize) -> Vec<SessionId> {
    let mut sessions = Vec::new();
    let start = pair.now();
    while sessions.len() < count {
        let mut request = None;
        pair.has_event(Side::Server, |event| match event {
            Event::SessionRequested { session, .. } => request.replace(*session).is_none(),
            _ => false,
        });
        if let Some(session) = request {
            let now = pair.now();
            pair.sim.server.accept_session(now, session, &Response::new(200));
        }
        pair.has_event(Side::Client, |event| match event {
            Event::SessionEstablished { session, .. } => {
                sessions.push(*session);
                true
            }
            _ => false,
        });
        assert!(pair.now() - start < Duration::from_secs(60), "only {} of {count} sessions", sessions.len());
        assert!(pair.sim.step(), "only {} of {count} sessions", sessions.len());
    }
    sessions
}

fn connections(sessions: &[SessionId]) -> BTreeSet<ConnectionId> {
    sessions.iter().map(|session| session.connection()).collect()
}

fn close_all(pair: &mut Pair, sessions: &[SessionId]) {
    for &session in sessions {
        pair.close(Side::Client, session, 0, "");
    }
    for _ in sessions {
        pair.event(Side::Client, "gone", |event| matches!(event, Event::SessionGone { .. }).then_some(()));
    }
}

fn failure(pair: &mut Pair) -> ConnectError {
    pair.event(Side::Client, "failure", |event| match event {
        Event::ConnectFailed { error, .. } => Some(error.clone()),
        _ => None,
    })
}

#[test]
fn sessions_asked_for_at_once_share_one_handshake() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..10);
    assert_eq!(pair.sim.client.connections(), 1);
    let sessions = establish(&mut pair, 10);
    assert_eq!(connections(&sessions).len(), 1);
    assert_eq!((pair.sim.client.connections(), pair.sim.server.connections()), (1, 1));
    // Each has its own streams
    for &session in &sessions {
        let stream = pair.open(Side::Client, session, Dir::Uni);
        pair.write(Side::Client, stream, b"mine");
        pair.finish(Side::Client, stream);
        let (theirs, stream) = pair.event(Side::Server, "stream", |event| match event {
            Event::StreamOpened { session, stream } => Some((*session, *stream)),
            _ => None,
        });
        assert_eq!(format!("{theirs:?}"), format!("{session:?}"));
        assert_eq!(pair.read(Side::Server, stream).0, b"mine");
    }
    pair.close(Side::Client, sessions[3], 7, "bye");
    assert!(matches!(pair.closed(Side::Server), SessionError::Peer { code: Some(7), .. }));
    pair.open(Side::Client, sessions[4], Dir::Uni);
}

#[test]
fn a_session_that_does_not_ask_for_it_has_a_connection_of_its_own() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..1);
    ask(&mut pair, 1, target("/"));
    ask(&mut pair, 2, Target { server_name: "127.0.0.1".into(), ..pooled() });
    ask_pooled(&mut pair, 3..4);
    let sessions = establish(&mut pair, 4);
    assert_eq!(connections(&sessions).len(), 3, "the first and the last share one");
}

#[test]
fn without_flow_control_every_session_has_a_connection_of_its_own() {
    let on = Config::default;
    let off = || Config { flow_control: false, ..on() };
    let old = || Config { dialects: [Dialect::Draft02].into_iter().collect(), ..on() };
    for (client, server) in [(on(), off()), (off(), on()), (on(), old()), (old(), on())] {
        let mut pair = Pair::with(Net::default(), client, server);
        ask_pooled(&mut pair, 0..4);
        let sessions = establish(&mut pair, 4);
        assert_eq!(connections(&sessions).len(), 4);
        ask_pooled(&mut pair, 4..5);
        let more = establish(&mut pair, 1);
        assert!(connections(&sessions).is_disjoint(&connections(&more)));
        close_all(&mut pair, &sessions);
        close_all(&mut pair, &more);
        assert_eq!(pair.sim.client.connections(), 0, "nothing is kept that nobody can share");
    }
}

#[test]
fn the_number_of_sessions_that_settings_name_is_kept() {
    let draft07 = || Config { dialects: [Dialect::Draft07].into_iter().collect(), ..Config::default() };
    let draft14 = || Config { dialects: [Dialect::Draft14].into_iter().collect(), ..Config::default() };
    for (client, server) in [
        (draft07(), Config { max_sessions_without_flow_control: 3, ..Config::default() }),
        (draft14(), Config { max_sessions: 3, dialects: Dialect::ALL.into_iter().collect(), ..Config::default() }),
        (Config { max_sessions: 3, ..Config::default() }, Config::default()),
    ] {
        let mut pair = Pair::with(Net::default(), client, server);
        ask_pooled(&mut pair, 0..7);
        let sessions = establish(&mut pair, 7);
        assert_eq!(connections(&sessions).len(), 3);
        assert!(!pair.has_event(Side::Client, |event| matches!(event, Event::ConnectFailed { .. })));
    }
}

#[test]
fn a_session_that_the_server_has_no_room_for_goes_to_another_connection() {
    let mut pair = Pair::with(Net::default(), Config::default(), Config { max_sessions: 2, ..Config::default() });
    ask_pooled(&mut pair, 0..5);
    let sessions = establish(&mut pair, 5);
    assert_eq!(connections(&sessions).len(), 4, "two share the first");
    // From now on it is known to be full, until one goes
    let first = sessions[0].connection();
    ask_pooled(&mut pair, 5..6);
    let more = establish(&mut pair, 1);
    assert_ne!(more[0].connection(), first);
    assert_eq!(pair.sim.client.connections(), 4, "there is room on others");
    close_all(&mut pair, &sessions[..1]);
    ask_pooled(&mut pair, 6..7);
    assert_eq!(establish(&mut pair, 1)[0].connection(), first);
}

#[test]
fn a_shared_connection_lingers_for_the_next_session_and_then_ends() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..2);
    let sessions = establish(&mut pair, 2);
    close_all(&mut pair, &sessions);
    pair.sim.run(Duration::from_millis(500));
    ask_pooled(&mut pair, 2..3);
    let again = establish(&mut pair, 1);
    assert_eq!(connections(&again), connections(&sessions));
    pair.sim.run(Duration::from_secs(10));
    assert_eq!(pair.sim.client.connections(), 1, "it has a session");
    close_all(&mut pair, &again);
    let start = pair.now();
    pair.sim.until("no connections", |sim| (sim.client.connections() + sim.server.connections() == 0).then_some(()));
    assert!(pair.now() - start < Duration::from_secs(2));
    pair.sim.run(Duration::from_secs(30));
    assert!(pair.sim.client.poll_timeout().is_none(), "nothing is left behind");
    ask_pooled(&mut pair, 3..4);
    assert!(connections(&establish(&mut pair, 1)).is_disjoint(&connections(&sessions)));
}

#[test]
fn closing_the_client_does_not_wait_for_what_lingers() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..1);
    let sessions = establish(&mut pair, 1);
    close_all(&mut pair, &sessions);
    assert_eq!(pair.sim.client.connections(), 1);
    let now = pair.now();
    pair.sim.client.close(now, 0, b"");
    pair.sim.flush();
    pair.event(Side::Client, "connection gone", |event| matches!(event, Event::ConnectionGone { .. }).then_some(()));
    assert_eq!(pair.now(), now);
}

#[test]
fn after_goaway_a_new_session_wants_a_new_connection() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..1);
    establish(&mut pair, 1);
    let now = pair.now();
    pair.sim.server.drain(now);
    pair.event(Side::Client, "draining", |event| matches!(event, Event::SessionDraining { .. }).then_some(()));
    ask_pooled(&mut pair, 1..2);
    assert_eq!(pair.sim.client.connections(), 2);
    let error = failure(&mut pair).to_string();
    assert!(error.contains("during the handshake"), "the new connection is refused: {error}");
}

#[test]
fn a_request_that_crosses_goaway_is_made_again_on_a_new_connection() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..1);
    establish(&mut pair, 1);
    let now = pair.now();
    pair.sim.server.drain(now);
    ask_pooled(&mut pair, 1..2);
    assert_eq!(pair.sim.client.connections(), 1);
    let error = failure(&mut pair).to_string();
    assert!(error.contains("during the handshake"), "the new connection is refused: {error}");
    assert!(!pair.has_event(Side::Client, |event| matches!(event, Event::ConnectFailed { .. })), "failed once");
}

#[test]
fn giving_up_one_attempt_leaves_the_others() {
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..3);
    let now = pair.now();
    pair.sim.client.cancel_connect(now, ConnectId(1));
    let sessions = establish(&mut pair, 2);
    assert_eq!(connections(&sessions).len(), 1);
    pair.sim.run(Duration::from_secs(1));
    assert!(!pair.has_event(Side::Server, |event| matches!(event, Event::SessionRequested { .. })));
    // The last that gives up in a handshake ends it
    let mut pair = Pair::new(Net::default());
    ask_pooled(&mut pair, 0..2);
    let now = pair.now();
    pair.sim.client.cancel_connect(now, ConnectId(0));
    pair.sim.client.cancel_connect(now, ConnectId(1));
    pair.sim.until("no connections", |sim| (sim.client.connections() == 0).then_some(()));
}

#[test]
fn those_who_share_a_handshake_share_its_failure() {
    let mut pair = Pair::new(Net::default());
    let now = pair.now();
    pair.sim.server.drain(now);
    ask_pooled(&mut pair, 0..3);
    for _ in 0..3 {
        failure(&mut pair);
    }
    assert_eq!(pair.sim.client.connections(), 0);
}

#[test]
fn many_sessions_share_over_a_bad_network() {
    for seed in 0..20 {
        let net = Net { seed, loss: 100, reorder: 100, duplicate: 50, ..Net::default() };
        // So that one handshake in a hundred does not lose more packets than it has patience for
        let patient = || Config { request_timeout: Duration::from_secs(40), ..Config::default() };
        let mut pair = Pair::with(net, patient(), Config { max_sessions: 8, ..patient() });
        ask_pooled(&mut pair, 0..20);
        let sessions = establish(&mut pair, 20);
        for &session in &sessions {
            let stream = pair.open(Side::Client, session, Dir::Uni);
            pair.write(Side::Client, stream, &[b'x'; 3000]);
            pair.finish(Side::Client, stream);
        }
        for _ in &sessions {
            let stream = pair.accept(Side::Server);
            assert_eq!(pair.read(Side::Server, stream).0, [b'x'; 3000], "seed {seed}");
        }
        close_all(&mut pair, &sessions);
        pair.sim.until("no connections", |sim| (sim.client.connections() + sim.server.connections() == 0).then_some(()));
    }
}
