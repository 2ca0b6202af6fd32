//! What comes before it is expected is kept for a while, in order and within limits (WT §4.6).

mod sim;

use std::time::Duration;

use quinn_proto::Dir;
use sim::raw::{CHROMIUM, attack, capsule, closed, concat, connect_request, costs_stream, http3, request, settings, varint};
use webtransport_proto::{CloseSource, Config, Event, Read, Response, SessionError};

#[test]
fn request_before_settings_waits_for_them() {
    let mut sim = attack(Config::default());
    sim.client.send(Dir::Bi, &connect_request());
    sim.run(Duration::from_secs(1));
    assert!(sim.server.poll_event().is_none());
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    request(&mut sim);
}

#[test]
fn request_without_settings_is_given_up() {
    let mut sim = attack(Config::default());
    let id = sim.client.send(Dir::Bi, &connect_request());
    sim.run(Duration::from_secs(6));
    costs_stream(&mut sim, id, 0x10b);
}

#[test]
fn early_streams_and_datagrams_wait_for_their_session_in_order() {
    let mut sim = http3();
    for text in [b"one", b"two"] {
        let id = sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0), text]));
        sim.client.finish(id);
        sim.client.send_datagram(&concat(&[&[0], text]));
    }
    sim.run(Duration::from_secs(1));
    sim.client.send(Dir::Bi, &connect_request());
    let session = request(&mut sim);
    sim.run(Duration::from_secs(1));
    assert!(sim.server.poll_event().is_none(), "nothing before the session is accepted");
    let now = sim.now;
    sim.server.accept_session(now, session, &Response::new(200));
    let (mut streams, mut datagrams) = (vec![], vec![]);
    while let Some(event) = sim.server.poll_event() {
        match event {
            Event::StreamOpened { stream, .. } => streams.push(stream),
            Event::DatagramReceived { payload, .. } => datagrams.push(payload),
            _ => {}
        }
    }
    assert_eq!(datagrams, ["one", "two"]);
    let now = sim.now;
    let texts: Vec<_> = streams.into_iter().map(|stream| sim.server.read(now, stream, 99)).collect();
    assert_eq!(texts, [Read::Chunk("one".into()), Read::Chunk("two".into())]);
}

#[test]
fn early_streams_are_bounded_in_number_and_time() {
    let mut sim = attack(Config { max_pending_streams: 2, idle_connection_timeout: Duration::from_secs(60), ..Config::default() });
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    let ids: Vec<_> = (0..3).map(|_| sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0)]))).collect();
    sim.until("the oldest", |sim| sim.client.stopped.contains(&(ids[0], 0x3994_bd84)).then_some(()));
    assert_eq!(sim.client.stopped.len(), 1);
    sim.run(Duration::from_secs(6));
    assert_eq!(sim.client.stopped.len(), 3, "after five seconds they are turned away");
}

#[test]
fn early_streams_go_with_the_session_that_they_wait_for() {
    for refused in [true, false] {
        let mut sim = http3();
        let connect = sim.client.send(Dir::Bi, &connect_request());
        let session = request(&mut sim);
        let early = sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0)]));
        sim.run(Duration::from_millis(100));
        if refused {
            let now = sim.now;
            sim.server.reject_session(now, session, &Response::new(403));
        } else {
            sim.client.reset(connect, 0x10c);
        }
        sim.run(Duration::from_secs(1));
        assert!(sim.client.stopped.contains(&(early, 0x3994_bd84)), "{:?}", sim.client.stopped);
    }
}

#[test]
fn early_datagrams_are_bounded_in_number_the_newest_stay() {
    let mut sim = attack(Config { max_pending_datagrams: 2, ..Config::default() });
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    for payload in [b"1", b"2", b"3"] {
        sim.client.send_datagram(&concat(&[&[0], payload]));
    }
    sim.run(Duration::from_secs(1));
    sim.client.send(Dir::Bi, &connect_request());
    let session = request(&mut sim);
    let now = sim.now;
    sim.server.accept_session(now, session, &Response::new(200));
    let mut payloads = vec![];
    while let Some(event) = sim.server.poll_event() {
        if let Event::DatagramReceived { payload, .. } = event {
            payloads.push(payload);
        }
    }
    assert_eq!(payloads, ["2", "3"]);
}

#[test]
fn capsules_before_the_answer_wait_for_it() {
    for (accepted, at_once) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut sim = http3();
        let connect = sim.client.send(Dir::Bi, &connect_request());
        let told = (!at_once).then(|| request(&mut sim));
        sim.client.send_more(connect, &capsule(0x2843, &concat(&[&9u32.to_be_bytes(), b"early"])));
        sim.client.finish(connect);
        let session = told.unwrap_or_else(|| request(&mut sim));
        sim.run(Duration::from_secs(1));
        assert!(sim.server.poll_event().is_none(), "not before the answer");
        let now = sim.now;
        if accepted {
            sim.server.accept_session(now, session, &Response::new(200));
            assert_eq!(closed(&mut sim), SessionError::Peer { by: CloseSource::Session, code: Some(9), reason: "early".into() });
        } else {
            sim.server.reject_session(now, session, &Response::new(403));
            sim.run(Duration::from_secs(1));
            assert!(sim.server.poll_event().is_none(), "discarded with the request");
        }
    }
}
