//! The rules of HTTP/3 and QPACK: what breaks them costs exactly what the RFCs say.

mod sim;

use std::time::Duration;

use quinn_proto::{Dir, Side, StreamId};
use sim::raw::{
    CHROMIUM, Raw, SERVER, attack, concat, connect_request, costs, costs_stream, frame, headers, http3, raw_server, request,
    settings, varint,
};
use sim::{Net, Sim, target};
use webtransport_proto::{Config, ConnectError, ConnectId, Endpoint, Event};

#[test]
fn settings_come_first() {
    let mut sim = attack(Config::default());
    sim.client.send(Dir::Uni, &concat(&[&[0x00], &frame(0x07, &[0])]));
    costs(sim, 0x10a);
}

#[test]
fn settings_come_once() {
    let mut sim = http3();
    let again = settings(&CHROMIUM);
    sim.client.send_more(StreamId::new(quinn_proto::Side::Client, Dir::Uni, 0), &again[1..]);
    costs(sim, 0x105);
}

#[test]
fn settings_have_their_values() {
    for (bad, code) in [((0x08, 2), 0x109), ((0x33, 2), 0x109), ((0x2b60_3742, 2), 0x109), ((0x02, 0), 0x109)] {
        let mut sim = attack(Config::default());
        sim.client.send(Dir::Uni, &settings(&[bad]));
        costs(sim, code);
    }
}

#[test]
fn critical_streams_are_opened_once_and_stay() {
    for ty in [0x00, 0x02, 0x03] {
        let mut sim = http3();
        sim.client.send(Dir::Uni, &[ty]);
        sim.client.send(Dir::Uni, &[ty]);
        costs(sim, 0x103);
    }
    for ty in [0x00, 0x02, 0x03] {
        let mut sim = attack(Config::default());
        let bytes = if ty == 0 { settings(&CHROMIUM) } else { vec![ty] };
        let id = sim.client.send(Dir::Uni, &bytes);
        sim.run(Duration::from_secs(1));
        if ty == 0x02 {
            sim.client.reset(id, 0);
        } else {
            sim.client.finish(id);
        }
        costs(sim, 0x104);
    }
}

#[test]
fn push_is_refused() {
    let mut sim = http3();
    sim.client.send(Dir::Uni, &[0x01, 0x00]);
    costs(sim, 0x103);
    // CANCEL_PUSH of a push that nobody promised (RFC 9114 §7.2.3)
    let mut sim = attack(Config::default());
    sim.client.send(Dir::Uni, &concat(&[&settings(&CHROMIUM), &frame(0x03, &[0])]));
    costs(sim, 0x108);
}

/// RFC 9114 §7.2.7
#[test]
fn the_largest_push_id_may_not_shrink() {
    let mut sim = attack(Config::default());
    let pushes = concat(&[&frame(0x0d, &[5]), &frame(0x0d, &[5]), &frame(0x0d, &[9])]);
    let control = sim.client.send(Dir::Uni, &concat(&[&settings(&CHROMIUM), &pushes]));
    sim.run(Duration::from_millis(100));
    assert!(sim.client.lost.is_none());
    sim.client.send_more(control, &frame(0x0d, &[8]));
    costs(sim, 0x108);
}

#[test]
fn unknown_unidirectional_streams_are_stopped_and_harmless() {
    let mut sim = http3();
    let id = sim.client.send(Dir::Uni, &concat(&[&varint(0x1f * 7 + 0x21), b"anything"]));
    sim.until("stop", |sim| sim.client.stopped.contains(&(id, 0x103)).then_some(()));
    let id = sim.client.send(Dir::Uni, &[0x40]); // reset before its type is whole
    sim.run(Duration::from_millis(100));
    sim.client.reset(id, 1);
    sim.client.send(Dir::Bi, &connect_request());
    request(&mut sim);
}

