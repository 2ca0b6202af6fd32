//! The sending direction: the application writes, the reactor takes.

use std::sync::Arc;

use bytes::Bytes;
use webtransport_proto::SessionError;

use super::{CAPACITY, Queue, SMALL, Spares, StreamError, Waiters};
use crate::sync::{Mutex, lock};

/// What is longer is cut up: about a packet of loopback's, so that memory comes back soon, and fits the next write
const PIECE: usize = 64 << 10;

#[derive(Debug)]
enum Sending {
    Open,
    Finishing,
    Finished,
    Stopped(Option<u32>),
    Reset,
    Lost(SessionError),
}

#[derive(Debug)]
struct Send {
    state: Sending,
    /// Bytes that the reactor has not come for
    queue: Queue,
    /// Bytes taken from the application that QUIC has not taken: those in the queue, those being copied into it, and those
    /// that the reactor handed on
    held: usize,
    counts: SendCounts,
    /// The FIN is for the reactor to pass on
    finish: bool,
    /// The reset is for the reactor to pass on
    reset: Option<u32>,
    /// The reactor knows that there is something for it
    flushing: bool,
    writers: Waiters,
    closers: Waiters,
}

/// The sending direction: the application writes, the reactor takes
#[derive(Debug)]
pub struct SendPipe(Mutex<Send>);

/// How far a stream's bytes have come
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SendCounts {
    /// Bytes taken from the application
    pub written: u64,
    /// Bytes that QUIC took, to send them as soon as the peer and the network permit
    pub sent: u64,
    /// Bytes that the peer has; `None`: some of them, QUIC tells only when it is all
    pub acknowledged: Option<u64>,
}

/// What the reactor is to pass on, after the chunks
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// The FIN
    pub finish: bool,
    /// A reset with this code
    pub reset: Option<u32>,
}

impl Default for SendPipe {
    fn default() -> Self {
        Self(Mutex::new(Send {
            state: Sending::Open,
            queue: Queue::default(),
            held: 0,
            counts: SendCounts::default(),
            finish: false,
            reset: None,
            flushing: false,
            writers: Waiters::default(),
            closers: Waiters::default(),
        }))
    }
}

/// The application's end. Where a call returns `flush`, the reactor must be told.
impl SendPipe {
    /// Take a prefix of `data`, as much as there is credit for, into memory of `spares`; `None`: none, and `token` is parked
    ///
    /// # Errors
    /// The stream, or at least its sending half, is over.
    pub fn write(&self, data: &[u8], spares: &Arc<Spares>, token: u64) -> Result<(Option<usize>, Flush), StreamError> {
        let mut send = lock(&self.0);
        send.writable()?;
        // A writer that must wait waits for half the pipe, so that it does not go on in crumbs
        let room = CAPACITY.saturating_sub(send.held);
        if room < data.len() && room < CAPACITY / 2 {
            send.writers.park(token);
            return Ok((None, Flush(false)));
        }
        let taken = data.len().min(room);
        let data = &data[..taken];
        send.held += taken;
        send.counts.written += taken as u64;
        if taken < SMALL {
            send.queue.push_small(data);
        } else {
            drop(send);
            let chunks: Vec<Bytes> = data.chunks(PIECE).map(|piece| spares.copy(piece)).collect();
            send = lock(&self.0);
            match send.state {
                Sending::Open => chunks.into_iter().for_each(|chunk| send.queue.push(chunk)),
                // Another thread was quicker, and what is not there yet may not follow the FIN
                Sending::Finishing | Sending::Finished => {
                    send.held -= taken;
                    send.counts.written -= taken as u64;
                    return Err(StreamError::ClosedLocally);
                }
                // Whatever closed it, these bytes were written before: they share the fate of the others
                Sending::Stopped(_) | Sending::Reset | Sending::Lost(_) => {}
            }
        }
        Ok((Some(taken), send.flush()))
    }

    /// End the stream after what was written
    ///
    /// # Errors
    /// It was finished or reset before.
    pub fn finish(&self) -> Result<Flush, StreamError> {
        let mut send = lock(&self.0);
        match send.state {
            Sending::Open => {
                send.state = Sending::Finishing;
                send.finish = true;
                Ok(send.flush())
            }
            // What the peer no longer wants is finished well enough, and this is our answer (RFC 9000 §3.5)
            Sending::Stopped(_) => {
                send.finish = true;
                Ok(send.flush())
            }
            Sending::Lost(_) => Ok(Flush(false)),
            Sending::Finishing | Sending::Finished | Sending::Reset => Err(StreamError::ClosedLocally),
        }
    }

