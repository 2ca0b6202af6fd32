//! A session's datagrams on their way out and in: bounded in number, bytes and age, and every drop is counted.
//!
//! QUIC puts DATAGRAM frames before STREAM frames, so a flood handed to it would starve every stream. That is why they
//! wait here, and why the reactor hands over only a few at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::pipe::Waiters;
use crate::sync::{Mutex, lock};

/// A queue holds so many at first
const MAX_BUFFERED: usize = 1024;

/// The longest datagram there is
const LONGEST: usize = 64 << 10;

/// What a datagram takes in a packet beside its payload, so that empty ones count too
const FRAME: usize = 4;

/// Payloads are copied together in blocks of this size: one allocation for many small datagrams, and none of them keeps
/// a packet buffer alive
const BLOCK: usize = 8 << 10;

/// What a queue of datagrams keeps, and what it does with the rest
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatagramLimits {
    /// What has waited for longer is dropped, once somebody comes to the queue; `None`: nothing is too old
    pub max_age: Option<Duration>,
    /// Datagrams above which a queue has enough, at least 1: then `send_datagram` says so, and what arrives pushes another out
    pub max_buffered: usize,
    /// Which goes where there are too many: the newest, or else the oldest
    pub drop_newest: bool,
}

/// What became of the datagrams of one direction
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DatagramCounts {
    /// Out: QUIC took them. In: they came, whatever became of them then.
    pub passed: u64,
    /// Pushed out of a full queue, grown too long for the path while they waited, or left behind by the session's end
    pub dropped: u64,
    /// Grown too old
    pub expired: u64,
}

impl Default for DatagramLimits {
    fn default() -> Self {
        Self { max_age: None, max_buffered: MAX_BUFFERED, drop_newest: false }
    }
}

impl DatagramLimits {
    /// The bound in bytes: such that few datagrams are bounded by their number alone, and many by a kibibyte for each
    fn max_bytes(&self) -> usize {
        let each = |bytes: usize| self.max_buffered.saturating_mul(bytes);
        each(2 << 10).min(1 << 20).max(each(1 << 10)).max(LONGEST)
    }
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    limits: DatagramLimits,
    counts: DatagramCounts,
    block: BytesMut,
}

#[derive(Debug)]
struct Datagram {
    payload: Bytes,
    /// When it came; known where age matters
    since: Option<Instant>,
}

impl Queue {
    /// Queue one, and see to it that no more than `times` the limit are kept
    fn push(&mut self, payload: &[u8], times: usize, now: impl FnOnce() -> Instant) {
        let since = self.limits.max_age.map(|_| now());
        if let Some(now) = since {
            self.expire(now);
        }
        if self.block.capacity() < payload.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(payload.len()));
        }
        self.block.extend_from_slice(payload);
        self.bytes += payload.len();
        self.datagrams.push_back(Datagram { payload: self.block.split().freeze(), since });
        self.drop_above(times);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let datagram = self.datagrams.pop_front();
        self.popped(datagram)
    }

    fn popped(&mut self, datagram: Option<Datagram>) -> Option<Bytes> {
        let payload = datagram?.payload;
        self.bytes -= payload.len();
        if self.datagrams.is_empty() {
            // An idle session keeps no memory for datagrams
            self.block = BytesMut::new();
        }
        Some(payload)
    }

    fn is_above(&self, times: usize) -> bool {
        self.datagrams.len() > self.limits.max_buffered.saturating_mul(times)
            || self.bytes > self.limits.max_bytes().saturating_mul(times)
    }

    fn is_half_full(&self) -> bool {
        self.datagrams.len() > self.limits.max_buffered.div_ceil(2) || self.bytes > self.limits.max_bytes() / 2
    }

    fn drop_above(&mut self, times: usize) {
        while self.is_above(times) {
            let last = if self.limits.drop_newest { self.datagrams.pop_back() } else { self.datagrams.pop_front() };
            if self.popped(last).is_none() {
                return;
            }
            self.counts.dropped += 1;
        }
    }

    /// Drop what is too old; the oldest are in front
    fn expire(&mut self, now: Instant) {
        let Some(max_age) = self.limits.max_age else { return };
        while self
            .datagrams
            .front()
            .is_some_and(|datagram| datagram.since.is_some_and(|since| now.saturating_duration_since(since) > max_age))
        {
            self.pop();
            self.counts.expired += 1;
        }
    }

    fn set_limits(&mut self, limits: DatagramLimits, times: usize, now: Instant) {
        self.limits = DatagramLimits { max_buffered: limits.max_buffered.max(1), ..limits };
        for datagram in &mut self.datagrams {
            // Of what came when age did not matter it counts from now on
            datagram.since.get_or_insert(now);
        }
        self.drop_above(times);
    }

    fn clear(&mut self) {
        self.datagrams = VecDeque::new();
        self.block = BytesMut::new();
        self.bytes = 0;
    }
}

