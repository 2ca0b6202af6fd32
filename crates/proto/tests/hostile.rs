//! Sessions whose peer breaks the rules, or uses them in ways that a friendly one does not.

mod sim;

use std::time::Duration;

use quinn_proto::{Dir, StreamId};
use sim::raw::{
    CHROMIUM, attack, capsule, closed, concat, connect_request, costs, costs_stream, established, event, frame, http3, request,
    settings, varint,
};
use webtransport_proto::{CloseSource, Config, Event, Read, Response, SessionError};

#[test]
fn the_stream_signal_may_only_come_first() {
    let (mut sim, connect, _) = established();
    sim.client.send_more(connect, &concat(&[&varint(0x41), &varint(0)]));
    costs(sim, 0x106);
}

#[test]
fn unknown_frames_and_capsules_are_skipped_whatever_their_length() {
    let mut sim = http3();
    let connect = sim.client.send(Dir::Bi, &frame(0x1f * 3 + 0x21, &[1; 5000]));
    sim.client.send_more(connect, &connect_request());
    let session = request(&mut sim);
    let now = sim.now;
    sim.server.accept_session(now, session, &Response::new(200));
    sim.client.send_more(connect, &capsule(0x29 * 9 + 0x17, &[2; 5000]));
    sim.client.send_more(connect, &frame(0xf0700, b"u=1"));
    sim.client.send_more(connect, &capsule(0x2843, &concat(&[&7u32.to_be_bytes(), b"bye"])));
    sim.client.finish(connect);
    assert_eq!(closed(&mut sim), SessionError::Peer { by: CloseSource::Session, code: Some(7), reason: "bye".into() });
}

#[test]
fn a_fin_alone_is_a_clean_close() {
    let (mut sim, connect, _) = established();
    sim.client.finish(connect);
    assert_eq!(closed(&mut sim), SessionError::Peer { by: CloseSource::Session, code: Some(0), reason: String::new() });
    sim.until("answer", |sim| (sim.client.read(connect).1 == Ok(true)).then_some(()));
}

#[test]
fn a_reset_of_the_connect_stream_ends_the_session_without_a_code() {
    let (mut sim, connect, _) = established();
    sim.client.reset(connect, 0x10c);
    assert_eq!(closed(&mut sim), SessionError::Peer { by: CloseSource::Session, code: None, reason: String::new() });
}

#[test]
fn malformed_capsules_reset_the_connect_stream() {
    let close = |payload: &[u8]| capsule(0x2843, payload);
    for bytes in [
        close(b"abc"),
        close(&concat(&[&[0; 4], &[b'x'; 1025]])),
        close(&concat(&[&[0; 4], b"\xff\xfe"])),
        capsule(0x78ae, b"x"),
        concat(&[&close(&[0; 4]), &frame(0x00, b"more")]),
    ] {
        let (mut sim, connect, _) = established();
        sim.run(Duration::from_millis(100));
        sim.client.send_more(connect, &bytes);
        costs_stream(&mut sim, connect, 0x10e);
    }
    // Cut in two by the end of the stream (RFC 9297 §3.3)
    let (mut sim, connect, _) = established();
    sim.client.send_more(connect, &frame(0x00, &concat(&[&varint(0x2843), &[4, 0]])));
    sim.client.finish(connect);
    costs_stream(&mut sim, connect, 0x10e);
}

#[test]
fn session_ids_must_be_possible() {
    for (dir, ty) in [(Dir::Uni, 0x54), (Dir::Bi, 0x41)] {
        // Streams of servers, and those that flow one way, are no sessions
        for id in [1, 2, 3, 5] {
            let (mut sim, ..) = established();
            sim.client.send(dir, &concat(&[&varint(ty), &varint(id)]));
            costs(sim, 0x108);
        }
    }
}

#[test]
fn datagrams_need_a_session_id() {
    let (mut sim, ..) = established();
    sim.client.send_datagram(&[]);
    costs(sim, 0x33);
    let (mut sim, ..) = established();
    sim.client.send_datagram(&varint(1 << 60));
    costs(sim, 0x33);
}