#[test]
fn frames_keep_their_places() {
    // On the control stream: DATA, HEADERS, reserved ones
    for (bytes, code) in [
        (frame(0x00, b"x"), 0x105),
        (frame(0x01, &[0, 0]), 0x105),
        (frame(0x02, b""), 0x105),
        (frame(0x07, &concat(&[&varint(4), b"extra"])), 0x106),
        (varint(0x41), 0x106),
    ] {
        let mut sim = attack(Config::default());
        sim.client.send(Dir::Uni, &concat(&[&settings(&CHROMIUM), &bytes]));
        costs(sim, code);
    }
    // On a request stream: DATA before HEADERS, SETTINGS, reserved ones, a stream that ends inside a frame
    for bytes in [frame(0x00, b"x"), frame(0x04, b""), frame(0x09, b"")] {
        let mut sim = http3();
        sim.client.send(Dir::Bi, &bytes);
        costs(sim, 0x105);
    }
    let mut sim = http3();
    let id = sim.client.send(Dir::Bi, &connect_request()[..20]);
    sim.client.finish(id);
    costs(sim, 0x106);
}

#[test]
fn malformed_requests_are_reset() {
    let ok = [(":method", "CONNECT"), (":scheme", "https"), (":authority", "a"), (":path", "/"), (":protocol", "webtransport")];
    let without = |name: &str| ok.into_iter().filter(|(found, _)| *found != name).collect::<Vec<_>>();
    let with = |more: &[(&'static str, &'static str)]| [&ok[..], more].concat();
    for fields in [
        without(":path"),
        without(":authority"),
        without(":scheme"),
        with(&[("Upper", "case")]),
        with(&[("connection", "close")]),
        with(&[(":path", "/again")]),
        with(&[(":unknown", "x")]),
        with(&[("late", "x"), (":late", "y")]),
        with(&[("bad", "a\nb")]),
    ] {
        let mut sim = http3();
        let id = sim.client.send(Dir::Bi, &headers(&fields));
        costs_stream(&mut sim, id, 0x10e);
    }
}