/// A queue that is made when it is needed: most sessions that wait have had no datagram yet
#[derive(Debug, Default)]
struct Lazy(Option<Box<Queue>>);

impl Lazy {
    fn made(&mut self) -> &mut Queue {
        self.0.get_or_insert_default()
    }

    fn is_above(&self, times: usize) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.is_above(times))
    }

    fn counts(&self) -> DatagramCounts {
        self.0.as_ref().map_or_else(DatagramCounts::default, |queue| queue.counts)
    }

    fn limits(&self) -> DatagramLimits {
        self.0.as_ref().map_or_else(DatagramLimits::default, |queue| queue.limits)
    }
}

/// From the application to the reactor
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Mutex<Out>);

#[derive(Debug, Default)]
struct Out {
    queue: Lazy,
    /// The reactor knows that there is something for it
    flushing: bool,
    /// The session is over: nothing more leaves
    over: bool,
    senders: Waiters,
}

/// A sender who does not wait may queue so many times the limit
const OUTGOING: usize = 2;

impl Outgoing {
    /// Queue one. Returns whether the queue is below its high-water mark, and whether the reactor must be told.
    pub(crate) fn push(&self, payload: &[u8], now: impl FnOnce() -> Instant) -> (bool, bool) {
        let mut out = lock(&self.0);
        if out.over {
            out.queue.made().counts.dropped += 1;
            return (true, false);
        }
        out.queue.made().push(payload, OUTGOING, now);
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

    /// Move up to `room` bytes, the last datagram past that, to the end of `taken`. Returns whether some are left; if not, the reactor
    /// will be told of the next.
    pub(crate) fn take(&self, mut room: usize, now: Instant, taken: &mut Vec<Bytes>, woken: &mut Vec<u64>) -> bool {
        let mut out = lock(&self.0);
        let queue = out.queue.made();
        queue.expire(now);
        while room > 0
            && let Some(datagram) = queue.pop()
        {
            room = room.saturating_sub(datagram.len() + FRAME);
            taken.push(datagram);
        }
        let left = !queue.datagrams.is_empty();
        if !queue.is_above(1) {
            out.senders.wake(woken);
        }
        out.flushing = left;
        left
    }

    /// Count those that QUIC took, and those it would not take
    pub(crate) fn count(&self, taken: u64, dropped: u64) {
        let mut out = lock(&self.0);
        let counts = &mut out.queue.made().counts;
        counts.passed += taken;
        counts.dropped += dropped;
    }

    pub(crate) fn counts(&self) -> DatagramCounts {
        lock(&self.0).queue.counts()
    }

    pub(crate) fn limits(&self) -> DatagramLimits {
        lock(&self.0).queue.limits()
    }

    pub(crate) fn set_limits(&self, limits: DatagramLimits, now: Instant, woken: &mut Vec<u64>) {
        let mut out = lock(&self.0);
        out.queue.made().set_limits(limits, OUTGOING, now);
        if !out.queue.is_above(1) {
            out.senders.wake(woken);
        }
    }

    /// The session is over: what waits is dropped
    pub(crate) fn end(&self, woken: &mut Vec<u64>) {
        let mut out = lock(&self.0);
        out.over = true;
        if let Some(queue) = &mut out.queue.0 {
            queue.counts.dropped += queue.datagrams.len() as u64;
            queue.clear();
        }
        out.senders.wake(woken);
    }
}

/// From the reactor to the application
#[derive(Debug, Default)]
pub(crate) struct Incoming(Mutex<In>);

#[derive(Debug, Default)]
struct In {
    queue: Lazy,
    receivers: Waiters,
}

impl Incoming {
    /// Queue one. Returns whether there are now enough, where there were not: whoever takes them that fast should be given the time to
    /// before there are more. It is not said again to one who is slower than they come, nor to one who does not come.
    pub(crate) fn push(&self, payload: &[u8], now: Instant, woken: &mut Vec<u64>) -> bool {
        let mut incoming = lock(&self.0);
        let queue = incoming.queue.made();
        queue.counts.passed += 1;
        let were_enough = queue.is_half_full();
        queue.push(payload, 1, || now);
        let are_enough = queue.is_half_full();
        incoming.receivers.wake(woken);
        !were_enough && are_enough
    }

