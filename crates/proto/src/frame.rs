//! HTTP/3 frames (RFC 9114 §7), decoded as they come and bounded in what is kept.

use bytes::{BufMut, Bytes, BytesMut};

use crate::code::H3Code;
use crate::input::{Input, only_varint};
use crate::settings::Settings;
use crate::varint;

const DATA: u64 = 0x00;
const HEADERS: u64 = 0x01;
const CANCEL_PUSH: u64 = 0x03;
const SETTINGS: u64 = 0x04;
const PUSH_PROMISE: u64 = 0x05;
const GOAWAY: u64 = 0x07;
const MAX_PUSH_ID: u64 = 0x0d;
const WEBTRANSPORT_STREAM: u64 = 0x41;
/// One of the types that mean nothing, 0x1f * N + 0x21 (RFC 9114 §7.2.8)
const GREASE: u64 = 0x1f * 0x0b5e_11a5 + 0x21;

/// What a stream of frames carries
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// A piece of a DATA frame, never empty; a DATA frame without payload yields nothing
    Data(Bytes),
    /// An encoded field section, whole
    Headers(Bytes),
    /// The payload of SETTINGS, whole
    Settings(Bytes),
    CancelPush(u64),
    /// Never welcome, so its payload is skipped
    PushPromise,
    Goaway(u64),
    MaxPushId(u64),
    /// The signal of a WebTransport stream where a frame is expected (WT §4.3); what follows it is not a frame, so
    /// the decoder stays where it is
    WebTransportStream,
    /// A type of HTTP/2 that must not be used (RFC 9114 §7.2.8)
    Reserved(u64),
    /// A frame to be ignored (RFC 9114 §9), told once, before its payload is skipped
    Unknown,
}

/// Where in a frame the input begins
#[derive(Debug)]
enum State {
    Header,
    /// Inside DATA: so many bytes are to come
    Data(u64),
    /// Before a payload that is needed whole
    Payload {
        ty: u64,
        len: usize,
    },
}

/// Frames out of a stream's bytes: `push` what came, then call `next` until it has no more
#[derive(Debug)]
pub(crate) struct FrameDecoder {
    input: Input,
    state: State,
    max_payload: usize,
}

impl FrameDecoder {
    /// HEADERS and SETTINGS may have `max_payload` bytes
    pub(crate) fn new(max_payload: usize) -> Self {
        Self { input: Input::default(), state: State::Header, max_payload }
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.input.push(chunk);
    }

    /// The next frame, or `None` until more is pushed; after an `Err` the decoder is of no more use
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, H3Code> {
        loop {
            match self.state {
                State::Header => {
                    let Some((ty, offset)) = self.input.peek_varint(0) else { return Ok(None) };
                    if ty == WEBTRANSPORT_STREAM {
                        return Ok(Some(Frame::WebTransportStream));
                    }
                    let Some((len, offset)) = self.input.peek_varint(offset) else { return Ok(None) };
                    self.input.skip(offset as u64);
                    if let Some(frame) = self.begin(ty, len)? {
                        return Ok(Some(frame));
                    }
                }
                State::Data(0) => self.state = State::Header,
                State::Data(left) => {
                    let Some(piece) = self.input.take_some(left) else { return Ok(None) };
                    self.state = State::Data(left - piece.len() as u64);
                    return Ok(Some(Frame::Data(piece)));
                }
                State::Payload { ty, len } => {
                    let Some(payload) = self.input.take(len) else { return Ok(None) };
                    self.state = State::Header;
                    return collected(ty, payload).map(Some);
                }
            }
        }
    }

    /// Whether the stream may end here: not inside a frame (RFC 9114 §7.1)
    pub(crate) fn is_clean(&self) -> bool {
        matches!(self.state, State::Header | State::Data(0)) && self.input.is_empty()
    }

    /// A frame's header was read: decide what becomes of its payload
    fn begin(&mut self, ty: u64, len: u64) -> Result<Option<Frame>, H3Code> {
        let (max, excess) = match ty {
            DATA => {
                self.state = State::Data(len);
                return Ok(None);
            }
            HEADERS | SETTINGS => (self.max_payload, H3Code::EXCESSIVE_LOAD),
            CANCEL_PUSH | GOAWAY | MAX_PUSH_ID => (8, H3Code::FRAME_ERROR), // one integer
            _ => {
                self.input.skip(len);
                return Ok(Some(match ty {
                    PUSH_PROMISE => Frame::PushPromise,
                    0x02 | 0x06 | 0x08 | 0x09 => Frame::Reserved(ty),
                    _ => Frame::Unknown,
                }));
            }
        };
        match usize::try_from(len) {
            Ok(len) if len <= max => self.state = State::Payload { ty, len },
            _ => return Err(excess),
        }
        Ok(None)
    }
}

