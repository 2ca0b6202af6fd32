//! QPACK (RFC 9204) without its dynamic table: static references and literals, and Huffman codes when reading.

mod table;

use bytes::{BufMut, Bytes, BytesMut};
use httlib_huffman::DecoderSpeed;
use thiserror::Error;

use crate::code::H3Code;
use crate::varint;

use table::STATIC_TABLE;

/// Why a field section could not be read
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum DecodeError {
    /// A connection error QPACK_DECOMPRESSION_FAILED (RFC 9204 §2.2)
    #[error("field section cannot be decompressed")]
    Decompression,
    /// More than we said we take; a matter of this message only (RFC 9114 §4.2.2)
    #[error("field section is too large")]
    TooLarge,
}

/// Append the fields as a section that needs no dynamic table
pub(crate) fn encode<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, out: &mut BytesMut) {
    out.put_slice(&[0, 0]); // Required Insert Count and Base
    for (name, value) in fields {
        let same_name = |entry: &(&str, &str)| entry.0.as_bytes() == name;
        if let Some(index) = STATIC_TABLE.iter().position(|entry| same_name(entry) && entry.1.as_bytes() == value) {
            put_integer(0xc0, 6, index as u64, out);
            continue;
        }
        let sensitive = matches!(name, b"authorization" | b"cookie"); // RFC 9204 §7.1.3: never to be indexed
        if let Some(index) = STATIC_TABLE.iter().position(same_name) {
            put_integer(0x50 | u8::from(sensitive) << 5, 4, index as u64, out);
        } else {
            put_integer(0x20 | u8::from(sensitive) << 4, 3, name.len() as u64, out);
            out.put_slice(name);
        }
        put_integer(0, 7, value.len() as u64, out);
        out.put_slice(value);
    }
}

/// Names and values of a field section; `max_size` counts as RFC 9114 §4.2.2 does
pub(crate) fn decode(block: &[u8], max_size: u64) -> Result<Vec<(Bytes, Bytes)>, DecodeError> {
    let mut input = block;
    prefix(&mut input).ok_or(DecodeError::Decompression)?;
    let mut fields = Vec::new();
    let mut size = 0;
    while !input.is_empty() {
        let (name, value) = field(&mut input).ok_or(DecodeError::Decompression)?;
        size += (name.len() + value.len() + 32) as u64;
        if size > max_size {
            return Err(DecodeError::TooLarge);
        }
        fields.push((name, value));
    }
    Ok(fields)
}

/// RFC 9204 §4.5.1: no insertion may be required, and the Base may not come before the first
fn prefix(input: &mut &[u8]) -> Option<()> {
    let required_insert_count = take_integer(input, 8)?;
    let base_is_negative = input.first()? & 0x80 != 0;
    take_integer(input, 7)?;
    (required_insert_count == 0 && !base_is_negative).then_some(())
}

/// One field line (RFC 9204 §4.5.2 to §4.5.6); whatever refers to the dynamic table is wrong, as it is empty
fn field(input: &mut &[u8]) -> Option<(Bytes, Bytes)> {
    let first = *input.first()?;
    if first & 0xc0 == 0xc0 {
        let (name, value) = static_entry(take_integer(input, 6)?)?;
        return Some((name.into(), value.into()));
    }
    let name = if first & 0xd0 == 0x50 {
        static_entry(take_integer(input, 4)?)?.0.into()
    } else if first & 0xe0 == 0x20 {
        take_string(input, 3)?
    } else {
        return None;
    };
    Some((name, take_string(input, 7)?))
}

fn static_entry(index: u64) -> Option<(&'static str, &'static str)> {
    STATIC_TABLE.get(usize::try_from(index).ok()?).copied()
}

/// A string whose length has a prefix of so many bits, after the bit that tells whether it has Huffman codes
/// (RFC 9204 §4.1.2)
fn take_string(input: &mut &[u8], prefix: u32) -> Option<Bytes> {
    let is_huffman = input.first()? >> prefix & 1 == 1;
    let len = usize::try_from(take_integer(input, prefix)?).ok()?;
    let (string, rest) = input.split_at_checked(len)?;
    *input = rest;
    if is_huffman { huffman(string) } else { Some(Bytes::copy_from_slice(string)) }
}

