//! What a peer's stream is, found out from its first bytes (RFC 9114 §6.2, WT §4.2, §4.3).

use std::time::Instant;

use bytes::Bytes;
use quinn_proto::{Chunk, Dir, ReadError, Side, StreamId, VarInt};

use super::Connection;
use super::timer::Timer;
use crate::code::H3Code;
use crate::control::{Control, Instruction};
use crate::qpack;
use crate::session::{Failure, Phase, Session, session_id};
use crate::stream::{CRITICAL_PRIORITY, Stream, signal};
use crate::varint;

pub(super) const CONTROL: u64 = 0x00;
const PUSH: u64 = 0x01;
pub(super) const QPACK_ENCODER: u64 = 0x02;
pub(super) const QPACK_DECODER: u64 = 0x03;

/// Streams of one direction that a peer opens although it has little to send: HTTP/3's own, or a CONNECT stream and a stream in it.
/// Who opens more gets the permission for all.
const FIRST_STREAMS: u64 = 4;

/// A peer's stream that is not a session's, or not yet
#[derive(Debug)]
pub(super) enum Incoming {
    Head(Head),
    /// Boxed: there is one, and all others are much smaller
    Control(Box<Control>),
    QpackEncoder(qpack::EncoderStream),
    QpackDecoder(qpack::DecoderStream),
    /// A WebTransport stream whose session has yet to come
    Waiting,
}

/// The varints at the beginning of a stream, read byte for byte so that what follows stays in QUIC's buffer
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: [u8; 8],
    len: u8,
    /// The first varint was the signal of a WebTransport stream
    signal: bool,
}

impl Head {
    /// How many bytes complete the varint, as far as is known
    fn missing(&self) -> usize {
        let size = if self.len == 0 { 1 } else { 1 << (self.bytes[0] >> 6) };
        size - usize::from(self.len)
    }

    /// What has come of the varint
    fn read(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Add no more than `missing` bytes; gives the varint once it is complete
    fn push(&mut self, data: &[u8]) -> Option<u64> {
        self.bytes[usize::from(self.len)..][..data.len()].copy_from_slice(data);
        self.len += data.len() as u8;
        varint::decode(self.read()).map(|(value, _)| value)
    }
}

/// What reading from QUIC gave
pub(super) enum Input {
    Chunk(Bytes),
    Blocked,
    Finished,
    Reset(VarInt),
    Closed,
}

impl Connection {
    /// The peer opened streams
    pub(super) fn accept_streams(&mut self, now: Instant, dir: Dir) {
        while let Some(id) = self.quic.streams().accept(dir) {
            if id.index() == FIRST_STREAMS {
                self.quic.set_max_concurrent_streams(dir, self.config.permitted_streams(u32::MAX));
            }
            if dir == Dir::Bi && self.quic.side() == Side::Server {
                self.requests_seen = id.index() + 1;
            }
            self.read_head(now, id, Head::default());
            if self.is_over() {
                return;
            }
        }
    }

    /// QUIC has something to read
    pub(super) fn readable(&mut self, now: Instant, id: StreamId) {
        if self.incoming.contains_key(&id) {
            self.read_incoming(now, id);
        } else if self.sessions.contains_key(&id) {
            self.read_session(now, id);
        } else if self.streams.contains_key(&id) {
            self.stream_readable(now, id);
        }
    }

    /// One read from QUIC; the peer's credit is renewed by what is read
    pub(super) fn input(&mut self, id: StreamId, max: usize) -> Input {
        let mut recv = self.quic.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else { return Input::Closed };
        let input = match chunks.next(max) {
            Ok(Some(Chunk { bytes, .. })) => Input::Chunk(bytes),
            Ok(None) => Input::Finished,
            Err(ReadError::Blocked) => Input::Blocked,
            Err(ReadError::Reset(code)) => Input::Reset(code),
        };
        // What it says to transmit goes out with the poll that follows every call
        let _ = chunks.finalize();
        input
    }

