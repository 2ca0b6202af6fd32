//! What the application asks of a session or a stream: each call finds its connection, and lets it say what follows.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::Dir;

use super::Endpoint;
use crate::connection::Connection;
use crate::error::DatagramError;
use crate::event::{SessionId, StreamId};
use crate::request::Response;
use crate::stats::ConnectionStats;
use crate::stream::Read;

impl Endpoint {
    // ---- sessions ----

    /// Answer `SessionRequested` with a 2xx; false if the client has gone
    pub fn accept_session(&mut self, now: Instant, session: SessionId, response: &Response) -> bool {
        let accepted =
            self.with(session.connection, |connection| connection.accept_session(now, session.stream, response)).unwrap_or(false);
        self.totals.sessions_accepted += u64::from(accepted);
        accepted
    }

    /// Answer `SessionRequested` with a refusal; false if the client has gone
    pub fn reject_session(&mut self, now: Instant, session: SessionId, response: &Response) -> bool {
        self.with(session.connection, |connection| connection.reject_session(now, session.stream, response)).unwrap_or(false)
    }

    /// Answer `HttpRequested`; false if the client has gone, or was told that it took too long
    pub fn answer_http(&mut self, now: Instant, stream: StreamId, response: &Response) -> bool {
        self.with(stream.connection, |connection| connection.answer_http(now, stream.stream, response)).unwrap_or(false)
    }

    /// Tell the peer that we would like the session to end soon (WT §4.7); the second time does nothing
    pub fn drain_session(&mut self, now: Instant, session: SessionId) {
        self.with(session.connection, |connection| connection.ask_to_drain(now, session.stream));
    }

    /// Close a session: what was finished is delivered first, then the peer learns the code (WT §6)
    ///
    /// `SessionClosed` comes at once, `SessionGone` once the peer has answered. Of the reason at most 1024 bytes are sent.
    pub fn close_session(&mut self, now: Instant, session: SessionId, code: u32, reason: &str) {
        self.with(session.connection, |connection| connection.close_session(now, session.stream, code, reason));
    }

    /// Where a session's peer is; it changes when the peer moves (RFC 9000 §9)
    #[must_use]
    pub fn remote_address(&self, session: SessionId) -> Option<SocketAddr> {
        self.connection(session.connection).map(|connection| connection.quic.remote_address())
    }

    /// What a session's connection has done, and how its path is; `None` once QUIC has forgotten it
    pub fn stats(&mut self, session: SessionId) -> Option<ConnectionStats> {
        self.slot_of(session.connection).map(Connection::stats)
    }

    /// What a session's peer proved itself with, DER, the leaf first; nothing if it did not
    #[must_use]
    pub fn peer_certificates(&self, session: SessionId) -> Vec<Vec<u8>> {
        self.connection(session.connection).map(Connection::peer_certificates).unwrap_or_default()
    }

    /// `length` bytes that both sides of a session can compute, and nobody else (WT §4.8); `None` if the session is over
    ///
    /// Label and context count up to their 255th byte; TLS gives no more than 8160 bytes.
    #[must_use]
    pub fn export_keying_material(&self, session: SessionId, label: &[u8], context: &[u8], length: usize) -> Option<Vec<u8>> {
        self.connection(session.connection)?.export_keying_material(session.stream, label, context, length)
    }

    // ---- streams ----

    /// Open a stream, and send its header; `None` without credit (`StreamsAvailable` will tell), or if the session is over
    pub fn open_stream(&mut self, now: Instant, session: SessionId, dir: Dir) -> Option<StreamId> {
        let stream = self.with(session.connection, |connection| connection.open_stream(now, session.stream, dir))??;
        Some(StreamId { connection: session.connection, stream })
    }

    /// Queue bytes; they are always taken, and `StreamWritten` tells when QUIC took them over
    pub fn write(&mut self, stream: StreamId, data: Bytes) {
        self.with(stream.connection, |connection| connection.write(stream.stream, data));
    }

    /// End the stream after what is queued
    pub fn finish(&mut self, stream: StreamId) {
        self.with(stream.connection, |connection| connection.finish(stream.stream));
    }

    /// Send what this stream has before what streams of a lower order have in the same group (W3C, "sendOrder")
    ///
    /// The groups of a session take turns, whatever the orders in them, and so do the sessions of a connection. Group 0 is that
    /// of all streams that were given none.
    pub fn set_send_order(&mut self, stream: StreamId, group: u32, order: i64) {
        self.with(stream.connection, |connection| connection.set_send_order(stream.stream, group, order));
    }

    /// Give up sending; what is queued is forgotten
    pub fn reset(&mut self, now: Instant, stream: StreamId, code: u32) {
        self.with(stream.connection, |connection| connection.reset(now, stream.stream, code));
    }

    /// Take up to `max` bytes off a stream
    pub fn read(&mut self, now: Instant, stream: StreamId, max: usize) -> Read {
        self.with(stream.connection, |connection| connection.read(now, stream.stream, max)).unwrap_or(Read::Closed)
    }

    /// The peer's reset, for a reader that has no room for what came before it; said once
    pub fn check_reset(&mut self, now: Instant, stream: StreamId) -> Option<Option<u32>> {
        self.with(stream.connection, |connection| connection.check_reset(now, stream.stream)).flatten()
    }

    /// Ask the peer to stop sending; what is unread is forgotten
    pub fn stop(&mut self, stream: StreamId, code: u32) {
        self.with(stream.connection, |connection| connection.stop(stream.stream, code));
    }

    // ---- datagrams ----

    /// Send a datagram, as soon as congestion control permits
    ///
    /// # Errors
    /// It is too large, the peer takes none, QUIC has enough for now, or the session is over.
    pub fn send_datagram(&mut self, session: SessionId, payload: &[u8]) -> Result<(), DatagramError> {
        let connection = self.slot_of(session.connection).ok_or(DatagramError::Closed)?;
        connection.send_datagram(session.stream, payload)?;
        self.touch(session.connection.index);
        Ok(())
    }

    /// How many bytes of datagrams QUIC takes now, the last one past that; after 0, `DatagramsUnblocked` comes once it takes more
    pub fn datagram_room(&mut self, session: SessionId) -> usize {
        match self.slot_of(session.connection) {
            Some(connection) => connection.datagram_room(session.stream),
            None => 0,
        }
    }

    /// The longest payload that fits into a datagram now; `None` if the peer takes none, or the session is over
    pub fn max_datagram_size(&mut self, session: SessionId) -> Option<usize> {
        self.slot_of(session.connection)?.max_datagram_size(session.stream)
    }
}
