//! Two endpoints over real UDP on 127.0.0.1: what the handles promise holds with threads, sockets and a clock.

#![cfg(all(unix, not(loom)))]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, panic, thread};

use common::{Loop, target};
use webtransport_reactor::proto::{CloseSource, Config, ConnectError, Qlog, Response, SessionError};
use webtransport_reactor::{Counts, DatagramError, EndpointHandle, RecvHandle, RequestGone, SessionHandle, StreamError};

struct Pair {
    main: Loop,
    client: EndpointHandle,
    server: EndpointHandle,
    here: SessionHandle,
    there: SessionHandle,
}

fn pair() -> Pair {
    let main = Loop::new();
    let server = main.server(Config::default());
    let client = main.client(Config::default());
    let (here, there) = main.session(&client, &server);
    Pair { main, client, server, here, there }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

fn by_peer(code: u64, reason: &str) -> SessionError {
    SessionError::Peer { by: CloseSource::Session, code: Some(code), reason: reason.into() }
}

/// Wait for the reactor to have forgotten all but what `counts` says
#[track_caller]
fn settles(endpoint: &EndpointHandle, counts: impl Fn(Counts) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !counts(endpoint.counts()) {
        assert!(Instant::now() < deadline, "still {:?}", endpoint.counts());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn bytes_come_back() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let (send, recv) = main.open_bi(&here);
    main.write_all(&send, b"hello").unwrap();
    send.finish().unwrap();
    let (echo, heard) = main.accept_bi(&there).unwrap();
    assert_eq!(heard.id(), recv.id());
    let data = main.read_to_end(&heard).unwrap();
    main.write_all(&echo, &data).unwrap();
    echo.finish().unwrap();
    assert_eq!(main.read_to_end(&recv).unwrap(), b"hello");
    assert_eq!(main.until(|| send.closed(8).transpose()), Ok(None));
    assert_eq!(recv.closed(8), Ok(Some(None)));
}

/// Breaks when it is told to
#[derive(Debug, Default)]
struct Fragile(AtomicBool);

impl Qlog for Fragile {
    fn open(&self, _name: &str) -> Option<Box<dyn io::Write + Send + Sync>> {
        assert!(!self.0.load(Ordering::SeqCst), "as it was told to");
        None
    }
}

/// A panic costs the endpoint in which it happens, and no other of the loop
#[test]
fn a_panic_ends_one_endpoint_and_wakes_all_who_wait_for_it() {
    let main = Loop::new();
    let fragile = Arc::new(Fragile::default());
    let server = main.server(Config::default());
    let client = main.client(Config { qlog: Some(Arc::clone(&fragile) as _), ..Config::default() });
    let (here, _there) = main.session(&client, &server);
    assert!(here.accept_uni(4).unwrap().is_none());
    fragile.0.store(true, Ordering::SeqCst);
    main.mailbox.post(&mut vec![77]); // of another endpoint
    let connecting = client.connect(common::target(server.local_address())).unwrap();
    assert!(connecting.poll(1).unwrap().is_none());
    let (deadline, mut tokens) = (Instant::now() + Duration::from_secs(10), Vec::new());
    while ![1, 4, 77].iter().all(|token| tokens.contains(token)) {
        assert!(Instant::now() < deadline, "only {tokens:?}");
        tokens.extend(panic::catch_unwind(|| main.mailbox.drain()).unwrap_or_default());
    }
    assert!(matches!(connecting.poll(1), Err(ConnectError::Closed)));
    assert!(here.accept_uni(4).is_err());
    main.gone(&client);
    main.session(&main.client(Config::default()), &server);
}

/// A stream goes to whoever asks first once it is there, and who had waited for it waits for the next
#[test]
fn a_stream_that_another_had_waited_for_is_not_lost() {
    let main = Loop::new();
    let server = main.server(Config { max_concurrent_streams: 4, ..Config::default() });
    let client = main.client(Config::default());
    let (here, there) = main.session(&client, &server);
    let sends: Vec<_> = std::iter::from_fn(|| here.open_uni(8).unwrap()).collect();
    let recvs: Vec<_> = sends.iter().map(|_| main.accept_uni(&there).unwrap()).collect();
    let finish = |index: usize| {
        sends[index].finish().unwrap();
        assert_eq!(main.read_to_end(&recvs[index]).unwrap(), b"");
    };
    finish(0);
    let next = main.accept_uni(&there).unwrap(); // it has been opened for 8, and waits for who asks
    assert_eq!(here.open_uni(9).unwrap().unwrap().id(), next.id());
    assert!(here.open_uni(8).unwrap().is_none());
    finish(1);
    assert_ne!(main.until(|| here.open_uni(8).transpose()).unwrap().id(), next.id());
}

/// Whoever has a mailbox is expected to drain it; until then the thread does what there is to do
#[test]
fn a_loop_that_does_not_come_is_stood_in_for() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    for round in 0..3 {
        let (send, recv) = main.open_bi(&here);
        let (echo, heard) = main.accept_bi(&there).unwrap();
        // From here on nobody comes
        let ask = |handle: &RecvHandle| {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                if let Some(chunks) = handle.read(100, 6).unwrap() {
                    return chunks.len();
                }
                assert!(Instant::now() < deadline, "nobody stands in");
                thread::sleep(Duration::from_millis(1));
            }
        };
        assert_eq!(send.write(b"hello", 5).unwrap(), Some(5));
        assert_eq!(ask(&heard), 5);
        assert_eq!(echo.write(&[round; 7], 5).unwrap(), Some(7));
        assert_eq!(ask(&recv), 7);
    }
}

