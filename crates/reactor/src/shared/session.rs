//! A session: who waits for what, and the streams that nobody has yet.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use webtransport_proto::{ConnectionStats, Dialect, Dir, Request, Response, SessionError, SessionId};

use super::{Endpoint, Stream};
use crate::datagrams::{Incoming, Outgoing};
use crate::pipe::{FIRST_BITE, Waiters};
use crate::sync::{Mutex, lock};

/// Streams that may be read before they are accepted; a peer's further streams wait in QUIC, whose limits then hold it back
const EARLY_STREAMS: usize = 64;

/// What the state machine knows about a session and everybody may read
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) max_datagram_size: Option<usize>,
    pub(crate) remote_address: SocketAddr,
    pub(crate) connection: ConnectionStats,
}

/// What the peer said to have the session
pub(crate) enum Exchange {
    /// A client asked, and proved itself with these, if with any
    Asked { request: Request, certificates: Vec<Vec<u8>> },
    /// A server answered
    Answered(Response),
}

/// A session, from the request on
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) dialect: Dialect,
    pub(crate) exchange: Exchange,
    /// Set once: why it ended
    error: OnceLock<SessionError>,
    pub(crate) figures: Mutex<Figures>,
    /// It is in the reactor's list of those whose figures may have changed, or on its way there
    touched: AtomicBool,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    state: Mutex<SessionState>,
}

#[derive(Default)]
struct SessionState {
    /// By direction, as all that follows
    streams: [Streams; 2],
    /// One of the sides would like the session to end soon
    draining: bool,
    draining_waiters: Waiters,
    /// The reactor has seen the end: what is in `accept` now is complete, and all that will be
    over: bool,
    gone: bool,
    gone_waiters: Waiters,
}

#[derive(Default)]
struct Streams {
    /// Boxed: one side or one direction, as a rule, opens none
    ours: Option<Box<Ours>>,
    /// Of the peer: opened, and not accepted
    unaccepted: VecDeque<Stream>,
    acceptors: Waiters,
}

/// Streams that we open
#[derive(Default)]
struct Ours {
    /// Opened, and wanted by somebody
    opened: VecDeque<Stream>,
    /// How many more the reactor was asked to open
    requested: usize,
    /// Who was given none yet. A caller that is cancelled stays here: what it asked for goes to the next with its token.
    callers: Vec<u64>,
    openers: Waiters,
}

impl Streams {
    fn ours(&mut self) -> &mut Ours {
        self.ours.get_or_insert_default()
    }

    /// Take what we opened and nobody has yet
    fn take_opened(&mut self) -> VecDeque<Stream> {
        self.ours.as_mut().map(|ours| std::mem::take(&mut ours.opened)).unwrap_or_default()
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, endpoint: Arc<Endpoint>, dialect: Dialect, exchange: Exchange, figures: Figures) -> Self {
        Self {
            id,
            endpoint,
            dialect,
            exchange,
            error: OnceLock::new(),
            figures: Mutex::new(figures),
            touched: AtomicBool::new(false),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            state: Mutex::default(),
        }
    }

    /// Why the session ended; a closed endpoint has closed it, even if the reactor has not come to it yet
    pub(crate) fn error(&self) -> Option<SessionError> {
        match self.error.get() {
            None if self.endpoint.is_closed() => Some(SessionError::Local),
            error => error.cloned(),
        }
    }

    /// Whether we closed it: then every call says so at once, even where something is left to read
    pub(crate) fn is_closed_locally(&self) -> bool {
        match self.error.get() {
            None => self.endpoint.is_closed(),
            Some(error) => *error == SessionError::Local,
        }
    }

    /// Close it here, before the reactor knows; false if it was over before
    pub(crate) fn close(&self, woken: &mut Vec<u64>) -> bool {
        if self.endpoint.is_closed() || self.error.set(SessionError::Local).is_err() {
            return false;
        }
        self.wake_all(&mut lock(&self.state), woken);
        true
    }

    /// The reactor has seen the end, and has put into the pipes all that can still be read
    pub(crate) fn end(&self, error: SessionError, woken: &mut Vec<u64>) {
        let _ = self.error.set(if self.endpoint.is_closed() { SessionError::Local } else { error });
        let local = self.is_closed_locally();
        let mut dropped = Vec::new(); // with the lock released: streams are dropped after it
        {
            let mut state = lock(&self.state);
            state.over = true;
            for streams in &mut state.streams {
                dropped.extend(streams.take_opened());
                let (complete, rest): (VecDeque<_>, VecDeque<_>) = streams
                    .unaccepted
                    .drain(..)
                    .partition(|stream| !local && stream.recv.as_ref().is_some_and(|recv| recv.pipe.is_finished()));
                streams.unaccepted = complete;
                dropped.extend(rest);
            }
            self.wake_all(&mut state, woken);
        }
        self.outgoing.end(woken);
    }

