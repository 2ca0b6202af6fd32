//! One WebTransport stream: what waits to be sent, and how each half ends.
//!
//! ```text
//! sending:   Open ──finish──▶ Finishing ──all acknowledged──▶ Done
//!             │ ╲                 │
//!             │  ╲──STOP_SENDING──┴─▶ Stopped ──reset──▶ Done
//!             └──reset──▶ (held while the header is young) ──▶ Done
//! receiving: Open ──FIN read, reset read, stop──▶ Done
//!             └──session over, FIN here──▶ Tail ──read to the end──▶ Done
//! ```
//!
//! A reset must not overtake the stream's header, or the peer never learns whose stream died. RESET_STREAM_AT is made
//! for that (WT §4.4), but quinn does not have it; until then a reset, and the FIN of an empty stream, wait here until
//! the header has very likely arrived.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{Dir, SendStream, StreamId, VarInt, WriteError};

use crate::scheduler::Rank;
use crate::varint;

/// First bytes of a stream that is a session's (WT §4.2, §4.3)
pub(crate) fn signal(dir: Dir) -> u64 {
    match dir {
        Dir::Uni => 0x54,
        Dir::Bi => 0x41,
    }
}

/// What peers commonly announce (RFC 9000 §18.2)
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// However long a round trip is, a reset waits no longer than this for the header
const LONGEST_HOLD: Duration = Duration::from_secs(1);

/// Pieces shorter than this are copied behind the header: QUIC then has one piece to keep instead of two
const SHORT: usize = 1 << 10;

/// HTTP/3's own streams go before any of the application's (WT §3.4)
pub(crate) const CRITICAL_PRIORITY: i32 = i32::MAX;

/// What `read` found
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// At least one byte
    Chunk(Bytes),
    /// Nothing yet: `StreamReadable` tells when
    Blocked,
    /// The peer's FIN, once all before it was read
    Finished,
    /// The peer's reset, with the application's code if it was one (WT §4.4)
    Reset(Option<u32>),
    /// No such stream any more: it was stopped, read to its end, or its session is over
    Closed,
}

/// A stream that belongs to a session
#[derive(Debug)]
pub(crate) struct Stream {
    /// The CONNECT stream of its session
    pub(crate) session: StreamId,
    pub(crate) send: Option<SendHalf>,
    pub(crate) recv: Option<RecvHalf>,
}

impl Stream {
    pub(crate) fn local(session: StreamId, dir: Dir, rank: Rank) -> Self {
        let header = Some([signal(dir), VarInt::from(session).into_inner()]);
        let send = SendHalf { rank, header, ..SendHalf::default() };
        Self { session, send: Some(send), recv: (dir == Dir::Bi).then(RecvHalf::default) }
    }

    pub(crate) fn remote(session: StreamId, dir: Dir, rank: Rank) -> Self {
        let send = || SendHalf { rank, ..SendHalf::default() };
        Self { session, send: (dir == Dir::Bi).then(send), recv: Some(RecvHalf::default()) }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.send.is_none() && self.recv.is_none()
    }

    /// Whether all that was promised by `finish` has yet to be acknowledged
    pub(crate) fn is_finishing(&self) -> bool {
        self.send.as_ref().is_some_and(|send| send.finish && send.stopped.is_none() && send.held_reset.is_none())
    }
}

/// What QUIC took
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fed {
    /// Bytes of the application
    pub(crate) bytes: usize,
    /// QUIC has no room for more, and will tell when it has
    pub(crate) blocked: bool,
}

/// Bytes on their way into QUIC, and how they end
#[derive(Debug, Default)]
pub(crate) struct SendHalf {
    queue: VecDeque<Bytes>,
    /// When its turn is
    pub(crate) rank: Rank,
    /// The scheduler has it
    pub(crate) scheduled: bool,
    /// What goes before all that is in the queue
    header: Option<[u64; 2]>,
    /// Bytes at the front of the queue that are ours, not the application's
    header_left: usize,
    /// When QUIC got the header; `None` before that, and where the peer opened the stream
    header_sent: Option<Instant>,
    /// The application wrote something
    written: bool,
    /// `finish` was called
    pub(crate) finish: bool,
    /// QUIC knows of the FIN
    fin_sent: bool,
    /// The peer's STOP_SENDING
    pub(crate) stopped: Option<VarInt>,
    /// The application was told of it
    pub(crate) stop_told: bool,
    /// A reset that waits for the header to arrive
    pub(crate) held_reset: Option<VarInt>,
}

impl SendHalf {
    pub(crate) fn push(&mut self, data: Bytes) {
        if !data.is_empty() && !self.finish && self.held_reset.is_none() {
            self.written = true;
            self.queue.push_back(data);
        }
    }