fn huffman(code: &[u8]) -> Option<Bytes> {
    let mut string = Vec::new();
    httlib_huffman::decode(code, &mut string, DecoderSpeed::FourBits).ok()?;
    // There is one right code for a string, while the decoder is lenient about the padding (RFC 7541 §5.2)
    let mut again = Vec::with_capacity(code.len());
    httlib_huffman::encode(&string, &mut again).ok()?;
    (again == code).then(|| string.into())
}

/// An integer with a prefix of so many bits (RFC 9204 §4.1.1), of at most 62 bits
fn take_integer(input: &mut &[u8], prefix: u32) -> Option<u64> {
    let (&first, mut rest) = input.split_first()?;
    let max = (1 << prefix) - 1;
    let mut value = u64::from(first) & max;
    if value == max {
        let mut shift = 0;
        loop {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            value += u64::from(byte & 0x7f) << shift;
            shift += 7;
            if value > varint::MAX || byte & 0x80 != 0 && shift > 56 {
                return None;
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *input = rest;
    Some(value)
}

fn put_integer(flags: u8, prefix: u32, value: u64, out: &mut BytesMut) {
    let max = (1 << prefix) - 1;
    if value < max {
        out.put_u8(flags | value as u8);
        return;
    }
    out.put_u8(flags | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// What a peer's encoder stream may say to a table that can hold nothing (RFC 9204 §4.3)
#[derive(Debug, Default)]
pub(crate) struct EncoderStream;

impl EncoderStream {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), H3Code> {
        const CAPACITY_ZERO: u8 = 0x20;
        // Every other first byte inserts, or begins a capacity above the limit of zero that we announce
        if bytes.iter().all(|&byte| byte == CAPACITY_ZERO) { Ok(()) } else { Err(H3Code::QPACK_ENCODER_STREAM_ERROR) }
    }
}

/// What a peer's decoder stream may say to an encoder that inserts nothing (RFC 9204 §4.4): Stream Cancellation
#[derive(Debug, Default)]
pub(crate) struct DecoderStream {
    /// Bytes of the stream id that were read after its prefix; 0 between two instructions
    inside: u8,
}

impl DecoderStream {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), H3Code> {
        /// 62 bits in groups of seven
        const MAX_CONTINUATION: u8 = 9;
        for &byte in bytes {
            self.inside = match (self.inside, byte) {
                (0, 0x7f) => 1,
                (0, 0x40..=0x7e) => 0,
                (1..=MAX_CONTINUATION, 0..=0x7f) => 0,
                (1..MAX_CONTINUATION, _) => self.inside + 1,
                // Section Acknowledgment, Insert Count Increment, or an id that no stream has
                _ => return Err(H3Code::QPACK_DECODER_STREAM_ERROR),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: u64 = varint::MAX;

    fn encoded(fields: &[(&str, &str)]) -> BytesMut {
        let mut out = BytesMut::new();
        encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut out);
        out
    }

    fn decoded(block: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let fields = decode(block, NO_LIMIT)?;
        Ok(fields.into_iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    /// `line` after the prefix of a section without a dynamic table
    fn section(line: &[u8]) -> Vec<u8> {
        [&[0, 0], line].concat()
    }

    /// RFC 9204 Appendix B.1
    #[test]
    fn rfc_vector() {
        let block = b"\x00\x00\x51\x0b/index.html";
        assert_eq!(encoded(&[(":path", "/index.html")]), &block[..]);
        assert_eq!(decoded(block), Ok(owned(&[(":path", "/index.html")])));
    }

    #[test]
    fn every_static_entry_round_trips_in_one_reference() {
        for (index, entry) in STATIC_TABLE.into_iter().enumerate() {
            let block = encoded(&[entry]);
            assert_eq!(block.len(), if index < 63 { 3 } else { 4 });
            assert_eq!(decoded(&block), Ok(owned(&[entry])));
            let other = (entry.0, "something else");
            assert_eq!(decoded(&encoded(&[other])), Ok(owned(&[other])));
        }
        for line in [&[0xff, 36][..], &[0x5f, 84, 0], &[0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert_eq!(decoded(&section(line)), Err(DecodeError::Decompression), "no entry 99: {line:02x?}");
        }
    }

    fn request() -> Vec<(&'static str, &'static str)> {
        vec![
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "example.com:4433"),
            (":path", "/chat?room=1"),
            (":protocol", "webtransport-h3"),
            ("origin", "https://example.com"),
            ("cookie", "a=b"),
            ("x", ""),
            (
                "a-name-of-more-than-seven",
                "a value long enough that its length needs more than the seven bits of its prefix, \
              which is to say at least one hundred and twenty-seven bytes",
            ),
        ]
    }

    #[test]
    fn requests_round_trip_and_truncations_fail() {
        let block = encoded(&request());
        assert_eq!(decoded(&block), Ok(owned(&request())));
        let mut boundaries = 0;
        for end in 0..block.len() {
            match decoded(&block[..end]) {
                Ok(fields) => {
                    assert_eq!(fields, owned(&request())[..fields.len()]);
                    boundaries += 1;
                }
                Err(error) => assert_eq!(error, DecodeError::Decompression),
            }
        }
        assert_eq!(boundaries, request().len(), "only between two fields");
    }

    /// RFC 9204 §7.1.3
    #[test]
    fn secrets_are_marked_never_to_be_indexed() {
        assert_eq!(encoded(&[("cookie", "a")])[2], 0x75);
        assert_eq!(encoded(&[("authorization", "a")])[2..4], [0x7f, 84 - 15]);
        assert_eq!(encoded(&[("user-agent", "a")])[2..4], [0x5f, 95 - 15]);
        // Whoever else marks a name is understood
        assert_eq!(decoded(&section(&[0x31, b'x', 1, b'y'])), Ok(owned(&[("x", "y")])));
    }

    /// RFC 9204 §2.2, §4.5: our table holds nothing
    #[test]
    fn whatever_needs_the_dynamic_table_fails() {
        for block in [
            &[][..],
            &[0x00],
            &[0x01, 0x00],       // Required Insert Count
            &[0x00, 0x80],       // a Base below zero
            &[0x00, 0x00, 0x80], // indexed
            &[0x00, 0x00, 0x10], // indexed, post-base
            &[0x00, 0x00, 0x40, 0x01, b'x'],
            &[0x00, 0x00, 0x00, 0x01, b'x'],
        ] {
            assert_eq!(decoded(block), Err(DecodeError::Decompression), "{block:02x?}");
        }
        assert_eq!(decoded(&[0x00, 0x05]), Ok(vec![]), "any Base will do when nothing refers to it");
    }

    /// RFC 7541 §C.4.1, §C.6.1
    #[test]
    fn huffman_codes_are_read_in_names_and_values() {
        let www = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(huffman(www).unwrap(), &b"www.example.com"[..]);
        assert_eq!(huffman(b"\x64\x02").unwrap(), &b"302"[..]);
        assert_eq!(huffman(b"").unwrap(), &b""[..]);
        let line = [&[0x2f, 0x01, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f, 0x8c][..], www].concat();
        assert_eq!(decoded(&section(&line)), Ok(owned(&[("custom-key", "www.example.com")])));
    }

    #[test]
    fn every_pair_of_bytes_round_trips_as_huffman() {
        for first in 0..=255 {
            for second in 0..=255 {
                let mut code = Vec::new();
                httlib_huffman::encode(&[first, second], &mut code).unwrap();
                assert_eq!(huffman(&code).unwrap(), [first, second][..]);
            }
        }
    }

    /// RFC 7541 §5.2
    #[test]
    fn huffman_padding_is_checked() {
        for code in [
            &[0b0001_1000][..],              // 'a' and 000
            &[0b0001_1110],                  // 'a' and 110
            &[0b0001_1001],                  // 'a' and 001
            &[0b0001_1111, 0xff],            // 'a' and eleven ones
            &[0xff],                         // eight ones
            &[0xff, 0xff, 0xff, 0xff],       // EOS and two ones
            &[0x1f, 0xff, 0xff, 0xff, 0xff], // 'a', EOS, padding
        ] {
            assert_eq!(huffman(code), None, "{code:02x?}");
        }
        assert_eq!(huffman(&[0b0001_1111]).unwrap(), &b"a"[..]);
    }

    #[test]
    fn integers_have_at_most_62_bits() {
        let mut largest = BytesMut::new();
        put_integer(0, 7, varint::MAX, &mut largest);
        assert_eq!(take_integer(&mut &largest[..], 7), Some(varint::MAX));
        let mut larger = BytesMut::new();
        put_integer(0, 7, varint::MAX + 1, &mut larger);
        assert_eq!(take_integer(&mut &larger[..], 7), None);
        assert_eq!(take_integer(&mut &[0x7f; 1].iter().chain(&[0xff; 20]).copied().collect::<Vec<_>>()[..], 7), None);
        let zeros = [&[0x7f][..], &[0x80; 9], &[0]].concat();
        assert_eq!(take_integer(&mut &zeros[..], 7), None, "zeros without end");
    }

    /// RFC 7541 §C.1
    #[test]
    fn integers_have_the_bytes_of_the_rfc() {
        for (prefix, value, bytes) in [(5, 10, &[0x0a][..]), (5, 1337, &[0x1f, 0x9a, 0x0a]), (8, 42, &[0x2a])] {
            let mut out = BytesMut::new();
            put_integer(0, prefix, value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(take_integer(&mut &bytes[..], prefix), Some(value));
        }
    }

    /// RFC 9114 §4.2.2: names, values and 32 for each field
    #[test]
    fn size_is_bounded_as_the_setting_counts_it() {
        let block = encoded(&[(":path", "/"), ("x", "yz")]);
        let size = (5 + 1 + 32) + (1 + 2 + 32);
        assert_eq!(decode(&block, size).unwrap().len(), 2);
        assert_eq!(decode(&block, size - 1), Err(DecodeError::TooLarge));
        assert_eq!(decode(&[0, 0], 0), Ok(vec![]));
    }

    #[test]
    fn a_length_beyond_the_block_allocates_nothing() {
        let mut line = BytesMut::from(&[0x50][..]);
        put_integer(0, 7, varint::MAX, &mut line);
        assert_eq!(decoded(&section(&line)), Err(DecodeError::Decompression));
    }

    /// RFC 9204 §4.3
    #[test]
    fn encoder_stream_may_only_set_a_capacity_of_zero() {
        let mut stream = EncoderStream;
        assert_eq!(stream.push(&[]), Ok(()));
        assert_eq!(stream.push(&[0x20, 0x20]), Ok(()));
        for instruction in [
            &[0x21][..],         // capacity 1
            &[0x3f, 0x00],       // capacity 31
            &[0xc1, 0x01, b'x'], // insert with a name of the static table
            &[0x41, b'x', 0x00], // insert with a literal name
            &[0x00],             // duplicate
        ] {
            assert_eq!(stream.push(instruction), Err(H3Code::QPACK_ENCODER_STREAM_ERROR), "{instruction:02x?}");
        }
    }

    /// RFC 9204 §4.4
    #[test]
    fn decoder_stream_may_only_cancel_streams() {
        let mut stream = DecoderStream::default();
        assert_eq!(stream.push(&[0x40, 0x44, 0x7f, 0x00, 0x7f, 0x80]), Ok(()));
        assert_eq!(stream.push(&[0x81]), Ok(()));
        assert_eq!(stream.push(&[0x01, 0x48]), Ok(()), "an id may be split");
        for instruction in [
            &[0x84][..], // Section Acknowledgment
            &[0x01],     // Insert Count Increment
            &[0x00],     // an increment of zero
            &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        ] {
            let pushed = DecoderStream::default().push(instruction);
            assert_eq!(pushed, Err(H3Code::QPACK_DECODER_STREAM_ERROR), "{instruction:02x?}");
        }
    }
}
