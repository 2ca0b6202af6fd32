//! Whom a server lets in: how many connections and handshakes at once, and who must prove where it is.

mod sim;

use std::time::Duration;

use sim::{Net, Pair, Side, client_endpoint, seeded};
use webtransport_proto::{Config, ConnectError, Event, Retry};

fn refused(pair: &mut Pair) -> String {
    pair.event(Side::Client, "refusal", |event| match event {
        Event::ConnectFailed { error: ConnectError::Failed(why), .. } => Some(why.clone()),
        _ => None,
    })
}

#[test]
fn a_retry_proves_the_clients_address() {
    for (retry, round_trips) in [(Retry::Never, 2), (Retry::Load, 2), (Retry::Always, 3)] {
        let mut pair = Pair::with(Net::default(), Config::default(), Config { retry, ..Config::default() });
        let start = pair.now();
        pair.ask("/");
        pair.event(Side::Server, "request", |event| matches!(event, Event::SessionRequested { .. }).then_some(()));
        // The request comes half a round trip after the handshake's last answer
        let latency = Net::default().latency;
        assert_eq!(((pair.now() - start).as_micros() + 500) / latency.as_micros(), 2 * round_trips - 1, "{retry:?}");
    }
}

#[test]
fn a_retry_survives_loss() {
    for seed in 1..=20 {
        let net = Net { seed, loss: 200, ..Net::default() };
        let late = Duration::from_secs(60); // SETTINGS and requests that are lost time and again come late
        let server = Config { retry: Retry::Always, idle_connection_timeout: late, ..Config::default() };
        Pair::with(net, Config { request_timeout: late, ..Config::default() }, server).connect();
    }
}

#[test]
fn under_load_addresses_are_proven() {
    let config = Config { max_pending_handshakes: 8, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), config);
    for _ in 0..4 {
        pair.ask("/");
    }
    // A quarter of eight goes on at once, the rest answers a Retry first, and all get in
    let mut arrivals = Vec::new();
    for _ in 0..4 {
        pair.event(Side::Server, "request", |event| matches!(event, Event::SessionRequested { .. }).then_some(()));
        arrivals.push(pair.now());
    }
    assert_eq!(arrivals[0], arrivals[1]);
    assert!(arrivals[1] + Net::default().latency * 2 <= arrivals[2]);
}

#[test]
fn handshakes_beyond_the_limit_are_refused() {
    let config = Config { max_pending_handshakes: 2, retry: Retry::Never, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), config);
    for _ in 0..3 {
        pair.ask("/");
    }
    assert!(refused(&mut pair).contains("refused"));
    for _ in 0..2 {
        pair.event(Side::Server, "request", |event| matches!(event, Event::SessionRequested { .. }).then_some(()));
    }
    pair.ask("/"); // the handshakes are over, and there is room again
    pair.event(Side::Server, "request", |event| matches!(event, Event::SessionRequested { .. }).then_some(()));
}

#[test]
fn handshakes_that_die_make_room() {
    // Without an idle time-out, handshakes end all the same
    let config = Config { max_pending_handshakes: 1, retry: Retry::Never, max_idle_timeout: None, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), config.clone());
    pair.ask("/");
    pair.sim.run(Net::default().latency); // the server has seen the client's first flight, and then never hears of it again
    pair.sim.client = client_endpoint(seeded(&Config::default(), 7));
    pair.ask("/");
    assert!(refused(&mut pair).contains("refused"));
    pair.sim.run(config.request_timeout);
    pair.connect();
}

#[test]
fn connections_beyond_the_limit_are_refused() {
    let config = Config { max_connections: 1, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), config);
    let (client, _) = pair.connect();
    pair.ask("/");
    assert!(refused(&mut pair).contains("refused"));
    pair.close(Side::Client, client, 0, "");
    pair.event(Side::Server, "end", |event| matches!(event, Event::ConnectionGone { .. }).then_some(()));
    pair.connect();
}
