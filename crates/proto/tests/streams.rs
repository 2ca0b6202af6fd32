//! Streams carry their bytes to the right session, whole, and end as they were ended.

mod sim;

use std::time::Duration;

use sim::{Net, Pair, Side};
use webtransport_proto::{Config, Dir, Event, Read};

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn bytes_arrive_whole_over_a_bad_network() {
    for seed in 0..40 {
        let mut pair = Pair::new(Net { seed, loss: 50, reorder: 100, duplicate: 50, ..Net::default() });
        let (client, server) = pair.connect();
        for (side, other, session) in [(Side::Client, Side::Server, client), (Side::Server, Side::Client, server)] {
            for dir in [Dir::Uni, Dir::Bi] {
                let data = noise(100_000);
                let stream = pair.open(side, session, dir);
                pair.write(side, stream, &data);
                pair.finish(side, stream);
                let accepted = pair.accept(other);
                assert_eq!(accepted.dir(), dir);
                let (read, end) = pair.read(other, accepted);
                assert_eq!((read == data, end), (true, Read::Finished), "seed {seed}");
                pair.event(side, "acknowledged", |event| matches!(event, Event::StreamFinished { .. }).then_some(()));
            }
        }
    }
}

#[test]
fn an_echo_comes_back_on_the_same_stream() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Bi);
    pair.write(Side::Client, stream, b"ping");
    pair.finish(Side::Client, stream);
    let accepted = pair.accept(Side::Server);
    assert_eq!(pair.read(Side::Server, accepted), (b"ping".to_vec(), Read::Finished));
    pair.write(Side::Server, accepted, b"pong");
    pair.finish(Side::Server, accepted);
    assert_eq!(pair.read(Side::Client, stream), (b"pong".to_vec(), Read::Finished));
    assert_eq!(pair.read_now(Side::Client, stream), Read::Closed);
}

#[test]
fn an_open_alone_reaches_the_peer() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let uni = pair.open(Side::Client, client, Dir::Uni);
    assert_eq!(pair.accept(Side::Server).as_u64(), uni.as_u64());
    let bi = pair.open(Side::Client, client, Dir::Bi);
    assert_eq!(pair.accept(Side::Server).as_u64(), bi.as_u64());
}

#[test]
fn a_reset_alone_reaches_the_peer_even_if_the_header_is_lost_once() {
    for lost in [false, true] {
        let mut pair = Pair::new(Net::default());
        let (client, _) = pair.connect();
        pair.sim.run(Duration::from_secs(1));
        let stream = pair.open(Side::Client, client, Dir::Uni);
        let now = pair.now();
        pair.sim.client.reset(now, stream, 42);
        pair.sim.blackhole = lost;
        pair.sim.flush();
        pair.sim.blackhole = false;
        let accepted = pair.accept(Side::Server);
        assert_eq!(pair.read(Side::Server, accepted), (vec![], Read::Reset(Some(42))));
    }
}

/// The FIN of an empty stream waits for a round trip; a reset that comes after it waits for its own time
#[test]
fn a_reset_waits_for_the_header_also_after_a_fin() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    pair.sim.run(Duration::from_secs(1));
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.finish(Side::Client, stream);
    pair.sim.blackhole = true;
    pair.sim.flush();
    let now = pair.now();
    pair.sim.client.reset(now, stream, 42);
    pair.sim.flush();
    pair.sim.blackhole = false;
    let accepted = pair.accept(Side::Server);
    assert_eq!(pair.read(Side::Server, accepted), (vec![], Read::Reset(Some(42))));
}

/// Whoever opens a stream may stand still before anything leaves: a reset, and the FIN of an empty stream, wait all the same
#[test]
fn the_end_of_a_stream_waits_for_a_header_that_has_yet_to_leave() {
    for reset in [false, true] {
        let mut pair = Pair::new(Net::default());
        let (client, _) = pair.connect();
        pair.sim.run(Duration::from_secs(1));
        let stream = pair.open(Side::Client, client, Dir::Uni);
        pair.sim.now += Duration::from_secs(1);
        if reset {
            let now = pair.now();
            pair.sim.client.reset(now, stream, 42);
        } else {
            pair.finish(Side::Client, stream);
        }
        let accepted = pair.accept(Side::Server);
        assert_eq!(pair.read_now(Side::Server, accepted), Read::Blocked);
        let end = if reset { Read::Reset(Some(42)) } else { Read::Finished };
        assert_eq!(pair.read(Side::Server, accepted), (vec![], end));
    }
}