    /// Find out from its first bytes what a stream is, and go on from there
    fn read_head(&mut self, now: Instant, id: StreamId, mut head: Head) {
        let mut recv = self.quic.recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else { return self.incoming_ended(now, id) };
        let value = loop {
            match chunks.next(head.missing()) {
                Ok(Some(chunk)) => match head.push(&chunk.bytes) {
                    None => {}
                    Some(ty) if !head.signal && ty == signal(id.dir()) => head = Head { signal: true, ..Head::default() },
                    Some(value) => break value,
                },
                Err(ReadError::Blocked) => {
                    self.incoming.insert(id, Incoming::Head(head));
                    return;
                }
                Ok(None) | Err(ReadError::Reset(_)) => {
                    let _ = chunks.finalize();
                    return self.incoming_ended(now, id);
                }
            }
        };
        let _ = chunks.finalize();
        if head.signal {
            self.handle_session_id(now, id, value);
        } else {
            self.handle_type(now, id, value, &head);
        }
    }

    fn read_incoming(&mut self, now: Instant, id: StreamId) {
        while let Some(incoming) = self.incoming.get_mut(&id) {
            match incoming {
                Incoming::Head(head) => {
                    let head = std::mem::take(head);
                    self.incoming.remove(&id);
                    return self.read_head(now, id, head);
                }
                Incoming::Waiting => return, // its bytes stay with QUIC until the session is there
                _ => {}
            }
            match self.input(id, usize::MAX) {
                Input::Chunk(data) => self.handle_incoming(now, id, data),
                Input::Blocked => return,
                Input::Finished | Input::Reset(_) | Input::Closed => return self.incoming_ended(now, id),
            }
            if self.is_over() {
                return;
            }
        }
    }

    fn incoming_ended(&mut self, now: Instant, id: StreamId) {
        match self.incoming.remove(&id) {
            Some(Incoming::Control(_) | Incoming::QpackEncoder(_) | Incoming::QpackDecoder(_)) => {
                self.fail(now, H3Code::CLOSED_CRITICAL_STREAM, "a critical stream was closed"); // RFC 9114 §6.2.1
            }
            // RFC 9114 §6.2: a stream may end before its type is known
            _ => {
                self.lost_stream(id.dir());
                self.abandon_send(id, H3Code::REQUEST_INCOMPLETE);
            }
        }
    }

    fn handle_incoming(&mut self, now: Instant, id: StreamId, data: Bytes) {
        let result = match self.incoming.get_mut(&id) {
            Some(Incoming::Control(control)) => {
                control.push(data);
                return self.handle_control(now, id);
            }
            Some(Incoming::QpackEncoder(encoder)) => encoder.push(&data),
            Some(Incoming::QpackDecoder(decoder)) => decoder.push(&data),
            Some(Incoming::Head(_) | Incoming::Waiting) | None => Ok(()),
        };
        if let Err(code) = result {
            self.fail(now, code, "");
        }
    }

    fn handle_type(&mut self, now: Instant, id: StreamId, ty: u64, head: &Head) {
        let incoming = match (id.dir(), ty) {
            (Dir::Bi, _) if self.quic.side() == Side::Server => return self.start_request(now, id, head),
            (Dir::Bi, _) => return self.fail(now, H3Code::STREAM_CREATION_ERROR, "server opened a request stream"), // RFC 9114 §6.1
            (Dir::Uni, CONTROL) => Incoming::Control(Box::new(Control::new(!self.quic.side()))),
            (Dir::Uni, QPACK_ENCODER) => Incoming::QpackEncoder(qpack::EncoderStream),
            (Dir::Uni, QPACK_DECODER) => Incoming::QpackDecoder(qpack::DecoderStream::default()),
            (Dir::Uni, PUSH) => {
                // RFC 9114 §4.6, §6.2.2: only servers push, and only what we permit, which is nothing
                let code = if self.quic.side() == Side::Client { H3Code::ID_ERROR } else { H3Code::STREAM_CREATION_ERROR };
                return self.fail(now, code, "peer opened a push stream");
            }
            (Dir::Uni, _) => return self.stop_quic(id, H3Code::STREAM_CREATION_ERROR), // RFC 9114 §6.2.3: unknown types are discarded
        };
        if ty <= QPACK_DECODER && id.dir() == Dir::Uni {
            let slot = usize::from(ty != CONTROL) + usize::from(ty == QPACK_DECODER);
            if self.critical[slot].replace(id).is_some() {
                return self.fail(now, H3Code::STREAM_CREATION_ERROR, "peer opened a critical stream twice"); // RFC 9114 §6.2.1
            }
        }
        self.incoming.insert(id, incoming);
        self.read_incoming(now, id);
    }

