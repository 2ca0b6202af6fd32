//! What holds for any bytes that a decoder is given: the fuzzer looks for some for which it does not, and so does every
//! test run.
//!
//! Decoding in pieces gives what decoding in one piece gives; what was decoded and is encoded again decodes to the same.

#![allow(missing_docs)] // for the fuzzer and for tests only

use bytes::{Bytes, BytesMut};
use quinn_proto::Side;

use crate::capsule::{self, Capsule, CapsuleDecoder};
use crate::code::H3Code;
use crate::control::{Control, Instruction};
use crate::frame::{self, Frame, FrameDecoder};
use crate::qpack::{self, DecoderStream, EncoderStream};
use crate::request::{self, Inbound};
use crate::settings::{Dialect, Settings};
use crate::varint;

const MAX_PAYLOAD: usize = 4096;

trait Decoder {
    type Item;
    fn push(&mut self, data: Bytes);
    fn next(&mut self) -> Result<Option<Self::Item>, H3Code>;
}

macro_rules! decoder {
    ($decoder:ty, $item:ty) => {
        impl Decoder for $decoder {
            type Item = $item;
            fn push(&mut self, data: Bytes) {
                self.push(data);
            }
            fn next(&mut self) -> Result<Option<$item>, H3Code> {
                self.next()
            }
        }
    };
}

decoder!(FrameDecoder, Frame);
decoder!(CapsuleDecoder, Capsule);
decoder!(Control, Instruction);

/// All that a decoder makes of `data`, given to it in pieces, until it is told to stop or fails
fn decode<D: Decoder>(
    decoder: &mut D,
    data: &[u8],
    piece: usize,
    stop: impl Fn(&D::Item) -> bool,
) -> (Vec<D::Item>, Option<H3Code>) {
    let mut items = Vec::new();
    for piece in data.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next() {
                Ok(Some(item)) => {
                    items.push(item);
                    if items.last().is_some_and(&stop) {
                        return (items, None);
                    }
                }
                Ok(None) => break,
                Err(code) => return (items, Some(code)),
            }
        }
    }
    (items, None)
}

/// The first byte says how long the pieces are
fn split(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((1, data), |(&first, rest)| (1 + usize::from(first), rest))
}

pub fn varint(data: &[u8]) {
    let Some((value, len)) = varint::decode(data) else {
        return assert!(data.first().is_none_or(|first| data.len() < 1 << (first >> 6)), "all of it was there");
    };
    let mut again = BytesMut::new();
    varint::encode(value, &mut again);
    assert!(again.len() <= len && varint::size(value) == again.len());
    assert_eq!(varint::decode(&again), Some((value, again.len())));
}

pub fn frames(data: &[u8]) {
    let (piece, data) = split(data);
    let decoded = |data: &[u8], piece| {
        let mut decoder = FrameDecoder::new(MAX_PAYLOAD);
        let (frames, error) = decode(&mut decoder, data, piece, |frame| *frame == Frame::WebTransportStream);
        // DATA comes in as many pieces as its packets
        let mut joined: Vec<Frame> = Vec::new();
        for frame in frames {
            match (joined.last_mut(), frame) {
                (Some(Frame::Data(data)), Frame::Data(more)) => *data = [&data[..], &more].concat().into(),
                (_, frame) => joined.push(frame),
            }
        }
        // What follows the signal of a stream is the stream's
        let ended = error.is_some() || joined.last() == Some(&Frame::WebTransportStream);
        (joined, error, !ended && decoder.is_clean())
    };
    let whole = decoded(data, usize::MAX);
    assert_eq!(whole, decoded(data, piece));
    for frame in whole.0 {
        let mut again = BytesMut::new();
        match &frame {
            Frame::Data(data) => frame::data(&mut again, data),
            Frame::Headers(block) => frame::headers(&mut again, block),
            _ => continue,
        }
        assert_eq!(decoded(&again, piece), (vec![frame], None, true));
    }
}

pub fn control(data: &[u8]) {
    let (piece, data) = split(data);
    for side in [Side::Client, Side::Server] {
        let told = |piece| format!("{:?}", decode(&mut Control::new(side), data, piece, |_| false));
        assert_eq!(told(usize::MAX), told(piece));
    }
    // Neither keeps anything, so only the first error counts
    let _ = EncoderStream.push(data);
    let (mut whole, mut parts) = (DecoderStream::default(), DecoderStream::default());
    assert_eq!(whole.push(data).is_ok(), data.chunks(piece).all(|piece| parts.push(piece).is_ok()));
}

pub fn capsules(data: &[u8]) {
    let (piece, data) = split(data);
    let decoded = |data: &[u8], piece| {
        let mut decoder = CapsuleDecoder::new();
        let (capsules, error) = decode(&mut decoder, data, piece, |_| false);
        (capsules, error, error.is_none() && decoder.is_clean())
    };
    let whole = decoded(data, usize::MAX);
    assert_eq!(whole, decoded(data, piece));
    for capsule in whole.0 {
        let mut again = BytesMut::new();
        match &capsule {
            Capsule::CloseSession { code, reason } => capsule::close_session(*code, reason, &mut again),
            Capsule::DrainSession => capsule::drain_session(&mut again),
            Capsule::MaxData(limit) => capsule::max_data(*limit, &mut again),
            Capsule::MaxStreams { dir, limit } => capsule::max_streams(*dir, *limit, &mut again),
            Capsule::DataBlocked(limit) => capsule::data_blocked(*limit, &mut again),
            Capsule::StreamsBlocked { dir, limit } => capsule::streams_blocked(*dir, *limit, &mut again),
            Capsule::Datagram(_) | Capsule::Prohibited(_) => continue, // we send none
        }
        assert_eq!(decoded(&again, piece), (vec![capsule], None, true));
    }
}

