//! Capsules, the messages on a CONNECT stream (RFC 9297 §3, WT §5.6, §6), decoded as they come and bounded in what is
//! kept.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn_proto::Dir;

use crate::code::H3Code;
use crate::input::{Input, only_varint};
use crate::varint;

const DATAGRAM: u64 = 0x00;
const CLOSE_SESSION: u64 = 0x2843;
const DRAIN_SESSION: u64 = 0x78ae;
const MAX_DATA: u64 = 0x190b_4d3d;
const MAX_STREAM_DATA: u64 = 0x190b_4d3e;
const MAX_STREAMS_BIDI: u64 = 0x190b_4d3f;
const MAX_STREAMS_UNI: u64 = 0x190b_4d40;
const DATA_BLOCKED: u64 = 0x190b_4d41;
const STREAM_DATA_BLOCKED: u64 = 0x190b_4d42;
const STREAMS_BLOCKED_BIDI: u64 = 0x190b_4d43;
const STREAMS_BLOCKED_UNI: u64 = 0x190b_4d44;
/// One of the types that mean nothing, 0x29 * N + 0x17 (RFC 9297 §5.4)
const GREASE: u64 = 0x29 * 0x0b5e_11a5 + 0x17;

/// Bytes that the reason in a CLOSE capsule may have (WT §6)
const MAX_REASON: usize = 1024;
const MAX_CLOSE: u64 = 4 + MAX_REASON as u64;
/// No QUIC datagram is longer, so a longer capsule was never meant to be one
const MAX_DATAGRAM: u64 = 64 << 10;

/// The types whose payload is one integer
macro_rules! flow_control {
    () => {
        MAX_DATA | MAX_STREAMS_BIDI | MAX_STREAMS_UNI | DATA_BLOCKED | STREAMS_BLOCKED_BIDI | STREAMS_BLOCKED_UNI
    };
}

/// What a CONNECT stream says about its session
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Capsule {
    /// A datagram that came by stream (RFC 9297 §3.5)
    Datagram(Bytes),
    CloseSession {
        code: u32,
        reason: String,
    },
    DrainSession,
    MaxData(u64),
    MaxStreams {
        dir: Dir,
        limit: u64,
    },
    DataBlocked(u64),
    StreamsBlocked {
        dir: Dir,
        limit: u64,
    },
    /// WT_MAX_STREAM_DATA or WT_STREAM_DATA_BLOCKED: QUIC's own do their work in HTTP/3 (WT §5.4)
    Prohibited(u64),
}

/// Capsules out of a stream's bytes: `push` what came, then call `next` until it has no more
#[derive(Debug, Default)]
pub(crate) struct CapsuleDecoder {
    input: Input,
    /// The capsule whose payload is awaited: its type and length
    current: Option<(u64, usize)>,
}

impl CapsuleDecoder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.input.push(chunk);
    }

    /// The next capsule, or `None` until more is pushed; after an `Err` the decoder is of no more use
    ///
    /// Types without a meaning are passed over as they come, whatever their length (RFC 9297 §3.2).
    pub(crate) fn next(&mut self) -> Result<Option<Capsule>, H3Code> {
        loop {
            if let Some((ty, len)) = self.current {
                let Some(payload) = self.input.take(len) else { return Ok(None) };
                self.current = None;
                return decode(ty, payload).map(Some).ok_or(H3Code::MESSAGE_ERROR); // RFC 9297 §3.3
            }
            let Some((ty, offset)) = self.input.peek_varint(0) else { return Ok(None) };
            let Some((len, offset)) = self.input.peek_varint(offset) else { return Ok(None) };
            self.input.skip(offset as u64);
            match (ty, len) {
                (DATAGRAM, 0..=MAX_DATAGRAM) | (CLOSE_SESSION, 4..=MAX_CLOSE) | (DRAIN_SESSION, 0) | (flow_control!(), 1..=8) => {
                    self.current = Some((ty, len as usize));
                }
                // Such a length is wrong, whatever the payload
                (CLOSE_SESSION | DRAIN_SESSION | flow_control!(), _) => return Err(H3Code::MESSAGE_ERROR),
                (MAX_STREAM_DATA | STREAM_DATA_BLOCKED, _) => {
                    self.input.skip(len);
                    return Ok(Some(Capsule::Prohibited(ty)));
                }
                _ => self.input.skip(len),
            }
        }
    }

    /// Whether the stream may end here: not inside a capsule (RFC 9297 §3.3)
    pub(crate) fn is_clean(&self) -> bool {
        self.current.is_none() && self.input.is_empty()
    }
}

