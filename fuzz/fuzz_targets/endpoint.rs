//! A network that does what the fuzzer says, between a client and a server: datagrams are lost, cut, changed, repeated and
//! invented, and time passes.
#![no_main]
#![allow(clippy::unwrap_used)]

#[path = "../../crates/proto/tests/sim/mod.rs"]
mod sim;

use std::time::Duration;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sim::{client_address, client_endpoint, epoch, seeded, server_address, server_endpoint, target};
use webtransport_proto::{Config, ConnectId, Dir, Endpoint, Event, Response};

fn transmits(endpoint: &mut Endpoint, now: std::time::Instant) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    let mut buf = Vec::new();
    while let Some(transmit) = endpoint.poll_transmit(now, 1, &mut buf) {
        datagrams.push(buf[..transmit.size].to_vec());
        buf.clear();
        assert!(datagrams.len() < 10_000, "it never stops sending");
    }
    datagrams
}

fn events(endpoint: &mut Endpoint, now: std::time::Instant) {
    while let Some(event) = endpoint.poll_event() {
        match event {
            Event::SessionRequested { session, .. } => drop(endpoint.accept_session(now, session, &Response::new(200))),
            Event::SessionEstablished { session, .. } => {
                if let Some(stream) = endpoint.open_stream(now, session, Dir::Bi) {
                    endpoint.write(stream, vec![7; 3000].into());
                    endpoint.finish(stream);
                }
                let _ = endpoint.send_datagram(session, b"datagram");
            }
            Event::StreamOpened { stream, .. } | Event::StreamReadable { stream } => drop(endpoint.read(now, stream, 5000)),
            _ => {}
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut now = epoch();
    let mut client = client_endpoint(seeded(&Config::default(), 1));
    let mut server = server_endpoint(seeded(&Config::default(), 2));
    client.connect(now, ConnectId(1), target("/"));
    // On the way, by direction: to the client, to the server
    let mut flight = [Vec::new(), Vec::new()];
    let mut input = data.iter().copied();
    while let Some(op) = input.next() {
        flight[1].extend(transmits(&mut client, now));
        flight[0].extend(transmits(&mut server, now));
        let to_server = op & 1;
        let queue = &mut flight[usize::from(to_server)];
        let datagram = match op >> 1 & 7 {
            // As it was, mostly
            0..4 if !queue.is_empty() => queue.remove(0),
            4 if !queue.is_empty() => queue[0].clone(),
            5 if !queue.is_empty() => {
                let mut datagram = queue.remove(0);
                let at = usize::from(input.next().unwrap_or(0)) % datagram.len();
                datagram[at] = input.next().unwrap_or(0);
                datagram.truncate(1 + usize::from(op >> 4) * 100);
                datagram
            }
            6 => {
                let len = usize::from(input.next().unwrap_or(0));
                input.by_ref().take(len).collect()
            }
            7 => {
                now += Duration::from_millis(1 << (op >> 4));
                for endpoint in [&mut client, &mut server] {
                    if endpoint.poll_timeout().is_some_and(|at| at <= now) {
                        endpoint.handle_timeout(now);
                    }
                    events(endpoint, now);
                }
                continue;
            }
            _ => continue,
        };
        if to_server == 1 {
            server.handle_datagram(now, client_address(), None, None, BytesMut::from(&datagram[..]));
            events(&mut server, now);
        } else {
            client.handle_datagram(now, server_address(), None, None, BytesMut::from(&datagram[..]));
            events(&mut client, now);
        }
    }
});
