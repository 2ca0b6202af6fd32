//! Which version of WebTransport two endpoints speak, and what becomes of those that have none in common (WT §7.1).

mod sim;

use std::time::Duration;

use quinn_proto::Dir;
use sim::raw::{attack, connect_request, costs_stream, event, headers, raw_server, settings};
use sim::{Net, Pair, Side, target};
use webtransport_proto::{Config, ConnectId, Dialect, Dialects, Event, Response};

fn speaking(dialects: Dialects) -> Config {
    Config { dialects, ..Config::default() }
}

fn only(dialect: Dialect) -> Dialects {
    [dialect].into_iter().collect()
}

/// Every choice of at least one version
fn sets() -> impl Iterator<Item = Dialects> {
    let member = |set: usize| move |&(place, _): &(usize, Dialect)| set & 1 << place != 0;
    (1..16).map(move |set| Dialect::ALL.into_iter().enumerate().filter(member(set)).map(|(_, dialect)| dialect).collect())
}

#[test]
fn the_highest_version_in_common_is_spoken_or_the_client_says_which_there_were() {
    for ours in sets() {
        for theirs in sets() {
            let mut pair = Pair::with(Net::default(), speaking(ours), speaking(theirs));
            let common = ours.iter().filter(|&dialect| theirs.contains(dialect)).max();
            pair.ask("/");
            let Some(common) = common else {
                let error = pair.event(Side::Client, "failure", |event| match event {
                    Event::ConnectFailed { error, .. } => Some(error.to_string()),
                    _ => None,
                });
                assert!(error.ends_with(&format!("it speaks {theirs}, we offer {ours}")), "{error}");
                continue;
            };
            let (session, dialect) = pair.event(Side::Server, "request", |event| match event {
                Event::SessionRequested { session, dialect, .. } => Some((*session, *dialect)),
                _ => None,
            });
            assert_eq!(dialect, common, "client {ours}, server {theirs}");
            let now = pair.now();
            assert!(pair.sim.server.accept_session(now, session, &Response::new(200)));
            let (session, dialect) = pair.event(Side::Client, "established", |event| match event {
                Event::SessionEstablished { session, dialect, .. } => Some((*session, *dialect)),
                _ => None,
            });
            assert_eq!(dialect, common, "client {ours}, server {theirs}");
            let stream = pair.open(Side::Client, session, Dir::Bi);
            pair.write(Side::Client, stream, b"hello");
            pair.finish(Side::Client, stream);
            let stream = pair.accept(Side::Server);
            assert_eq!(pair.read(Side::Server, stream).0, b"hello");
        }
    }
}

#[test]
fn an_endpoint_speaks_at_least_one_version() {
    let error = speaking([].into_iter().collect()).validate().expect_err("no version");
    assert!(error.to_string().contains("dialects"), "{error}");
}

/// The settings that clients of each version send
const CLIENTS: [(Dialect, (u64, u64)); 4] = [
    (Dialect::Draft02, (0x2b60_3742, 1)),
    (Dialect::Draft07, (0xc671_706a, 1)),
    (Dialect::Draft14, (0x14e9_cd29, 1)),
    (Dialect::Draft16, (0x2c7c_f000, 1)),
];

fn request_with(token: &str) -> Vec<u8> {
    headers(&[(":method", "CONNECT"), (":scheme", "https"), (":authority", "localhost"), (":path", "/"), (":protocol", token)])
}

#[test]
fn either_token_is_taken_whatever_the_version() {
    for (dialect, setting) in CLIENTS {
        for token in ["webtransport", "webtransport-h3"] {
            let mut sim = attack(speaking(Dialect::ALL.into_iter().collect()));
            sim.client.send(Dir::Uni, &settings(&[(0x33, 1), setting]));
            sim.client.send(Dir::Bi, &request_with(token));
            let found = event(&mut sim, "request", |event| match event {
                Event::SessionRequested { dialect, .. } => Some(dialect),
                _ => None,
            });
            assert_eq!(found, dialect, "{token}");
        }
    }
}

#[test]
fn a_client_that_names_no_version_is_known_by_its_token() {
    for (token, dialect) in [("webtransport", Dialect::Draft07), ("webtransport-h3", Dialect::Draft16)] {
        let mut sim = attack(Config::default());
        sim.client.send(Dir::Uni, &settings(&[(0x33, 1)]));
        sim.client.send(Dir::Bi, &request_with(token));
        let found = event(&mut sim, "request", |event| match event {
            Event::SessionRequested { dialect, .. } => Some(dialect),
            _ => None,
        });
        assert_eq!(found, dialect);
        // Not where that version is not offered
        let mut sim = attack(speaking(only(Dialect::Draft02)));
        sim.client.send(Dir::Uni, &settings(&[(0x33, 1)]));
        let connect = sim.client.send(Dir::Bi, &request_with(token));
        costs_stream(&mut sim, connect, 0x10e);
    }
}

#[test]
fn a_client_of_another_version_is_refused_and_keeps_its_connection() {
    for (dialect, setting) in CLIENTS {
        let others = Dialect::ALL.into_iter().filter(|&other| other != dialect).collect();
        let mut sim = attack(speaking(others));
        sim.client.send(Dir::Uni, &settings(&[(0x33, 1), setting]));
        let connect = sim.client.send(Dir::Bi, &connect_request());
        costs_stream(&mut sim, connect, 0x10e);
        sim.run(Duration::from_secs(1));
        assert!(sim.client.lost.is_none());
    }
}

#[test]
fn extended_connect_is_required_of_servers_from_draft_07_on() {
    for (dialect, setting) in CLIENTS {
        let mut sim = raw_server(Net::default(), speaking(Dialect::ALL.into_iter().collect()));
        let now = sim.now;
        sim.client.connect(now, ConnectId(1), target("/"));
        sim.until("handshake", |sim| sim.server.connected.then_some(()));
        sim.server.send(Dir::Uni, &settings(&[(0x33, 1), setting]));
        if dialect == Dialect::Draft02 {
            sim.until("request", |sim| sim.server.accepted(Dir::Bi).first().map(|_| ()));
            continue;
        }
        let error = sim.until("failure", |sim| match sim.client.poll_event() {
            Some(Event::ConnectFailed { error, .. }) => Some(error.to_string()),
            _ => None,
        });
        assert!(error.contains("SETTINGS_ENABLE_CONNECT_PROTOCOL is missing"), "{error}");
        let code = sim.until("connection close", |sim| sim.server.lost.is_some().then(|| sim.server.close_code()));
        assert_eq!(code, Some(0x212c_0d48));
    }
}
