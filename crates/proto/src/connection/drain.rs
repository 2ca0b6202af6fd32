//! A connection that goes away: it takes no new sessions, and those that it has are asked to end (RFC 9114 §5.2, WT §4.7).

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{Dir, Side, StreamId};

use super::Connection;
use crate::code::H3Code;
use crate::error::ConnectError;
use crate::event::Event;
use crate::session::Phase;
use crate::settings::Dialect;
use crate::{capsule, frame};

impl Connection {
    // ---- our wish ----

    /// Server: take no request from here on, and ask every session to end soon
    pub(crate) fn drain(&mut self, now: Instant) {
        if self.is_over() || self.goaway.is_some() {
            return;
        }
        self.goaway = Some(StreamId::new(Side::Client, Dir::Bi, self.requests_seen));
        self.draining = true;
        // Browsers speak draft-02 or draft-07. Chromium's pages cannot open streams after a GOAWAY, and with draft-07 its network
        // process dies of it. Each of their sessions has its connection to itself anyway.
        let is_browser = matches!(self.dialect, Some(Dialect::Draft02 | Dialect::Draft07));
        // The control stream is the first of ours; where it has yet to be opened, GOAWAY follows its SETTINGS
        if let Some(control) = self.own.first().map(|&(id, _)| id).filter(|_| !is_browser) {
            let mut bytes = BytesMut::new();
            frame::goaway(&mut bytes);
            self.own[0].1.get_or_insert_default().push(bytes.freeze());
            self.feed_critical(now, control);
        }
        for id in self.session_ids() {
            self.ask_to_drain(now, id);
        }
    }

    /// Ask the peer to end the session soon; it goes on until someone closes it (WT §4.7)
    pub(crate) fn ask_to_drain(&mut self, now: Instant, id: StreamId) {
        if self.sessions.get(&id).is_some_and(|session| session.is_open() && !session.draining) {
            self.send_capsule(now, id, capsule::drain_session);
            self.say_draining(id);
        }
    }

    /// Server: whether a request came too late: after our GOAWAY, or while the connection waits only for sessions to close
    pub(super) fn is_refused(&self, request: StreamId) -> bool {
        self.ending.is_some() || self.goaway.is_some_and(|first_refused| request >= first_refused)
    }

    // ---- the peer's ----

    /// GOAWAY means draining for every session of the connection (WT §4.7). A server's names the first request that it
    /// does not process, a client's the first push, which concerns nobody.
    pub(super) fn handle_goaway(&mut self, id: StreamId) {
        self.draining = true;
        if self.quic.side() == Side::Client {
            self.goaway = Some(id);
            if self.pool_key.is_some() {
                self.move_connects();
            }
            for (connect, _) in self.connects.drain(..) {
                self.events.push_back(Event::ConnectFailed { connect, error: going_away() });
            }
            for request in self.session_ids().into_iter().filter(|&request| request >= id) {
                if let Some(&Phase::Connecting(connect)) = self.sessions.get(&request).map(|session| &session.phase)
                    && !self.move_request(request, connect)
                {
                    self.connect_failed(request, connect, going_away(), H3Code::REQUEST_CANCELLED);
                }
            }
        }
        for id in self.session_ids() {
            self.say_draining(id);
        }
    }

    // ---- both ----

    /// Tell the application, once, that one of the sides would like the session to end
    pub(super) fn say_draining(&mut self, id: StreamId) {
        let session = self.session_id(id);
        if let Some(found) = self.sessions.get_mut(&id)
            && found.is_open()
            && !std::mem::replace(&mut found.draining, true)
        {
            self.events.push_back(Event::SessionDraining { session });
        }
    }

    /// Server: a request that came too late, which the client may repeat elsewhere (RFC 9114 §5.2)
    pub(super) fn refuse_request(&mut self, id: StreamId) {
        self.refuse_stream(id, H3Code::REQUEST_REJECTED);
        self.refuse_pending(id);
    }
}

pub(super) fn going_away() -> ConnectError {
    ConnectError::Failed("server is going away: it takes no more sessions on this connection".into())
}