#[test]
fn other_requests_get_an_answer() {
    for (fields, status) in [
        (vec![(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")], &[0xc0 | 27][..]),
        (
            vec![(":method", "CONNECT"), (":scheme", "https"), (":authority", "a"), (":path", "/"), (":protocol", "websocket")],
            b"501",
        ),
    ] {
        let mut sim = http3();
        let id = sim.client.send(Dir::Bi, &headers(&fields));
        sim.client.finish(id);
        let mut answer = Vec::new();
        sim.until("answer", |sim| {
            let (data, end) = sim.client.read(id);
            answer.extend_from_slice(&data);
            (end == Ok(true)).then_some(())
        });
        // 404 is entry 27 of the static table (RFC 9204, Appendix A), 501 is none
        assert!(answer.windows(status.len()).any(|window| window == status), "{answer:x?}");
    }
}

#[test]
fn a_field_section_that_refers_to_a_dynamic_table_costs_the_connection() {
    let mut sim = http3();
    sim.client.send(Dir::Bi, &frame(0x01, &[0x02, 0x00, 0x80]));
    costs(sim, 0x200);
    let mut sim = http3();
    sim.client.send(Dir::Uni, &[0x02, 0x3f, 0xe1, 0x1f]); // Set Dynamic Table Capacity 4096
    costs(sim, 0x201);
    let mut sim = http3();
    sim.client.send(Dir::Uni, &[0x03, 0x80]); // Section Acknowledgment
    costs(sim, 0x202);
}

#[test]
fn goaway_may_not_grow() {
    let mut sim = http3();
    let control = StreamId::new(Side::Client, Dir::Uni, 0);
    sim.client.send_more(control, &concat(&[&frame(0x07, &[4]), &frame(0x07, &[0])]));
    sim.client.send_more(control, &frame(0x07, &[8]));
    costs(sim, 0x108);
}

#[test]
fn datagrams_in_settings_need_the_transport_parameter() {
    let mut sim = sim::raw::raw_client_without_datagrams();
    sim.until("handshake", |sim| sim.client.connected.then_some(()));
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    costs(sim, 0x109);
}

#[test]
fn a_client_that_lacks_a_requirement_is_malformed() {
    let mut sim = attack(Config::default());
    sim.client.send(Dir::Uni, &settings(&[(0x2c7c_f000, 1)])); // no SETTINGS_H3_DATAGRAM
    let id = sim.client.send(Dir::Bi, &connect_request());
    costs_stream(&mut sim, id, 0x10e);
}

// ---- a server that is not what it should be ----

fn failure(settings_: &[(u64, u64)], answer: &[u8]) -> ConnectError {
    let mut sim = raw_server(Net::default(), Config::default());
    let now = sim.now;
    sim.client.connect(now, ConnectId(1), target("/"));
    sim.until("handshake", |sim| sim.server.connected.then_some(()));
    sim.server.send(Dir::Uni, &settings(settings_));
    let mut answered = false;
    sim.until("failure", |sim| {
        if let (false, Some(&id)) = (answered, sim.server.accepted(Dir::Bi).first()) {
            answered = true;
            sim.server.send_more(id, answer);
            sim.server.finish(id);
        }
        while let Some(event) = sim.client.poll_event() {
            if let Event::ConnectFailed { error, .. } = event {
                return Some(error);
            }
        }
        None
    })
}

#[test]
fn a_server_that_lacks_something_is_told_apart() {
    let text = |settings: &[(u64, u64)]| failure(settings, b"").to_string();
    assert!(text(&[(0x33, 1)]).contains("no version"));
    assert!(text(&[(0x33, 1), (0x2c7c_f000, 1)]).contains("ENABLE_CONNECT_PROTOCOL"));
    assert!(text(&[(0x08, 1), (0x2c7c_f000, 1)]).contains("H3_DATAGRAM"));
    assert!(text(&[(0x08, 1), (0x33, 1), (0x2c7c_f000, 2)]).contains("SETTINGS_WT_ENABLED"));
    assert!(text(&SERVER).contains("without an answer"));
}

#[test]
fn interim_responses_are_skipped_and_redirects_reported() {
    let answer = concat(&[&headers(&[(":status", "103")]), &headers(&[(":status", "302"), ("location", "/other")])]);
    match failure(&SERVER, &answer) {
        ConnectError::Rejected(response) => {
            assert_eq!(response.status, 302);
            assert!(response.headers.iter().any(|field| field.name == "location" && field.value == "/other"));
        }
        error => panic!("{error}"),
    }
}

#[test]
fn a_malformed_answer_is_the_servers_fault() {
    for fields in [&[("x", "y")][..], &[(":status", "20")], &[(":status", "200"), (":status", "200")]] {
        let text = failure(&SERVER, &headers(fields)).to_string();
        assert!(text.contains("malformed"), "{text}");
    }
}

/// Our client, whose handshake with a raw server is done
fn asking() -> Sim<Endpoint, Raw> {
    let mut sim = raw_server(Net::default(), Config::default());
    let now = sim.now;
    sim.client.connect(now, ConnectId(1), target("/"));
    sim.until("handshake", |sim| sim.server.connected.then_some(()));
    sim
}

/// WT §3.1, §4.6
#[test]
fn no_request_leaves_before_the_servers_settings() {
    let mut sim = asking();
    sim.run(Duration::from_secs(1));
    assert!(sim.server.accepted(Dir::Bi).is_empty());
    sim.server.send(Dir::Uni, &settings(&SERVER));
    sim.until("request", |sim| sim.server.accepted(Dir::Bi).first().copied());
}

fn costs_the_server(mut sim: Sim<Endpoint, Raw>, code: u64) {
    let found = sim.until("connection close", |sim| sim.server.lost.is_some().then(|| sim.server.close_code()));
    assert_eq!(found, Some(code));
}

#[test]
fn a_server_may_not_open_request_streams() {
    let mut sim = asking();
    sim.server.send(Dir::Uni, &settings(&SERVER));
    sim.server.send(Dir::Bi, &frame(0x01, &[0, 0]));
    costs_the_server(sim, 0x103);
}

/// RFC 9114 §4.6, §7.2.5: we permit no push
#[test]
fn a_server_may_not_push() {
    let mut sim = asking();
    sim.server.send(Dir::Uni, &[0x01, 0x00]);
    costs_the_server(sim, 0x108);
    let mut sim = asking();
    sim.server.send(Dir::Uni, &settings(&SERVER));
    let request = sim.until("request", |sim| sim.server.accepted(Dir::Bi).first().copied());
    sim.server.send_more(request, &frame(0x05, &[0, 0, 0]));
    costs_the_server(sim, 0x108);
}