/// `None`: malformed
fn decode(ty: u64, mut payload: Bytes) -> Option<Capsule> {
    Some(match ty {
        DATAGRAM => Capsule::Datagram(payload),
        CLOSE_SESSION => {
            Capsule::CloseSession { code: payload.try_get_u32().ok()?, reason: std::str::from_utf8(&payload).ok()?.to_owned() }
        }
        DRAIN_SESSION => Capsule::DrainSession,
        MAX_DATA => Capsule::MaxData(only_varint(&payload)?),
        MAX_STREAMS_BIDI => Capsule::MaxStreams { dir: Dir::Bi, limit: only_varint(&payload)? },
        MAX_STREAMS_UNI => Capsule::MaxStreams { dir: Dir::Uni, limit: only_varint(&payload)? },
        DATA_BLOCKED => Capsule::DataBlocked(only_varint(&payload)?),
        STREAMS_BLOCKED_BIDI => Capsule::StreamsBlocked { dir: Dir::Bi, limit: only_varint(&payload)? },
        STREAMS_BLOCKED_UNI => Capsule::StreamsBlocked { dir: Dir::Uni, limit: only_varint(&payload)? },
        _ => return None,
    })
}

/// Append CLOSE; a reason that is too long is cut between two characters (WT §6)
pub(crate) fn close_session(code: u32, reason: &str, out: &mut BytesMut) {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    header(CLOSE_SESSION, 4 + end, out);
    out.put_u32(code);
    out.put_slice(&reason.as_bytes()[..end]);
}

/// Append DRAIN (WT §4.7)
pub(crate) fn drain_session(out: &mut BytesMut) {
    header(DRAIN_SESSION, 0, out);
}

/// Append WT_MAX_DATA (WT §5.6.4)
pub(crate) fn max_data(limit: u64, out: &mut BytesMut) {
    integer(MAX_DATA, limit, out);
}

/// Append WT_MAX_STREAMS (WT §5.6.2)
pub(crate) fn max_streams(dir: Dir, limit: u64, out: &mut BytesMut) {
    integer(if dir == Dir::Bi { MAX_STREAMS_BIDI } else { MAX_STREAMS_UNI }, limit, out);
}

/// Append WT_DATA_BLOCKED (WT §5.6.5)
pub(crate) fn data_blocked(limit: u64, out: &mut BytesMut) {
    integer(DATA_BLOCKED, limit, out);
}

/// Append WT_STREAMS_BLOCKED (WT §5.6.3)
pub(crate) fn streams_blocked(dir: Dir, limit: u64, out: &mut BytesMut) {
    integer(if dir == Dir::Bi { STREAMS_BLOCKED_BIDI } else { STREAMS_BLOCKED_UNI }, limit, out);
}

/// Append a capsule that the peer must ignore, so that peers which do not are noticed (RFC 9297 §5.4)
pub(crate) fn grease(out: &mut BytesMut) {
    header(GREASE, 6, out);
    out.put_slice(b"grease");
}

fn header(ty: u64, len: usize, out: &mut BytesMut) {
    varint::encode(ty, out);
    varint::encode(len as u64, out);
}

