//! What the application's handles and the reactor have in common: one object for each endpoint, session and stream.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use webtransport_proto::{
    ConnectError, ConnectId, ConnectionStats, Dialect, Dir, EndpointStats, Request, Response, SessionError, SessionId, StreamId,
};

use crate::command::{Command, Inbox};
use crate::datagrams::{Incoming, Outgoing};
use crate::fork::Epoch;
use crate::helm::Helm;
use crate::http;
use crate::mailbox::Mailbox;
use crate::pipe::{CAPACITY, FIRST_BITE, RecvPipe, SendPipe, Waiters};
use crate::sync::{Mutex, lock};

/// Streams that may be read before they are accepted; a peer's further streams wait in QUIC, whose limits then hold it back
const EARLY_STREAMS: usize = 64;

/// How many of each the reactor keeps
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Connections that have not ended
    pub connections: usize,
    /// Sessions, also those that were requested only
    pub sessions: usize,
    /// Streams with at least one half that has not ended
    pub streams: usize,
    /// Attempts to connect
    pub connecting: usize,
}

/// An endpoint
pub(crate) struct Endpoint {
    pub(crate) epoch: Epoch,
    pub(crate) local_address: SocketAddr,
    pub(crate) helm: Helm,
    inbox: Inbox,
    /// `close` was called, or the reactor has ended
    closed: AtomicBool,
    mailbox: Mutex<Option<Attached>>,
    /// An event loop watches the socket
    watched: AtomicBool,
    state: Mutex<EndpointState>,
    published: Mutex<(Counts, EndpointStats)>,
    pub(crate) http: http::Queue,
}

/// Where tokens go
struct Attached {
    mailbox: Arc<Mailbox>,
    /// Ours there, if its loop can watch the socket
    number: Option<usize>,
}

#[derive(Default)]
struct EndpointState {
    /// Requests that nobody has accepted; some of them may be over
    requests: VecDeque<Arc<Session>>,
    /// How many of those are over
    dead_requests: usize,
    acceptors: Waiters,
    /// It takes no new sessions, and the last one has gone
    drained: bool,
    drained_waiters: Waiters,
    gone: bool,
    gone_waiters: Waiters,
}