pub fn settings(data: &[u8]) {
    let Ok(settings) = Settings::decode(data) else { return };
    let mut again = BytesMut::new();
    settings.encode(&mut again);
    assert_eq!(Settings::decode(&again), Ok(settings));
}

/// A field section, and what it says as a request and as a response
pub fn fields(data: &[u8]) {
    let Ok(fields) = qpack::decode(data, MAX_PAYLOAD as u64) else { return };
    let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    assert!(size <= MAX_PAYLOAD);
    let mut again = BytesMut::new();
    qpack::encode(fields.iter().map(|(name, value)| (&name[..], &value[..])), &mut again);
    assert_eq!(qpack::decode(&again, MAX_PAYLOAD as u64).as_ref(), Ok(&fields));
    if let Ok(response) = request::decode_response(fields.clone()) {
        let mut again = BytesMut::new();
        response.encode(Dialect::Draft16, &mut again);
        let read = qpack::decode(&again, u64::MAX).map(request::decode_response);
        assert_eq!(read.map(|read| read.map(|read| read.status)), Ok(Ok(response.status)));
    }
    let Ok(Inbound::WebTransport(request, _)) = request::decode_request(fields) else { return };
    for dialect in [Dialect::Draft02, Dialect::Draft07, Dialect::Draft14, Dialect::Draft16] {
        let mut again = BytesMut::new();
        request.encode(dialect, &mut again);
        match qpack::decode(&again, u64::MAX).map(request::decode_request) {
            Ok(Ok(Inbound::WebTransport(read, _))) => {
                assert_eq!((read.authority, read.path), (request.authority.clone(), request.path.clone()));
            }
            other => panic!("{request:?} became {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use quinn_proto::Dir;

    use super::*;

    /// Bytes of any kind, and of the kind that decoders look for
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let integer = (0..=varint::MAX, 0..62_u32).prop_map(|(value, shift)| {
            let mut out = BytesMut::new();
            varint::encode(value >> shift, &mut out);
            out.to_vec()
        });
        let dir = || any::<bool>().prop_map(|bi| if bi { Dir::Bi } else { Dir::Uni });
        let capsule = prop_oneof![
            (any::<u32>(), ".{0,40}").prop_map(|(code, reason)| {
                let mut out = BytesMut::new();
                capsule::close_session(code, &reason, &mut out);
                out
            }),
            (dir(), 0..=varint::MAX).prop_map(|(dir, limit)| {
                let mut out = BytesMut::new();
                capsule::max_streams(dir, limit, &mut out);
                capsule::streams_blocked(dir, limit, &mut out);
                capsule::max_data(limit, &mut out);
                capsule::data_blocked(limit, &mut out);
                out
            }),
            Just(()).prop_map(|()| {
                let mut out = BytesMut::new();
                capsule::drain_session(&mut out);
                capsule::grease(&mut out);
                out
            }),
        ];
        let frame = (0..4, vec(any::<u8>(), 0..300)).prop_map(|(kind, payload)| {
            let mut out = BytesMut::new();
            match kind {
                0 => frame::data(&mut out, &payload),
                1 => frame::headers(&mut out, &payload),
                2 => frame::grease(&mut out),
                _ => frame::settings(&mut out, &Settings { wt_initial_max_data: payload.len() as u64, ..Settings::default() }),
            }
            out.to_vec()
        });
        let any_kind = prop_oneof![vec(any::<u8>(), 0..20), integer, capsule.prop_map(|out| out.to_vec()), frame];
        (any::<u8>(), vec(any_kind, 0..8)).prop_map(|(piece, parts)| [vec![piece], parts.concat()].concat())
    }

    fn field_section() -> impl Strategy<Value = Vec<u8>> {
        let name =
            prop_oneof!["(:method|:scheme|:authority|:path|:protocol|:status|origin|host|cookie)", "[a-z!#]{0,12}", "\\PC{0,6}"];
        let value =
            prop_oneof!["(CONNECT|https|a.example:1|/|/x[?]y|webtransport|webtransport-h3|200|404)", "[ -~]{0,200}", "\\PC{0,6}"];
        (vec((name, value), 0..10), any::<bool>(), vec(any::<u8>(), 0..10)).prop_map(|(mut fields, whole, rest)| {
            if whole {
                let connect = [
                    (":method", "CONNECT"),
                    (":scheme", "https"),
                    (":authority", "a"),
                    (":path", "/"),
                    (":protocol", "webtransport"),
                ];
                fields.retain(|(name, _)| !name.starts_with(':') && name != "host");
                fields.splice(0..0, connect.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            let mut out = BytesMut::new();
            qpack::encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut out);
            [&out[..], &rest].concat()
        })
    }

    proptest! {
        #[test]
        fn of_integers(data in vec(any::<u8>(), 0..10)) {
            varint(&data);
        }

        #[test]
        fn of_frames(data in pieces()) {
            frames(&data);
        }

        #[test]
        fn of_control_streams(data in pieces()) {
            control(&[&data[..1], &[0x00], &data[1..]].concat());
            control(&data);
        }

        #[test]
        fn of_capsules(data in pieces()) {
            capsules(&data);
        }

        #[test]
        fn of_settings(data in pieces()) {
            settings(&data[1..]);
        }

        #[test]
        fn of_field_sections(data in field_section()) {
            fields(&data);
        }
    }
}