fn integer(ty: u64, value: u64, out: &mut BytesMut) {
    header(ty, varint::size(value), out);
    varint::encode(value, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every capsule of `bytes`, pushed in chunks of `size`
    fn decode(bytes: &[u8], size: usize) -> Result<(Vec<Capsule>, bool), H3Code> {
        let mut decoder = CapsuleDecoder::new();
        let mut capsules = Vec::new();
        for chunk in bytes.chunks(size) {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(capsule) = decoder.next()? {
                capsules.push(capsule);
            }
        }
        Ok((capsules, decoder.is_clean()))
    }

    fn whole(bytes: &[u8]) -> Result<Vec<Capsule>, H3Code> {
        decode(bytes, usize::MAX).map(|(capsules, _)| capsules)
    }

    fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(&mut out);
        out.to_vec()
    }

    fn raw(ty: u64, payload: &[u8]) -> Vec<u8> {
        encoded(|out| {
            header(ty, payload.len(), out);
            out.put_slice(payload);
        })
    }

    fn closed(code: u32, reason: &str) -> Capsule {
        Capsule::CloseSession { code, reason: reason.into() }
    }

    /// Each capsule with its bytes, written out
    fn samples() -> Vec<(Capsule, Vec<u8>, &'static [u8])> {
        let (bi, uni) = (Dir::Bi, Dir::Uni);
        vec![
            (closed(7, "bye"), encoded(|out| close_session(7, "bye", out)), &[0x68, 0x43, 0x07, 0, 0, 0, 7, 0x62, 0x79, 0x65]),
            (Capsule::DrainSession, encoded(drain_session), &[0x80, 0x00, 0x78, 0xae, 0]),
            (Capsule::MaxData(0x4000), encoded(|out| max_data(0x4000, out)), &[0x99, 0x0b, 0x4d, 0x3d, 4, 0x80, 0, 0x40, 0]),
            (Capsule::MaxStreams { dir: bi, limit: 9 }, encoded(|out| max_streams(bi, 9, out)), &[0x99, 0x0b, 0x4d, 0x3f, 1, 9]),
            (Capsule::MaxStreams { dir: uni, limit: 9 }, encoded(|out| max_streams(uni, 9, out)), &[0x99, 0x0b, 0x4d, 0x40, 1, 9]),
            (Capsule::DataBlocked(64), encoded(|out| data_blocked(64, out)), &[0x99, 0x0b, 0x4d, 0x41, 2, 0x40, 64]),
            (
                Capsule::StreamsBlocked { dir: bi, limit: 0 },
                encoded(|out| streams_blocked(bi, 0, out)),
                &[0x99, 0x0b, 0x4d, 0x43, 1, 0],
            ),
            (
                Capsule::StreamsBlocked { dir: uni, limit: 0 },
                encoded(|out| streams_blocked(uni, 0, out)),
                &[0x99, 0x0b, 0x4d, 0x44, 1, 0],
            ),
            (Capsule::Datagram(Bytes::from_static(b"hi")), raw(DATAGRAM, b"hi"), &[0, 2, b'h', b'i']),
            (Capsule::Datagram(Bytes::new()), raw(DATAGRAM, b""), &[0, 0]),
        ]
    }

    #[test]
    fn capsules_have_the_bytes_of_the_draft() {
        for (capsule, bytes, expected) in samples() {
            assert_eq!(bytes, expected, "{capsule:?}");
            assert_eq!(decode(expected, usize::MAX), Ok((vec![capsule], true)));
        }
    }

    /// Browsers begin with a GREASE capsule; a capsule may be cut anywhere, by packets or by DATA frames
    #[test]
    fn capsules_decode_however_they_are_split() {
        let mut stream = encoded(grease);
        let mut expected = Vec::new();
        for (capsule, bytes, _) in samples() {
            stream.extend(bytes);
            expected.push(capsule);
        }
        for size in 1..=stream.len() {
            let (capsules, is_clean) = decode(&stream, size).unwrap();
            assert_eq!(capsules, expected, "chunks of {size}");
            assert!(is_clean);
        }
    }

    /// RFC 9297 §3.3
    #[test]
    fn a_cut_capsule_is_not_clean() {
        for (capsule, bytes, _) in samples().into_iter().chain([(Capsule::DrainSession, encoded(grease), &[][..])]) {
            for end in 1..bytes.len() {
                assert_eq!(decode(&bytes[..end], usize::MAX), Ok((vec![], false)), "{capsule:?} cut at {end}");
            }
        }
        assert!(CapsuleDecoder::new().is_clean());
    }

    /// RFC 9297 §3.2
    #[test]
    fn an_endless_unknown_capsule_is_skipped_as_it_comes() {
        for ty in [0x1234, GREASE, DATAGRAM] {
            let mut decoder = CapsuleDecoder::new();
            decoder.push(Bytes::from(encoded(|out| {
                varint::encode(ty, out);
                varint::encode(varint::MAX, out);
            })));
            for _ in 0..100 {
                decoder.push(Bytes::from(vec![0x68; 1200]));
                assert_eq!(decoder.next(), Ok(None));
            }
            assert!(!decoder.is_clean());
        }
    }

    #[test]
    fn a_datagram_capsule_too_long_for_a_datagram_is_skipped() {
        let mut bytes = raw(DATAGRAM, &vec![0; MAX_DATAGRAM as usize + 1]);
        bytes.extend(raw(DATAGRAM, &vec![1; MAX_DATAGRAM as usize]));
        assert_eq!(whole(&bytes), Ok(vec![Capsule::Datagram(Bytes::from(vec![1; MAX_DATAGRAM as usize]))]));
    }

    /// WT §6
    #[test]
    fn a_close_that_says_too_much_or_too_little_is_malformed() {
        let longest = [&[0; 4], &[b'x'; 1024][..]].concat();
        assert_eq!(whole(&raw(CLOSE_SESSION, &longest)), Ok(vec![closed(0, &"x".repeat(1024))]));
        assert_eq!(whole(&raw(CLOSE_SESSION, &[0; 4])), Ok(vec![closed(0, "")]));
        for payload in [&[0; 1029][..], &[0; 3], &[], &[0, 0, 0, 0, 0xff], &[0, 0, 0, 0, 0xe2, 0x82]] {
            assert_eq!(whole(&raw(CLOSE_SESSION, payload)), Err(H3Code::MESSAGE_ERROR), "{} bytes", payload.len());
        }
    }

    #[test]
    fn a_reason_is_cut_between_two_characters() {
        let cases = [
            ("x".repeat(1500), 1024),
            ("é".repeat(600), 1024),
            (format!("x{}", "é".repeat(600)), 1023),
            (format!("{}🦀", "x".repeat(1021)), 1021),
        ];
        for (reason, kept) in cases {
            let capsules = whole(&encoded(|out| close_session(1, &reason, out)));
            assert_eq!(capsules, Ok(vec![closed(1, &reason[..kept])]));
        }
    }

    /// RFC 9297 §3.3: neither bytes too many nor too few
    #[test]
    fn fields_must_fill_their_capsule() {
        assert_eq!(whole(&raw(DRAIN_SESSION, &[0])), Err(H3Code::MESSAGE_ERROR));
        for ty in [MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, DATA_BLOCKED, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI] {
            for payload in [&[][..], &[0x40], &[0, 0], &[0; 9]] {
                assert_eq!(whole(&raw(ty, payload)), Err(H3Code::MESSAGE_ERROR), "{ty:#x} {payload:?}");
            }
            assert_eq!(whole(&raw(ty, &[0x40, 1])).unwrap().len(), 1, "a longer form than needed");
        }
    }

    #[test]
    fn capsules_for_single_streams_are_told_and_skipped() {
        let bytes = [raw(MAX_STREAM_DATA, &[0, 0]), raw(STREAM_DATA_BLOCKED, &[0; 40]), encoded(drain_session)];
        assert_eq!(
            whole(&bytes.concat()),
            Ok(vec![Capsule::Prohibited(MAX_STREAM_DATA), Capsule::Prohibited(STREAM_DATA_BLOCKED), Capsule::DrainSession])
        );
    }

    #[test]
    fn grease_is_of_the_reserved_kind() {
        assert_eq!((GREASE - 0x17) % 0x29, 0);
    }
}
