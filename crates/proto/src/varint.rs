//! QUIC's variable-length integers (RFC 9000 §16).

use bytes::{BufMut, BytesMut};

/// The largest value that fits
pub(crate) const MAX: u64 = (1 << 62) - 1;

/// The integer at the start of `buf` and its length; `None`: more bytes are needed
///
/// Longer forms than needed are valid (RFC 9000 §16).
pub(crate) fn decode(buf: &[u8]) -> Option<(u64, usize)> {
    let first = *buf.first()?;
    let len = 1 << (first >> 6);
    let rest = buf.get(1..len)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte));
    Some((value, len))
}

/// Append `value`, which is at most [`MAX`], in its shortest form
pub(crate) fn encode(value: u64, out: &mut BytesMut) {
    debug_assert!(value <= MAX);
    match size(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(value as u16 | 1 << 14),
        4 => out.put_u32(value as u32 | 2 << 30),
        _ => out.put_u64(value | 3 << 62),
    }
}

/// How many bytes [`encode`] appends
pub(crate) fn size(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: u64) -> BytesMut {
        let mut out = BytesMut::new();
        encode(value, &mut out);
        out
    }

    /// RFC 9000 §A.1
    #[test]
    fn rfc_vectors() {
        let vectors: [(&[u8], u64); 4] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
        ];
        for (bytes, value) in vectors {
            assert_eq!(decode(bytes), Some((value, bytes.len())));
            assert_eq!(encoded(value), bytes);
        }
        assert_eq!(decode(&[0x40, 0x25]), Some((37, 2)), "a longer form than needed");
    }

    #[test]
    fn edges_round_trip_and_truncations_need_more() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, MAX] {
            let bytes = encoded(value);
            assert_eq!(bytes.len(), size(value));
            assert_eq!(decode(&bytes), Some((value, bytes.len())));
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), None);
            }
        }
    }

    #[test]
    fn what_follows_is_left_alone() {
        assert_eq!(decode(&[0x25, 0xff, 0xff]), Some((37, 1)));
    }
}