#[test]
fn a_stop_alone_reaches_the_peer() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Bi);
    pair.sim.client.stop(stream, 5);
    let accepted = pair.accept(Side::Server);
    let code = pair.event(Side::Server, "stopped", |event| match event {
        Event::StreamStopped { stream, code } if *stream == accepted => Some(*code),
        _ => None,
    });
    assert_eq!(code, Some(5));
}

#[test]
fn codes_arrive_unchanged() {
    for code in [0, 1, 29, 30, 31, 255, 256, u32::MAX] {
        let mut pair = Pair::new(Net::default());
        let (_, server) = pair.connect();
        let stream = pair.open(Side::Server, server, Dir::Bi);
        pair.write(Side::Server, stream, b"x");
        let accepted = pair.accept(Side::Client);
        let now = pair.now();
        pair.sim.client.stop(accepted, code);
        pair.sim.client.reset(now, accepted, code);
        let stopped = pair.event(Side::Server, "stopped", |event| match event {
            Event::StreamStopped { code, .. } => Some(*code),
            _ => None,
        });
        assert_eq!(stopped, Some(code));
        assert_eq!(pair.read(Side::Server, stream).1, Read::Reset(Some(code)));
    }
}

#[test]
fn stop_is_answered_by_a_reset_with_its_code_or_the_applications() {
    for own in [None, Some(9)] {
        let mut pair = Pair::new(Net::default());
        let (client, _) = pair.connect();
        let stream = pair.open(Side::Client, client, Dir::Bi);
        pair.write(Side::Client, stream, b"x");
        let accepted = pair.accept(Side::Server);
        pair.sim.server.stop(accepted, 3);
        pair.event(Side::Client, "stopped", |event| matches!(event, Event::StreamStopped { .. }).then_some(()));
        if let Some(code) = own {
            let now = pair.now();
            pair.sim.client.reset(now, stream, code);
        }
        // The sending half is gone either way, so that nothing of it keeps a session's close waiting
        pair.close(Side::Client, client, 0, "");
        pair.closed(Side::Server);
    }
}

#[test]
fn check_reset_sees_a_reset_behind_unread_bytes() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &noise(5000));
    let accepted = pair.accept(Side::Server);
    pair.sim.run(Duration::from_secs(1));
    let now = pair.now();
    assert_eq!(pair.sim.server.check_reset(now, accepted), None);
    pair.sim.client.reset(now, stream, 11);
    let code = pair.sim.until("reset", |sim| sim.server.check_reset(sim.now, accepted));
    assert_eq!(code, Some(11));
    assert_eq!(pair.read_now(Side::Server, accepted), Read::Closed);
}

#[test]
fn an_empty_stream_ends_cleanly() {
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    for (side, other, session) in [(Side::Client, Side::Server, client), (Side::Server, Side::Client, server)] {
        let stream = pair.open(side, session, Dir::Uni);
        pair.finish(side, stream);
        let accepted = pair.accept(other);
        assert_eq!(pair.read(other, accepted), (vec![], Read::Finished));
    }
}

#[test]
fn a_peer_that_does_not_read_holds_the_writer_back() {
    let mut pair = Pair::new(Net { latency: Duration::from_millis(1), ..Net::default() });
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Uni);
    let data = noise(20 << 20);
    pair.write(Side::Client, stream, &data);
    let accepted = pair.accept(Side::Server);
    pair.sim.run(Duration::from_secs(20));
    let mut taken = 0;
    while pair.has_event(Side::Client, |event| {
        if let Event::StreamWritten { bytes, .. } = event {
            taken += bytes;
        }
        matches!(event, Event::StreamWritten { .. })
    }) {}
    assert!(taken <= 16 << 20, "{taken} bytes left although the peer reads none");
    pair.finish(Side::Client, stream);
    let (read, end) = pair.read(Side::Server, accepted);
    assert_eq!((read == data, end), (true, Read::Finished));
}