    fn wake_all(&self, state: &mut SessionState, woken: &mut Vec<u64>) {
        for streams in &mut state.streams {
            if let Some(ours) = &mut streams.ours {
                ours.openers.wake(woken);
            }
            streams.acceptors.wake(woken);
        }
        state.draining_waiters.wake(woken);
        self.incoming.wake(woken);
    }

    /// An opened stream; `None`: `token` is parked. The second value: the reactor must be asked for one.
    pub(crate) fn open(&self, dir: Dir, token: u64) -> Result<(Option<Stream>, bool), SessionError> {
        let mut state = lock(&self.state);
        if let Some(error) = self.error() {
            return Err(error);
        }
        let ours = state.streams[dir as usize].ours();
        let stream = ours.opened.pop_front();
        if stream.is_some() {
            ours.callers.retain(|&caller| caller != token);
        } else {
            ours.openers.park(token);
            if !ours.callers.contains(&token) {
                ours.callers.push(token);
            }
        }
        // One stream for each caller: a caller that took what another had asked for leaves that one without
        let ask = ours.callers.len() > ours.requested + ours.opened.len();
        if ask {
            ours.requested += 1;
        }
        Ok((stream, ask))
    }

    /// The reactor opened a stream as it was asked to
    pub(crate) fn opened(&self, dir: Dir, stream: Stream, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        let ours = state.streams[dir as usize].ours();
        ours.requested = ours.requested.saturating_sub(1);
        ours.opened.push_back(stream);
        ours.openers.wake(woken);
    }

    /// The peer opened a stream. Returns how much of it may be read before it is accepted.
    pub(crate) fn early_bite(&self, dir: Dir) -> usize {
        let waiting = lock(&self.state).streams[dir as usize].unaccepted.len();
        if waiting < EARLY_STREAMS { FIRST_BITE } else { 0 }
    }

    /// The peer opened this stream
    pub(crate) fn offer(&self, dir: Dir, stream: Stream, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        let streams = &mut state.streams[dir as usize];
        streams.unaccepted.push_back(stream);
        streams.acceptors.wake(woken);
    }

    /// A stream of the peer; `None`: `token` is parked
    pub(crate) fn accept(&self, dir: Dir, token: u64) -> Result<Option<Stream>, SessionError> {
        let mut state = lock(&self.state);
        if self.is_closed_locally() {
            return Err(SessionError::Local);
        }
        let over = state.over;
        let streams = &mut state.streams[dir as usize];
        match streams.unaccepted.pop_front() {
            None if over => Err(self.error().unwrap_or(SessionError::Local)),
            None => {
                streams.acceptors.park(token);
                Ok(None)
            }
            stream => Ok(stream),
        }
    }

    /// Returns whether it was not draining before
    pub(crate) fn set_draining(&self, woken: &mut Vec<u64>) -> bool {
        let mut state = lock(&self.state);
        state.draining_waiters.wake(woken);
        !std::mem::replace(&mut state.draining, true)
    }

    /// Whether one of the sides has asked the other to end the session soon
    pub(crate) fn is_draining(&self) -> bool {
        lock(&self.state).draining
    }

    /// The same for those who wait for it; if not, `token` is parked
    pub(crate) fn wait_draining(&self, token: u64) -> Result<bool, SessionError> {
        let mut state = lock(&self.state);
        if state.draining {
            return Ok(true);
        }
        match self.error() {
            Some(error) => Err(error),
            None => {
                state.draining_waiters.park(token);
                Ok(false)
            }
        }
    }

    /// Whether the reactor has seen the end
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    /// The session's handle is gone, so nobody will take what waits to be taken
    pub(crate) fn abandon(&self) {
        let mut dropped = Vec::new(); // after the lock is released, for a stream holds its session
        let mut state = lock(&self.state);
        for streams in &mut state.streams {
            dropped.extend(streams.take_opened());
            dropped.extend(streams.unaccepted.drain(..));
        }
        drop(state);
    }

    /// Returns whether it was not touched before: then the caller sees to it that the reactor lists it
    pub(crate) fn touch(&self) -> bool {
        !self.touched.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn untouch(&self) {
        self.touched.store(false, Ordering::Relaxed);
    }

    /// Whether the peer has closed the CONNECT stream, or was given up on
    pub(crate) fn is_gone(&self, token: u64) -> bool {
        let mut state = lock(&self.state);
        if !state.gone {
            state.gone_waiters.park(token);
        }
        state.gone
    }

    pub(crate) fn set_gone(&self, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.gone = true;
        state.gone_waiters.wake(woken);
    }
}
