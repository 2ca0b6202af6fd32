//! Requests and answers: subprotocols, origins, refusals with their bodies, plain HTTP, and time-outs for all of it.

mod sim;

use std::time::Duration;

use quinn_proto::{Dir, Side as QuicSide, StreamId as QuicStreamId};
use sim::raw::{
    Attack, CHROMIUM, Raw, SERVER, attack, capsule, closed, concat, costs_stream, established, event, frame, headers, http3,
    raw_server, request, settings,
};
use sim::{Net, Pair, Side, Sim, target};
use webtransport_proto::{
    AllowedOrigins, CloseSource, Config, ConnectError, ConnectId, Endpoint, Event, Field, Response, SessionError, StreamId,
};

const DRAFT02: [(u64, u64); 2] = [(0x2b60_3742, 1), (0x33, 1)];

/// A raw server that was asked for a session with these subprotocols, and the CONNECT stream
fn asked(settings_: &[(u64, u64)], offer: &[&str], required: bool) -> (Sim<Endpoint, Raw>, QuicStreamId) {
    let mut sim = raw_server(Net::default(), Config::default());
    let (now, mut target) = (sim.now, target("/"));
    target.subprotocols = offer.iter().map(ToString::to_string).collect();
    target.require_subprotocol = required;
    sim.client.connect(now, ConnectId(1), target);
    sim.until("handshake", |sim| sim.server.connected.then_some(()));
    sim.server.send(Dir::Uni, &settings(settings_));
    let connect = sim.until("request", |sim| sim.server.accepted(Dir::Bi).first().copied());
    (sim, connect)
}

/// What becomes of the attempt
fn outcome(sim: &mut Sim<Endpoint, Raw>) -> Result<Response, ConnectError> {
    sim.until("outcome", |sim| {
        while let Some(event) = sim.client.poll_event() {
            match event {
                Event::SessionEstablished { response, .. } => return Some(Ok(response)),
                Event::ConnectFailed { error, .. } => return Some(Err(error)),
                _ => {}
            }
        }
        None
    })
}

fn refusal(sim: &mut Sim<Endpoint, Raw>) -> Response {
    match outcome(sim) {
        Err(ConnectError::Rejected(response)) => response,
        other => panic!("{other:?}"),
    }
}

// ---- subprotocols ----

#[test]
fn the_server_picks_one_of_the_subprotocols() {
    for chosen in [Some("chat v2"), None] {
        let mut pair = Pair::new(Net::default());
        let (now, mut target) = (pair.now(), target("/"));
        target.subprotocols = vec!["chat v2".into(), "chat".into()];
        pair.sim.client.connect(now, ConnectId(1), target);
        let (session, offered) = pair.event(Side::Server, "request", |event| match event {
            Event::SessionRequested { session, request, .. } => Some((*session, request.subprotocols.clone())),
            _ => None,
        });
        assert_eq!(offered, ["chat v2", "chat"]);
        let (now, subprotocol) = (pair.now(), chosen.map(String::from));
        pair.sim.server.accept_session(now, session, &Response { subprotocol, ..Response::new(200) });
        let response = pair.event(Side::Client, "established", |event| match event {
            Event::SessionEstablished { response, .. } => Some(response.clone()),
            _ => None,
        });
        assert_eq!(response.subprotocol.as_deref(), chosen);
    }
}

