//! Every interleaving of two threads on a pipe or a mailbox: no wake is lost, no byte is lost, nobody is forgotten.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p webtransport-reactor --test pipe_loom`, in a target directory of its own.

#![cfg(loom)]

use std::sync::Arc;

use bytes::Bytes;
use loom::thread;
use webtransport_reactor::pipe::{CAPACITY, Flush, Flushed, Outcome, RecvPipe, Resume, SendPipe};
use webtransport_reactor::{Mailbox, StreamError};

const TOKEN: u64 = 7;

fn write(pipe: &SendPipe, data: &[u8]) -> Result<(Option<usize>, Flush), StreamError> {
    pipe.write(data, &Arc::default(), TOKEN)
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().unwrap()
}

#[test]
fn a_token_is_taken_or_announced() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let poster = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.post(&mut vec![1]);
                mailbox.post(&mut vec![2]);
            })
        };
        let mut tokens = mailbox.drain();
        join(poster);
        let announced = mailbox.is_ringing();
        let rest = mailbox.drain();
        assert!(rest.is_empty() || announced, "tokens wait in silence");
        tokens.extend(rest);
        assert_eq!(tokens, [1, 2]);
    });
}

#[test]
fn two_who_post_at_once_ring_for_both() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let poster = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.post(&mut vec![1]))
        };
        mailbox.post(&mut vec![2]);
        let mut tokens = mailbox.drain();
        join(poster);
        let announced = mailbox.is_ringing();
        let rest = mailbox.drain();
        assert!(rest.is_empty() || announced, "tokens wait in silence");
        tokens.extend(rest);
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);
    });
}

#[test]
fn a_loop_that_attends_hears_of_tokens() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let poster = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.post(&mut vec![1]))
        };
        mailbox.attend();
        let mut tokens = mailbox.flush().unwrap_or_default();
        join(poster);
        let announced = mailbox.is_ringing();
        let rest = mailbox.drain();
        assert!(rest.is_empty() || announced, "tokens wait in silence");
        tokens.extend(rest);
        assert_eq!(tokens, [1]);
    });
}

/// What a write took comes before the FIN, whichever of two threads is quicker, or the write says that it came too late
#[test]
fn what_a_write_took_comes_before_the_fin() {
    loom::model(|| {
        let pipe = Arc::new(SendPipe::default());
        let writer = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || write(&pipe, &[7; 2048]))
        };
        let _ = pipe.finish().unwrap();
        let taken = match join(writer) {
            Ok((taken, _)) => taken.unwrap(),
            Err(error) => {
                assert_eq!(error, StreamError::ClosedLocally);
                0
            }
        };
        let mut chunks = Vec::new();
        assert!(pipe.take(&mut chunks).finish);
        assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), taken);
        assert_eq!(pipe.counts().written, taken as u64);
    });
}

#[test]
fn a_reader_finds_bytes_or_is_woken() {
    loom::model(|| {
        let pipe = Arc::new(RecvPipe::new(CAPACITY));
        let reactor = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || {
                let mut woken = Vec::new();
                assert!(!pipe.fill(&mut vec![Bytes::from_static(b"ab")], Outcome::Blocked, &mut woken));
                assert!(!pipe.fill(&mut Vec::new(), Outcome::Finished, &mut woken));
                woken
            })
        };
        let (first, _) = pipe.read(1, TOKEN).unwrap();
        let woken = join(reactor);
        assert_eq!(woken.contains(&TOKEN), first.is_none());
        let mut data: Vec<u8> = first.iter().flat_map(|chunks| chunks.iter().flatten().copied().collect::<Vec<_>>()).collect();
        while data.len() < 2 {
            let (chunks, _) = pipe.read(1, TOKEN).unwrap();
            data.extend(chunks.unwrap().iter().flatten());
        }
        assert_eq!(data, b"ab");
        assert!(pipe.read(1, TOKEN).unwrap().0.unwrap().is_empty());
    });
}

