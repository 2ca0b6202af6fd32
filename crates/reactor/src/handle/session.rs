//! Sessions, from the request on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use webtransport_proto::{ConnectionStats, Dialect, Dir, Request, Response, SessionError};

use super::{DatagramError, RecvHandle, RequestGone, SendHandle, figures, leak_if_forked};
use crate::command::Command;
use crate::datagrams::{DatagramCounts, DatagramLimits};
use crate::export::ExportHandle;
use crate::shared::{Exchange, Session, Stream};

/// A client's request for a session; dropping it unanswered rejects it with 404
pub struct RequestHandle {
    session: Arc<Session>,
    answered: AtomicBool,
}

impl RequestHandle {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, answered: AtomicBool::new(false) }
    }

    /// What was asked for
    #[must_use]
    pub fn request(&self) -> &Request {
        const NONE: &Request =
            &Request { authority: String::new(), path: String::new(), headers: Vec::new(), subprotocols: Vec::new() };
        match &self.session.exchange {
            Exchange::Asked { request, .. } => request,
            Exchange::Answered(_) => NONE,
        }
    }

    /// The number of its connection, which no other connection of the endpoint has or had
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.session.id.connection().as_u64()
    }

    /// The client's address
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        figures(&self.session).remote_address
    }

    /// What the client proved itself with, DER, the leaf first; nothing if it did not
    #[must_use]
    pub fn client_certificates(&self) -> &[Vec<u8>] {
        match &self.session.exchange {
            Exchange::Asked { certificates, .. } => certificates,
            Exchange::Answered(_) => &[],
        }
    }

    /// The version of WebTransport that both sides speak
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.session.dialect
    }

    /// Establish the session
    ///
    /// # Errors
    /// It was answered before, or the client has gone.
    pub fn accept(&self, response: Response) -> Result<SessionHandle, RequestGone> {
        self.answer()?;
        let session = Arc::clone(&self.session);
        self.session.endpoint.tell(Command::AcceptSession(Arc::clone(&session), response));
        Ok(SessionHandle::new(session))
    }

    /// Refuse it
    ///
    /// # Errors
    /// It was answered before, or the client has gone.
    pub fn reject(&self, response: Response) -> Result<(), RequestGone> {
        self.answer()?;
        self.session.endpoint.tell(Command::RejectSession(Arc::clone(&self.session), response));
        Ok(())
    }

    /// Why the client is no longer there
    #[must_use]
    pub fn session_end(&self) -> Option<SessionError> {
        if self.session.endpoint.epoch.is_over() { Some(SessionError::Local) } else { self.session.error() }
    }

    fn answer(&self) -> Result<(), RequestGone> {
        if self.session.endpoint.epoch.is_over() {
            return Err(RequestGone::Gone(SessionError::Local));
        }
        if self.answered.swap(true, Ordering::Relaxed) {
            return Err(RequestGone::Answered);
        }
        match self.session.error() {
            Some(error) => Err(RequestGone::Gone(error)),
            None => Ok(()),
        }
    }
}

impl Drop for RequestHandle {
    fn drop(&mut self) {
        if !leak_if_forked(self.session.endpoint.epoch, &self.session) && self.answer().is_ok() {
            self.session.endpoint.tell(Command::RejectSession(Arc::clone(&self.session), Response::new(404)));
        }
    }
}

/// An established session; dropping it closes it with `(0, "")`
pub struct SessionHandle {
    session: Arc<Session>,
}

