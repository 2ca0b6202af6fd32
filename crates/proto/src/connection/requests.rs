//! Requests for sessions: a client's asking, a server's answer (WT §3).

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{Dir, StreamId};

use super::timer::Timer;
use super::{Connection, Target};
use crate::code::H3Code;
use crate::error::ConnectError;
use crate::event::{ConnectId, Event};
use crate::frame;
use crate::qpack::{self, DecodeError};
use crate::request::{self, HttpRequest, Inbound, Request, Response};
use crate::session::{Failure, Phase, Refusal, Session};
use crate::settings::{Dialect, Dialects, Settings};
use crate::stream::CRITICAL_PRIORITY;
use crate::subprotocol::Offer;

impl Connection {
    // ---- client: asking ----

    pub(crate) fn connect(&mut self, now: Instant, connect: ConnectId, target: Target) {
        self.connects.push_back((connect, target));
        self.open_connects(now);
    }

    pub(crate) fn cancel_connect(&mut self, now: Instant, connect: ConnectId) {
        self.connects.retain(|&(id, _)| id != connect);
        let asked = |session: &Session| session.phase == Phase::Connecting(connect);
        if let Some(id) = self.sessions.iter().find(|(_, session)| asked(session)).map(|(&id, _)| id) {
            self.abort_session(id, H3Code::REQUEST_CANCELLED);
        }
        self.settle(now);
    }

    /// Send the requests that wait, once the server's SETTINGS say that it takes them (WT §3.1)
    pub(super) fn open_connects(&mut self, now: Instant) {
        let Some(peer) = &self.peer else { return };
        if self.connects.is_empty() {
            return;
        }
        let takes_datagrams = self.quic.datagrams().max_size().is_some();
        let common = self.dialect.ok_or_else(|| no_common_dialect(self.config.dialects, peer.dialects()));
        let dialect = match common.and_then(|dialect| requirements(dialect, peer, takes_datagrams)) {
            Ok(dialect) => dialect,
            Err(text) => {
                for (connect, _) in self.connects.drain(..) {
                    self.events.push_back(Event::ConnectFailed { connect, error: ConnectError::Failed(text.clone()) });
                }
                return self.close_quic(now, H3Code::WT_REQUIREMENTS_NOT_MET.into(), Bytes::from(text)); // WT §3.1
            }
        };
        while !self.connects.is_empty() {
            if self.sessions.len() >= self.shared_limit() {
                return self.move_connects();
            }
            let Some(id) = self.quic.streams().open(Dir::Bi) else { return };
            let Some((connect, target)) = self.connects.pop_front() else { return };
            self.connects.shrink_to_fit(); // a target is long, and most connections have but one
            if target.pool && self.had_session {
                self.repeatable.insert(id, target.clone());
            }
            let request = Request {
                authority: target.authority,
                path: target.path,
                headers: target.headers,
                subprotocols: target.subprotocols,
            };
            let mut block = BytesMut::new();
            request.encode(dialect, &mut block);
            self.had_session = true;
            let mut session = Session::new(Phase::Connecting(connect), self.max_field_section());
            self.start_flow(&mut session);
            session.offer = Offer { names: request.subprotocols, required: target.require_subprotocol };
            self.sessions.insert(id, Box::new(session));
            let _ = self.quic.send_stream(id).set_priority(CRITICAL_PRIORITY);
            self.send_headers(now, id, &block);
            self.events.push_back(Event::ConnectAsked { connect });
        }
    }

    /// The attempt comes to nothing: because of `error`, unless the server has refused it already
    pub(super) fn connect_failed(&mut self, id: StreamId, connect: ConnectId, error: ConnectError, code: H3Code) {
        let refusal = self.sessions.get_mut(&id).and_then(|session| session.refusal.take());
        let error = refusal.map_or(error, |refusal| ConnectError::Rejected(refusal.finish()));
        self.events.push_back(Event::ConnectFailed { connect, error });
        self.abort_session(id, code);
    }

