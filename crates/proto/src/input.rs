//! Bytes of a stream that a decoder has yet to use, for the formats made of type, length and payload: HTTP/3 frames
//! and capsules.

use bytes::{Buf, Bytes, BytesMut};

use crate::varint;

/// Slices what comes out where it can: only an item cut in two by the packets is copied together
#[derive(Debug, Default)]
pub(crate) struct Input {
    buf: Bytes,
    /// How much of what comes next is to be thrown away; nonzero only while `buf` is empty
    skip: u64,
}

impl Input {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if self.buf.is_empty() {
            self.buf = chunk;
            self.skip(0);
        } else if !chunk.is_empty() {
            // Takes over the allocation if it is ours, and then grows it in leaps
            let mut buf = BytesMut::from(std::mem::take(&mut self.buf));
            buf.extend_from_slice(&chunk);
            self.buf = buf.freeze();
        }
    }

    /// Throw away the next `len` bytes, whether they are here or not
    pub(crate) fn skip(&mut self, len: u64) {
        self.skip += len;
        let here = self.up_to(self.skip);
        self.buf.advance(here);
        self.skip -= here as u64;
        if self.buf.is_empty() {
            self.buf = Bytes::new(); // or it would keep the datagram that it is a piece of
        }
    }

    /// The integer that begins `offset` bytes from here, and where it ends
    pub(crate) fn peek_varint(&self, offset: usize) -> Option<(u64, usize)> {
        let (value, len) = varint::decode(self.buf.get(offset..)?)?;
        Some((value, offset + len))
    }

    /// The next `len` bytes, once all are here
    pub(crate) fn take(&mut self, len: usize) -> Option<Bytes> {
        (self.buf.len() >= len).then(|| self.buf.split_to(len))
    }

    /// Some of the next `len` bytes; `None`: none is here
    pub(crate) fn take_some(&mut self, len: u64) -> Option<Bytes> {
        let here = self.up_to(len);
        (here > 0).then(|| self.buf.split_to(here))
    }

    /// Whether all that came was used, and all that was to be skipped came
    pub(crate) fn is_empty(&self) -> bool {
        self.buf.is_empty() && self.skip == 0
    }

    fn up_to(&self, len: u64) -> usize {
        usize::try_from(len).map_or(self.buf.len(), |len| len.min(self.buf.len()))
    }
}

/// An integer that must fill its field: `None` if it is shorter or longer (RFC 9114 §7.1, RFC 9297 §3.3)
pub(crate) fn only_varint(field: &[u8]) -> Option<u64> {
    varint::decode(field).filter(|&(_, len)| len == field.len()).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_given_back() {
        let chunk = Bytes::from(b"headpayload".to_vec());
        let mut input = Input::default();
        let all: [fn(&mut Input); 3] = [|input| input.skip(11), |input| drop(input.take(11)), |input| drop(input.take_some(20))];
        for uses in all {
            input.push(chunk.clone());
            assert!(!chunk.is_unique());
            uses(&mut input);
            assert!(chunk.is_unique());
        }
    }

    #[test]
    fn whole_items_are_slices_of_what_was_pushed() {
        let chunk = Bytes::from_static(b"headpayload");
        let mut input = Input::default();
        input.push(chunk.clone());
        input.skip(4);
        let payload = input.take(7).unwrap();
        assert_eq!(payload.as_ptr(), chunk[4..].as_ptr());
        assert!(input.is_empty());
    }

    #[test]
    fn items_cut_in_two_are_joined() {
        let mut input = Input::default();
        for byte in b"payload" {
            assert_eq!(input.take(7), None);
            input.push(Bytes::copy_from_slice(&[*byte]));
        }
        input.push(Bytes::new());
        assert_eq!(input.take(7).unwrap(), &b"payload"[..]);
    }

    #[test]
    fn skipping_reaches_into_what_has_not_come() {
        let mut input = Input::default();
        input.push(Bytes::from_static(b"abc"));
        input.skip(7);
        assert!(!input.is_empty());
        input.push(Bytes::from_static(b"de"));
        assert_eq!(input.take_some(9), None);
        input.push(Bytes::from_static(b"fghi"));
        assert_eq!(input.take_some(9).unwrap(), &b"hi"[..]);
        assert!(input.is_empty());
    }

    #[test]
    fn skipping_more_than_memory_keeps_nothing() {
        let mut input = Input::default();
        input.skip(varint::MAX);
        input.push(Bytes::from(vec![0; 4096]));
        assert_eq!(input.skip, varint::MAX - 4096);
        assert!(input.buf.is_empty());
    }

    #[test]
    fn an_integer_must_fill_its_field() {
        assert_eq!(only_varint(&[0x40, 0x25]), Some(37));
        assert_eq!(only_varint(&[0x40]), None);
        assert_eq!(only_varint(&[0x25, 0]), None);
        assert_eq!(only_varint(&[]), None);
    }
}
