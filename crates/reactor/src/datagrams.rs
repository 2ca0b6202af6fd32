//! A session's datagrams on their way out and in: bounded, the oldest is dropped first, and every drop is counted.
//!
//! QUIC puts DATAGRAM frames before STREAM frames, so a flood handed to it would starve every stream. That is why they
//! wait here, and why the reactor hands over only a few at a time.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::pipe::Waiters;
use crate::sync::{Mutex, lock};

/// Above so many datagrams a queue has enough: `send_datagram` says so, and what arrives pushes out the oldest
const MAX_DATAGRAMS: usize = 1024;
/// The same in bytes
const MAX_BYTES: usize = 1 << 20;

/// Payloads are copied together in blocks of this size: one allocation for many small datagrams, and none of them keeps
/// a packet buffer alive
const BLOCK: usize = 8 << 10;

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<Bytes>,
    bytes: usize,
    dropped: u64,
    block: BytesMut,
}

impl Queue {
    fn push(&mut self, payload: &[u8]) {
        if self.block.capacity() < payload.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(payload.len()));
        }
        self.block.extend_from_slice(payload);
        self.bytes += payload.len();
        self.datagrams.push_back(self.block.split().freeze());
    }

    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.datagrams.pop_front()?;
        self.bytes -= datagram.len();
        if self.datagrams.is_empty() {
            // An idle session keeps no memory for datagrams
            self.block = BytesMut::new();
        }
        Some(datagram)
    }

    fn is_above(&self, times: usize) -> bool {
        self.datagrams.len() > times * MAX_DATAGRAMS || self.bytes > times * MAX_BYTES
    }

    fn drop_oldest_above(&mut self, times: usize) {
        while self.is_above(times) && self.pop().is_some() {
            self.dropped += 1;
        }
    }

    fn clear(&mut self) {
        self.datagrams = VecDeque::new();
        self.block = BytesMut::new();
        self.bytes = 0;
    }
}

/// From the application to the reactor
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Mutex<Out>);

#[derive(Debug, Default)]
struct Out {
    queue: Queue,
    /// The reactor knows that there is something for it
    flushing: bool,
    senders: Waiters,
}

impl Outgoing {
    /// Queue one. Returns whether the queue is below its high-water mark, and whether the reactor must be told.
    pub(crate) fn push(&self, payload: &[u8]) -> (bool, bool) {
        let mut out = lock(&self.0);
        out.queue.push(payload);
        out.queue.drop_oldest_above(2);
        (!out.queue.is_above(1), !std::mem::replace(&mut out.flushing, true))
    }

    /// Whether the queue is below its high-water mark; if not, `token` is parked
    pub(crate) fn is_below_mark(&self, token: u64) -> bool {
        let mut out = lock(&self.0);
        if out.queue.is_above(1) {
            out.senders.park(token);
            return false;
        }
        true
    }

    /// Move up to `n` to the end of `taken`. Returns whether some are left; if not, the reactor will be told of the next.
    pub(crate) fn take(&self, n: usize, taken: &mut Vec<Bytes>, woken: &mut Vec<u64>) -> bool {
        let mut out = lock(&self.0);
        for _ in 0..n {
            let Some(datagram) = out.queue.pop() else { break };
            taken.push(datagram);
        }
        if !out.queue.is_above(1) {
            out.senders.wake(woken);
        }
        out.flushing = !out.queue.datagrams.is_empty();
        out.flushing
    }

    /// Count `n` that QUIC would not take
    pub(crate) fn count_dropped(&self, n: u64) {
        lock(&self.0).queue.dropped += n;
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.0).queue.dropped
    }

    /// The session is over
    pub(crate) fn clear(&self, woken: &mut Vec<u64>) {
        let mut out = lock(&self.0);
        out.queue.clear();
        out.senders.wake(woken);
    }
}

/// From the reactor to the application
#[derive(Debug, Default)]
pub(crate) struct Incoming(Mutex<In>);

#[derive(Debug, Default)]
struct In {
    queue: Queue,
    receivers: Waiters,
}

impl Incoming {
    pub(crate) fn push(&self, payload: &[u8], woken: &mut Vec<u64>) {
        let mut queue = lock(&self.0);
        queue.queue.push(payload);
        queue.queue.drop_oldest_above(1);
        queue.receivers.wake(woken);
    }

    /// The next one; `None`: nothing yet, and `token` is parked
    pub(crate) fn pop(&self, token: u64) -> Option<Bytes> {
        let mut queue = lock(&self.0);
        let datagram = queue.queue.pop();
        if datagram.is_none() {
            queue.receivers.park(token);
        }
        datagram
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.0).queue.dropped
    }

    pub(crate) fn wake(&self, woken: &mut Vec<u64>) {
        lock(&self.0).receivers.wake(woken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped_past_twice_the_mark_and_counted() {
        let outgoing = Outgoing::default();
        let below = (0..=2 * MAX_DATAGRAMS).filter(|i| outgoing.push(&i.to_be_bytes()).0).count();
        assert_eq!(below, MAX_DATAGRAMS);
        assert_eq!(outgoing.dropped(), 1);
        let (mut taken, mut woken) = (Vec::new(), Vec::new());
        assert!(!outgoing.is_below_mark(7));
        assert!(outgoing.take(MAX_DATAGRAMS, &mut taken, &mut woken));
        assert_eq!(&taken[0][..], 1_usize.to_be_bytes());
        assert_eq!(woken, [7]);
    }

    #[test]
    fn bytes_are_bounded_as_well_as_datagrams() {
        let (incoming, mut woken) = (Incoming::default(), Vec::new());
        let payload = vec![0; 64 << 10];
        for _ in 0..17 {
            incoming.push(&payload, &mut woken);
        }
        assert_eq!(incoming.dropped(), 1);
    }

    #[test]
    fn an_empty_datagram_is_one() {
        let (incoming, mut woken) = (Incoming::default(), Vec::new());
        assert_eq!(incoming.pop(3), None);
        incoming.push(b"", &mut woken);
        assert_eq!(woken, [3]);
        assert_eq!(incoming.pop(3), Some(Bytes::new()));
    }
}
