//! Flow control of sessions: nobody sends more than permitted, everybody is permitted more in time, and sessions that share
//! a connection share it fairly (WT §5).

mod sim;

use std::time::Duration;

use quinn_proto::VarInt;
use sim::raw::{
    Attack, attack, capsule, closed, concat, connect_request, costs_stream, event, raw_server, request, settings, varint,
};
use sim::{Net, Pair, Side, Sim, client_address, server_address, target};
use webtransport_proto::{Config, ConnectId, Dir, Endpoint, Event, Read, Response, SessionError, SessionId};

const MAX_DATA: u64 = 0x190b_4d3d;
const MAX_STREAM_DATA: u64 = 0x190b_4d3e;
const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
const MAX_STREAMS_UNI: u64 = 0x190b_4d40;
const DATA_BLOCKED: u64 = 0x190b_4d41;
const STREAM_DATA_BLOCKED: u64 = 0x190b_4d42;
const STREAMS_BLOCKED_BIDI: u64 = 0x190b_4d43;
const STREAMS_BLOCKED_UNI: u64 = 0x190b_4d44;

const FLOW_CONTROL_ERROR: u64 = 0x045d_4487;
const MESSAGE_ERROR: u64 = 0x10e;

/// Settings of the newest draft with these limits
fn limits(data: u64, uni: u64, bidi: u64) -> Vec<u8> {
    settings(&[(0x33, 1), (0x2c7c_f000, 1), (0x2b61, data), (0x2b64, uni), (0x2b65, bidi)])
}

/// A client with these limits of its own: its connection, CONNECT stream and session
fn established(server: Config, limits: &[u8]) -> (Attack, quinn_proto::StreamId, SessionId) {
    let mut sim = attack(server);
    sim.client.send(Dir::Uni, limits);
    let (connect, session) = another(&mut sim);
    (sim, connect, session)
}

/// One more session on the same connection
fn another(sim: &mut Attack) -> (quinn_proto::StreamId, SessionId) {
    let connect = sim.client.send(Dir::Bi, &connect_request());
    let session = request(sim);
    let now = sim.now;
    assert!(sim.server.accept_session(now, session, &Response::new(200)));
    (connect, session)
}

/// What came on the CONNECT stream since it was last read
fn said(sim: &mut Attack, connect: quinn_proto::StreamId) -> Vec<u8> {
    sim.run(Duration::from_millis(200));
    sim.client.read(connect).0
}

fn holds(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|&window| window == part).count()
}

/// The first stream of the session `id` that our server opened, and what came on it after the header
fn body(sim: &mut Attack, id: u64) -> (quinn_proto::StreamId, Vec<u8>) {
    sim.run(Duration::from_millis(200));
    let header = concat(&[&varint(0x54), &varint(id)]);
    for stream in sim.client.accepted(Dir::Uni) {
        let (data, _) = sim.client.read(stream);
        if let Some(body) = data.strip_prefix(&header[..]) {
            return (stream, body.to_vec());
        }
    }
    panic!("no stream of session {id}");
}

#[test]
fn data_stops_at_the_limit_and_goes_on_when_it_rises() {
    let (mut sim, connect, session) = established(Config::default(), &limits(1000, 10, 10));
    let now = sim.now;
    let stream = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.write(stream, vec![7; 3000].into());
    let (raw, data) = body(&mut sim, 0);
    assert_eq!(data.len(), 1000, "the header does not count");
    let told = said(&mut sim, connect);
    assert_eq!(holds(&told, &capsule(DATA_BLOCKED, &varint(1000))), 1);

    sim.client.send_more(connect, &capsule(MAX_DATA, &varint(2500)));
    let told = said(&mut sim, connect);
    assert_eq!(sim.client.read(raw).0.len(), 1500);
    assert_eq!(holds(&told, &capsule(DATA_BLOCKED, &varint(2500))), 1);

    sim.server.finish(stream);
    sim.client.send_more(connect, &capsule(MAX_DATA, &varint(3000)));
    sim.run(Duration::from_millis(200));
    assert_eq!(sim.client.read(raw), (vec![7; 500], Ok(true)));
}

