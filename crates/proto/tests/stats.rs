//! What a connection tells about itself agrees with the network that the simulation made.

mod sim;

use std::net::SocketAddr;
use std::time::Duration;

use sim::{Net, Pair, Side};
use webtransport_proto::{Config, CongestionControl, ConnectionStats, Dir, Event, Read, Response, SessionId};

const MS: Duration = Duration::from_millis(1);

/// What may be under way on loopback, in bytes
const LIMIT: u64 = 1 << 20;

fn stats(pair: &mut Pair, side: Side, session: SessionId) -> ConnectionStats {
    pair.endpoint(side).stats(session).expect("QUIC still knows the connection")
}

/// The client sends `n` bytes, the server reads them, and all is acknowledged
fn transfer(pair: &mut Pair, session: SessionId, n: usize) {
    let stream = pair.open(Side::Client, session, Dir::Uni);
    pair.write(Side::Client, stream, &vec![5; n]);
    pair.finish(Side::Client, stream);
    let accepted = pair.accept(Side::Server);
    assert_eq!(pair.read(Side::Server, accepted), (vec![5; n], Read::Finished));
    pair.sim.run(Duration::from_secs(1));
}

#[test]
fn round_trips_are_those_of_the_network() {
    let mut pair = Pair::new(Net { latency: 30 * MS, ..Net::default() });
    let (client, server) = pair.connect();
    transfer(&mut pair, client, 300_000);
    for (side, session) in [(Side::Client, client), (Side::Server, server)] {
        let stats = stats(&mut pair, side, session);
        assert_eq!(stats.min_rtt, 60 * MS, "{side:?}");
        assert!(stats.smoothed_rtt >= 60 * MS && stats.smoothed_rtt < 90 * MS, "{side:?} {stats:?}");
        let rate = stats.send_rate().unwrap();
        let exact = stats.congestion_window as f64 * 8.0 / stats.smoothed_rtt.as_secs_f64();
        assert!((rate as f64 / exact - 1.0).abs() < 0.001, "{side:?} {stats:?}");
    }
    // A network that is always equally slow: the variation, half a round trip at first, wears off
    assert!(stats(&mut pair, Side::Client, client).rtt_variation.unwrap() < 10 * MS);
    assert!(stats(&mut pair, Side::Client, client).rtt_variation.unwrap() > Duration::ZERO);
}

#[test]
fn bytes_add_up() {
    for control in [CongestionControl::Default, CongestionControl::LowLatency] {
        let config = Config { congestion_control: control, ..Config::default() };
        let mut pair = Pair::with(Net::default(), config.clone(), config);
        let (client, server) = pair.connect();
        pair.sim.client.send_datagram(client, &[1; 100]).unwrap();
        transfer(&mut pair, client, 300_000);
        let (sent, received) = (stats(&mut pair, Side::Client, client), stats(&mut pair, Side::Server, server));
        assert_eq!(sent.payload_sent, 300_100);
        assert_eq!(received.payload_sent, 0);
        assert!(sent.bytes_sent > sent.payload_sent && sent.bytes_sent < 400_000, "{sent:?}");
        assert!(sent.bytes_acknowledged > sent.payload_sent && sent.bytes_acknowledged <= sent.bytes_sent, "{sent:?}");
        assert!(received.bytes_received > sent.payload_sent && received.bytes_received <= sent.bytes_sent, "{received:?}");
        assert!(received.packets_received <= sent.packets_sent && sent.packets_sent > 200, "{sent:?}");
        assert_eq!((sent.packets_lost, sent.bytes_lost), (0, 0));
    }
}

#[test]
fn the_window_of_a_loopback_path_has_a_limit() {
    let window = |ip: [u8; 4]| {
        let mut pair = Pair::new(Net { mtu: 65_535, ..Net::default() });
        pair.sim.client_address = SocketAddr::from((ip, 1000));
        pair.sim.server_address = SocketAddr::from((ip, 4433));
        let (client, _) = pair.connect();
        for _ in 0..3 {
            transfer(&mut pair, client, 4 << 20);
        }
        stats(&mut pair, Side::Client, client).congestion_window
    };
    assert_eq!(window([127, 0, 0, 1]), LIMIT);
    assert!(window([10, 0, 0, 1]) > LIMIT);
}