#[test]
fn a_full_pipe_is_filled_again() {
    loom::model(|| {
        let pipe = Arc::new(RecvPipe::new(2));
        let reactor = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || pipe.fill(&mut vec![Bytes::from_static(b"ab")], Outcome::Full, &mut Vec::new()))
        };
        let (chunks, Resume(mut resume)) = pipe.read(2, TOKEN).unwrap();
        let goes_on = join(reactor);
        if chunks.is_none() {
            let (chunks, late) = pipe.read(2, TOKEN).unwrap();
            assert!(chunks.is_some());
            resume = late.0;
        }
        assert!(goes_on || resume, "the reactor waits for room that is there");
    });
}

#[test]
fn a_stop_and_the_end_do_not_miss_each_other() {
    loom::model(|| {
        let pipe = Arc::new(RecvPipe::new(CAPACITY));
        let reactor = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || {
                let mut woken = Vec::new();
                pipe.fill(&mut vec![Bytes::from_static(b"x")], Outcome::Reset(Some(3)), &mut woken);
                woken
            })
        };
        let parked = pipe.closed(TOKEN) == Ok(None);
        let mut woken = Vec::new();
        let tell = pipe.stop(&mut woken).unwrap();
        woken.extend(join(reactor));
        assert_eq!(woken.contains(&TOKEN), parked);
        assert!(tell || !parked || !woken.is_empty());
        assert_eq!(pipe.read(1, TOKEN).err(), Some(StreamError::ClosedLocally));
    });
}

#[test]
fn what_is_written_is_taken_or_announced() {
    loom::model(|| {
        let pipe = Arc::new(SendPipe::default());
        let writer = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || {
                let first = write(&pipe, b"a").unwrap().1;
                let second = write(&pipe, &[b'b'; 2000]).unwrap().1; // copied with the lock released
                let third = pipe.finish().unwrap();
                [first, second, third].into_iter().filter(|flush| *flush == Flush(true)).count()
            })
        };
        let mut chunks = Vec::new();
        let early = pipe.take(&mut chunks);
        let took = !chunks.is_empty() || early != Flushed::default();
        let announced = join(writer);
        let seen = chunks.len();
        let late = pipe.take(&mut chunks);
        let left = chunks.len() > seen || late != Flushed::default();
        assert!(!left || announced > usize::from(took), "bytes wait in silence");
        assert!(early.finish != late.finish);
        let bytes: Vec<u8> = chunks.iter().flatten().copied().collect();
        assert_eq!(bytes.len(), 2001);
        assert_eq!(bytes[..2], *b"ab");
    });
}

#[test]
fn a_writer_finds_room_or_is_woken() {
    loom::model(|| {
        let pipe = Arc::new(SendPipe::default());
        let full = vec![0; CAPACITY];
        assert_eq!(write(&pipe, &full).unwrap().0, Some(CAPACITY));
        let reactor = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || {
                let mut woken = Vec::new();
                pipe.take(&mut Vec::new());
                pipe.written(CAPACITY / 4, &mut woken);
                pipe.written(CAPACITY / 4, &mut woken);
                woken
            })
        };
        let (taken, _) = write(&pipe, b"more than a little").unwrap();
        let woken = join(reactor);
        assert_eq!(woken.contains(&TOKEN), taken.is_none());
    });
}

#[test]
fn a_reset_interrupts_a_writer() {
    loom::model(|| {
        let pipe = Arc::new(SendPipe::default());
        assert_eq!(write(&pipe, &vec![0; CAPACITY]).unwrap().0, Some(CAPACITY));
        let reactor = {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || {
                let mut woken = Vec::new();
                pipe.stopped(Some(9), &mut woken);
                woken
            })
        };
        let parked = matches!(write(&pipe, b"x"), Ok((None, _)));
        let mut woken = Vec::new();
        let _ = pipe.reset(1, &mut woken).unwrap();
        woken.extend(join(reactor));
        assert_eq!(woken.contains(&TOKEN), parked);
        assert_eq!(write(&pipe, b"x").err(), Some(StreamError::ClosedLocally));
    });
}