#[test]
fn a_stream_that_is_blocked_can_still_end() {
    let (mut sim, _, session) = established(Config::default(), &limits(10, 10, 10));
    let now = sim.now;
    let stream = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.write(stream, vec![7; 10].into());
    sim.server.finish(stream);
    let empty = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.finish(empty);
    sim.run(Duration::from_secs(1));
    let [.., first, second] = sim.client.accepted(Dir::Uni)[..] else { panic!("no streams") };
    for (stream, len) in [(first, 13), (second, 3)] {
        let (data, end) = sim.client.read(stream);
        assert_eq!((data.len(), end), (len, Ok(true)));
    }
}

#[test]
fn streams_stop_at_the_limit_and_go_on_when_it_rises() {
    for (dir, blocked, raise) in
        [(Dir::Uni, STREAMS_BLOCKED_UNI, MAX_STREAMS_UNI), (Dir::Bi, STREAMS_BLOCKED_BIDI, MAX_STREAMS_BIDI)]
    {
        let (mut sim, connect, session) = established(Config::default(), &limits(1000, 2, 2));
        let now = sim.now;
        for permitted in [true, true, false, false] {
            assert_eq!(sim.server.open_stream(now, session, dir).is_some(), permitted);
        }
        let told = said(&mut sim, connect);
        assert_eq!(holds(&told, &capsule(blocked, &varint(2))), 1, "told once");
        sim.client.send_more(connect, &capsule(raise, &varint(3)));
        event(&mut sim, "more streams", |event| {
            matches!(event, Event::StreamsAvailable { dir: of, .. } if of == dir).then_some(())
        });
        let now = sim.now;
        assert!(sim.server.open_stream(now, session, dir).is_some());
        assert!(sim.server.open_stream(now, session, dir).is_none());
    }
}

#[test]
fn a_limit_that_is_absent_is_zero() {
    let (mut sim, connect, session) = established(Config::default(), &limits(1000, 0, 0));
    let now = sim.now;
    assert!(sim.server.open_stream(now, session, Dir::Uni).is_none());
    assert!(sim.server.open_stream(now, session, Dir::Bi).is_none());
    sim.client.send_more(connect, &capsule(MAX_STREAMS_BIDI, &varint(1)));
    sim.run(Duration::from_millis(100));
    let now = sim.now;
    assert!(sim.server.open_stream(now, session, Dir::Bi).is_some());

    let (mut sim, connect, session) = established(Config::default(), &limits(0, 10, 10));
    let now = sim.now;
    let stream = sim.server.open_stream(now, session, Dir::Uni).unwrap();
    sim.server.write(stream, vec![7; 10].into());
    assert_eq!(body(&mut sim, 0).1, b"");
    assert_eq!(holds(&said(&mut sim, connect), &capsule(DATA_BLOCKED, &varint(0))), 1);
}

/// What these capsules on its CONNECT stream cost a session
fn capsules_cost(capsules: &[(u64, u64)], code: u64) {
    let (mut sim, connect, _) = established(Config::default(), &limits(1000, 10, 10));
    for &(ty, value) in capsules {
        sim.client.send_more(connect, &capsule(ty, &varint(value)));
    }
    costs_stream(&mut sim, connect, code);
    assert!(sim.client.stopped.contains(&(connect, code)));
    let error = closed(&mut sim);
    assert!(matches!(error, SessionError::Protocol(_)), "{error:?}");
}

#[test]
fn max_data_must_grow() {
    capsules_cost(&[(MAX_DATA, 1000)], FLOW_CONTROL_ERROR);
    capsules_cost(&[(MAX_DATA, 999)], FLOW_CONTROL_ERROR);
    capsules_cost(&[(MAX_DATA, 1001), (MAX_DATA, 1001)], FLOW_CONTROL_ERROR);
}

#[test]
fn max_streams_must_grow() {
    for ty in [MAX_STREAMS_BIDI, MAX_STREAMS_UNI] {
        capsules_cost(&[(ty, 10)], FLOW_CONTROL_ERROR);
        capsules_cost(&[(ty, 11), (ty, 10)], FLOW_CONTROL_ERROR);
    }
}