    /// Give QUIC the header, and what it takes of up to `max` bytes of the application
    pub(crate) fn feed(&mut self, mut quic: SendStream<'_>, max: usize, now: Instant, rtt: Duration) -> Fed {
        let mut fed = Fed { bytes: 0, blocked: false };
        self.queue_header();
        while let Some(mut chunk) = self.queue.pop_front() {
            let room = (max - fed.bytes).saturating_add(self.header_left);
            let rest = chunk.split_off(room.min(chunk.len()));
            if !rest.is_empty() {
                self.queue.push_front(rest);
            }
            if chunk.is_empty() {
                break;
            }
            match quic.write_chunks(std::slice::from_mut(&mut chunk)) {
                Ok(written) => {
                    let ours = written.bytes.min(self.header_left);
                    if ours > 0 {
                        self.header_left -= ours;
                        self.header_sent = Some(now);
                    }
                    fed.bytes += written.bytes - ours;
                }
                Err(WriteError::Blocked) => fed.blocked = true,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    self.queue.clear();
                    break;
                }
            }
            if !chunk.is_empty() {
                self.queue.push_front(chunk);
            }
            if fed.blocked {
                break;
            }
        }
        // A reset that waits has cleared the queue: a FIN now would make the rest look complete
        let may_end = !self.fin_sent && self.held_reset.is_none() && self.queue.is_empty();
        if self.finish && may_end && self.fin_hold(now, rtt).is_none() {
            // It fails only where the peer stopped the stream, which its own event tells
            let _ = quic.finish();
            self.fin_sent = true;
        }
        fed
    }

    /// The header becomes the first bytes of the queue, in one piece with those of the application if they are few
    fn queue_header(&mut self) {
        let Some(header) = self.header.take() else { return };
        let is_short = self.queue.front().is_some_and(|first| first.len() < SHORT);
        let first = if is_short { self.queue.pop_front() } else { None }.unwrap_or_default();
        // Not a byte too long, or it would be counted in memory of its own
        let mut bytes = BytesMut::with_capacity(header.into_iter().map(varint::size).sum::<usize>() + first.len());
        header.into_iter().for_each(|value| varint::encode(value, &mut bytes));
        self.header_left = bytes.len();
        bytes.extend_from_slice(&first);
        self.queue.push_front(bytes.freeze());
    }

    /// Give back the memory of a queue that is longer than what waits in it
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// How many pieces QUIC has yet to take
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether bytes wait to be fed
    pub(crate) fn is_waiting(&self) -> bool {
        self.header.is_some() || !self.queue.is_empty()
    }

    /// Until when the FIN of a stream without data waits: Firefox closes the connection when it comes with the header
    pub(crate) fn fin_hold(&self, now: Instant, rtt: Duration) -> Option<Instant> {
        let until = self.header_sent? + rtt.min(LONGEST_HOLD);
        (!self.written && now < until).then_some(until)
    }

    /// Until when a reset waits, so that the header arrives first, even if its packet is lost once: QUIC notices that
    /// after about three round trips and the peer's `max_ack_delay` (RFC 9002 §6.2.1), and the second one travels too
    pub(crate) fn reset_hold(&self, now: Instant, rtt: Duration) -> Option<Instant> {
        let waits = self.header.is_some() || self.header_left > 0;
        let sent = if waits { now } else { self.header_sent? }; // it leaves together with what is said now
        let until = sent + (4 * rtt + 2 * MAX_ACK_DELAY).min(LONGEST_HOLD);
        (now < until).then_some(until)
    }

    /// Forget all but the header; returns how many bytes of the application that were
    pub(crate) fn clear(&mut self) -> usize {
        let queued: usize = self.queue.iter().map(Bytes::len).sum();
        self.queue.truncate(usize::from(self.header_left > 0));
        if let Some(header) = self.queue.front_mut() {
            header.truncate(self.header_left);
        }
        queued - self.header_left
    }
}

/// What the peer sends
#[derive(Debug, Default)]
pub(crate) struct RecvHalf {
    /// A reset that may be the first sign of the session's end; it speaks once the session had its chance to
    pub(crate) held_reset: Option<VarInt>,
    /// `held_reset` had its chance
    pub(crate) held_expired: bool,
    /// The session is over, but all of this stream was here: its last bytes
    pub(crate) tail: Option<VecDeque<Bytes>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> SendHalf {
        Stream::local(VarInt::from_u32(4).into(), Dir::Uni, Rank::default()).send.unwrap()
    }

    /// WT §4.3: whatever becomes of the bytes, the peer must learn whose stream it is
    #[test]
    fn the_header_is_one_piece_with_few_bytes_and_stays_when_they_go() {
        let header: &[u8] = &[0x40, 0x54, 0x04];
        let mut send = fresh();
        assert!(send.is_waiting());
        send.push(Bytes::from_static(b"few"));
        send.queue_header();
        assert_eq!(send.queue, [[header, b"few"].concat()]);
        assert_eq!(send.clear(), 3);
        assert_eq!(send.queue, [header]);

        let mut send = fresh();
        send.push(Bytes::from(vec![7; SHORT]));
        send.queue_header();
        assert_eq!((send.waiting(), &send.queue[0][..]), (2, header));

        let mut send = fresh();
        send.push(Bytes::from_static(b"few"));
        assert_eq!(send.clear(), 3);
        assert!(send.is_waiting());
        send.queue_header();
        assert_eq!(send.queue, [header]);
    }
}