impl Endpoint {
    pub(crate) fn new(inbox: Inbox, local_address: SocketAddr) -> Self {
        Self {
            epoch: Epoch::now(),
            local_address,
            helm: Helm::default(),
            inbox,
            closed: AtomicBool::new(false),
            mailbox: Mutex::default(),
            watched: AtomicBool::new(false),
            state: Mutex::default(),
            published: Mutex::default(),
            http: http::Queue::default(),
        }
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Tell the reactor; false: it comes too late for it, and what it is about is over anyway
    pub(crate) fn tell(&self, command: Command) -> bool {
        let Ok(first) = self.inbox.push(command) else { return false };
        if first && self.is_watched() {
            let attached =
                lock(&self.mailbox).as_ref().and_then(|attached| Some((Arc::clone(&attached.mailbox), attached.number?)));
            if let Some((mailbox, number)) = attached {
                mailbox.ask(number);
            }
        }
        true
    }

    /// The reactor's tokens go there from now on, and its loop turns it if it can
    pub(crate) fn attach(self: &Arc<Self>, mailbox: Arc<Mailbox>) {
        // Held, so that nobody closes the socket meanwhile
        self.helm.hold(|reactor| {
            let socket = reactor.map(|reactor| reactor.socket());
            if let Some(socket) = socket {
                self.unwatch(socket);
            }
            let number = socket.and_then(|socket| mailbox.watch(self, socket));
            *lock(&self.mailbox) = Some(Attached { mailbox, number });
            self.watched.store(number.is_some(), Ordering::SeqCst);
        });
    }

    /// The socket is about to be closed, or another loop's
    pub(crate) fn unwatch(&self, socket: u64) {
        self.watched.store(false, Ordering::SeqCst);
        if let Some(Attached { mailbox, number }) = lock(&self.mailbox).as_mut()
            && let Some(number) = number.take()
        {
            mailbox.unwatch(number, socket);
        }
    }

    /// Whether an event loop turns the reactor, as long as it comes
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::SeqCst)
    }

    /// The event loop is here; returns whether it is to come again soon
    pub(crate) fn visit(&self, readable: bool, tokens: &mut Vec<u64>) -> bool {
        self.helm.visit(self, readable, tokens)
    }

    /// Hand wake tokens to whoever listens now
    pub(crate) fn post(&self, woken: &mut Vec<u64>) {
        if woken.is_empty() {
            return;
        }
        let mailbox = lock(&self.mailbox).as_ref().map(|attached| Arc::clone(&attached.mailbox));
        if let Some(mailbox) = mailbox {
            mailbox.post(woken);
        }
        woken.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Returns whether it was closed before
    pub(crate) fn close(&self, woken: &mut Vec<u64>) -> bool {
        let was_closed = self.closed.swap(true, Ordering::AcqRel);
        let mut state = lock(&self.state);
        state.acceptors.wake(woken);
        state.requests.clear();
        self.http.close(woken);
        was_closed
    }

    /// A client asks for a session
    pub(crate) fn request(&self, session: Arc<Session>, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        if !self.is_closed() {
            state.requests.push_back(session);
            state.acceptors.wake(woken);
        }
    }

    /// A request is over, and perhaps nobody has accepted it: keep the queue from filling with the dead
    pub(crate) fn request_died(&self) {
        let mut state = lock(&self.state);
        state.dead_requests += 1;
        if state.dead_requests > state.requests.len() / 2 {
            state.requests.retain(|session| session.error().is_none());
            state.dead_requests = 0;
        }
    }

    /// The next request whose client is still there
    pub(crate) fn accept(&self, token: u64) -> Option<Arc<Session>> {
        let mut state = lock(&self.state);
        while let Some(session) = state.requests.pop_front() {
            if session.error().is_none() {
                return Some(session);
            }
        }
        if !self.is_closed() {
            state.acceptors.park(token);
        }
        None
    }

    /// Whether it was asked to drain, and the last session has gone
    pub(crate) fn is_drained(&self, token: u64) -> bool {
        let mut state = lock(&self.state);
        if !state.drained {
            state.drained_waiters.park(token);
        }
        state.drained
    }

    pub(crate) fn set_drained(&self, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.drained = true;
        state.drained_waiters.wake(woken);
    }

    pub(crate) fn gone(&self, token: u64) -> bool {
        let mut state = lock(&self.state);
        if !state.gone {
            state.gone_waiters.park(token);
        }
        state.gone
    }

    /// The reactor has ended
    pub(crate) fn end(&self) {
        let mut woken = Vec::new();
        self.close(&mut woken);
        self.set_drained(&mut woken);
        {
            let mut state = lock(&self.state);
            state.gone = true;
            state.gone_waiters.wake(&mut woken);
        }
        self.post(&mut woken);
    }

    pub(crate) fn publish(&self, counts: Counts, totals: EndpointStats) {
        *lock(&self.published) = (counts, totals);
    }

    pub(crate) fn published(&self) -> (Counts, EndpointStats) {
        *lock(&self.published)
    }
}

/// An attempt to connect
pub(crate) struct Connecting {
    pub(crate) id: ConnectId,
    pub(crate) endpoint: Arc<Endpoint>,
    state: Mutex<ConnectingState>,
}

#[derive(Default)]
struct ConnectingState {
    /// The server was reached; its answer is all that is missing
    asked: bool,
    result: Option<Result<Arc<Session>, ConnectError>>,
    waiters: Waiters,
}

impl Connecting {
    pub(crate) fn new(id: ConnectId, endpoint: Arc<Endpoint>) -> Self {
        Self { id, endpoint, state: Mutex::default() }
    }

    pub(crate) fn resolve(&self, result: Result<Arc<Session>, ConnectError>, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.result.get_or_insert(result);
        state.waiters.wake(woken);
    }

    /// The server was asked for the session
    pub(crate) fn asked(&self, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.asked = true;
        state.waiters.wake(woken);
    }

    pub(crate) fn is_asked(&self) -> bool {
        lock(&self.state).asked
    }

    /// The result, of which a session is given only once; `None`: nothing yet, and `token` is parked
    pub(crate) fn poll(&self, token: u64) -> Option<Result<Arc<Session>, ConnectError>> {
        let mut state = lock(&self.state);
        match &state.result {
            None => {
                state.waiters.park(token);
                None
            }
            Some(Ok(_)) => state.result.replace(Err(ConnectError::Closed)),
            Some(Err(error)) => Some(Err(error.clone())),
        }
    }

    /// The session, if there is one that nobody has
    pub(crate) fn unclaimed(&self) -> Option<Arc<Session>> {
        let mut state = lock(&self.state);
        let session = state.result.as_ref()?.as_ref().ok().cloned()?;
        state.result = Some(Err(ConnectError::Closed));
        Some(session)
    }