#[test]
fn numbers_of_streams_beyond_two_to_the_sixty_cost_the_session() {
    for ty in [MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI] {
        capsules_cost(&[(ty, (1 << 60) + 1)], FLOW_CONTROL_ERROR);
    }
}

#[test]
fn capsules_of_single_streams_cost_the_session() {
    capsules_cost(&[(MAX_STREAM_DATA, 5)], MESSAGE_ERROR);
    capsules_cost(&[(STREAM_DATA_BLOCKED, 5)], MESSAGE_ERROR);
}

#[test]
fn blocked_capsules_cost_nothing() {
    let (mut sim, connect, _) = established(Config::default(), &limits(1000, 10, 10));
    for ty in [DATA_BLOCKED, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI] {
        sim.client.send_more(connect, &capsule(ty, &varint(0)));
    }
    sim.client.send_more(connect, &capsule(MAX_STREAMS_UNI, &varint(1 << 60)));
    sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0), b"still here"]));
    event(&mut sim, "stream", |event| matches!(event, Event::StreamOpened { .. }).then_some(()));
}

#[test]
fn data_beyond_the_limit_costs_the_session() {
    let server = Config { session_receive_window: 1000, ..Config::default() };
    let (mut sim, connect, _) = established(server, &limits(1000, 10, 10));
    for len in [600, 401] {
        sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(0), &vec![7; len]]));
    }
    let streams = [0; 2].map(|_| {
        event(&mut sim, "stream", |event| match event {
            Event::StreamOpened { stream, .. } => Some(stream),
            _ => None,
        })
    });
    sim.run(Duration::from_millis(100));
    let now = sim.now;
    for stream in streams {
        while let Read::Chunk(_) = sim.server.read(now, stream, usize::MAX) {}
    }
    costs_stream(&mut sim, connect, FLOW_CONTROL_ERROR);
}

/// Whoever always has more to send never runs dry. A limit is known to the peer from the packet on that carries it.
#[test]
fn a_peer_may_use_new_limits_while_we_never_stop_sending() {
    let server = Config { session_receive_window: 20_000, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), server);
    let (client, server) = pair.connect();
    let down = pair.open(Side::Server, server, Dir::Uni);
    pair.write(Side::Server, down, &vec![1; 8 << 20]);
    let up = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, up, &[2; 200_000]);
    let mut received = 0;
    for _ in 0..2000 {
        pair.sim.now += Duration::from_millis(1);
        let (now, mut buf) = (pair.now(), Vec::new());
        assert!(pair.sim.server.poll_transmit(now, 1, &mut buf).is_some(), "it never runs dry");
        pair.sim.client.handle_datagram(now, server_address(), None, None, buf[..].into());
        while let Some(event) = pair.sim.client.poll_event() {
            if let Event::StreamOpened { stream, .. } | Event::StreamReadable { stream } = event {
                while let Read::Chunk(_) = pair.sim.client.read(now, stream, usize::MAX) {}
            }
        }
        buf.clear();
        while pair.sim.client.poll_transmit(now, 1, &mut buf).is_some() {
            pair.sim.server.handle_datagram(now, client_address(), None, None, buf[..].into());
            buf.clear();
        }
        while let Some(event) = pair.sim.server.poll_event() {
            match event {
                Event::StreamOpened { stream, .. } | Event::StreamReadable { stream } => {
                    while let Read::Chunk(data) = pair.sim.server.read(now, stream, usize::MAX) {
                        received += data.len();
                    }
                }
                Event::SessionClosed { error, .. } => panic!("{error} after {received} bytes"),
                _ => {}
            }
        }
        if received == 200_000 {
            return;
        }
    }
    panic!("only {received} bytes");
}

