//! Where a stream's bytes wait between the application's thread and the reactor: one bounded pipe for each direction.
//!
//! Each pipe has two ends that are used from two threads, and one lock that is held for a few instructions: never across a
//! system call, an allocation of more than a packet, or a copy of more than one. What is too long to copy under the lock
//! is moved as [`Bytes`], and copied before or after.
//!
//! A caller who finds nothing to do parks its token under the same lock under which it looked, so nothing can happen
//! between looking and parking. Whoever changes the state takes all parked tokens, and hands them to the mailbox after
//! the lock is released: a wake says "look again", nothing else.
//!
//! ```text
//! sending:   Open ──finish──▶ Finishing ──acknowledged──▶ Finished     write, finish, reset: the application
//!              ╲                  ╲                                    the rest: the reactor
//!               ╲──reset───────────╲──▶ Reset
//!                ╲──STOP_SENDING────╲──▶ Stopped ──reset──▶ Reset
//!                 ╲──session over────╲──▶ Lost
//! receiving: Open ──FIN──▶ Finished     Open ──RESET_STREAM──▶ Reset   the reactor
//!             ╲──stop──▶ Stopped         ╲──session over──▶ Lost       stop: the application
//! ```

mod recv;
mod send;
mod spares;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use webtransport_proto::SessionError;

pub use self::recv::{Outcome, RecvCounts, RecvPipe, Resume};
pub use self::send::{Flush, Flushed, SendCounts, SendPipe};
pub use self::spares::Spares;
use crate::buffers::Buffers;

/// Bytes of a stream that wait in one direction. Enough for the other side to work on while one side sleeps (half a
/// millisecond at 1 GB/s), little enough to stay in the processor's cache and to let QUIC's windows do the buffering. They fill eight
/// of the longest packets, and leave no crumb for a ninth.
pub const CAPACITY: usize = 8 * 65_400;

/// What arrives on a stream before the application has accepted it waits in QUIC's windows, but for this much: so that
/// a short request is there when it is accepted
pub const FIRST_BITE: usize = 16 << 10;

/// Pieces shorter than this are copied together: moving them would cost more than copying, and a tiny piece that was
/// moved keeps the whole packet buffer alive that it is part of
const SMALL: usize = 1 << 10;

/// A tail this long is moved rather than grown
const LONG_TAIL: usize = 16 << 10;

/// A read this long is likely to be the last of a receive buffer
const LONG_READ: usize = 16 << 10;

/// Why a stream's call cannot succeed
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StreamError {
    /// We have finished, reset or stopped it
    #[error("stream closed locally")]
    ClosedLocally,
    /// The peer sent STOP_SENDING; `None`: with a code that is not an application's
    #[error("peer closed the stream: stop, code {0:?}")]
    Stopped(Option<u32>),
    /// The peer sent RESET_STREAM; `None`: with a code that is not an application's
    #[error("peer closed the stream: reset, code {0:?}")]
    Reset(Option<u32>),
    /// Its session is over
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Tokens of callers that found nothing to do
#[derive(Debug, Default)]
pub struct Waiters(Parked);

/// An object's operation waits under one number, however many tasks wait for it, so there is hardly ever a second
#[derive(Debug, Default)]
enum Parked {
    #[default]
    Nobody,
    One(u64),
    Many(Vec<u64>),
}

impl Waiters {
    /// Keep `token` until the next wake
    pub fn park(&mut self, token: u64) {
        match &mut self.0 {
            Parked::Nobody => self.0 = Parked::One(token),
            Parked::One(one) if *one != token => self.0 = Parked::Many(vec![*one, token]),
            Parked::Many(tokens) if !tokens.contains(&token) => tokens.push(token),
            Parked::One(_) | Parked::Many(_) => {}
        }
    }

    /// Hand all tokens over
    pub fn wake(&mut self, woken: &mut Vec<u64>) {
        match mem::take(&mut self.0) {
            Parked::Nobody => {}
            Parked::One(token) => woken.push(token),
            Parked::Many(mut tokens) => woken.append(&mut tokens),
        }
    }

    /// Whether nobody waits
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Parked::Nobody)
    }
}

/// Bytes in order: pieces of packets, and a tail of small pieces copied together
#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl Queue {
    fn push(&mut self, chunk: Bytes) {
        if chunk.len() < SMALL {
            self.push_small(&chunk);
        } else {
            self.cut_tail();
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    fn push_small(&mut self, piece: &[u8]) {
        self.len += piece.len();
        self.tail.extend_from_slice(piece);
        if self.tail.len() >= LONG_TAIL {
            self.cut_tail();
        }
    }

    fn cut_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(mem::take(&mut self.tail).freeze());
        }
    }

    /// The first `n` bytes, or all if there are fewer
    fn take(&mut self, n: usize) -> Chunks {
        let mut taken = Chunks::default();
        while taken.len < n {
            let room = n - taken.len;
            let chunk = match self.chunks.front_mut() {
                Some(chunk) if chunk.len() > room => chunk.split_to(room),
                Some(_) => self.chunks.pop_front().unwrap_or_default(),
                None if self.tail.len() > room => self.tail.split_to(room).freeze(),
                None if self.tail.is_empty() => break,
                None => mem::take(&mut self.tail).freeze(),
            };
            taken.push(chunk);
        }
        self.len -= taken.len;
        taken
    }

    /// All bytes, appended to `chunks`
    fn drain(&mut self, chunks: &mut Vec<Bytes>) {
        chunks.extend(self.chunks.drain(..));
        if !self.tail.is_empty() {
            chunks.push(mem::take(&mut self.tail).freeze());
        }
        self.len = 0;
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a read took: mostly one piece, for which nothing is allocated
#[derive(Debug, Default)]
pub struct Chunks {
    first: Bytes,
    rest: Vec<Bytes>,
    len: usize,
    /// Where the memory goes
    lender: Option<Arc<Buffers>>,
}

impl Chunks {
    fn push(&mut self, chunk: Bytes) {
        self.len += chunk.len();
        if self.first.is_empty() {
            self.first = chunk;
        } else {
            self.rest.push(chunk);
        }
    }

    /// Their length together, in bytes
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is not a byte in them, which is the end of the stream
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In how many pieces they come
    #[must_use]
    pub fn pieces(&self) -> usize {
        usize::from(!self.first.is_empty()) + self.rest.len()
    }

    /// The pieces in order
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Have the memory go back to `buffers`, if that is worth it
    pub(crate) fn lent_by(mut self, buffers: &Arc<Buffers>) -> Self {
        if self.len >= LONG_READ {
            self.lender = Some(Arc::clone(buffers));
        }
        self
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if let Some(buffers) = &self.lender {
            buffers.give_back(mem::take(&mut self.first));
            self.rest.drain(..).for_each(|chunk| buffers.give_back(chunk));
        }
    }
}
