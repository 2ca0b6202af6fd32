//! What a connection waits for, and what it does when that has taken too long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::StreamId;

use super::Connection;
use crate::code::H3Code;

/// What to look at again once its time has come; whoever is woken checks whether there is still a reason
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A client has had its time to finish the handshake
    Handshake,
    /// Finished streams of a closing session have had their time
    Flush(StreamId),
    /// The peer has had its time to close the CONNECT stream
    Gone(StreamId),
    /// A request has waited for SETTINGS, for its own HEADERS, or for the answer to plain HTTP
    Request(StreamId),
    /// The body of a refusal has had its time to come
    Refusal(StreamId),
    /// The server has had its time to send SETTINGS
    Settings,
    /// What must leave before CONNECTION_CLOSE has left
    Lingered,
    /// The peer stopped the CONNECT stream, and its capsule has had its time to follow
    Abrupt(StreamId),
    /// A FIN or a reset was held back for the stream's header
    Held(StreamId),
    /// The application has had its time to answer STOP_SENDING with a code of its own
    Stopped(StreamId),
    /// A reset or stop that may be the session's end has had its time to become it
    Attributed(StreamId),
    /// A server's connection has been without a session
    Idle,
}

/// Each thing that is waited for, and until when: armed again, it has that deadline and no other
#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines: BTreeSet<(Instant, Timer)>,
    armed: BTreeMap<Timer, Instant>,
}

impl Timers {
    fn arm(&mut self, deadline: Instant, timer: Timer) {
        if let Some(before) = self.armed.insert(timer, deadline) {
            self.deadlines.remove(&(before, timer));
        }
        self.deadlines.insert((deadline, timer));
    }

    fn disarm(&mut self, timer: Timer) {
        if let Some(deadline) = self.armed.remove(&timer) {
            self.deadlines.remove(&(deadline, timer));
            self.shrink();
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// One whose time has come
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        self.next().filter(|deadline| *deadline <= now)?;
        let (_, timer) = self.deadlines.pop_first()?;
        self.armed.remove(&timer);
        self.shrink();
        Some(timer)
    }

    /// An empty tree keeps the memory of a few entries
    fn shrink(&mut self) {
        if self.armed.is_empty() {
            *self = Self::default();
        }
    }
}

impl Connection {
    pub(super) fn handle_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Flush(id) => self.send_close(now, id),
            Timer::Handshake => self.close_quic(now, H3Code::NO_ERROR.into(), Bytes::new()),
            Timer::Gone(id) => self.give_up_session(id),
            Timer::Request(id) => self.expire_request(now, id),
            Timer::Refusal(id) => self.refused(id),
            Timer::Settings if self.peer.is_some() => {}
            Timer::Lingered => {} // `settle` looks
            Timer::Settings => {
                let what = format!("server sent no SETTINGS for {:?}", self.config.request_timeout);
                self.fail(now, H3Code::MISSING_SETTINGS, &what);
            }
            Timer::Abrupt(id) => self.end_abruptly(now, id),
            Timer::Held(id) => self.release_held(id),
            Timer::Stopped(id) => self.answer_stop(id),
            Timer::Attributed(id) => self.attribute_to_stream(now, id),
            Timer::Idle => {
                let timeout = self.config.idle_connection_timeout;
                if self.idle_since.is_some_and(|since| since + timeout <= now) {
                    self.close_quic(now, H3Code::NO_ERROR.into(), Bytes::new());
                }
            }
        }
    }

    pub(super) fn arm(&mut self, deadline: Instant, timer: Timer) {
        self.timers.arm(deadline, timer);
    }

    /// There will be no reason any more: without this a timer of seconds would wake a connection that has long been idle, and who
    /// begins and gives up many things would have us remember them all
    pub(super) fn disarm(&mut self, timer: Timer) {
        self.timers.disarm(timer);
    }

    /// The session is forgotten
    pub(super) fn disarm_session(&mut self, id: StreamId) {
        for timer in [Timer::Request, Timer::Refusal, Timer::Flush, Timer::Gone, Timer::Abrupt] {
            self.disarm(timer(id));
        }
    }
}
