//! The way between the two: it changes, breaks and comes back, and is worse in one direction than in the other.

mod sim;

use std::time::Duration;

use sim::{Net, Pair, Side};
use webtransport_proto::{Config, Dir, Event, Read};

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