impl SessionHandle {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }

    /// Open a stream that flows both ways
    ///
    /// # Errors
    /// The session is over.
    pub fn open_bi(&self, token: u64) -> Result<Option<(SendHandle, RecvHandle)>, SessionError> {
        Ok(self.open(Dir::Bi, token)?.and_then(both))
    }

    /// Open a stream that flows to the peer
    ///
    /// # Errors
    /// The session is over.
    pub fn open_uni(&self, token: u64) -> Result<Option<SendHandle>, SessionError> {
        Ok(self.open(Dir::Uni, token)?.and_then(|stream| stream.send).map(SendHandle::new))
    }

    fn open(&self, dir: Dir, token: u64) -> Result<Option<Stream>, SessionError> {
        self.check()?;
        let (stream, ask) = self.session.open(dir, token)?;
        if ask {
            self.session.endpoint.tell(Command::Open(Arc::clone(&self.session), dir));
        }
        if stream.is_some() || !ask {
            return Ok(stream);
        }
        // Mostly it can be had at once
        self.session.endpoint.helm.obey(&self.session.endpoint);
        Ok(self.session.open(dir, token)?.0)
    }

    /// A stream of the peer that flows both ways
    ///
    /// # Errors
    /// The session is over, and no stream that the peer had finished is left.
    pub fn accept_bi(&self, token: u64) -> Result<Option<(SendHandle, RecvHandle)>, SessionError> {
        Ok(self.accept(Dir::Bi, token)?.and_then(both))
    }

    /// A stream of the peer that flows to us
    ///
    /// # Errors
    /// The session is over, and no stream that the peer had finished is left.
    pub fn accept_uni(&self, token: u64) -> Result<Option<RecvHandle>, SessionError> {
        Ok(self.accept(Dir::Uni, token)?.and_then(|stream| stream.recv).map(RecvHandle::new))
    }

    fn accept(&self, dir: Dir, token: u64) -> Result<Option<Stream>, SessionError> {
        self.check()?;
        let stream = self.session.accept(dir, token)?;
        if let Some(recv) = stream.as_ref().and_then(|stream| stream.recv.as_ref())
            && recv.pipe.accept().0
        {
            self.session.endpoint.tell(Command::Resume(Arc::clone(recv)));
        }
        Ok(stream)
    }

    /// Queue a datagram; false: the queue is above its high-water mark
    ///
    /// # Errors
    /// It is too long, the peer takes none, or the session is over.
    pub fn send_datagram(&self, payload: &[u8]) -> Result<bool, DatagramError> {
        let max = self.max_datagram_size()?;
        if payload.len() > max {
            return Err(DatagramError::TooLarge { len: payload.len(), max });
        }
        let (below_mark, tell) = self.session.outgoing.push(payload, Instant::now);
        if tell {
            self.session.endpoint.tell(Command::SendDatagrams(Arc::clone(&self.session)));
        }
        Ok(below_mark)
    }

    /// Whether the queue of datagrams is below its high-water mark; if not, `token` is parked
    ///
    /// # Errors
    /// The session is over.
    pub fn are_datagrams_sent(&self, token: u64) -> Result<bool, SessionError> {
        self.check()?;
        self.end().map_or_else(|| Ok(self.session.outgoing.is_below_mark(token)), Err)
    }

    /// The next datagram of the peer
    ///
    /// # Errors
    /// The session is over, and no datagram is left.
    pub fn receive_datagram(&self, token: u64) -> Result<Option<Bytes>, SessionError> {
        self.check()?;
        if self.session.is_closed_locally() {
            return Err(SessionError::Local);
        }
        loop {
            // Asked first: what is there after the end is all there will be. And asked again once the token is parked, for
            // the end may have come in between, and wakes nobody twice.
            let over = self.session.is_over();
            match self.session.incoming.pop(token, Instant::now) {
                Some(datagram) => return Ok(Some(datagram)),
                None if over => return Err(self.end().unwrap_or(SessionError::Local)),
                None if self.session.is_over() => {}
                None => return Ok(None),
            }
        }
    }

    /// What became of the datagrams, also after the end: on their way out, and in
    #[must_use]
    pub fn datagram_counts(&self) -> (DatagramCounts, DatagramCounts) {
        if self.is_forked() {
            return Default::default();
        }
        (self.session.outgoing.counts(), self.session.incoming.counts())
    }

    /// What the queues of datagrams keep: on their way out, and in
    #[must_use]
    pub fn datagram_limits(&self) -> (DatagramLimits, DatagramLimits) {
        if self.is_forked() {
            return Default::default();
        }
        (self.session.outgoing.limits(), self.session.incoming.limits())
    }

    /// Have the queue of datagrams on their way out keep this, at once
    pub fn limit_outgoing_datagrams(&self, limits: DatagramLimits) {
        if !self.is_forked() {
            let mut woken = Vec::new();
            self.session.outgoing.set_limits(limits, Instant::now(), &mut woken);
            self.session.endpoint.post(&mut woken);
        }
    }

    /// Have the queue of datagrams that came keep this, at once
    pub fn limit_incoming_datagrams(&self, limits: DatagramLimits) {
        if !self.is_forked() {
            self.session.incoming.set_limits(limits, Instant::now());
        }
    }

    /// The longest datagram that fits now
    ///
    /// # Errors
    /// The peer takes none, or the session is over.
    pub fn max_datagram_size(&self) -> Result<usize, DatagramError> {
        if let Some(error) = self.end() {
            return Err(error.into());
        }
        figures(&self.session).max_datagram_size.ok_or(DatagramError::UnsupportedByPeer)
    }

    /// Ask the peer to end the session soon; the session goes on. On a session that is over it does nothing.
    pub fn drain(&self) {
        if self.end().is_some() {
            return;
        }
        let mut woken = Vec::new();
        if self.session.set_draining(&mut woken) {
            self.session.endpoint.tell(Command::DrainSession(Arc::clone(&self.session)));
        }
        self.session.endpoint.post(&mut woken);
    }

    /// Whether we or the peer asked for the session's end
    #[must_use]
    pub fn is_draining(&self) -> bool {
        !self.is_forked() && self.session.is_draining()
    }

    /// The same for those who wait for it; if not, `token` is parked
    ///
    /// # Errors
    /// The session ended without it.
    pub fn wait_draining(&self, token: u64) -> Result<bool, SessionError> {
        self.check()?;
        self.session.wait_draining(token)
    }

    /// Ask for `length` bytes that both sides of the session can compute, and nobody else (WT §4.8)
    ///
    /// Of label and context no more than 255 bytes count, and TLS gives no more than 8160.
    ///
    /// # Errors
    /// The session is over.
    pub fn export_keying_material(&self, label: &[u8], context: &[u8], length: usize) -> Result<ExportHandle, SessionError> {
        match self.end() {
            Some(error) => Err(error),
            None => Ok(ExportHandle::new(&self.session, label, context, length)),
        }
    }

    /// End the session: what is finished is delivered first. From now on every call says that we closed it.
    pub fn close(&self, code: u32, reason: &str) {
        if self.is_forked() {
            return;
        }
        let mut woken = Vec::new();
        if self.session.close(&mut woken) {
            let close = Command::CloseSession(Arc::clone(&self.session), code, reason.to_owned());
            self.session.endpoint.tell(close);
        }
        self.session.endpoint.post(&mut woken);
    }

    /// Whether the peer has closed the CONNECT stream, or was given up on; if not, `token` is parked
    #[must_use]
    pub fn is_gone(&self, token: u64) -> bool {
        self.is_forked() || self.session.is_gone(token)
    }

    /// Why the session is over
    #[must_use]
    pub fn end(&self) -> Option<SessionError> {
        if self.is_forked() { Some(SessionError::Local) } else { self.session.error() }
    }

    /// The number of its connection, which no other connection of the endpoint has or had
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.session.id.connection().as_u64()
    }

    /// The peer's address, as of the last packets
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        figures(&self.session).remote_address
    }

    /// The smoothed round-trip time, as of the last packets
    #[must_use]
    pub fn rtt(&self) -> Duration {
        figures(&self.session).connection.smoothed_rtt
    }

    /// What the connection has done and how its path is, as of the last packets, and also after the end
    #[must_use]
    pub fn connection_stats(&self) -> ConnectionStats {
        figures(&self.session).connection
    }

    /// Have the figures be those of now, unless somebody turns the reactor at the moment: then they will be after that turn
    pub fn refresh(&self) {
        if self.is_forked() {
            return;
        }
        let endpoint = &self.session.endpoint;
        if self.session.touch() {
            endpoint.tell(Command::Refresh(Arc::clone(&self.session)));
        }
        endpoint.helm.publish(endpoint);
    }

    /// The version of WebTransport that both sides speak
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.session.dialect
    }

    /// Client: the server's answer
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match &self.session.exchange {
            Exchange::Answered(response) => Some(response),
            Exchange::Asked { .. } => None,
        }
    }

    fn check(&self) -> Result<(), SessionError> {
        if self.is_forked() { Err(SessionError::Local) } else { Ok(()) }
    }

    fn is_forked(&self) -> bool {
        self.session.endpoint.epoch.is_over()
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        if !leak_if_forked(self.session.endpoint.epoch, &self.session) {
            self.close(0, "");
            self.session.abandon();
        }
    }
}

fn both(stream: Stream) -> Option<(SendHandle, RecvHandle)> {
    Some((SendHandle::new(stream.send?), RecvHandle::new(stream.recv?)))
}