#[test]
fn megabytes_arrive_in_order_through_small_pipes() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let data = pattern(20 << 20);
    let sent = data.clone();
    let writer = thread::spawn(move || {
        let own = Loop::new();
        let send = main.open_uni(&here);
        for piece in sent.chunks(100_000) {
            main.write_all(&send, piece).unwrap();
        }
        send.finish().unwrap();
        drop(own);
        main.until(|| send.closed(8).transpose()).unwrap();
        here
    });
    // Two threads take turns with one bell: whoever hears it, so this one asks now and then
    let recv = loop {
        if let Some(recv) = there.accept_uni(4).unwrap() {
            break recv;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let mut received = Vec::new();
    loop {
        match recv.read(70_000, 6).unwrap() {
            Some(chunks) if chunks.is_empty() => break,
            Some(chunks) => chunks.iter().for_each(|chunk| received.extend_from_slice(chunk)),
            None => thread::sleep(Duration::from_micros(100)),
        }
    }
    assert!(received == data);
    writer.join().unwrap();
}

#[test]
fn a_peer_that_does_not_read_holds_the_writer_back() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let send = main.open_uni(&here);
    let piece = pattern(64 << 10);
    let mut written = 0;
    let mut silent = Instant::now();
    while silent.elapsed() < Duration::from_millis(300) {
        match send.write(&piece, 5).unwrap() {
            Some(taken) => {
                written += taken;
                silent = Instant::now();
                assert!(written < 64 << 20, "nothing holds the writer back");
            }
            None => drop(main.wait(Duration::from_millis(50))),
        }
    }
    // The rest of the session is not held back
    let (other, _recv) = main.open_bi(&here);
    main.write_all(&other, b"quick").unwrap();
    let (_send, heard) = main.accept_bi(&there).unwrap();
    assert_eq!(main.read(&heard, 100).unwrap(), b"quick");
    // And all of it arrives in the end
    send.finish().unwrap();
    let recv = main.accept_uni(&there).unwrap();
    assert_eq!(main.read_to_end(&recv).unwrap().len(), written);
}

#[test]
fn the_peer_learns_code_and_reason() {
    let Pair { main, here, there, client, server } = pair();
    let (send, recv) = main.open_bi(&here);
    let (_echo, heard) = main.accept_bi(&there).unwrap();
    here.close(7, "enough");
    // At once, and everywhere
    assert_eq!(here.end(), Some(SessionError::Local));
    assert_eq!(here.accept_bi(4).err(), Some(SessionError::Local));
    assert_eq!(send.write(b"x", 5), Err(SessionError::Local.into()));
    assert_eq!(recv.read(1, 6).err(), Some(SessionError::Local.into()));
    assert_eq!(send.finish(), Ok(()));
    assert_eq!(send.reset(3), Ok(()));
    // And there
    assert_eq!(main.accept_bi(&there).err(), Some(by_peer(7, "enough")));
    assert_eq!(main.read(&heard, 1), Err(by_peer(7, "enough").into()));
    assert_eq!(there.end(), Some(by_peer(7, "enough")));
    main.until(|| here.is_gone(8).then_some(()));
    main.until(|| there.is_gone(9).then_some(()));
    drop((send, recv, heard, here, there));
    settles(&server, |counts| counts.sessions == 0 && counts.streams == 0);
    settles(&client, |counts| counts.sessions == 0 && counts.streams == 0);
}

