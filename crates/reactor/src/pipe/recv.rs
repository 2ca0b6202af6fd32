//! The receiving direction: the reactor fills, the application reads.

use bytes::Bytes;
use webtransport_proto::SessionError;

use super::{CAPACITY, Chunks, Queue, StreamError, Waiters};
use crate::sync::{Mutex, lock};

#[derive(Debug)]
enum Receiving {
    Open,
    Finished,
    Reset(Option<u32>),
    Stopped,
    Lost(SessionError),
}

#[derive(Debug)]
struct Recv {
    state: Receiving,
    queue: Queue,
    counts: RecvCounts,
    capacity: usize,
    /// The reactor left something unread because there was no room: it must be told when there is
    full: bool,
    readers: Waiters,
    closers: Waiters,
}

/// The receiving direction: the reactor fills, the application reads
#[derive(Debug)]
pub struct RecvPipe(Mutex<Recv>);

/// What the reactor found after the chunks
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing yet
    Blocked,
    /// It did not look, for want of room
    Full,
    /// The peer's FIN
    Finished,
    /// The peer's reset: what was not read is not to be read
    Reset(Option<u32>),
    /// The session is over, and the stream with it
    Lost(SessionError),
}

/// How many of a stream's bytes came, in order, and how many were taken
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecvCounts {
    /// Bytes that came out of QUIC; more may wait there while the pipe is full
    pub received: u64,
    /// Bytes that the application took
    pub read: u64,
}

/// Whether the reactor must be told that there is room again
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Resume(pub bool);

/// The application's end. Where a call returns `resume`, the reactor must be told.
impl RecvPipe {
    /// A pipe of this many bytes: [`CAPACITY`], or less for a stream that nobody has accepted yet
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Mutex::new(Recv {
            state: Receiving::Open,
            queue: Queue::default(),
            counts: RecvCounts::default(),
            capacity,
            full: capacity == 0,
            readers: Waiters::default(),
            closers: Waiters::default(),
        }))
    }

    /// The stream has a reader now, who is worth the whole capacity
    pub fn accept(&self) -> Resume {
        let mut recv = lock(&self.0);
        recv.capacity = CAPACITY;
        Resume(std::mem::take(&mut recv.full))
    }

    /// Up to `n` bytes, as many as are there; none at the end; `None`: nothing yet, and `token` is parked
    ///
    /// # Errors
    /// The peer reset the stream, we stopped it, or its session is over.
    pub fn read(&self, n: usize, token: u64) -> Result<(Option<Chunks>, Resume), StreamError> {
        let mut recv = lock(&self.0);
        match &recv.state {
            Receiving::Open | Receiving::Finished => {}
            Receiving::Reset(code) => return Err(StreamError::Reset(*code)),
            Receiving::Stopped => return Err(StreamError::ClosedLocally),
            Receiving::Lost(error) => return Err(error.clone().into()),
        }
        if n > 0 && recv.queue.len == 0 && matches!(recv.state, Receiving::Open) {
            recv.readers.park(token);
            return Ok((None, Resume(false)));
        }
        let chunks = recv.queue.take(n);
        recv.counts.read += chunks.len as u64;
        // Half the pipe must be free, so that the reactor does not go on in crumbs
        let resume = recv.full && recv.queue.len <= recv.capacity / 2;
        if resume {
            recv.full = false;
        }
        Ok((Some(chunks), Resume(resume)))
    }

    /// How many bytes came and were taken, also after the end
    #[must_use]
    pub fn counts(&self) -> RecvCounts {
        lock(&self.0).counts
    }

    /// Ask the peer to send no more; interrupts every other call. The reactor must be told, unless the end has come.
    ///
    /// # Errors
    /// It was stopped before.
    pub fn stop(&self, woken: &mut Vec<u64>) -> Result<bool, StreamError> {
        let mut recv = lock(&self.0);
        let tell = match recv.state {
            Receiving::Open => true,
            Receiving::Finished | Receiving::Reset(_) => false,
            Receiving::Lost(_) => return Ok(false),
            Receiving::Stopped => return Err(StreamError::ClosedLocally),
        };
        recv.end(Receiving::Stopped, woken);
        Ok(tell)
    }

    /// How the peer ended it: the code of its reset, or `None` once its FIN has come
    ///
    /// # Errors
    /// We have stopped it, or its session is over.
    #[allow(clippy::option_option)] // whether it is known yet, and whether there is a code
    pub fn closed(&self, token: u64) -> Result<Option<Option<u32>>, StreamError> {
        let mut recv = lock(&self.0);
        match &recv.state {
            Receiving::Open => {
                recv.closers.park(token);
                Ok(None)
            }
            Receiving::Finished => Ok(Some(None)),
            Receiving::Reset(code) => Ok(Some(*code)),
            Receiving::Stopped => Err(StreamError::ClosedLocally),
            Receiving::Lost(error) => Err(error.clone().into()),
        }
    }
}

/// The reactor's end
impl RecvPipe {
    /// How many bytes may be added; `None` if the stream has ended and nothing may be
    #[must_use]
    pub fn room(&self) -> Option<usize> {
        let recv = lock(&self.0);
        matches!(recv.state, Receiving::Open).then(|| recv.capacity.saturating_sub(recv.queue.len))
    }

    /// Add all of `chunks`, leaving it empty, and note what came after them. Returns whether to go on: there is room
    /// although it was [`Outcome::Full`], for a reader was quick.
    pub fn fill(&self, chunks: &mut Vec<Bytes>, outcome: Outcome, woken: &mut Vec<u64>) -> bool {
        let mut recv = lock(&self.0);
        if !matches!(recv.state, Receiving::Open) {
            chunks.clear();
            return false;
        }
        if !chunks.is_empty() {
            for chunk in chunks.drain(..) {
                recv.counts.received += chunk.len() as u64;
                recv.queue.push(chunk);
            }
            recv.readers.wake(woken);
        }
        match outcome {
            Outcome::Blocked => {}
            Outcome::Full if recv.queue.len < recv.capacity => return true,
            Outcome::Full => recv.full = true,
            Outcome::Finished => {
                recv.state = Receiving::Finished;
                recv.readers.wake(woken);
                recv.closers.wake(woken);
            }
            Outcome::Reset(code) => recv.end(Receiving::Reset(code), woken),
            Outcome::Lost(error) => recv.end(Receiving::Lost(error), woken),
        }
        false
    }

    /// Whether the peer's FIN has come, and all before it
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(lock(&self.0).state, Receiving::Finished)
    }

    /// Whether a reader has it
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        lock(&self.0).capacity == CAPACITY
    }
}

impl Recv {
    fn end(&mut self, state: Receiving, woken: &mut Vec<u64>) {
        self.state = state;
        self.queue.clear();
        self.full = false;
        self.readers.wake(woken);
        self.closers.wake(woken);
    }
}
