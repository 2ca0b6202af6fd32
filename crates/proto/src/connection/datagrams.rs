//! Datagrams: whose a received one is, and when one may leave (WT §4.5, RFC 9297 §2).

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{SendDatagramError, StreamId, VarInt};

use super::Connection;
use crate::code::H3Code;
use crate::config::DATAGRAM_SEND_BUFFER;
use crate::error::DatagramError;
use crate::event::Event;
use crate::session::Phase;
use crate::varint;

/// Bytes of datagrams handed to QUIC at a time, half of what one send carries: QUIC sends them before any stream data, so more
/// would starve the streams
const DATAGRAM_BATCH: usize = 32 << 10;

/// RFC 9297 §2.1
const MAX_QUARTER_STREAM_ID: u64 = (1 << 60) - 1;

/// What stands for a session in its datagrams
fn quarter(session: StreamId) -> u64 {
    VarInt::from(session).into_inner() / 4
}

impl Connection {
    pub(super) fn receive_datagrams(&mut self, now: Instant) {
        while let Some(mut datagram) = self.quic.datagrams().recv() {
            let head = varint::decode(&datagram).filter(|&(quarter, _)| quarter <= MAX_QUARTER_STREAM_ID);
            let Some((session, len)) = head.and_then(|(quarter, len)| Some((VarInt::from_u64(quarter * 4).ok()?, len))) else {
                return self.fail(now, H3Code::DATAGRAM_ERROR, "datagram has no valid quarter stream id"); // RFC 9297 §2.1
            };
            let payload = datagram.split_off(len);
            self.deliver_datagram(now, StreamId::from(session), payload);
        }
    }

    pub(super) fn deliver_datagram(&mut self, now: Instant, id: StreamId, payload: Bytes) {
        match self.sessions.get(&id) {
            Some(found) if found.is_open() => {
                let session = self.session_id(id);
                self.events.push_back(Event::DatagramReceived { session, payload });
            }
            Some(found) if found.is_over() => {}
            None if self.was_session(id) => {}
            _ => {
                let deadline = now + self.config.pending_timeout;
                self.pending.push_datagram(deadline, id, &payload, self.config.max_pending_datagrams);
            }
        }
    }

    /// It is known from the request on, so that whoever accepts it knows at once
    pub(crate) fn max_datagram_size(&mut self, session: StreamId) -> Option<usize> {
        self.sessions.get(&session).filter(|session| session.is_open() || session.phase == Phase::Requested)?;
        self.room_beside(quarter(session))
    }

    /// What a datagram can carry beside its session's number
    fn room_beside(&mut self, quarter: u64) -> Option<usize> {
        self.quic.datagrams().max_size().map(|max| max.saturating_sub(varint::size(quarter)))
    }

    /// How many bytes of datagrams may be handed over now: a batch at a time, and none that would overtake the answer
    pub(crate) fn datagram_room(&mut self, session: StreamId) -> usize {
        let ready = self.sessions.get(&session).is_some_and(|session| session.is_open() && session.datagrams_ready);
        if ready && self.datagrams_sent() {
            return DATAGRAM_BATCH;
        }
        self.datagrams_wanted = true;
        0
    }

    /// Whether QUIC's own queue is empty; it reserves room for one datagram's bookkeeping
    fn datagrams_sent(&mut self) -> bool {
        self.quic.datagrams().send_buffer_space() + size_of::<quinn_proto::Datagram>() >= DATAGRAM_SEND_BUFFER
    }

    pub(super) fn unblock_datagrams(&mut self) {
        if self.datagrams_wanted
            && self.datagrams_sent()
            && self.sessions.values().any(|session| session.is_open() && session.datagrams_ready)
        {
            self.datagrams_wanted = false;
            self.events.push_back(Event::DatagramsUnblocked { connection: self.id });
        }
    }

    pub(crate) fn send_datagram(&mut self, session: StreamId, payload: &[u8]) -> Result<(), DatagramError> {
        if !self.session_is_open(session) {
            return Err(DatagramError::Closed);
        }
        let quarter = quarter(session);
        let max = self.room_beside(quarter).ok_or(DatagramError::UnsupportedByPeer)?;
        if payload.len() > max {
            return Err(DatagramError::TooLarge { len: payload.len(), max });
        }
        // Not a byte too long, or it would be counted in memory of its own
        let mut datagram = BytesMut::with_capacity(varint::size(quarter) + payload.len());
        varint::encode(quarter, &mut datagram);
        datagram.extend_from_slice(payload);
        self.quic.datagrams().send(datagram.freeze(), false).map_err(|error| match error {
            SendDatagramError::Blocked(_) => DatagramError::Blocked,
            SendDatagramError::TooLarge => DatagramError::TooLarge { len: payload.len(), max },
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => DatagramError::UnsupportedByPeer,
        })?;
        self.measured.payload_sent += payload.len() as u64;
        Ok(())
    }
}