#[test]
fn what_was_finished_before_the_close_stays_readable() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let data = pattern(1 << 20);
    let first = main.open_uni(&here);
    main.write_all(&first, b"unfinished").unwrap();
    let second = main.open_uni(&here);
    main.write_all(&second, &data).unwrap();
    second.finish().unwrap();
    here.close(0, "");
    main.poll(|| there.end());
    let recv = main.accept_uni(&there).unwrap();
    assert!(main.read_to_end(&recv).unwrap() == data);
    assert_eq!(main.accept_uni(&there).err(), Some(by_peer(0, "")));
}

#[test]
fn a_dropped_stream_is_reset_and_stopped() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let (send, recv) = main.open_bi(&here);
    main.write_all(&send, b"half a message").unwrap();
    let (echo, heard) = main.accept_bi(&there).unwrap();
    drop((send, recv));
    assert_eq!(main.until(|| heard.closed(8).transpose()), Ok(Some(0)));
    assert_eq!(main.read(&heard, 100), Err(StreamError::Reset(Some(0))));
    assert_eq!(main.until(|| echo.closed(8).transpose()), Ok(Some(0)));
    assert_eq!(echo.write(b"x", 5), Err(StreamError::Stopped(Some(0))));
    assert_eq!(echo.finish(), Ok(()));
}

#[test]
fn a_reset_is_noticed_behind_a_full_pipe() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let send = main.open_uni(&here);
    let recv = main.accept_uni(&there).unwrap();
    let piece = pattern(64 << 10);
    // Nobody reads, so at some time nothing moves any more. To stop early would be no harm.
    while send.write(&piece, 5).unwrap().is_some() || !main.wait(Duration::from_millis(100)).is_empty() {}
    send.reset(42).unwrap();
    assert_eq!(send.reset(42), Err(StreamError::ClosedLocally));
    assert_eq!(main.until(|| recv.closed(8).transpose()), Ok(Some(42)));
    assert_eq!(main.read(&recv, 1), Err(StreamError::Reset(Some(42))));
}

#[test]
fn datagrams_go_both_ways() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    here.send_datagram(b"ping").unwrap();
    here.send_datagram(b"").unwrap();
    assert_eq!(main.until(|| there.receive_datagram(4).transpose()).unwrap(), "ping");
    assert_eq!(main.until(|| there.receive_datagram(4).transpose()).unwrap(), "");
    // The path's MTU is still being discovered
    let max = main.poll(|| {
        let max = there.max_datagram_size().unwrap();
        matches!(there.send_datagram(&pattern(max + 1)), Err(DatagramError::TooLarge { .. })).then_some(max)
    });
    assert!(max >= 1000);
    there.send_datagram(&pattern(max)).unwrap();
    while main.until(|| here.receive_datagram(4).transpose()).unwrap() != pattern(max) {
        there.send_datagram(&pattern(max)).unwrap();
    }
}

#[test]
fn no_datagram_vanishes_uncounted() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    let sent = 20_000_u64;
    let mut received = 0;
    for i in 0..sent {
        if !here.send_datagram(&i.to_be_bytes()).unwrap() {
            main.until(|| here.are_datagrams_sent(5).unwrap().then_some(()));
        }
        while there.receive_datagram(4).unwrap().is_some() {
            received += 1;
        }
    }
    assert_eq!(here.datagram_counts().0.dropped, 0, "the writer waited");
    // What the kernel dropped nobody counts, and on loopback with these buffers it drops none
    main.poll(|| {
        received += std::iter::from_fn(|| there.receive_datagram(4).unwrap()).count() as u64;
        (received + there.datagram_counts().1.dropped == sent).then_some(())
    });
}

#[test]
fn a_request_is_rejected_once() {
    let main = Loop::new();
    let (server, client) = (main.server(Config::default()), main.client(Config::default()));
    let connecting = client.connect(target(server.local_address())).unwrap();
    let request = main.until(|| server.accept(2));
    assert_eq!(request.request().path, "/");
    request.reject(Response::new(403)).unwrap();
    assert!(matches!(request.accept(Response::new(200)), Err(RequestGone::Answered)));
    let error = main.until(|| connecting.poll(1).transpose()).err();
    assert!(matches!(error, Some(ConnectError::Rejected(response)) if response.status == 403));
    // Unanswered is 404
    let connecting = client.connect(target(server.local_address())).unwrap();
    drop(main.until(|| server.accept(2)));
    let error = main.until(|| connecting.poll(1).transpose()).err();
    assert!(matches!(error, Some(ConnectError::Rejected(response)) if response.status == 404));
}