    /// As much of a refusal has come as was waited for
    pub(super) fn refused(&mut self, id: StreamId) {
        if let Some(&Phase::Connecting(connect)) = self.sessions.get(&id).map(|session| &session.phase) {
            self.connect_failed(id, connect, ConnectError::Closed, H3Code::REQUEST_CANCELLED);
        }
    }

    fn handle_response(&mut self, now: Instant, id: StreamId, connect: ConnectId, mut response: Response) {
        /// A server may keep its stream open after a refusal
        const BODY_TIMEOUT: Duration = Duration::from_secs(1);
        if (100..200).contains(&response.status) {
            return; // RFC 9114 §4.1: interim responses come before the final one
        }
        let (Some(session), Some(dialect)) = (self.sessions.get_mut(&id), self.dialect) else { return };
        if !response.is_success() {
            session.refusal = Some(Box::new(Refusal::new(response)));
            return self.arm(now + BODY_TIMEOUT, Timer::Refusal(id));
        }
        if let Err(what) = check_subprotocol(&session.offer, &mut response.subprotocol, dialect) {
            let code = H3Code::WT_ALPN_ERROR;
            self.linger(now + 3 * self.round_trip());
            return self.connect_failed(id, connect, ConnectError::Failed(format!("{what}, closed with {code}")), code);
        }
        let session = self.session_id(id);
        let remote = self.quic.remote_address();
        self.events.push_back(Event::SessionEstablished { connect, session, response, dialect, remote });
        self.open_session(now, id);
    }

    // ---- server: answering ----