fn collected(ty: u64, payload: Bytes) -> Result<Frame, H3Code> {
    let id = || only_varint(&payload).ok_or(H3Code::FRAME_ERROR);
    match ty {
        CANCEL_PUSH => id().map(Frame::CancelPush),
        GOAWAY => id().map(Frame::Goaway),
        MAX_PUSH_ID => id().map(Frame::MaxPushId),
        SETTINGS => Ok(Frame::Settings(payload)),
        _ => Ok(Frame::Headers(payload)),
    }
}

/// Append a frame's header; `len` bytes of payload must follow
pub(crate) fn encode_header(ty: u64, len: u64, out: &mut BytesMut) {
    varint::encode(ty, out);
    varint::encode(len, out);
}

/// Append a DATA frame
pub(crate) fn data(out: &mut BytesMut, payload: &[u8]) {
    frame(DATA, payload, out);
}

/// Append a HEADERS frame with an encoded field section
pub(crate) fn headers(out: &mut BytesMut, block: &[u8]) {
    frame(HEADERS, block, out);
}

/// Append a SETTINGS frame
pub(crate) fn settings(out: &mut BytesMut, settings: &Settings) {
    let mut payload = BytesMut::new();
    settings.encode(&mut payload);
    frame(SETTINGS, &payload, out);
}

/// Append a server's GOAWAY frame
///
/// It names the largest request there can be, as RFC 9114 §5.2 permits: numbers of streams are those of requests too, and with
/// a smaller one a client could take it that no more streams are wanted. Requests that come too late are refused one by one.
pub(crate) fn goaway(out: &mut BytesMut) {
    let id = varint::MAX - 3;
    encode_header(GOAWAY, varint::size(id) as u64, out);
    varint::encode(id, out);
}

/// Append a frame that the peer must ignore, so that peers which do not are noticed (RFC 9114 §7.2.8)
pub(crate) fn grease(out: &mut BytesMut) {
    frame(GREASE, b"grease", out);
}

