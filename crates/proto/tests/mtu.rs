//! How long packets get: as long as a loopback interface carries, elsewhere as an Ethernet does, and never longer than the
//! peer takes.

mod sim;

use std::net::SocketAddr;
use std::time::Duration;

use sim::{Net, Pair, Side, raw};
use webtransport_proto::{Config, Dir, Read, SessionId};

/// Whatever is sent arrives
const WIDE: Net = Net {
    seed: 1,
    latency: Duration::from_millis(1),
    loss: 0,
    loss_to_client: None,
    reorder: 0,
    duplicate: 0,
    corrupt: 0,
    mtu: 65_535,
};

/// Both sides see each other at `ip`
fn pair_at(ip: [u8; 4], net: Net) -> (Pair, [SessionId; 2]) {
    let mut pair = Pair::new(net);
    pair.sim.client_address = SocketAddr::from((ip, 1000));
    pair.sim.server_address = SocketAddr::from((ip, 4433));
    let (client, server) = pair.connect();
    (pair, [client, server])
}

fn mtus(pair: &mut Pair, [client, server]: [SessionId; 2]) -> [u16; 2] {
    [pair.sim.client.stats(client), pair.sim.server.stats(server)].map(|stats| stats.expect("a live connection").mtu)
}

/// Send some megabytes
fn transfer(pair: &mut Pair, session: SessionId) {
    let stream = pair.open(Side::Client, session, Dir::Uni);
    let data = vec![7; 4 << 20];
    pair.write(Side::Client, stream, &data);
    pair.finish(Side::Client, stream);
    let stream = pair.accept(Side::Server);
    assert_eq!(pair.read(Side::Server, stream), (data, Read::Finished));
}

#[test]
fn a_loopback_interface_is_used_to_the_full_from_the_beginning() {
    let (mut pair, sessions) = pair_at([127, 0, 0, 1], WIDE);
    assert_eq!(mtus(&mut pair, sessions), [65_487; 2]);
    let before = pair.sim.transmits;
    transfer(&mut pair, sessions[0]);
    assert!(pair.sim.transmits - before < 150, "{} packets", pair.sim.transmits - before);
}

#[test]
fn what_looks_like_a_loopback_interface_and_carries_less_is_found_out() {
    let (mut pair, sessions) = pair_at([127, 0, 0, 1], Net { mtu: 1500, ..WIDE });
    let begin = pair.now();
    transfer(&mut pair, sessions[0]);
    assert!(pair.now() - begin < Duration::from_secs(5), "{:?}", pair.now() - begin);
    assert_eq!(mtus(&mut pair, sessions)[0], 1200);
}

#[test]
fn elsewhere_packets_are_an_ethernets() {
    let (mut pair, sessions) = pair_at([192, 0, 2, 1], WIDE);
    pair.sim.run(Duration::from_secs(5));
    assert_eq!(mtus(&mut pair, sessions), [1452; 2]);
}

#[test]
fn a_peer_that_takes_less_gets_less() {
    let mut sim = raw::raw_client(WIDE, Config::default());
    sim.client_address = SocketAddr::from(([127, 0, 0, 1], 1000));
    sim.until("handshake", |sim| sim.client.connected.then_some(()));
    sim.client.send(Dir::Uni, &raw::settings(&raw::CHROMIUM));
    sim.client.send(Dir::Bi, &raw::connect_request());
    let session = raw::request(&mut sim);
    sim.run(Duration::from_secs(5));
    assert_eq!(sim.server.stats(session).unwrap().mtu, 1472); // quinn's own limit
}