#[test]
fn losses_are_counted() {
    let mut pair = Pair::new(Net { loss: 50, ..Net::default() });
    let (client, _) = pair.connect();
    transfer(&mut pair, client, 1_000_000);
    let stats = stats(&mut pair, Side::Client, client);
    assert!(stats.packets_lost > 10 && stats.packets_lost < stats.packets_sent / 5, "{stats:?}");
    assert!(stats.bytes_lost > 1000 * (stats.packets_lost - 5), "{stats:?}");
    assert!(stats.bytes_acknowledged > 1_000_000, "{stats:?}");
}

#[test]
fn the_mtu_and_the_capacity_are_told() {
    let mut pair = Pair::new(Net { mtu: 1400, ..Net::default() });
    let (client, _) = pair.connect();
    assert!(!stats(&mut pair, Side::Client, client).at_send_capacity);
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &vec![5; 10_000_000]);
    pair.sim.until("the network is full", |sim| sim.client.stats(client)?.at_send_capacity.then_some(()));
    pair.sim.run(Duration::from_secs(5)); // let the path's MTU be found
    let stats = stats(&mut pair, Side::Client, client);
    assert!(stats.mtu > 1300 && stats.mtu <= 1400, "{stats:?}");
}

#[test]
fn figures_stay_until_quic_forgets_the_connection() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    transfer(&mut pair, client, 1000);
    pair.close(Side::Client, client, 0, "");
    assert!(stats(&mut pair, Side::Client, client).payload_sent >= 1000);
    pair.sim.run(Duration::from_secs(60));
    assert_eq!(pair.sim.client.stats(client), None);
}

#[test]
fn an_endpoint_counts_what_came_of_connections_and_requests() {
    let server = Config { max_connections: 1, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), server);
    let connect = pair.ask("/refused");
    let requested = |event: &Event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    };
    let session = pair.event(Side::Server, "request", requested);
    let now = pair.now();
    assert!(pair.sim.server.reject_session(now, session, &Response::new(404)));
    let failed = |event: &Event| matches!(event, Event::ConnectFailed { connect: id, .. } if *id == connect).then_some(());
    pair.event(Side::Client, "refusal", failed);
    pair.sim.run(Duration::from_secs(1)); // that connection goes
    pair.connect();
    let connect = pair.ask("/one too many");
    let failed = |event: &Event| matches!(event, Event::ConnectFailed { connect: id, .. } if *id == connect).then_some(());
    pair.event(Side::Client, "refused connection", failed);
    let (client, server) = (pair.sim.client.totals(), pair.sim.server.totals());
    assert_eq!((server.connections_established, server.connections_refused, server.handshakes_failed), (2, 1, 0));
    assert_eq!((client.connections_established, client.connections_refused, client.handshakes_failed), (2, 0, 1));
    assert_eq!((server.sessions_accepted, server.sessions_rejected), (1, 1));
    assert_eq!((client.sessions_accepted, client.sessions_rejected), (1, 1));
    pair.sim.run(Duration::from_secs(60));
    let (client, server) = (pair.sim.client.totals(), pair.sim.server.totals());
    assert_eq!((client.packets_sent, client.bytes_sent), (server.packets_received, server.bytes_received));
    assert_eq!((server.packets_sent, server.bytes_sent), (client.packets_received, client.bytes_received));
}

#[test]
fn datagrams_add_up_whatever_the_network_loses() {
    for seed in 0..5 {
        let mut pair = Pair::new(Net { seed, loss: 100, duplicate: 100, reorder: 100, ..Net::default() });
        let (client, server) = pair.connect();
        let (mut taken, mut arrived) = (0, 0);
        for _ in 0..100 {
            pair.sim.until("room", |sim| (sim.client.datagram_room(client) > 0).then_some(()));
            for _ in 0..10 {
                pair.sim.client.send_datagram(client, &[1; 500]).unwrap();
                taken += 1;
            }
        }
        pair.sim.run(Duration::from_secs(5));
        while pair.has_event(Side::Server, |event| matches!(event, Event::DatagramReceived { .. })) {
            arrived += 1;
        }
        let (sent, received) = (stats(&mut pair, Side::Client, client), stats(&mut pair, Side::Server, server));
        assert_eq!(sent.datagram_frames_sent, taken, "seed {seed}");
        assert_eq!(received.datagram_frames_received, arrived, "seed {seed}: duplicates do not count");
        assert!(arrived < taken && arrived > taken / 2, "seed {seed}: {arrived} of {taken}");
    }
}