#[test]
fn a_subprotocol_that_was_not_offered_costs_the_session() {
    for (answer, required) in [(r#""c""#, false), (r#""c""#, true)] {
        let (mut sim, connect) = asked(&SERVER, &["a", "b"], required);
        sim.server.send_more(connect, &headers(&[(":status", "200"), ("wt-protocol", answer)]));
        let text = outcome(&mut sim).unwrap_err().to_string();
        assert!(text.contains("not offered") && text.contains("WT_ALPN_ERROR"), "{text}");
        sim.until("stop", |sim| sim.server.stopped.contains(&(connect, 0x0817_b3dd)).then_some(()));
        sim.until("reset", |sim| (sim.server.read(connect).1 == Err(0x0817_b3dd)).then_some(()));
    }
}

#[test]
fn a_malformed_choice_counts_as_none() {
    for answer in ["a", r#""a", "b""#, "1", ""] {
        let (mut sim, connect) = asked(&SERVER, &["a", "b"], false);
        sim.server.send_more(connect, &headers(&[(":status", "200"), ("wt-protocol", answer)]));
        assert_eq!(outcome(&mut sim).unwrap().subprotocol, None, "{answer}");
    }
}

#[test]
fn a_client_that_needs_a_subprotocol_takes_no_session_without() {
    for fields in [&[(":status", "200")][..], &[(":status", "200"), ("wt-protocol", "a")]] {
        for version in [&SERVER[..], &DRAFT02] {
            let (mut sim, connect) = asked(version, &["a"], true);
            sim.server.send_more(connect, &headers(fields));
            let text = outcome(&mut sim).unwrap_err().to_string();
            assert!(text.contains("none of the subprotocols") && text.contains("WT_ALPN_ERROR"), "{text}");
            sim.until("stop", |sim| sim.server.stopped.contains(&(connect, 0x0817_b3dd)).then_some(()));
        }
    }
}

#[test]
fn before_draft_15_a_subprotocol_that_was_not_offered_is_ignored() {
    let (mut sim, connect) = asked(&DRAFT02, &["a"], false);
    sim.server.send_more(connect, &headers(&[(":status", "200"), ("wt-protocol", r#""c""#)]));
    assert_eq!(outcome(&mut sim).unwrap().subprotocol, None);
}

#[test]
fn errors_of_webtransport_are_told_be_they_in_a_reset_or_a_capsule() {
    for code in [0x0817_b3dd_u32, 0x045d_4487] {
        let told = |error| match error {
            SessionError::Peer { by: CloseSource::Session, code, .. } => code,
            error => panic!("{error}"),
        };
        let (mut sim, connect, _) = established();
        sim.client.reset(connect, code.into());
        assert_eq!(told(closed(&mut sim)), Some(code.into()));
        let (mut sim, connect, _) = established();
        sim.client.send_more(connect, &capsule(0x2843, &code.to_be_bytes()));
        assert_eq!(told(closed(&mut sim)), Some(code.into()));
    }
}

// ---- origins ----

#[test]
fn pages_of_other_origins_are_refused() {
    let from = |origin: &'static str| {
        headers(&[
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "server.example:4433"),
            (":path", "/"),
            (":protocol", "webtransport"),
            ("origin", origin),
        ])
    };
    let list = |origins: &[&str]| AllowedOrigins::listed(origins.iter().map(ToString::to_string).collect()).unwrap();
    for (allowed, origin, is_allowed) in [
        (AllowedOrigins::default(), "https://server.example", true),
        (AllowedOrigins::default(), "http://localhost", false),
        (AllowedOrigins::default(), "null", false),
        (list(&["https://a.example", "null"]), "https://a.example", true),
        (list(&["https://a.example", "null"]), "null", true),
        (list(&["https://a.example"]), "https://server.example", false),
        (list(&["*"]), "https://anyone.example", true),
    ] {
        let mut sim = attack(Config { allowed_origins: allowed, ..Config::default() });
        sim.client.send(Dir::Uni, &settings(&CHROMIUM));
        let connect = sim.client.send(Dir::Bi, &from(origin));
        if is_allowed {
            request(&mut sim);
        } else {
            assert_status(&mut sim, connect, 403);
            assert!(!has_event(&mut sim, |event| matches!(event, Event::SessionRequested { .. })), "{origin}");
        }
    }
}

/// The whole answer on a request stream: it has this status, as a literal or by its index (RFC 9204, Appendix A)
fn assert_status(sim: &mut Attack, stream: QuicStreamId, status: u16) -> Vec<u8> {
    let mut answer = Vec::new();
    sim.until("answer", |sim| {
        let (data, end) = sim.client.read(stream);
        answer.extend_from_slice(&data);
        (end == Ok(true)).then_some(())
    });
    let text = status.to_string().into_bytes();
    let index = match status {
        200 => 25,
        404 => 27,
        503 => 28,
        403 => 68,
        _ => 63, // none: an entry that answers do not have
    };
    let indexed = if index < 63 { vec![0xc0 | index] } else { vec![0xff, index - 63] };
    let is_there = answer.windows(3).any(|window| window == text) || answer.windows(indexed.len()).any(|window| window == indexed);
    assert!(is_there, "{status}: {answer:x?}");
    answer
}

fn has_event(sim: &mut Attack, mut want: impl FnMut(&Event) -> bool) -> bool {
    std::iter::from_fn(|| sim.server.poll_event()).any(|event| want(&event))
}

// ---- refusals ----

#[test]
fn a_refusal_brings_its_headers_and_its_body() {
    let mut pair = Pair::new(Net::default());
    pair.ask("/");
    let session = pair.event(Side::Server, "request", |event| match event {
        Event::SessionRequested { session, .. } => Some(*session),
        _ => None,
    });
    let headers = vec![Field::from(("retry-after", "120"))];
    let now = pair.now();
    let answer = Response { headers, body: "come back later".into(), ..Response::new(503) };
    assert!(pair.sim.server.reject_session(now, session, &answer));
    let refusal = pair.event(Side::Client, "failure", |event| match event {
        Event::ConnectFailed { error: ConnectError::Rejected(response), .. } => Some(response.clone()),
        _ => None,
    });
    assert_eq!((refusal.status, &refusal.body[..]), (503, &b"come back later"[..]));
    assert!(refusal.headers.contains(&Field::from(("retry-after", "120"))));
    assert!(refusal.headers.contains(&Field::from(("content-length", "15"))));
}

#[test]
fn of_a_refusal_that_never_ends_16_kib_are_taken() {
    let (mut sim, connect) = asked(&SERVER, &[], false);
    sim.server.send_more(connect, &concat(&[&headers(&[(":status", "403")]), &frame(0x00, &[b'x'; 9000])]));
    sim.server.send_more(connect, &frame(0x00, &[b'y'; 90_000])[..30_000]);
    let body = refusal(&mut sim).body;
    assert_eq!((body.len(), body[8999], body[9000]), (16 << 10, b'x', b'y'));
}

#[test]
fn a_refusal_is_waited_for_but_not_for_long() {
    // Neither body nor FIN comes; a reset; the end of the connection
    for end in ["silence", "reset", "close", "trailers"] {
        let (mut sim, connect) = asked(&SERVER, &[], false);
        sim.server.send_more(connect, &headers(&[(":status", "429"), ("retry-after", "1")]));
        sim.server.send_more(connect, &frame(0x00, b"half"));
        sim.run(Duration::from_millis(500));
        let (now, begin) = (sim.now, sim.now);
        match end {
            "reset" => sim.server.reset(connect, 0x10c),
            "close" => sim.server.quic().close(now, 0u32.into(), "bye".into()),
            "trailers" => sim.server.send_more(connect, &headers(&[("x", "y")])),
            _ => {}
        }
        let refusal = refusal(&mut sim);
        // QUIC forgets what was not read when a stream is reset
        assert_eq!((refusal.status, &refusal.body[..]), (429, &b"half"[..]), "{end}");
        assert!(sim.now - begin < Duration::from_secs(1), "{end}");
    }
}

// ---- plain HTTP ----

fn get(method: &'static str) -> Vec<u8> {
    headers(&[(":method", method), (":scheme", "https"), (":authority", "a"), (":path", "/status?x"), ("accept", "*/*")])
}

fn http(config: Config) -> Attack {
    let mut sim = attack(Config { http_requests: true, ..config });
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    sim
}

fn http_requested(sim: &mut Attack) -> StreamId {
    event(sim, "plain request", |event| match event {
        Event::HttpRequested { stream, .. } => Some(stream),
        _ => None,
    })
}

#[test]
fn plain_requests_are_not_found_unless_somebody_wants_them() {
    let mut sim = http3();
    let stream = sim.client.send(Dir::Bi, &get("GET"));
    let answer = assert_status(&mut sim, stream, 404);
    assert!(answer.ends_with(b"WebTransport server\n"));
}

#[test]
fn plain_requests_are_answered_by_the_application() {
    for (method, body) in [("GET", true), ("HEAD", false), ("POST", true)] {
        let mut sim = http(Config::default());
        let stream = sim.client.send(Dir::Bi, &get(method));
        if method == "POST" {
            sim.client.send_more(stream, &frame(0x00, &[0; 10_000])); // which nobody reads
        } else {
            sim.client.finish(stream);
        }
        let (at, request) = event(&mut sim, "plain request", |event| match event {
            Event::HttpRequested { stream, request, .. } => Some((stream, request)),
            _ => None,
        });
        assert_eq!((request.method.as_str(), request.authority.as_str(), request.path.as_str()), (method, "a", "/status?x"));
        assert_eq!(request.headers, [Field::from(("accept", "*/*"))]);
        let now = sim.now;
        let response = Response { body: "{}".into(), ..Response::new(200) };
        assert!(sim.server.answer_http(now, at, &response));
        assert!(!sim.server.answer_http(now, at, &response), "answered once");
        assert_eq!(assert_status(&mut sim, stream, 200).ends_with(b"{}"), body, "{method}");
    }
}

#[test]
fn plain_requests_are_bounded_in_number_and_time() {
    let mut sim = http(Config { max_http_requests: 2, ..Config::default() });
    let streams = [0; 3].map(|_| sim.client.send(Dir::Bi, &get("GET")));
    let late = http_requested(&mut sim);
    http_requested(&mut sim);
    assert_status(&mut sim, streams[2], 503);
    assert_status(&mut sim, streams[0], 503);
    let now = sim.now;
    assert!(!sim.server.answer_http(now, late, &Response::new(200)), "too late");
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let mut sim = http(Config::default());
    sim.client.send(Dir::Bi, &get("GET"));
    let at = http_requested(&mut sim);
    let now = sim.now;
    // More than the client's window
    assert!(sim.server.answer_http(now, at, &Response { body: vec![0; 32 << 20].into(), ..Response::new(200) }));
    sim.until("end", |sim| (sim.server.connections() == 0).then_some(()));
}

// ---- time-outs ----

#[test]
fn a_request_that_is_never_complete_is_given_up() {
    let (mut sim, ..) = established(); // which keeps the connection
    let stream = sim.client.send(Dir::Bi, &get("GET")[..5]);
    costs_stream(&mut sim, stream, 0x10d);
}

#[test]
fn a_timeout_tells_how_far_the_server_came() {
    for (asked, expected) in
        [(false, "timed out: no answer from the server"), (true, "timed out: server fell silent before it answered the request")]
    {
        let mut pair = Pair::new(Net::default());
        pair.sim.blackhole = !asked;
        pair.ask("/");
        if asked {
            pair.event(Side::Server, "request", |event| matches!(event, Event::SessionRequested { .. }).then_some(()));
            pair.sim.blackhole = true;
        }
        let error = pair.event(Side::Client, "failure", |event| match event {
            Event::ConnectFailed { error, .. } => Some(error.to_string()),
            _ => None,
        });
        assert_eq!(error, expected);
    }
}

#[test]
fn a_server_without_settings_is_given_up() {
    let config = Config { keep_alive_interval: Some(Duration::from_secs(1)), ..Config::default() };
    let mut sim = raw_server(Net::default(), config);
    let now = sim.now;
    sim.client.connect(now, ConnectId(1), target("/"));
    let text = outcome(&mut sim).unwrap_err().to_string();
    assert!(text.contains("no SETTINGS") && text.contains("H3_MISSING_SETTINGS"), "{text}");
    let code = sim.until("connection close", |sim| sim.server.lost.is_some().then(|| sim.server.close_code()));
    assert_eq!(code, Some(0x10a));
}

// ---- priorities ----

#[test]
fn priorities_of_others_do_no_harm() {
    let mut sim = http3();
    let control = QuicStreamId::new(QuicSide::Client, Dir::Uni, 0);
    for ty in [0xf0700, 0xf0701] {
        sim.client.send_more(control, &frame(ty, b"\x00u=1, i")); // RFC 9218 §7.2
    }
    sim.client.send(
        Dir::Bi,
        &headers(&[
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/"),
            (":protocol", "webtransport"),
            ("priority", "u=4, i"),
        ]),
    );
    request(&mut sim);
}