    fn handle_request(&mut self, now: Instant, id: StreamId, request: Inbound) {
        match request {
            Inbound::WebTransport(request, token) => {
                self.token.get_or_insert(token);
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.phase = Phase::Queued(Box::new(request));
                }
                self.request_ready(now, id);
            }
            Inbound::Http(request) => self.http_requested(now, id, request),
            Inbound::Unsupported => self.answer(now, id, &Response::new(501)), // RFC 9220 §3
        }
    }

    /// A request that is not for a session: its body, if it has one, is not read
    fn http_requested(&mut self, now: Instant, id: StreamId, request: HttpRequest) {
        let waiting = self.sessions.values().filter(|session| matches!(session.phase, Phase::Http { .. })).count();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.phase = Phase::Http { is_head: request.method == "HEAD" };
        if !self.config.http_requests {
            return self.answer(now, id, &Response::text(404, "not found: this is a WebTransport server\n"));
        }
        if waiting >= self.config.max_http_requests {
            return self.answer(now, id, &unavailable());
        }
        self.arm(now + self.config.request_timeout, Timer::Request(id));
        let (stream, remote) = (self.stream_id(id), self.quic.remote_address());
        self.events.push_back(Event::HttpRequested { stream, request, remote });
        self.notice_gone_client(now, id);
    }

    pub(crate) fn answer_http(&mut self, now: Instant, id: StreamId, response: &Response) -> bool {
        let waits = self.sessions.get(&id).is_some_and(|session| matches!(session.phase, Phase::Http { .. }));
        if waits {
            self.answer(now, id, response);
        }
        waits
    }

    /// Both the request and the client's SETTINGS are here (WT §3.1)
    pub(super) fn request_ready(&mut self, now: Instant, id: StreamId) {
        let Some(peer) = &self.peer else { return };
        let takes_datagrams = self.quic.datagrams().max_size().is_some();
        let dialect = match self.clients_dialect(peer, takes_datagrams) {
            Ok(dialect) => dialect,
            Err(lacking) => {
                tracing::debug!(connection = ?self.id, lacking, "request refused");
                self.measured.rejected += 1;
                return self.abort_session(id, H3Code::MESSAGE_ERROR); // WT §3.1
            }
        };
        self.dialect = Some(dialect);
        if (dialect == Dialect::Draft16) != (self.token == Some(Dialect::Draft16)) {
            tracing::debug!(connection = ?self.id, %dialect, "client's :protocol is that of another version"); // Safari does it
        }
        let taken = self.sessions.values().filter(|session| session.is_open() || session.phase == Phase::Requested).count();
        if taken >= self.session_limit() {
            self.measured.rejected += 1;
            return self.abort_session(id, H3Code::REQUEST_REJECTED); // WT §5.1
        }
        if let Some(Phase::Queued(request)) = self.sessions.get(&id).map(|session| &session.phase)
            && !self.config.allowed_origins.allow(request)
        {
            return self.answer(now, id, &Response::text(403, "forbidden: not from this origin\n")); // WT §3.2
        }
        let Some(mut session) = self.sessions.remove(&id) else { return };
        self.start_flow(&mut session);
        let session = self.sessions.entry(id).insert_entry(session).into_mut();
        let Phase::Queued(request) = std::mem::replace(&mut session.phase, Phase::Requested) else { return };
        self.disarm(Timer::Request(id));
        let (session, remote) = (self.session_id(id), self.quic.remote_address());
        self.events.push_back(Event::SessionRequested { session, request: *request, dialect, remote });
        self.notice_gone_client(now, id);
    }

    /// The version that a client speaks, if it meets its requirements
    fn clients_dialect(&self, peer: &Settings, takes_datagrams: bool) -> Result<Dialect, &'static str> {
        // A client that names no version speaks one that needs no setting of clients: its token tells which (WT §7.1)
        let by_token = self.token.filter(|&token| peer.dialects().is_empty() && self.config.dialects.contains(token));
        let dialect = self.dialect.or(by_token).ok_or("a version of WebTransport that we offer")?;
        datagram_requirement(dialect, peer, takes_datagrams)?;
        Ok(dialect)
    }

    /// A request that waits is not read further, but its client may give up on it
    pub(super) fn notice_gone_client(&mut self, now: Instant, id: StreamId) {
        if let Ok(Some(code)) = self.quic.recv_stream(id).received_reset() {
            self.session_reset(now, id, code);
        }
    }

    pub(crate) fn accept_session(&mut self, now: Instant, id: StreamId, response: &Response) -> bool {
        match (self.sessions.get(&id), self.dialect) {
            (Some(session), Some(dialect)) if session.phase == Phase::Requested => {
                let mut block = BytesMut::new();
                response.encode(dialect, &mut block);
                self.send_headers(now, id, &block);
                self.open_session(now, id);
                self.read_session(now, id);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn reject_session(&mut self, now: Instant, id: StreamId, response: &Response) -> bool {
        let waits = self.sessions.get(&id).is_some_and(|session| session.phase == Phase::Requested);
        if waits {
            self.answer(now, id, response);
        }
        waits
    }

    /// Answer a request and be done with it, once the client has taken the answer or had its time to
    pub(super) fn answer(&mut self, now: Instant, id: StreamId, response: &Response) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let is_head = session.phase == Phase::Http { is_head: true };
        self.measured.rejected += u64::from(matches!(session.phase, Phase::Queued(_) | Phase::Requested));
        session.phase = Phase::Closed;
        session.recv_done = true;
        session.gone = true;
        let mut response = response.clone();
        if is_head {
            response.body.clear(); // RFC 9110 §9.3.2: nor need its length be told
        }
        let (mut block, mut out) = (BytesMut::new(), BytesMut::new());
        response.encode(self.dialect.unwrap_or(Dialect::Draft16), &mut block);
        frame::headers(&mut out, &block);
        if !response.body.is_empty() {
            frame::data(&mut out, &response.body);
        }
        session.send.push(out.freeze());
        self.finish_connect_stream(now, id);
        self.stop_quic(id, H3Code::NO_ERROR); // RFC 9114 §4.1
        self.refuse_pending(id);
        self.arm(now + self.config.request_timeout, Timer::Gone(id));
    }

    // ---- both ----

    pub(super) fn handle_headers(&mut self, now: Instant, id: StreamId, block: &[u8]) {
        let fields = match qpack::decode(block, self.config.max_field_section_size) {
            Ok(fields) => fields,
            Err(DecodeError::TooLarge) => return self.headers_too_large(now, id),
            Err(DecodeError::Decompression) => {
                return self.fail(now, H3Code::QPACK_DECOMPRESSION_FAILED, "field section cannot be decoded"); // RFC 9204 §2.2
            }
        };
        match self.sessions.get(&id).map(|session| &session.phase) {
            Some(&Phase::Connecting(connect)) => match request::decode_response(fields) {
                Ok(response) => self.handle_response(now, id, connect, response),
                Err(_) => self.session_failed(now, id, &Failure::Stream(H3Code::MESSAGE_ERROR)),
            },
            Some(Phase::Request) => match request::decode_request(fields) {
                Ok(request) => self.handle_request(now, id, request),
                Err(_) => self.session_failed(now, id, &Failure::Stream(H3Code::MESSAGE_ERROR)),
            },
            _ => {}
        }
    }

    fn headers_too_large(&mut self, now: Instant, id: StreamId) {
        match self.sessions.get(&id).map(|session| &session.phase) {
            Some(&Phase::Connecting(connect)) => {
                let text = "server's answer has too many header bytes".to_owned();
                self.connect_failed(id, connect, ConnectError::Failed(text), H3Code::REQUEST_CANCELLED);
            }
            _ => self.answer(now, id, &Response::new(431)), // RFC 9114 §4.2.2
        }
    }
}

/// A plain request that nobody has the time for
pub(super) fn unavailable() -> Response {
    Response::text(503, "unavailable: too busy\n")
}

/// WT §3.3: what the server picked must have been offered. Before draft-15 something else was as good as nothing.
fn check_subprotocol(offer: &Offer, chosen: &mut Option<String>, dialect: Dialect) -> Result<(), String> {
    if let Some(name) = chosen.take_if(|name| !offer.names.contains(name))
        && dialect == Dialect::Draft16
    {
        return Err(format!("server picked a subprotocol that was not offered: {name:?}"));
    }
    if offer.required && chosen.is_none() {
        return Err(format!("server picked none of the subprotocols {:?}", offer.names));
    }
    Ok(())
}

/// What the server must have said before it may be asked for a session (WT §3.1), by the version in use
fn requirements(dialect: Dialect, peer: &Settings, takes_datagrams: bool) -> Result<Dialect, String> {
    let lacks = |what| format!("server does not offer WebTransport: {what} is missing");
    if dialect > Dialect::Draft02 && !peer.enable_connect_protocol {
        return Err(lacks("SETTINGS_ENABLE_CONNECT_PROTOCOL"));
    }
    datagram_requirement(dialect, peer, takes_datagrams).map_err(lacks)?;
    Ok(dialect)
}

fn no_common_dialect(ours: Dialects, theirs: Dialects) -> String {
    if theirs.is_empty() {
        return "server does not offer WebTransport: its SETTINGS name no version of it".into();
    }
    format!("server and client have no version of WebTransport in common: it speaks {theirs}, we offer {ours}")
}

/// What is missing of it
fn datagram_requirement(dialect: Dialect, peer: &Settings, takes_datagrams: bool) -> Result<(), &'static str> {
    // draft-02 peers may go by the setting of draft-ietf-masque-h3-datagram-04, and some take no datagrams at all
    let setting = peer.h3_datagram || dialect == Dialect::Draft02;
    match (setting, takes_datagrams || dialect < Dialect::Draft14) {
        (false, _) => Err("SETTINGS_H3_DATAGRAM"),
        (_, false) => Err("the transport parameter max_datagram_frame_size"),
        _ => Ok(()),
    }
}
