//! Datagrams reach their session, as long as they fit; nothing is said of those that do not arrive.

mod sim;

use std::time::Duration;

use sim::{Net, Pair, Side};
use webtransport_proto::{DatagramError, Dir, Event, Read};

fn datagram(pair: &mut Pair, side: Side) -> Vec<u8> {
    pair.event(side, "datagram", |event| match event {
        Event::DatagramReceived { payload, .. } => Some(payload.to_vec()),
        _ => None,
    })
}

#[test]
fn datagrams_arrive_as_they_were_even_empty() {
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    for (side, other, session) in [(Side::Client, Side::Server, client), (Side::Server, Side::Client, server)] {
        for payload in [&b""[..], b"x", &[7; 1000]] {
            pair.endpoint(side).send_datagram(session, payload).unwrap();
            assert_eq!(datagram(&mut pair, other), payload);
        }
    }
}

#[test]
fn the_largest_fits_and_one_more_does_not() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    pair.sim.run(Duration::from_secs(5)); // let the path's MTU be found
    let max = pair.sim.client.max_datagram_size(client).unwrap();
    assert!(max > 1000);
    pair.sim.client.send_datagram(client, &vec![1; max]).unwrap();
    assert_eq!(datagram(&mut pair, Side::Server).len(), max);
    let error = pair.sim.client.send_datagram(client, &vec![1; max + 1]).unwrap_err();
    assert_eq!(error, DatagramError::TooLarge { len: max + 1, max });
}

#[test]
fn a_flood_leaves_room_for_streams() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &[3; 200_000]);
    pair.finish(Side::Client, stream);
    let accepted = pair.accept(Side::Server);
    let (mut sent, mut read) = (0, 0);
    let start = pair.now();
    loop {
        for _ in 0..pair.sim.client.datagram_room(client) / 1000 {
            pair.sim.client.send_datagram(client, &[0; 1000]).unwrap();
            sent += 1;
        }
        match pair.read_now(Side::Server, accepted) {
            Read::Chunk(data) => read += data.len(),
            Read::Blocked => assert!(pair.sim.step()),
            end => break assert_eq!(end, Read::Finished),
        }
    }
    assert_eq!(read, 200_000);
    assert!(sent > 0 && pair.now() - start < Duration::from_secs(20), "{sent} datagrams in {:?}", pair.now() - start);
}

#[test]
fn room_is_announced_once_there_is_some() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    pair.sim.until("room", |sim| (sim.client.datagram_room(client) > 0).then_some(()));
    while pair.sim.client.datagram_room(client) > 0 {
        pair.sim.client.send_datagram(client, &[0; 1000]).unwrap();
    }
    pair.event(Side::Client, "room", |event| matches!(event, Event::DatagramsUnblocked { .. }).then_some(()));
    assert!(pair.sim.client.datagram_room(client) > 0);
}

#[test]
fn none_are_sent_after_the_session() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    pair.close(Side::Client, client, 0, "");
    assert_eq!(pair.sim.client.send_datagram(client, b"late"), Err(DatagramError::Closed));
    assert_eq!(pair.sim.client.max_datagram_size(client), None);
}