    /// Whether it has come to something
    pub(crate) fn is_resolved(&self) -> bool {
        lock(&self.state).result.is_some()
    }
}

/// What the state machine knows about a session and everybody may read
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) max_datagram_size: Option<usize>,
    pub(crate) remote_address: SocketAddr,
    pub(crate) connection: ConnectionStats,
}

/// A session, from the request on
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) dialect: Dialect,
    /// Server: what the client asked for
    pub(crate) request: Option<Request>,
    /// Client: what the server answered
    pub(crate) response: Option<Response>,
    /// Server: what the client proved itself with
    pub(crate) peer_certificates: Vec<Vec<u8>>,
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
    /// Of ours: opened, and wanted by somebody
    opened: VecDeque<Stream>,
    /// How many more the reactor was asked to open
    requested: usize,
    /// Who was given none yet. A caller that is cancelled stays here: what it asked for goes to the next with its token.
    callers: Vec<u64>,
    openers: Waiters,
    /// Of the peer: opened, and not accepted
    unaccepted: VecDeque<Stream>,
    acceptors: Waiters,
}

/// A stream's halves: both, or the one that its direction has
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) send: Option<Arc<SendStream>>,
    pub(crate) recv: Option<Arc<RecvStream>>,
}

/// The sending half of a stream
pub(crate) struct SendStream {
    pub(crate) id: StreamId,
    pub(crate) session: Arc<Session>,
    pub(crate) pipe: SendPipe,
}

/// The receiving half of a stream
pub(crate) struct RecvStream {
    pub(crate) id: StreamId,
    pub(crate) session: Arc<Session>,
    pub(crate) pipe: RecvPipe,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        endpoint: Arc<Endpoint>,
        dialect: Dialect,
        request: Option<Request>,
        response: Option<Response>,
        peer_certificates: Vec<Vec<u8>>,
        figures: Figures,
    ) -> Self {
        Self {
            id,
            endpoint,
            dialect,
            request,
            response,
            peer_certificates,
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
                dropped.extend(streams.opened.drain(..));
                let (complete, rest): (VecDeque<_>, VecDeque<_>) = streams
                    .unaccepted
                    .drain(..)
                    .partition(|stream| !local && stream.recv.as_ref().is_some_and(|recv| recv.pipe.is_finished()));
                streams.unaccepted = complete;
                dropped.extend(rest);
            }
            self.wake_all(&mut state, woken);
        }
        self.outgoing.clear(woken);
    }

    fn wake_all(&self, state: &mut SessionState, woken: &mut Vec<u64>) {
        for streams in &mut state.streams {
            streams.openers.wake(woken);
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
        let streams = &mut state.streams[dir as usize];
        let stream = streams.opened.pop_front();
        if stream.is_some() {
            streams.callers.retain(|&caller| caller != token);
        } else {
            streams.openers.park(token);
            if !streams.callers.contains(&token) {
                streams.callers.push(token);
            }
        }
        // One stream for each caller: a caller that took what another had asked for leaves that one without
        let ask = streams.callers.len() > streams.requested + streams.opened.len();
        if ask {
            streams.requested += 1;
        }
        Ok((stream, ask))
    }

    /// The reactor opened a stream as it was asked to
    pub(crate) fn opened(&self, dir: Dir, stream: Stream, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        let streams = &mut state.streams[dir as usize];
        streams.requested = streams.requested.saturating_sub(1);
        streams.opened.push_back(stream);
        streams.openers.wake(woken);
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
            dropped.extend(streams.opened.drain(..));
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

impl Stream {
    /// A stream with as many halves as `id` says; `bite` bytes of it may be read before somebody accepts it
    pub(crate) fn peer(id: StreamId, session: &Arc<Session>, bite: usize) -> Self {
        Self {
            send: (id.dir() == Dir::Bi).then(|| Arc::new(SendStream::new(id, session))),
            recv: Some(Arc::new(RecvStream { id, session: Arc::clone(session), pipe: RecvPipe::new(bite) })),
        }
    }

    /// A stream that we opened
    pub(crate) fn local(id: StreamId, session: &Arc<Session>) -> Self {
        let recv = || Arc::new(RecvStream { id, session: Arc::clone(session), pipe: RecvPipe::new(CAPACITY) });
        Self { send: Some(Arc::new(SendStream::new(id, session))), recv: (id.dir() == Dir::Bi).then(recv) }
    }
}

impl SendStream {
    fn new(id: StreamId, session: &Arc<Session>) -> Self {
        Self { id, session: Arc::clone(session), pipe: SendPipe::default() }
    }
}