    /// Give the stream up; interrupts every other call
    ///
    /// # Errors
    /// It was reset before.
    pub fn reset(&self, code: u32, woken: &mut Vec<u64>) -> Result<Flush, StreamError> {
        let mut send = lock(&self.0);
        let flush = match send.state {
            Sending::Open | Sending::Finishing | Sending::Stopped(_) => {
                send.reset = Some(code);
                send.finish = false;
                send.flush()
            }
            Sending::Finished => Flush(false), // nothing is left to reset
            Sending::Lost(_) => return Ok(Flush(false)),
            Sending::Reset => return Err(StreamError::ClosedLocally),
        };
        send.end(Sending::Reset, woken);
        Ok(flush)
    }

    /// How the peer took it: the code of its STOP_SENDING, or `None` once it acknowledged everything
    ///
    /// # Errors
    /// We have reset it, or its session is over.
    #[allow(clippy::option_option)] // whether it is known yet, and whether there is a code
    pub fn closed(&self, token: u64) -> Result<Option<Option<u32>>, StreamError> {
        let mut send = lock(&self.0);
        match &send.state {
            Sending::Open | Sending::Finishing => {
                send.closers.park(token);
                Ok(None)
            }
            Sending::Finished => Ok(Some(None)),
            Sending::Stopped(code) => Ok(Some(*code)),
            Sending::Reset => Err(StreamError::ClosedLocally),
            Sending::Lost(error) => Err(error.clone().into()),
        }
    }

    /// How far the bytes have come, also after the end
    #[must_use]
    pub fn counts(&self) -> SendCounts {
        let send = lock(&self.0);
        let all = matches!(send.state, Sending::Finished) || send.counts.written == 0;
        SendCounts { acknowledged: all.then_some(send.counts.written), ..send.counts }
    }

    /// What a dropped handle leaves behind: an unfinished stream is reset, so that it does not look complete
    pub fn abandon(&self, woken: &mut Vec<u64>) -> Flush {
        if matches!(lock(&self.0).state, Sending::Open) { self.reset(0, woken).unwrap_or(Flush(false)) } else { Flush(false) }
    }
}

/// The reactor's end
impl SendPipe {
    /// Everything that waits, appended to `chunks`, and what comes after it
    pub fn take(&self, chunks: &mut Vec<Bytes>) -> Flushed {
        let mut send = lock(&self.0);
        send.flushing = false;
        send.queue.drain(chunks);
        Flushed { finish: std::mem::take(&mut send.finish), reset: send.reset.take() }
    }

    /// QUIC took `bytes`: they may be written anew
    pub fn written(&self, bytes: usize, woken: &mut Vec<u64>) {
        let mut send = lock(&self.0);
        send.held = send.held.saturating_sub(bytes);
        send.counts.sent += bytes as u64;
        if send.held <= CAPACITY / 2 {
            send.writers.wake(woken);
        }
    }

    /// The peer has acknowledged all, and the FIN
    pub fn finished(&self, woken: &mut Vec<u64>) {
        lock(&self.0).end_unless_reset(Sending::Finished, woken);
    }

    /// The peer sent STOP_SENDING
    pub fn stopped(&self, code: Option<u32>, woken: &mut Vec<u64>) {
        lock(&self.0).end_unless_reset(Sending::Stopped(code), woken);
    }

    /// The session is over. What the stream itself came to before stays known.
    pub fn lost(&self, error: &SessionError, woken: &mut Vec<u64>) {
        let mut send = lock(&self.0);
        match send.state {
            Sending::Open | Sending::Finishing => send.end(Sending::Lost(error.clone()), woken),
            Sending::Finished | Sending::Stopped(_) | Sending::Reset | Sending::Lost(_) => {}
        }
    }
}

/// Whether the reactor must be told that there is something to take
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Flush(pub bool);

impl Send {
    fn writable(&self) -> Result<(), StreamError> {
        match &self.state {
            Sending::Open => Ok(()),
            Sending::Finishing | Sending::Finished | Sending::Reset => Err(StreamError::ClosedLocally),
            Sending::Stopped(code) => Err(StreamError::Stopped(*code)),
            Sending::Lost(error) => Err(error.clone().into()),
        }
    }

    fn flush(&mut self) -> Flush {
        let something = self.queue.len > 0 || self.finish || self.reset.is_some();
        Flush(something && !std::mem::replace(&mut self.flushing, true))
    }

    fn end(&mut self, state: Sending, woken: &mut Vec<u64>) {
        self.state = state;
        self.queue.clear();
        self.writers.wake(woken);
        self.closers.wake(woken);
    }

    fn end_unless_reset(&mut self, state: Sending, woken: &mut Vec<u64>) {
        if matches!(self.state, Sending::Open | Sending::Finishing) {
            self.end(state, woken);
        }
    }
}
