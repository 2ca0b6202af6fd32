//! An endpoint, and how its reactor is told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use webtransport_proto::EndpointStats;

use super::Session;
use crate::buffers::Buffers;
use crate::command::{Command, Inbox};
use crate::fork::Epoch;
use crate::helm::Helm;
use crate::http;
use crate::mailbox::Mailbox;
use crate::pipe::{Spares, Waiters};
use crate::sync::{Mutex, lock};

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
    pub(crate) spares: Arc<Spares>,
    pub(crate) buffers: Arc<Buffers>,
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
            spares: Arc::default(),
            buffers: Arc::default(),
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
        self.helm.set_over();
        self.inbox.wake();
    }

    pub(crate) fn publish(&self, counts: Counts, totals: EndpointStats) {
        *lock(&self.published) = (counts, totals);
    }

    pub(crate) fn published(&self) -> (Counts, EndpointStats) {
        *lock(&self.published)
    }
}