#[test]
fn limits_rise_as_data_is_read_and_streams_end() {
    let small = || Config { session_receive_window: 10_000, max_concurrent_streams: 8, ..Config::default() };
    for seed in 0..10 {
        let net = Net { seed, loss: 20 * seed, reorder: 50, ..Net::default() };
        let mut pair = Pair::with(net, small(), small());
        let (client, server) = pair.connect();
        for (side, other, session) in [(Side::Client, Side::Server, client), (Side::Server, Side::Client, server)] {
            for i in 0..60 {
                let dir = if i % 2 == 0 { Dir::Uni } else { Dir::Bi };
                let stream = pair.sim.until("credit for a stream", |sim| {
                    let now = sim.now;
                    let endpoint = if side == Side::Client { &mut sim.client } else { &mut sim.server };
                    endpoint.open_stream(now, session, dir)
                });
                pair.write(side, stream, &[7; 2500]);
                pair.finish(side, stream);
                let accepted = pair.accept(other);
                let (data, end) = pair.read(other, accepted);
                assert_eq!((data.len(), end), (2500, Read::Finished), "seed {seed}");
                if dir == Dir::Bi {
                    pair.finish(other, accepted);
                    assert_eq!(pair.read(side, stream).1, Read::Finished);
                }
            }
        }
    }
}

#[test]
fn streams_that_end_early_use_no_credit_up() {
    let small = || Config { session_receive_window: 10_000, max_concurrent_streams: 8, ..Config::default() };
    for seed in 0..10 {
        let mut pair = Pair::with(Net { seed, loss: 15 * seed, ..Net::default() }, small(), small());
        let (client, _) = pair.connect();
        let mut accepted = Vec::new();
        let mut open = |sim: &mut Sim<Endpoint, Endpoint>| {
            let now = sim.now;
            while let Some(event) = sim.server.poll_event() {
                if let Event::StreamOpened { stream, .. } = event {
                    accepted.push(stream);
                }
            }
            // Some are read to their end, of others no more than the end is noticed, and some are stopped
            for (index, &stream) in accepted.iter().enumerate() {
                match index % 3 {
                    0 => while let Read::Chunk(_) = sim.server.read(now, stream, 1000) {},
                    1 => drop(sim.server.check_reset(now, stream)),
                    _ => sim.server.stop(stream, 2),
                }
            }
            sim.client.open_stream(now, client, Dir::Uni)
        };
        for i in 0..80 {
            let stream = pair.sim.until("credit for a stream", &mut open);
            pair.write(Side::Client, stream, &[7; 3000]);
            if i % 4 > 0 {
                pair.sim.run(Duration::from_millis(10 * (i % 4)));
            }
            let now = pair.now();
            pair.sim.client.reset(now, stream, 1);
        }
        // There is credit for another stream, and for its data
        let last = pair.sim.until("credit for a stream", &mut open);
        pair.write(Side::Client, last, &[8; 20_000]);
        pair.finish(Side::Client, last);
        let last = pair.event(Side::Server, "last stream", |event| match event {
            Event::StreamOpened { stream, .. } if stream.as_u64() == last.as_u64() => Some(*stream),
            _ => None,
        });
        let (data, end) = pair.read(Side::Server, last);
        assert_eq!((data.len(), end), (20_000, Read::Finished), "seed {seed}");
    }
}

#[test]
fn a_stream_lost_before_its_header_is_given_back() {
    let server = Config { max_concurrent_streams: 8, ..Config::default() };
    let (mut sim, connect, _) = established(server, &limits(1000, 10, 10));
    for _ in 0..2 {
        let stream = sim.client.send(Dir::Uni, &[0x40]);
        sim.client.reset(stream, 0);
    }
    let told = said(&mut sim, connect);
    assert_eq!(holds(&told, &capsule(MAX_STREAMS_UNI, &varint(10))), 1);
}

#[test]
fn sessions_share_a_connection_up_to_the_limit() {
    let (mut sim, ..) = established(Config { max_sessions: 3, ..Config::default() }, &limits(1 << 20, 10, 10));
    let sessions = [another(&mut sim), another(&mut sim)];
    let excess = sim.client.send(Dir::Bi, &connect_request());
    costs_stream(&mut sim, excess, 0x10b);
    for (connect, session) in sessions {
        let id = u64::from(VarInt::from(connect));
        sim.client.send(Dir::Uni, &concat(&[&varint(0x54), &varint(id), b"mine"]));
        let found = event(&mut sim, "stream", |event| match event {
            Event::StreamOpened { session, .. } => Some(session),
            _ => None,
        });
        assert_eq!(found, session);
    }
    // One that ends makes room for one
    sim.client.finish(sessions[0].0);
    closed(&mut sim);
    sim.run(Duration::from_secs(1));
    another(&mut sim);
}