    /// The next one; `None`: nothing yet, and `token` is parked
    pub(crate) fn pop(&self, token: u64, now: impl FnOnce() -> Instant) -> Option<Bytes> {
        let mut incoming = lock(&self.0);
        let datagram = incoming.queue.0.as_mut().and_then(|queue| {
            if queue.limits.max_age.is_some() {
                queue.expire(now());
            }
            queue.pop()
        });
        if datagram.is_none() {
            incoming.receivers.park(token);
        }
        datagram
    }

    pub(crate) fn counts(&self) -> DatagramCounts {
        lock(&self.0).queue.counts()
    }

    pub(crate) fn limits(&self) -> DatagramLimits {
        lock(&self.0).queue.limits()
    }

    pub(crate) fn set_limits(&self, limits: DatagramLimits, now: Instant) {
        lock(&self.0).queue.made().set_limits(limits, 1, now);
    }

    pub(crate) fn wake(&self, woken: &mut Vec<u64>) {
        lock(&self.0).receivers.wake(woken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_oldest_is_dropped_past_twice_the_mark_and_counted() {
        let outgoing = Outgoing::default();
        let below = (0..=2 * MAX_BUFFERED).filter(|i| outgoing.push(&i.to_be_bytes(), Instant::now).0).count();
        assert_eq!(below, MAX_BUFFERED);
        assert_eq!(outgoing.counts().dropped, 1);
        let (mut taken, mut woken) = (Vec::new(), Vec::new());
        assert!(!outgoing.is_below_mark(7));
        assert!(outgoing.take(MAX_BUFFERED * (8 + FRAME), Instant::now(), &mut taken, &mut woken));
        assert_eq!(&taken[0][..], 1_usize.to_be_bytes());
        assert_eq!(woken, [7]);
    }

    #[test]
    fn bytes_are_bounded_as_well_as_datagrams() {
        let (incoming, mut woken) = (Incoming::default(), Vec::new());
        let payload = vec![0; 64 << 10];
        for _ in 0..17 {
            incoming.push(&payload, Instant::now(), &mut woken);
        }
        assert_eq!(incoming.counts().dropped, 1);
    }

    #[test]
    fn the_bound_in_bytes_follows_that_in_datagrams() {
        let bytes = |max_buffered| DatagramLimits { max_buffered, ..DatagramLimits::default() }.max_bytes();
        assert_eq!([1, 100, 1024, 4096].map(bytes), [64 << 10, 200 << 10, 1 << 20, 4 << 20]);
        assert_eq!(bytes(usize::MAX), usize::MAX);
    }

    #[test]
    fn what_the_session_leaves_behind_is_counted() {
        let (outgoing, mut woken) = (Outgoing::default(), Vec::new());
        for _ in 0..3 {
            outgoing.push(b"too late", Instant::now);
        }
        outgoing.end(&mut woken);
        outgoing.push(b"even later", Instant::now);
        assert_eq!(outgoing.counts(), DatagramCounts { dropped: 4, ..DatagramCounts::default() });
    }

    #[test]
    fn an_empty_datagram_is_one() {
        let (incoming, mut woken) = (Incoming::default(), Vec::new());
        assert_eq!(incoming.pop(3, Instant::now), None);
        incoming.push(b"", Instant::now(), &mut woken);
        assert_eq!(woken, [3]);
        assert_eq!(incoming.pop(3, Instant::now), Some(Bytes::new()));
    }

    #[test]
    fn whoever_takes_them_as_they_come_is_given_the_time_to() {
        let (incoming, now) = (Incoming::default(), Instant::now());
        let pushed = |count| (0..count).filter(|_| incoming.push(b"x", now, &mut Vec::new())).count();
        assert_eq!(pushed(MAX_BUFFERED), 1);
        assert_eq!(pushed(MAX_BUFFERED), 0); // nobody comes
        assert!(incoming.pop(1, || now).is_some());
        assert_eq!(pushed(MAX_BUFFERED), 0); // somebody does, but slowly
        while incoming.pop(1, || now).is_some() {}
        assert_eq!(pushed(MAX_BUFFERED / 2), 0);
        assert_eq!(pushed(1), 1);
        // Who wants only the newest waits for none
        incoming.set_limits(DatagramLimits { max_buffered: 1, ..DatagramLimits::default() }, now);
        while incoming.pop(1, || now).is_some() {}
        assert_eq!(pushed(10), 0);
    }

    #[test]
    fn the_newest_is_dropped_where_the_oldest_matters() {
        let (incoming, now) = (Incoming::default(), Instant::now());
        incoming.set_limits(DatagramLimits { max_buffered: 2, drop_newest: true, max_age: None }, now);
        for payload in [b"1", b"2", b"3"] {
            incoming.push(payload, now, &mut Vec::new());
        }
        assert_eq!([incoming.pop(1, || now), incoming.pop(1, || now)].map(Option::unwrap), ["1", "2"]);
        assert_eq!(incoming.pop(1, || now), None);
        assert_eq!(incoming.counts(), DatagramCounts { passed: 3, dropped: 1, expired: 0 });
    }

    #[test]
    fn lower_limits_apply_to_what_waits_and_higher_ones_wake() {
        let (outgoing, now, mut woken) = (Outgoing::default(), Instant::now(), Vec::new());
        for _ in 0..10 {
            outgoing.push(b"x", || now);
        }
        let limits = |max_buffered| DatagramLimits { max_buffered, ..DatagramLimits::default() };
        outgoing.set_limits(limits(0), now, &mut woken);
        assert_eq!(outgoing.limits().max_buffered, 1);
        assert_eq!(outgoing.counts().dropped, 8);
        assert!(!outgoing.is_below_mark(7));
        outgoing.set_limits(limits(2), now, &mut woken);
        assert_eq!(woken, [7]);
    }

    #[test]
    fn what_is_too_old_goes_when_somebody_looks() {
        let limits = DatagramLimits { max_age: Some(SECOND), ..DatagramLimits::default() };
        let (incoming, start, mut woken) = (Incoming::default(), Instant::now(), Vec::new());
        incoming.push(b"came before age mattered", start, &mut woken);
        incoming.set_limits(limits, start + SECOND);
        incoming.push(b"young", start + 2 * SECOND, &mut woken);
        let later = || start + 5 * SECOND / 2;
        assert_eq!(incoming.pop(1, later).unwrap(), "young");
        assert_eq!(incoming.counts(), DatagramCounts { passed: 2, dropped: 0, expired: 1 });

        let (outgoing, mut taken) = (Outgoing::default(), Vec::new());
        outgoing.set_limits(limits, start, &mut woken);
        outgoing.push(b"just in time", || start);
        assert!(outgoing.take(0, start + SECOND, &mut taken, &mut woken));
        assert!(!outgoing.take(1, start + SECOND + SECOND / 1000, &mut taken, &mut woken));
        assert_eq!((taken.len(), outgoing.counts().expired), (0, 1));
    }
}
