//! The two halves of a stream.

use std::sync::Arc;

use webtransport_proto::{SessionError, StreamId};

use super::leak_if_forked;
use crate::command::Command;
use crate::pipe::{Chunks, RecvCounts, SendCounts, StreamError};
use crate::shared::{RecvStream, SendStream, Session};

/// The sending half of a stream; dropping it unfinished resets it with code 0
pub struct SendHandle {
    stream: Arc<SendStream>,
}

impl SendHandle {
    pub(super) fn new(stream: Arc<SendStream>) -> Self {
        Self { stream }
    }

    /// The stream's number on the wire
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.stream.id
    }

    /// Take a prefix of `data`: at least one byte unless it is empty, as many as there is room for
    ///
    /// # Errors
    /// The stream or its session is over.
    pub fn write(&self, data: &[u8], token: u64) -> Result<Option<usize>, StreamError> {
        check_stream(&self.stream.session)?;
        let (taken, flush) = self.stream.pipe.write(data, &self.stream.session.endpoint.spares, token)?;
        self.flush(flush.0);
        Ok(taken)
    }

    /// End the stream after what was written
    ///
    /// # Errors
    /// It was finished or reset before.
    pub fn finish(&self) -> Result<(), StreamError> {
        if check_stream(&self.stream.session).is_ok() {
            let flush = self.stream.pipe.finish()?;
            self.flush(flush.0);
        }
        Ok(())
    }

    /// Give the stream up
    ///
    /// # Errors
    /// It was reset before.
    pub fn reset(&self, code: u32) -> Result<(), StreamError> {
        if check_stream(&self.stream.session).is_ok() {
            let mut woken = Vec::new();
            let flush = self.stream.pipe.reset(code, &mut woken)?;
            self.flush(flush.0);
            self.stream.session.endpoint.post(&mut woken);
        }
        Ok(())
    }

    /// Send what this stream has before what streams of a lower order have in the same group; groups take turns
    pub fn set_send_order(&self, group: u32, order: i64) {
        if check_stream(&self.stream.session).is_ok() {
            self.stream.session.endpoint.tell(Command::SetSendOrder(Arc::clone(&self.stream), group, order));
        }
    }

    /// The code of the peer's STOP_SENDING, or `None` once it acknowledged everything
    ///
    /// # Errors
    /// We have reset it, or its session is over.
    #[allow(clippy::option_option)] // whether it is known yet, and whether there is a code
    pub fn closed(&self, token: u64) -> Result<Option<Option<u32>>, StreamError> {
        check_stream(&self.stream.session)?;
        self.stream.pipe.closed(token)
    }

    /// How far the bytes have come, also after the end
    #[must_use]
    pub fn counts(&self) -> SendCounts {
        // In a forked child a lock may be held for ever
        if self.stream.session.endpoint.epoch.is_over() { SendCounts::default() } else { self.stream.pipe.counts() }
    }

    fn flush(&self, something: bool) {
        if something {
            self.stream.session.endpoint.tell(Command::Flush(Arc::clone(&self.stream)));
        }
    }
}

impl Drop for SendHandle {
    fn drop(&mut self) {
        if !leak_if_forked(self.stream.session.endpoint.epoch, &self.stream) {
            let mut woken = Vec::new();
            let flush = self.stream.pipe.abandon(&mut woken);
            self.flush(flush.0);
            self.stream.session.endpoint.post(&mut woken);
        }
    }
}

/// The receiving half of a stream; dropping it before its end stops it with code 0
pub struct RecvHandle {
    stream: Arc<RecvStream>,
}

impl RecvHandle {
    pub(super) fn new(stream: Arc<RecvStream>) -> Self {
        Self { stream }
    }

    /// The stream's number on the wire
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.stream.id
    }

    /// Up to `n` bytes, as many as are there; none at the end
    ///
    /// # Errors
    /// The peer reset the stream, we stopped it, or its session is over.
    pub fn read(&self, n: usize, token: u64) -> Result<Option<Chunks>, StreamError> {
        check_stream(&self.stream.session)?;
        let (chunks, resume) = self.stream.pipe.read(n, token)?;
        if resume.0 {
            self.stream.session.endpoint.tell(Command::Resume(Arc::clone(&self.stream)));
        }
        Ok(chunks.map(|chunks| chunks.lent_by(&self.stream.session.endpoint.buffers)))
    }

    /// Ask the peer to send no more
    ///
    /// # Errors
    /// It was stopped before.
    pub fn stop(&self, code: u32) -> Result<(), StreamError> {
        if check_stream(&self.stream.session).is_ok() {
            let mut woken = Vec::new();
            if self.stream.pipe.stop(&mut woken)? {
                self.stream.session.endpoint.tell(Command::Stop(Arc::clone(&self.stream), code));
            }
            self.stream.session.endpoint.post(&mut woken);
        }
        Ok(())
    }

    /// The code of the peer's reset, or `None` once its FIN has come
    ///
    /// # Errors
    /// We have stopped it, or its session is over.
    #[allow(clippy::option_option)] // whether it is known yet, and whether there is a code
    pub fn closed(&self, token: u64) -> Result<Option<Option<u32>>, StreamError> {
        check_stream(&self.stream.session)?;
        self.stream.pipe.closed(token)
    }

    /// How many bytes came and were taken, also after the end
    #[must_use]
    pub fn counts(&self) -> RecvCounts {
        if self.stream.session.endpoint.epoch.is_over() { RecvCounts::default() } else { self.stream.pipe.counts() }
    }
}

impl Drop for RecvHandle {
    fn drop(&mut self) {
        if !leak_if_forked(self.stream.session.endpoint.epoch, &self.stream) {
            // It may have been stopped before
            let _ = self.stop(0);
        }
    }
}

/// After we closed the session its streams say so at once, even where something is left to read
fn check_stream(session: &Session) -> Result<(), StreamError> {
    if session.endpoint.epoch.is_over() || session.is_closed_locally() {
        return Err(SessionError::Local.into());
    }
    Ok(())
}