#[test]
fn sessions_share_a_connection_fairly() {
    const LEN: usize = 1 << 20;
    let (mut sim, _, greedy) = established(Config::default(), &limits(1 << 40, 100, 100));
    let (_, modest) = another(&mut sim);
    // Losses keep the congestion window, and so what QUIC takes ahead, smaller than what there is to send
    sim.net.loss = 20;
    let now = sim.now;
    for session in [greedy, greedy, greedy, greedy, modest] {
        let stream = sim.server.open_stream(now, session, Dir::Uni).unwrap();
        sim.server.write(stream, vec![7; LEN].into());
    }
    let mut read = [0, 0];
    sim.until("the modest session's data", |sim| {
        for stream in sim.client.accepted(Dir::Uni) {
            let (data, _) = sim.client.read(stream);
            // The first stream of the second session is the last of all
            let last = sim.client.accepted(Dir::Uni).last() == Some(&stream);
            read[usize::from(last)] += data.len();
        }
        (read[1] >= LEN).then_some(())
    });
    assert!(read[0] < LEN * 5 / 4, "while one session got {}, the other got {}", read[1], read[0]);
    assert!(read[0] > LEN * 3 / 4, "while one session got {}, the other got {}", read[1], read[0]);
}

#[test]
fn an_urgent_stream_overtakes_what_waits() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let bulk = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, bulk, &vec![7; 4 << 20]);
    let bulk = pair.accept(Side::Server);
    let urgent = pair.open(Side::Client, client, Dir::Uni);
    pair.sim.client.set_send_order(urgent, 0, 1);
    pair.write(Side::Client, urgent, &[8; 100_000]);
    pair.finish(Side::Client, urgent);
    let urgent = pair.accept(Side::Server);
    let (mut waited, mut end) = (0, Read::Blocked);
    while end != Read::Finished {
        assert!(pair.sim.step());
        while let Read::Chunk(data) = pair.read_now(Side::Server, bulk) {
            waited += data.len();
        }
        loop {
            end = pair.read_now(Side::Server, urgent);
            if !matches!(end, Read::Chunk(_)) {
                break;
            }
        }
    }
    assert!(waited < 1 << 20, "{waited} bytes came first");
}

#[test]
fn a_client_keeps_to_the_servers_limits() {
    let mut sim = raw_server(Net::default(), Config::default());
    let now = sim.now;
    sim.client.connect(now, ConnectId(1), target("/"));
    sim.until("handshake", |sim| sim.server.connected.then_some(()));
    let server = settings(&[(0x08, 1), (0x33, 1), (0x2c7c_f000, 1), (0x2b61, 5), (0x2b64, 1), (0x2b65, 0)]);
    sim.server.send(Dir::Uni, &server);
    let connect = sim.until("request", |sim| sim.server.accepted(Dir::Bi).first().copied());
    sim.server.send_more(connect, &sim::raw::headers(&[(":status", "200")]));
    let session = sim.until("session", |sim| match sim.client.poll_event() {
        Some(Event::SessionEstablished { session, .. }) => Some(session),
        _ => None,
    });
    let now = sim.now;
    assert!(sim.client.open_stream(now, session, Dir::Bi).is_none());
    let stream = sim.client.open_stream(now, session, Dir::Uni).unwrap();
    assert!(sim.client.open_stream(now, session, Dir::Uni).is_none());
    sim.client.write(stream, vec![7; 9].into());
    sim.run(Duration::from_millis(200));
    let id = *sim.server.accepted(Dir::Uni).last().unwrap();
    assert_eq!(sim.server.read(id).0.len(), 3 + 5);
}