#[test]
fn headers_of_any_length_and_split_are_read() {
    let (mut sim, connect, session) = established();
    let header = [0x80, 0, 0, 0x54, 0xc0, 0, 0, 0, 0, 0, 0, connect.index() as u8 * 4];
    let id = sim.client.send(Dir::Uni, &header[..1]);
    for byte in &header[1..] {
        sim.run(Duration::from_millis(50));
        sim.client.send_more(id, &[*byte]);
    }
    sim.client.send_more(id, b"data");
    sim.client.finish(id);
    let stream = event(&mut sim, "stream", |event| match event {
        Event::StreamOpened { session: of, stream } => {
            assert_eq!(of, session);
            Some(stream)
        }
        _ => None,
    });
    sim.run(Duration::from_millis(100));
    let now = sim.now;
    assert_eq!(sim.server.read(now, stream, 99), Read::Chunk("data".into()));
}

#[test]
fn one_session_at_a_time_without_flow_control() {
    let (mut sim, ..) = established();
    let second = sim.client.send(Dir::Bi, &connect_request());
    costs_stream(&mut sim, second, 0x10b);
}

#[test]
fn many_sessions_where_the_limit_says_so() {
    let mut sim = attack(Config { max_sessions_without_flow_control: 3, ..Config::default() });
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let connect = sim.client.send(Dir::Bi, &connect_request());
        let session = request(&mut sim);
        let now = sim.now;
        sim.server.accept_session(now, session, &Response::new(200));
        sessions.push((connect, session));
    }
    // Each stream and datagram finds its own
    for &(connect, session) in &sessions {
        let id = u64::from(quinn_proto::VarInt::from(connect));
        sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(id), b"hi"]));
        sim.client.send_datagram(&concat(&[&varint(id / 4), b"hi"]));
        let (mut stream, mut datagram) = (false, false);
        event(&mut sim, "both", |event| {
            match event {
                Event::StreamOpened { session: of, .. } => stream = of == session,
                Event::DatagramReceived { session: of, payload } => datagram = of == session && payload == "hi",
                _ => {}
            }
            (stream && datagram).then_some(())
        });
    }
    // One ends, the others go on
    sim.client.finish(sessions[1].0);
    closed(&mut sim);
    let now = sim.now;
    assert!(sim.server.open_stream(now, sessions[0].1, Dir::Uni).is_some());
    assert!(sim.server.open_stream(now, sessions[1].1, Dir::Uni).is_none());
}

#[test]
fn streams_of_a_session_that_is_over_are_told_so() {
    let (mut sim, connect, _) = established();
    sim.client.finish(connect);
    closed(&mut sim);
    // At once, and when the session is forgotten
    for _ in 0..2 {
        let id = sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0), b"late"]));
        sim.until("stop", |sim| sim.client.stopped.contains(&(id, 0x170d_7b68)).then_some(()));
        sim.run(Duration::from_secs(1));
    }
}

#[test]
fn a_reset_that_belongs_to_the_sessions_end_is_not_the_streams() {
    // Browsers reset what is open with H3_REQUEST_CANCELLED, perhaps before the capsule is seen
    let (mut sim, connect, _) = established();
    let id = sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0), b"some"]));
    let stream = event(&mut sim, "stream", |event| match event {
        Event::StreamOpened { stream, .. } => Some(stream),
        _ => None,
    });
    sim.client.reset(id, 0x10c);
    sim.flush();
    let held = sim.until("reset read", |sim| {
        let now = sim.now;
        match sim.server.read(now, stream, 99) {
            Read::Chunk(_) => None,
            other => Some(other),
        }
    });
    assert_eq!(held, Read::Blocked);
    sim.client.send_more(connect, &capsule(0x2843, &concat(&[&3u32.to_be_bytes(), b""])));
    sim.client.finish(connect);
    assert_eq!(closed(&mut sim), SessionError::Peer { by: CloseSource::Session, code: Some(3), reason: String::new() });
    let now = sim.now;
    assert_eq!(sim.server.read(now, stream, 99), Read::Closed);
}

#[test]
fn a_code_that_is_no_applications_is_none() {
    let (mut sim, ..) = established();
    let id = sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0)]));
    let stream = event(&mut sim, "stream", |event| match event {
        Event::StreamOpened { stream, .. } => Some(stream),
        _ => None,
    });
    sim.client.reset(id, 0x10c);
    let end = sim.until("reset", |sim| {
        let now = sim.now;
        Some(sim.server.read(now, stream, 99)).filter(|read| *read != Read::Blocked)
    });
    assert_eq!(end, Read::Reset(None));
}