#[test]
fn an_attempt_can_be_given_up() {
    let main = Loop::new();
    let (server, client) = (main.server(Config::default()), main.client(Config::default()));
    let connecting = client.connect(target(server.local_address())).unwrap();
    let request = main.until(|| server.accept(2));
    drop(connecting);
    let error = main.poll(|| request.session_end());
    assert!(matches!(error, SessionError::Peer { .. }), "{error:?}");
    assert!(matches!(request.accept(Response::new(200)), Err(RequestGone::Gone(_))));
    settles(&client, |counts| counts.connecting == 0 && counts.sessions == 0);
    settles(&server, |counts| counts.sessions == 0);
}

#[test]
fn nobody_listens() {
    let main = Loop::new();
    let config = Config { max_idle_timeout: Some(Duration::from_millis(500)), ..Config::default() };
    let client = main.client(config);
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap(); // kept, so that no server of another test gets its port
    assert!(matches!(main.connect(&client, deaf.local_addr().unwrap()), Err(ConnectError::TimedOut)));
}

#[test]
fn closing_an_endpoint_ends_it_and_tells_everybody() {
    let Pair { main, client, server, here, there } = pair();
    server.close(9, b"done");
    assert!(server.is_closed());
    assert!(server.accept(2).is_none());
    assert_eq!(there.end(), Some(SessionError::Local));
    let error = main.poll(|| here.end());
    assert_eq!(error, SessionError::Peer { by: CloseSource::Application, code: Some(9), reason: "done".into() });
    main.gone(&server);
    assert_eq!(server.counts(), Counts::default());
    // The address is free again at once
    drop(std::net::UdpSocket::bind(server.local_address()).unwrap());
    client.close(0, b"");
    main.gone(&client);
    assert!(matches!(client.connect(target(server.local_address())), Err(ConnectError::Closed)));
}

#[test]
fn dropping_an_endpoint_closes_it() {
    let Pair { main, client, server, here, there } = pair();
    drop(client);
    let error = main.poll(|| there.end());
    assert_eq!(error, SessionError::Peer { by: CloseSource::Application, code: Some(0), reason: String::new() });
    assert_eq!(here.end(), Some(SessionError::Local));
    drop(here);
    settles(&server, |counts| counts == Counts::default());
}

#[test]
fn many_sessions_leave_nothing_behind() {
    let main = Loop::new();
    let (server, client) = (main.server(Config::default()), main.client(Config::default()));
    let sessions: Vec<_> = (0..100).map(|_| main.session(&client, &server)).collect();
    settles(&server, |counts| counts.connections == 100 && counts.sessions == 100);
    for (i, (here, there)) in sessions.iter().enumerate() {
        let (send, recv) = main.open_bi(here);
        let message = i.to_be_bytes();
        main.write_all(&send, &message).unwrap();
        send.finish().unwrap();
        let (echo, heard) = main.accept_bi(there).unwrap();
        let data = main.read_to_end(&heard).unwrap();
        main.write_all(&echo, &data).unwrap();
        echo.finish().unwrap();
        assert_eq!(main.read_to_end(&recv).unwrap(), message);
    }
    settles(&client, |counts| counts.streams == 0);
    settles(&server, |counts| counts.streams == 0);
    drop(sessions);
    settles(&client, |counts| counts.sessions == 0);
    settles(&server, |counts| counts.sessions == 0);
    client.close(0, b"");
    main.gone(&client);
    settles(&server, |counts| counts == Counts::default());
}

#[test]
fn a_burst_of_streams_opens_as_the_peer_permits() {
    let Pair { main, here, there, client: _client, server: _server } = pair();
    // More than are permitted at once: each waits until one before it has ended
    let mut open = Vec::new();
    for _ in 0..Config::default().max_concurrent_streams {
        open.push(main.open_uni(&here));
    }
    while here.open_uni(3).unwrap().is_some() {}
    for send in &open {
        send.finish().unwrap();
    }
    for _ in &open {
        let recv = main.accept_uni(&there).unwrap();
        assert_eq!(main.read_to_end(&recv).unwrap(), b"");
    }
    main.open_uni(&here);
}