    /// A bidirectional stream of a client that does not begin with the WebTransport signal carries a request
    fn start_request(&mut self, now: Instant, id: StreamId, head: &Head) {
        if self.is_refused(id) {
            return self.refuse_request(id);
        }
        let mut session = Session::new(Phase::Request, self.max_field_section());
        session.push(Bytes::copy_from_slice(head.read()));
        self.sessions.insert(id, Box::new(session));
        self.arm(now + self.config.request_timeout, Timer::Request(id));
        let _ = self.quic.send_stream(id).set_priority(CRITICAL_PRIORITY);
        self.read_session(now, id);
    }

    fn handle_session_id(&mut self, now: Instant, id: StreamId, value: u64) {
        let Ok(session) = session_id(value) else {
            return self.fail(now, H3Code::ID_ERROR, "session id is not a client's bidirectional stream"); // WT §4
        };
        match self.sessions.get(&session) {
            Some(found) if found.is_open() => self.adopt_stream(now, session, id),
            Some(found) if found.is_over() => self.refuse_stream(id, H3Code::WT_SESSION_GONE),
            None if self.was_session(session) => self.refuse_stream(id, H3Code::WT_SESSION_GONE),
            _ => {
                self.incoming.insert(id, Incoming::Waiting);
                let deadline = now + self.config.pending_timeout;
                if let Some(oldest) = self.pending.push_stream(deadline, session, id, self.config.max_pending_streams) {
                    self.lost_stream(oldest.dir());
                    self.refuse_stream(oldest, H3Code::WT_BUFFERED_STREAM_REJECTED);
                }
            }
        }
    }

    /// Whether `id` has been a stream that carries no session any more
    pub(super) fn was_session(&self, id: StreamId) -> bool {
        match self.quic.side() {
            Side::Server => id.index() < self.requests_seen && !self.incoming.contains_key(&id),
            Side::Client => self.had_session,
        }
    }

    /// Give a stream to its session
    pub(super) fn adopt_stream(&mut self, now: Instant, session: StreamId, id: StreamId) {
        let counted = self.sessions.get_mut(&session).map_or(Ok(()), |session| session.flow.peer_opened(id.dir()));
        if let Err(code) = counted {
            self.refuse_stream(id, code);
            return self.session_failed(now, session, &Failure::Stream(code)); // WT §5.6.2
        }
        self.streams.insert(id, Stream::remote(session, id.dir(), self.scheduler.newcomer()));
        let (session, stream) = (self.session_id(session), self.stream_id(id));
        self.events.push_back(crate::Event::StreamOpened { session, stream });
        if id.dir() == Dir::Bi
            && let Ok(Some(code)) = self.quic.send_stream(id).stopped()
        {
            self.stopped(now, id, code); // it came before the header
        }
    }

    /// Turn away a stream that has no session, both halves of it
    pub(super) fn refuse_stream(&mut self, id: StreamId, code: H3Code) {
        self.incoming.remove(&id);
        self.stop_quic(id, code);
        self.abandon_send(id, code);
    }

    /// Reset our half of a peer's stream that nobody will write to
    fn abandon_send(&mut self, id: StreamId, code: H3Code) {
        if id.dir() == Dir::Bi {
            let _ = self.quic.send_stream(id).reset(code.into());
        }
    }

    pub(super) fn stop_quic(&mut self, id: StreamId, code: H3Code) {
        // It fails where the stream has ended by itself
        let _ = self.quic.recv_stream(id).stop(code.into());
    }

    fn handle_control(&mut self, now: Instant, id: StreamId) {
        while let Some(Incoming::Control(control)) = self.incoming.get_mut(&id) {
            match control.next() {
                Ok(None) => return,
                Ok(Some(Instruction::Settings(settings))) => self.handle_settings(now, settings),
                Ok(Some(Instruction::Goaway(id))) => self.handle_goaway(id),
                Err(code) => self.fail(now, code, "peer broke the rules of the control stream"),
            }
        }
    }
}
