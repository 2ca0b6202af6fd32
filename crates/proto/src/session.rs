//! One session, as its CONNECT stream tells it.
//!
//! ```text
//! server: Request ──HEADERS──▶ Queued ──SETTINGS──▶ Requested ──2xx sent──▶ Open
//! client: Connecting ──2xx received──▶ Open
//! server: Request ──HEADERS of plain HTTP──▶ Http ──answer sent──▶ Closed
//! both:   Open ──close()──▶ Closing ──finished streams acknowledged, or time is up──▶ Closed
//!         Open ──CLOSE, FIN or reset received──▶ Closed ──both directions ended──▶ forgotten
//! ```

use bytes::{Bytes, BytesMut};
use quinn_proto::StreamId;

use crate::capsule::{Capsule, CapsuleDecoder};
use crate::code::H3Code;
use crate::event::ConnectId;
use crate::flow::Flow;
use crate::frame::{Frame, FrameDecoder};
use crate::request::{Request, Response};
use crate::stream::SendHalf;
use crate::subprotocol::Offer;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Server: the request's HEADERS have yet to come
    Request,
    /// Server: the request waits for the client's SETTINGS (WT §3.1)
    Queued(Box<Request>),
    /// Server: the application has yet to answer
    Requested,
    /// Server: not a request for a session, and the application has yet to answer it
    Http {
        /// Its answer has no body (RFC 9110 §9.3.2)
        is_head: bool,
    },
    /// Client: the answer has yet to come
    Connecting(ConnectId),
    Open,
    /// We closed; streams that were finished are still on their way
    Closing {
        code: u32,
        reason: String,
    },
    /// The CONNECT stream has carried our FIN or reset; its own end is all that is left
    Closed,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) phase: Phase,
    pub(crate) send: SendHalf,
    pub(crate) flow: Flow,
    frames: FrameDecoder,
    capsules: CapsuleDecoder,
    /// HEADERS came, so that only DATA may follow
    headers_seen: bool,
    close_seen: bool,
    pub(crate) draining: bool,
    /// The answer has left, so that datagrams no longer overtake it
    pub(crate) datagrams_ready: bool,
    /// The peer's FIN or reset came, or we stopped it
    pub(crate) recv_done: bool,
    /// Our FIN is acknowledged, or we reset
    pub(crate) send_done: bool,
    /// The application was told that nothing more comes
    pub(crate) gone: bool,
    /// Client: what was offered
    pub(crate) offer: Offer,
    /// Client: the refusal, whose body is still coming
    pub(crate) refusal: Option<Box<Refusal>>,
}

/// An answer that is not 2xx, and what came of its body
#[derive(Debug)]
pub(crate) struct Refusal {
    response: Response,
    body: BytesMut,
}

impl Refusal {
    /// The most of a body that is kept
    const MAX_BODY: usize = 16 << 10;

    pub(crate) fn new(response: Response) -> Self {
        Self { response, body: BytesMut::new() }
    }

    /// Take in a frame after the HEADERS; returns whether nothing more is wanted
    fn push(&mut self, frame: &Frame) -> bool {
        let Frame::Data(data) = frame else { return *frame != Frame::Unknown }; // trailers, or nonsense
        let room = Self::MAX_BODY - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        data.len() >= room
    }

    pub(crate) fn finish(self) -> Response {
        Response { body: self.body.freeze(), ..self.response }
    }
}

/// What a CONNECT stream carries
#[derive(Debug)]
pub(crate) enum Message {
    Headers(Bytes),
    Capsule(Capsule),
    /// All of a refusal came, or as much of it as is kept
    Refused,
}

/// How far the damage of a broken rule goes
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Connection(H3Code),
    Stream(H3Code),
}

impl Session {
    pub(crate) fn new(phase: Phase, max_field_section_size: usize) -> Self {
        Self {
            phase,
            send: SendHalf::default(),
            flow: Flow::default(),
            frames: FrameDecoder::new(max_field_section_size),
            capsules: CapsuleDecoder::new(),
            headers_seen: false,
            close_seen: false,
            draining: false,
            datagrams_ready: false,
            recv_done: false,
            send_done: false,
            gone: false,
            offer: Offer::default(),
            refusal: None,
        }
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        self.frames.push(data);
    }

    /// The next message of what was pushed
    pub(crate) fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(capsule) = self.capsules.next().map_err(Failure::Stream)? {
                if self.close_seen {
                    return Err(Failure::Stream(H3Code::MESSAGE_ERROR)); // WT §6: nothing may follow CLOSE
                }
                self.close_seen = matches!(capsule, Capsule::CloseSession { .. });
                return Ok(Some(Message::Capsule(capsule)));
            }
            let frame = self.frames.next().map_err(Failure::Connection)?;
            if let (Some(refusal), Some(frame)) = (&mut self.refusal, &frame) {
                if refusal.push(frame) {
                    return Ok(Some(Message::Refused));
                }
                continue;
            }
            match frame {
                None => return Ok(None),
                Some(Frame::Unknown) => {}
                Some(Frame::Headers(block)) if !self.headers_seen => return Ok(Some(Message::Headers(block))),
                Some(Frame::Data(_)) if self.close_seen => return Err(Failure::Stream(H3Code::MESSAGE_ERROR)),
                Some(Frame::Data(data)) if self.headers_seen => self.capsules.push(data),
                // RFC 9114 §7.2.5: only servers push, and only what we permit, which is nothing
                Some(Frame::PushPromise) if matches!(self.phase, Phase::Connecting(_)) => {
                    return Err(Failure::Connection(H3Code::ID_ERROR));
                }
                // WT §4.3: the signal may only be the first bytes of a stream
                Some(Frame::WebTransportStream) => return Err(Failure::Connection(H3Code::FRAME_ERROR)),
                // RFC 9114 §4.1, §4.4
                Some(_) => return Err(Failure::Connection(H3Code::FRAME_UNEXPECTED)),
            }
        }
    }

    /// The final HEADERS were read: capsules may follow
    pub(crate) fn headers_done(&mut self) {
        self.headers_seen = true;
    }

    /// The peer's FIN came: does it cut anything in two?
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        if !self.frames.is_clean() {
            return Err(Failure::Connection(H3Code::FRAME_ERROR)); // RFC 9114 §7.1
        }
        if !self.capsules.is_clean() {
            return Err(Failure::Stream(H3Code::MESSAGE_ERROR)); // RFC 9297 §3.3
        }
        Ok(())
    }

    /// Whether streams and datagrams flow
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether nothing can come of this session any more
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. } | Phase::Closed)
    }

    /// Whether a server has yet to answer
    pub(crate) fn is_requested(&self) -> bool {
        matches!(self.phase, Phase::Request | Phase::Queued(_) | Phase::Requested | Phase::Http { .. })
    }
}

/// Whether a reset with this code may be the first sign of the session's end, and not the application's (WT §6;
/// browsers send H3_REQUEST_CANCELLED or H3_CONNECT_ERROR)
pub(crate) fn means_session_gone(code: H3Code) -> bool {
    [H3Code::WT_SESSION_GONE, H3Code::REQUEST_CANCELLED, H3Code::CONNECT_ERROR].contains(&code)
}

/// Whether a stream id can be a session's: a client's bidirectional stream (WT §4)
pub(crate) fn session_id(value: u64) -> Result<StreamId, H3Code> {
    match quinn_proto::VarInt::from_u64(value) {
        Ok(value_) if value % 4 == 0 => Ok(StreamId::from(value_)),
        _ => Err(H3Code::ID_ERROR),
    }
}
