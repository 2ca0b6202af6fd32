//! Sessions: what travels on the CONNECT stream, and how it ends (WT §6).

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{Side, StreamId, VarInt};

use super::Connection;
use super::drain::going_away;
use super::incoming::Input;
use super::requests::unavailable;
use super::timer::Timer;
use crate::capsule::{self, Capsule};
use crate::code::H3Code;
use crate::error::{CloseSource, ConnectError, SessionError};
use crate::event::Event;
use crate::frame;
use crate::session::{Failure, Message, Phase};

/// Capsules that wait for a peer to read its CONNECT stream; it can make us send as many as it likes, credit for credit
const MAX_CAPSULES: usize = 1024;

impl Connection {
    pub(super) fn max_field_section(&self) -> usize {
        usize::try_from(self.config.max_field_section_size).unwrap_or(usize::MAX)
    }

    pub(super) fn send_headers(&mut self, now: Instant, id: StreamId, block: &[u8]) {
        let mut out = BytesMut::new();
        frame::headers(&mut out, block);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.send.push(out.freeze());
        }
        self.feed_critical(now, id);
    }

    /// A capsule in a DATA frame of its own
    pub(super) fn send_capsule(&mut self, now: Instant, id: StreamId, encode: impl FnOnce(&mut BytesMut)) {
        self.queue_capsule(now, id, encode);
        self.feed_critical(now, id);
    }

    /// The same, to leave with what its stream carries next
    fn queue_capsule(&mut self, now: Instant, id: StreamId, encode: impl FnOnce(&mut BytesMut)) {
        let (mut payload, mut out) = (BytesMut::new(), BytesMut::new());
        encode(&mut payload);
        frame::data(&mut out, &payload);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.send.waiting() >= MAX_CAPSULES {
            return self.fail(now, H3Code::EXCESSIVE_LOAD, "peer does not read the CONNECT stream");
        }
        session.send.push(out.freeze());
    }

    pub(super) fn finish_connect_stream(&mut self, now: Instant, id: StreamId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.send.finish = true;
        }
        self.feed_critical(now, id);
    }

    pub(super) fn open_session(&mut self, now: Instant, id: StreamId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.phase = Phase::Open;
        session.headers_done();
        self.answered.insert(id);
        self.had_session = true;
        self.repeatable.remove(&id);
        match self.quic.side() {
            Side::Server => self.send_capsule(now, id, capsule::grease), // RFC 9297 §5.4
            Side::Client => self.queue_capsule(now, id, capsule::grease), // by itself it is not worth a packet
        }
        let (streams, datagrams) = self.pending.take(id);
        for stream in streams {
            if self.incoming.remove(&stream).is_some() {
                self.adopt_stream(now, id, stream);
            }
        }
        let session = self.session_id(id);
        self.events.extend(datagrams.into_iter().map(|payload| Event::DatagramReceived { session, payload }));
        if self.draining {
            self.say_draining(id);
        }
    }

    pub(super) fn read_session(&mut self, now: Instant, id: StreamId) {
        while let Some(session) = self.sessions.get_mut(&id) {
            if matches!(session.phase, Phase::Queued(_) | Phase::Requested | Phase::Http { .. }) {
                return self.notice_gone_client(now, id);
            }
            if session.recv_done {
                return;
            }
            match session.next() {
                Ok(Some(Message::Headers(block))) => self.handle_headers(now, id, &block),
                Ok(Some(Message::Capsule(capsule))) => {
                    if let Err(code) = self.handle_capsule(now, id, capsule) {
                        return self.session_failed(now, id, &Failure::Stream(code));
                    }
                }
                Ok(Some(Message::Refused)) => self.refused(id),
                Ok(None) => match self.input(id, usize::MAX) {
                    Input::Chunk(data) => {
                        if let Some(session) = self.sessions.get_mut(&id) {
                            session.push(data);
                        }
                    }
                    Input::Blocked => return,
                    Input::Finished => return self.session_finished(now, id),
                    Input::Reset(code) => return self.session_reset(now, id, code),
                    Input::Closed => return,
                },
                Err(failure) => return self.session_failed(now, id, &failure),
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// On `Err` the CONNECT stream is reset with that code
    fn handle_capsule(&mut self, now: Instant, id: StreamId, capsule: Capsule) -> Result<(), H3Code> {
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        match capsule {
            Capsule::CloseSession { code, reason } => {
                self.peer_ended(now, id, SessionError::Peer { by: CloseSource::Session, code: Some(code.into()), reason });
            }
            Capsule::DrainSession => self.say_draining(id),
            Capsule::Datagram(payload) => self.deliver_datagram(now, id, payload), // RFC 9297 §3.5
            Capsule::MaxData(limit) => {
                for stream in session.flow.raise_max_data(limit)? {
                    self.schedule(stream);
                }
            }
            Capsule::MaxStreams { dir, limit } => {
                session.flow.raise_max_streams(dir, limit)?;
                self.events.push_back(Event::StreamsAvailable { connection: self.id, dir });
            }
            Capsule::StreamsBlocked { limit, .. } => session.flow.peer_blocked(limit)?,
            Capsule::DataBlocked(_) => {} // WT §5.6.5: limits rise without being asked
            Capsule::Prohibited(_) => session.flow.prohibited()?,
        }
        Ok(())
    }

    pub(super) fn session_ids(&self) -> Vec<StreamId> {
        let mut ids: Vec<_> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    // ---- ends, by the peer ----

    /// The peer's FIN on the CONNECT stream
    fn session_finished(&mut self, now: Instant, id: StreamId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.recv_done = true;
        if session.refusal.is_some() {
            return self.refused(id);
        }
        if let Err(failure) = session.finish() {
            return self.session_failed(now, id, &failure);
        }
        match session.phase {
            Phase::Connecting(connect) => {
                let text = "server ended the CONNECT stream without an answer".to_owned();
                self.connect_failed(id, connect, ConnectError::Failed(text), H3Code::REQUEST_CANCELLED);
            }
            Phase::Request => self.abort_session(id, H3Code::REQUEST_INCOMPLETE), // RFC 9114 §4.1
            // WT §6: the same as CLOSE with code 0 and no reason
            _ => self.peer_ended(now, id, SessionError::Peer { by: CloseSource::Session, code: Some(0), reason: String::new() }),
        }
    }

    /// The peer's reset of the CONNECT stream: an end without a code (WT §6), unless it is one of WebTransport's own
    pub(super) fn session_reset(&mut self, now: Instant, id: StreamId, code: VarInt) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.recv_done = true;
        let code = H3Code::from(code.into_inner());
        match session.phase {
            Phase::Connecting(connect) => {
                if code == H3Code::REQUEST_REJECTED && self.move_request(id, connect) {
                    self.full = true;
                    return;
                }
                let error = match code {
                    H3Code::REQUEST_REJECTED if self.goaway.is_some() => going_away(),
                    code => ConnectError::Failed(format!("server reset the CONNECT stream with {code}")),
                };
                self.connect_failed(id, connect, error, H3Code::REQUEST_CANCELLED);
            }
            _ if session.is_requested() => self.client_gave_up(id),
            _ => self.peer_ended(now, id, reset(code)),
        }
    }

    fn client_gave_up(&mut self, id: StreamId) {
        let told = self.sessions.get(&id).is_some_and(|session| session.phase == Phase::Requested);
        if told {
            let session = self.session_id(id);
            self.events.push_back(Event::SessionClosed { session, error: abrupt() });
            self.events.push_back(Event::SessionGone { session });
        }
        self.abort_session(id, H3Code::REQUEST_CANCELLED);
    }

    /// What the peer sent on the CONNECT stream breaks a rule
    pub(super) fn session_failed(&mut self, now: Instant, id: StreamId, failure: &Failure) {
        let code = match *failure {
            Failure::Connection(code) => return self.fail(now, code, "peer broke the rules of the CONNECT stream"),
            Failure::Stream(code) => code,
        };
        let text = match code {
            H3Code::WT_FLOW_CONTROL_ERROR => format!("peer broke the flow control of the session, reset with {code}"),
            code => format!("peer sent a malformed message on the CONNECT stream, reset with {code}"),
        };
        match self.sessions.get(&id).map(|session| &session.phase) {
            Some(&Phase::Connecting(connect)) => {
                return self.connect_failed(id, connect, ConnectError::Failed(text), code);
            }
            Some(Phase::Open) => {
                self.end_streams(id);
                let session = self.session_id(id);
                self.events.push_back(Event::SessionClosed { session, error: SessionError::Protocol(text) });
                self.say_session_gone(id);
            }
            _ => self.say_session_gone(id),
        }
        self.abort_session(id, code);
    }

    /// The peer will say nothing more on the CONNECT stream
    fn peer_ended(&mut self, now: Instant, id: StreamId, error: SessionError) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match session.phase {
            Phase::Open => {
                session.phase = Phase::Closed;
                self.finish_connect_stream(now, id); // WT §6: the recipient closes in response
                self.end_streams(id);
                let session = self.session_id(id);
                self.events.push_back(Event::SessionClosed { session, error });
                self.arm(now + self.close_timeout(), Timer::Gone(id));
            }
            // Both closed at once: ours is what the application knows
            Phase::Closing { .. } => self.send_close(now, id),
            _ => {}
        }
        self.say_session_gone(id);
        self.reap_session(id);
    }

    /// The peer's STOP_SENDING on the CONNECT stream
    pub(super) fn session_stopped(&mut self, now: Instant, id: StreamId, code: VarInt) {
        let _ = self.quic.send_stream(id).reset(code);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.send_done = true;
        if session.is_requested() {
            return self.client_gave_up(id);
        }
        if session.is_open() {
            // What closes a session may travel in the same flight; only without it the end is abrupt
            self.arm(now + self.round_trip(), Timer::Abrupt(id));
        }
        self.reap_session(id);
    }

    pub(super) fn end_abruptly(&mut self, now: Instant, id: StreamId) {
        if self.session_is_open(id) {
            self.peer_ended(now, id, abrupt());
        }
    }

    // ---- ends, by us ----

    pub(crate) fn close_session(&mut self, now: Instant, id: StreamId, code: u32, reason: &str) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !session.is_open() {
            return;
        }
        session.phase = Phase::Closing { code, reason: reason.to_owned() };
        let session = self.session_id(id);
        self.events.push_back(Event::SessionClosed { session, error: SessionError::Local });
        self.arm(now + self.close_timeout(), Timer::Flush(id));
        self.check_flushed(now, id);
    }

    /// Whether a closing session may say so now: all that was finished is acknowledged
    pub(super) fn check_flushed(&mut self, now: Instant, id: StreamId) {
        let closing = self.sessions.get(&id).is_some_and(|session| matches!(session.phase, Phase::Closing { .. }));
        if closing && !self.streams.values().any(|stream| stream.session == id && stream.is_finishing()) {
            self.send_close(now, id);
        }
    }

    /// CLOSE and FIN, then the end of whatever was not finished (WT §6)
    pub(super) fn send_close(&mut self, now: Instant, id: StreamId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if !matches!(session.phase, Phase::Closing { .. }) {
            return;
        }
        let Phase::Closing { code, reason } = std::mem::replace(&mut session.phase, Phase::Closed) else { return };
        self.send_capsule(now, id, |out| capsule::close_session(code, &reason, out));
        self.finish_connect_stream(now, id);
        self.end_streams(id);
        self.arm(now + self.close_timeout(), Timer::Gone(id));
    }

    /// The peer had its time to close the CONNECT stream
    pub(super) fn give_up_session(&mut self, id: StreamId) {
        if self.sessions.get(&id).is_some_and(|session| session.phase == Phase::Closed) {
            self.say_session_gone(id);
            self.abort_session(id, H3Code::NO_ERROR);
        }
    }

    pub(super) fn expire_request(&mut self, now: Instant, id: StreamId) {
        match self.sessions.get(&id).map(|session| &session.phase) {
            Some(Phase::Request) => self.abort_session(id, H3Code::REQUEST_INCOMPLETE),
            Some(Phase::Http { .. }) => self.answer(now, id, &unavailable()),
            Some(Phase::Queued(_)) => self.abort_session(id, H3Code::REQUEST_REJECTED),
            _ => {}
        }
    }

    // ---- ends, common parts ----

    fn say_session_gone(&mut self, id: StreamId) {
        let session = self.session_id(id);
        if let Some(found) = self.sessions.get_mut(&id)
            && !std::mem::replace(&mut found.gone, true)
        {
            self.events.push_back(Event::SessionGone { session });
        }
    }

    /// Forget a session whose CONNECT stream has ended in both directions
    pub(super) fn reap_session(&mut self, id: StreamId) {
        if self.sessions.get(&id).is_some_and(|s| s.phase == Phase::Closed && s.send_done && s.recv_done) {
            self.say_session_gone(id);
            self.forget_session(id);
        }
    }

    /// Reset and stop the CONNECT stream, and forget it
    pub(super) fn abort_session(&mut self, id: StreamId, code: H3Code) {
        if self.forget_session(id) {
            let _ = self.quic.send_stream(id).reset(code.into());
            self.stop_quic(id, code);
            self.refuse_pending(id);
        }
    }

    fn forget_session(&mut self, id: StreamId) -> bool {
        self.scheduler.forget(id);
        self.disarm_session(id);
        self.credit_due.remove(&id);
        self.answered.remove(&id);
        self.repeatable.remove(&id);
        self.full = false;
        self.sessions.remove(&id).is_some()
    }

    pub(super) fn refuse_pending(&mut self, id: StreamId) {
        for stream in self.pending.take(id).0 {
            self.refuse_stream(stream, H3Code::WT_BUFFERED_STREAM_REJECTED);
        }
    }

    /// The connection ends, and everything on it
    pub(super) fn end_all(&mut self, error: &SessionError, connect_error: &ConnectError) {
        self.end_open(error, connect_error);
        for id in self.session_ids() {
            self.say_session_gone(id);
        }
    }

    /// End whatever has not begun to close
    pub(super) fn end_open(&mut self, error: &SessionError, connect_error: &ConnectError) {
        for (connect, _) in self.connects.drain(..) {
            self.events.push_back(Event::ConnectFailed { connect, error: connect_error.clone() });
        }
        for id in self.session_ids() {
            let session = self.session_id(id);
            match self.sessions.get(&id).map(|found| &found.phase) {
                Some(&Phase::Connecting(connect)) => {
                    self.connect_failed(id, connect, connect_error.clone(), H3Code::REQUEST_CANCELLED);
                }
                Some(Phase::Open) => {
                    self.end_streams(id);
                    self.events.push_back(Event::SessionClosed { session, error: error.clone() });
                    self.events.push_back(Event::SessionGone { session });
                }
                Some(Phase::Requested) => {
                    self.events.push_back(Event::SessionClosed { session, error: error.clone() });
                    self.events.push_back(Event::SessionGone { session });
                }
                Some(Phase::Request | Phase::Queued(_) | Phase::Http { .. }) => {}
                Some(Phase::Closing { .. } | Phase::Closed) | None => continue,
            }
            self.abort_session(id, H3Code::WT_SESSION_GONE);
        }
    }
}

/// WT §3.3 and §5 close with a code, and leave open whether a reset or a capsule carries it: both are told alike
fn reset(code: H3Code) -> SessionError {
    match code {
        H3Code::WT_ALPN_ERROR | H3Code::WT_FLOW_CONTROL_ERROR => {
            SessionError::Peer { by: CloseSource::Session, code: Some(code.as_u64()), reason: code.to_string() }
        }
        _ => abrupt(),
    }
}

fn abrupt() -> SessionError {
    SessionError::Peer { by: CloseSource::Session, code: None, reason: String::new() }
}