fn frame(ty: u64, payload: &[u8], out: &mut BytesMut) {
    encode_header(ty, payload.len() as u64, out);
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every frame of `bytes`, pushed in chunks of `size`, with the pieces of DATA joined
    fn decode(bytes: &[u8], size: usize) -> Result<(Vec<Frame>, bool), H3Code> {
        let mut decoder = FrameDecoder::new(64);
        let mut frames = Vec::new();
        let mut inside_data = false;
        for chunk in bytes.chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(frame) = decoder.next()? {
                match (frame, frames.last_mut()) {
                    (Frame::Data(piece), Some(Frame::Data(data))) if inside_data => {
                        *data = [data, &piece[..]].concat().into();
                    }
                    (frame, _) => frames.push(frame),
                }
                inside_data = matches!(decoder.state, State::Data(left) if left > 0);
            }
        }
        Ok((frames, decoder.is_clean()))
    }

    fn whole(bytes: &[u8]) -> Result<Vec<Frame>, H3Code> {
        decode(bytes, usize::MAX).map(|(frames, _)| frames)
    }

    /// One of each, in the order of [`samples`]
    fn stream() -> BytesMut {
        let mut out = BytesMut::new();
        settings(&mut out, &Settings::default());
        grease(&mut out);
        headers(&mut out, b"block");
        data(&mut out, b"hello");
        data(&mut out, b"");
        data(&mut out, b"again");
        goaway(&mut out);
        out.put_slice(&[0x03, 0x01, 0x07]); // CANCEL_PUSH
        out.put_slice(&[0x0d, 0x02, 0x40, 0x05]); // MAX_PUSH_ID
        out.put_slice(&[0x05, 0x03, 0x00, 0xaa, 0xbb]); // PUSH_PROMISE
        out.put_slice(&[0x80, 0x0f, 0x07, 0x00, 0x05, 0x00, b'u', b'=', b'1', b' ']); // PRIORITY_UPDATE, RFC 9218 §7.2
        out.put_slice(&[0x06, 0x02, 0x00, 0x00]); // PING of HTTP/2
        out
    }

    fn samples() -> Vec<Frame> {
        let mut payload = BytesMut::new();
        Settings::default().encode(&mut payload);
        vec![
            Frame::Settings(payload.freeze()),
            Frame::Unknown,
            Frame::Headers(Bytes::from_static(b"block")),
            Frame::Data(Bytes::from_static(b"hello")),
            Frame::Data(Bytes::from_static(b"again")),
            Frame::Goaway((1 << 62) - 4),
            Frame::CancelPush(7),
            Frame::MaxPushId(5),
            Frame::PushPromise,
            Frame::Unknown,
            Frame::Reserved(0x06),
        ]
    }

    #[test]
    fn frames_decode_however_they_are_split() {
        let stream = stream();
        for size in 1..=stream.len() {
            assert_eq!(decode(&stream, size), Ok((samples(), true)), "chunks of {size}");
        }
    }

    #[test]
    fn a_cut_frame_yields_what_came_before_it_and_is_not_clean() {
        let stream = stream();
        let mut clean = 0;
        for end in 0..stream.len() {
            let (frames, is_clean) = decode(&stream[..end], usize::MAX).unwrap();
            assert!(frames.len() <= samples().len());
            clean += usize::from(is_clean);
        }
        assert_eq!(clean, 12, "before each of the twelve frames");
    }

    #[test]
    fn data_is_not_copied() {
        let chunk = Bytes::from_static(&[0x00, 0x05, b'h', b'e', b'l', b'l', b'o', 0x00]);
        let mut decoder = FrameDecoder::new(0);
        decoder.push(chunk.clone());
        let Ok(Some(Frame::Data(data))) = decoder.next() else { panic!("no DATA") };
        assert_eq!(data.as_ptr(), chunk[2..].as_ptr());
        assert!(!decoder.is_clean());
    }

    /// RFC 9114 §7.1
    #[test]
    fn fields_must_fill_their_payload() {
        for bytes in [
            &[0x07, 0x00][..],
            &[0x07, 0x02, 0x00, 0x00],
            &[0x07, 0x01, 0x40],
            &[0x07, 0x09],
            &[0x03, 0x00],
            &[0x0d, 0x02, 0x05, 0x05],
        ] {
            assert_eq!(whole(bytes), Err(H3Code::FRAME_ERROR), "{bytes:02x?}");
        }
    }

    #[test]
    fn headers_longer_than_permitted_are_refused_at_their_header() {
        let mut out = BytesMut::new();
        encode_header(HEADERS, 65, &mut out);
        assert_eq!(whole(&out), Err(H3Code::EXCESSIVE_LOAD));
        out.clear();
        encode_header(SETTINGS, varint::MAX, &mut out);
        assert_eq!(whole(&out), Err(H3Code::EXCESSIVE_LOAD));
        out.clear();
        headers(&mut out, &[0; 64]);
        assert_eq!(whole(&out), Ok(vec![Frame::Headers(Bytes::from(vec![0; 64]))]));
    }

    /// RFC 9114 §9: of any length
    #[test]
    fn an_endless_unknown_frame_is_skipped_as_it_comes() {
        let mut out = BytesMut::new();
        encode_header(0x21, varint::MAX, &mut out);
        let mut decoder = FrameDecoder::new(0);
        decoder.push(out.freeze());
        assert_eq!(decoder.next(), Ok(Some(Frame::Unknown)));
        for _ in 0..100 {
            decoder.push(Bytes::from(vec![0x04; 1200]));
            assert_eq!(decoder.next(), Ok(None));
        }
        assert!(!decoder.is_clean());
    }

    /// WT §4.3: what follows the signal is a session id, not a length
    #[test]
    fn the_signal_of_a_webtransport_stream_is_seen_without_what_follows() {
        assert_eq!(whole(&[0x40]), Ok(vec![]));
        let mut decoder = FrameDecoder::new(0);
        decoder.push(Bytes::from_static(&[0x40, 0x41]));
        assert_eq!(decoder.next(), Ok(Some(Frame::WebTransportStream)));
        assert!(!decoder.is_clean());
    }

    #[test]
    fn longer_integers_than_needed_are_read() {
        assert_eq!(whole(&[0x80, 0, 0, 0x00, 0x40, 1, b'x']), Ok(vec![Frame::Data(Bytes::from_static(b"x"))]));
    }

    #[test]
    fn grease_is_of_the_reserved_kind() {
        assert_eq!((GREASE - 0x21) % 0x1f, 0);
    }
}