#[test]
fn the_peers_drain_and_goaway_drain_the_session_once() {
    let (mut sim, connect, _) = established();
    sim.client.send_more(connect, &capsule(0x78ae, b""));
    sim.client.send_more(StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0), &frame(0x07, &[0]));
    event(&mut sim, "draining", |event| matches!(event, Event::SessionDraining { .. }).then_some(()));
    sim.run(Duration::from_secs(1));
    assert!(sim.server.poll_event().is_none());
}

#[test]
fn a_datagram_capsule_is_a_datagram() {
    let (mut sim, connect, session) = established();
    sim.client.send_more(connect, &capsule(0x00, b"as a capsule"));
    let found = event(&mut sim, "datagram", |event| match event {
        Event::DatagramReceived { session, payload } => Some((session, payload)),
        _ => None,
    });
    assert_eq!(found, (session, "as a capsule".into()));
}

#[test]
fn flow_control_capsules_are_ignored_without_flow_control() {
    let (mut sim, connect, _) = established();
    for ty in [0x190b_4d3d, 0x190b_4d3f, 0x190b_4d40, 0x190b_4d41, 0x190b_4d43, 0x190b_4d44] {
        sim.client.send_more(connect, &capsule(ty, &[5]));
        sim.client.send_more(connect, &capsule(ty, &[5]));
    }
    sim.client.finish(connect);
    assert_eq!(closed(&mut sim), SessionError::Peer { by: CloseSource::Session, code: Some(0), reason: String::new() });
}

#[test]
fn a_drained_session_goes_on() {
    let (mut sim, connect, session) = established();
    sim.client.send_more(connect, &capsule(0x78ae, b""));
    event(&mut sim, "draining", |event| matches!(event, Event::SessionDraining { .. }).then_some(()));
    let id = sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0), b"still here"]));
    let opened = event(&mut sim, "stream", |event| match event {
        Event::StreamOpened { stream, .. } => Some(stream.as_u64()),
        _ => None,
    });
    assert_eq!(opened, u64::from(quinn_proto::VarInt::from(id)));
    let now = sim.now;
    assert!(sim.server.open_stream(now, session, Dir::Uni).is_some());
    assert!(sim.server.send_datagram(session, b"and here").is_ok());
}

#[test]
fn what_is_open_ends_with_the_session() {
    let (mut sim, connect, session) = established();
    let id = sim.client.send(Dir::Bi, &concat(&[&varint(0x41), &varint(0), b"unfinished"]));
    let now = sim.now;
    let ours = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.write(ours, b"unfinished".to_vec().into());
    sim.run(Duration::from_secs(1));
    let now = sim.now;
    sim.server.close_session(now, session, 5, "done");
    costs_stream(&mut sim, id, 0x170d_7b68);
    sim.until("stop", |sim| sim.client.stopped.contains(&(id, 0x170d_7b68)).then_some(()));
    let wire = StreamId::from(quinn_proto::VarInt::from_u64(ours.as_u64()).unwrap());
    costs_stream(&mut sim, wire, 0x170d_7b68);
    let (bytes, end) = sim.client.read(connect);
    assert!(bytes.ends_with(&concat(&[&[0x68, 0x43, 0x08], &5u32.to_be_bytes(), b"done"])), "{bytes:x?}");
    assert_eq!(end, Ok(true), "FIN follows CLOSE at once");
}

#[test]
fn the_fin_of_an_empty_stream_comes_after_its_header() {
    // Firefox closes the connection when both come in one frame
    let (mut sim, _, session) = established();
    sim.run(Duration::from_secs(1));
    let now = sim.now;
    let stream = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.finish(stream);
    let wire = StreamId::from(quinn_proto::VarInt::from_u64(stream.as_u64()).unwrap());
    let first = sim.until("header", |sim| sim.client.accepted(Dir::Uni).contains(&wire).then(|| sim.client.read(wire)));
    assert_eq!(first, (vec![0x40, 0x54, 0x00], Ok(false)));
    sim.until("FIN", |sim| (sim.client.read(wire).1 == Ok(true)).then_some(()));
}