#[test]
fn a_stream_that_has_the_connection_for_itself_is_not_cut_up() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &noise(24 << 10));
    let written = pair.event(Side::Client, "written", |event| match event {
        Event::StreamWritten { bytes, .. } => Some(*bytes),
        _ => None,
    });
    assert_eq!(written, 24 << 10);
}

#[test]
fn streams_come_back_for_use() {
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    for round in 0..400 {
        for (side, other, session) in [(Side::Client, Side::Server, client), (Side::Server, Side::Client, server)] {
            let stream = pair.open(side, session, if round % 2 == 0 { Dir::Uni } else { Dir::Bi });
            pair.write(side, stream, b"x");
            pair.finish(side, stream);
            let accepted = pair.accept(other);
            pair.read(other, accepted);
            if accepted.dir() == Dir::Bi {
                pair.finish(other, accepted);
                pair.read(side, stream);
            }
            pair.event(side, "acknowledged", |event| matches!(event, Event::StreamFinished { .. }).then_some(()));
        }
    }
}

#[test]
fn the_higher_priority_goes_first() {
    let mut pair = Pair::new(Net::default());
    let (client, _) = pair.connect();
    let streams = [0, -1, 5].map(|priority| {
        let stream = pair.open(Side::Client, client, Dir::Uni);
        pair.sim.client.set_send_order(stream, 0, priority);
        stream
    });
    for stream in streams {
        pair.write(Side::Client, stream, &noise(300_000));
        pair.finish(Side::Client, stream);
    }
    let mut accepted = [0; 3].map(|_| pair.accept(Side::Server));
    accepted.sort_by_key(|stream| stream.as_u64()); // the most urgent one came first
    let mut finished = vec![];
    while finished.len() < 3 {
        for (stream, priority) in accepted.into_iter().zip([0, -1, 5]) {
            while let Read::Chunk(_) = pair.read_now(Side::Server, stream) {}
            if !finished.contains(&priority) && pair.read_now(Side::Server, stream) == Read::Closed {
                finished.push(priority);
            }
        }
        pair.sim.step();
    }
    assert_eq!(finished, [5, 0, -1]);
}

#[test]
fn a_reset_after_finish_never_looks_like_the_end() {
    // The peer's window holds most of it back, so that the FIN has yet to leave when the reset, too early to go, waits
    let small = Config { stream_receive_window: 10_000, ..Config::default() };
    let mut pair = Pair::with(Net::default(), Config::default(), small);
    let (client, _) = pair.connect();
    let stream = pair.open(Side::Client, client, Dir::Uni);
    pair.write(Side::Client, stream, &noise(50_000));
    pair.finish(Side::Client, stream);
    let now = pair.now();
    pair.sim.client.reset(now, stream, 7);
    let there = pair.accept(Side::Server);
    let (data, end) = pair.read(Side::Server, there);
    assert_eq!((data.len() < 50_000, end), (true, Read::Reset(Some(7))));
}

#[test]
fn sixteen_mebibytes_arrive_although_a_fifth_is_lost() {
    let mut pair = Pair::new(Net { loss: 200, latency: Duration::from_millis(2), ..Net::default() });
    let (client, server) = pair.connect();
    let data = noise(16 << 20);
    for (side, other, session) in [(Side::Client, Side::Server, client), (Side::Server, Side::Client, server)] {
        let stream = pair.open(side, session, Dir::Uni);
        pair.write(side, stream, &data);
        pair.finish(side, stream);
        let accepted = pair.accept(other);
        let (read, end) = pair.read(other, accepted);
        assert_eq!((read == data, end), (true, Read::Finished));
    }
}

#[test]
fn who_opens_streams_may_open_as_many_as_are_permitted() {
    // Few are at first, since quinn keeps something for each that is; the rest a round trip later
    let mut pair = Pair::new(Net::default());
    let (client, server) = pair.connect();
    for (side, session) in [(Side::Client, client), (Side::Server, server)] {
        for dir in [Dir::Uni, Dir::Bi] {
            let open = |pair: &mut Pair| {
                let now = pair.now();
                std::iter::from_fn(|| pair.endpoint(side).open_stream(now, session, dir)).count()
            };
            let first = open(&mut pair);
            assert!(first >= 20, "{side:?} {dir:?}: {first}");
            pair.sim.run(4 * Net::default().latency);
            assert_eq!(first + open(&mut pair), 128, "{side:?} {dir:?}");
        }
    }
}
