//! The way between the two: it changes, breaks and comes back, and is worse in one direction than in the other.

mod sim;

use std::time::{Duration, Instant};

use sim::{Net, Pair, Side};
use webtransport_proto::{Config, Dir, Endpoint, Event, Read};

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[test]
fn a_client_that_moves_takes_its_session_along() {
    // RFC 9000 §9.3.3: a NAT gives the client another port, and nobody tells it
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    let before = pair.sim.server.remote_address(server).unwrap();
    let stream = pair.open(Side::Client, client, Dir::Bi);
    pair.write(Side::Client, stream, &noise(50_000));
    pair.sim.run(Duration::from_millis(25));
    pair.sim.rebind();
    pair.write(Side::Client, stream, b"moved");
    pair.finish(Side::Client, stream);
    let there = pair.accept(Side::Server);
    assert_eq!(pair.read(Side::Server, there), ([&noise(50_000)[..], b"moved"].concat(), Read::Finished));
    let after = pair.sim.server.remote_address(server).unwrap();
    assert_eq!((before.port() + 1, before.ip()), (after.port(), after.ip()));
    // And back, to where the client is now
    pair.write(Side::Server, there, &noise(50_000));
    pair.finish(Side::Server, there);
    assert_eq!(pair.read(Side::Client, stream), (noise(50_000), Read::Finished));
    assert!(!pair.has_event(Side::Server, |event| matches!(event, Event::SessionClosed { .. })));
}

#[test]
fn what_was_sent_into_a_silence_arrives_after_it() {
    let patient = Config { max_idle_timeout: None, ..Config::default() };
    let mut pair = Pair::with(Net::default(), patient.clone(), patient);
    let (client, _) = pair.connect();
    pair.sim.run(Duration::from_secs(1));
    pair.sim.blackhole = true;
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &noise(5000));
    pair.finish(Side::Client, stream);
    pair.sim.run(Duration::from_secs(20));
    assert!(!pair.has_event(Side::Server, |event| matches!(event, Event::StreamOpened { .. })));
    pair.sim.blackhole = false;
    let there = pair.accept(Side::Server);
    assert_eq!(pair.read(Side::Server, there), (noise(5000), Read::Finished));
}

#[test]
fn a_path_that_is_bad_one_way_only_carries_both() {
    for seed in 0..5 {
        let net = Net { seed, loss: 0, loss_to_client: Some(300), corrupt: 100, mtu: 1200, ..Net::default() };
        let mut pair = Pair::with(net, Config::default(), Config { max_idle_timeout: None, ..Config::default() });
        let (client, _) = pair.connect();
        let stream = pair.open(Side::Client, client, Dir::Bi);
        pair.write(Side::Client, stream, &noise(30_000));
        pair.finish(Side::Client, stream);
        let there = pair.accept(Side::Server);
        assert_eq!(pair.read(Side::Server, there), (noise(30_000), Read::Finished));
        pair.write(Side::Server, there, &noise(30_000));
        pair.finish(Side::Server, there);
        assert_eq!(pair.read(Side::Client, stream), (noise(30_000), Read::Finished));
    }
}

fn transmits(endpoint: &mut Endpoint, now: Instant) -> Vec<Vec<u8>> {
    let mut transmits = Vec::new();
    let mut buf = Vec::new();
    while let Some(transmit) = endpoint.poll_transmit(now, 1, &mut buf) {
        transmits.push(buf[..transmit.size].to_vec());
        buf.clear();
    }
    transmits
}

#[test]
fn what_looks_like_a_retry_does_not_end_a_handshake() {
    // RFC 9000 §17.2.5: only servers send Retry. One flipped bit makes one of a client's Handshake packet.
    let mut pair = Pair::new(Net::default());
    pair.ask("/");
    let now = pair.now();
    for datagram in transmits(&mut pair.sim.client, now) {
        pair.sim.server.handle_datagram(now, sim::client_address(), None, None, datagram[..].into());
    }
    for datagram in transmits(&mut pair.sim.server, now) {
        pair.sim.client.handle_datagram(now, sim::server_address(), None, None, datagram[..].into());
    }
    let mut flipped = 0;
    for mut datagram in transmits(&mut pair.sim.client, now) {
        let is_handshake = |window: &[u8]| window[0] & 0xb0 == 0xa0 && window[1..] == [0, 0, 0, 1];
        if let Some(at) = datagram.windows(5).position(is_handshake) {
            datagram[at] |= 0x10;
            flipped += 1;
        }
        pair.sim.server.handle_datagram(now, sim::client_address(), None, None, datagram[..].into());
    }
    assert!(flipped > 0);
    pair.event(Side::Server, "request", |event| matches!(event, Event::SessionRequested { .. }).then_some(()));
}
