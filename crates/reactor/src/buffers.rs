//! Memory of datagrams that were read to the end, kept for those that come next.
//!
//! New memory must be filled with zeros before the system may write to it, and has often to be mapped anew, page by page. What comes
//! back is there, and holds bytes already.

use bytes::{Bytes, BytesMut};

use crate::sync::{Mutex, lock};

/// The longest that the system puts together from packets of one sender, and so the shortest safe receive buffer
pub(crate) const LENGTH: usize = 64 << 10;

/// What comes back begins behind its packet's header, some thirty bytes later each time: after so many it begins anew
const SLACK: usize = 2 << 10;

/// How many an endpoint keeps: as much memory as is under way at full speed where round trips are short
const KEPT: usize = 16;

/// An endpoint's spare receive buffers
#[derive(Debug, Default)]
pub(crate) struct Buffers(Mutex<Vec<BytesMut>>);

/// A new buffer, of [`LENGTH`] bytes
pub(crate) fn fresh() -> BytesMut {
    let mut buffer = BytesMut::zeroed(LENGTH + SLACK);
    buffer.truncate(LENGTH);
    buffer
}

impl Buffers {
    /// A buffer of [`LENGTH`] bytes, whatever they are
    pub(crate) fn take(&self) -> BytesMut {
        let Some(mut buffer) = lock(&self.0).pop() else { return fresh() };
        buffer.resize(LENGTH, 0); // zeros only for what is missing at its end
        buffer
    }

    /// These bytes were read. Nothing is done unless they are the last of their buffer.
    pub(crate) fn give_back(&self, bytes: Bytes) {
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        if buffer.capacity() < LENGTH {
            buffer.clear();
            if !buffer.try_reclaim(LENGTH) {
                return; // what was too short to be given away was copied
            }
        }
        let mut kept = lock(&self.0);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What a packet with a header of 30 bytes carries
    fn receive(buffers: &Buffers) -> Bytes {
        let mut buffer = buffers.take();
        assert_eq!(buffer.len(), LENGTH);
        drop(buffer.split_to(30));
        buffer.freeze()
    }

    #[test]
    fn a_buffer_comes_back_with_its_last_byte() {
        let buffers = Buffers::default();
        let mut first = receive(&buffers);
        let rest = first.split_off(100);
        let begin = rest.as_ptr();
        buffers.give_back(first);
        assert!(lock(&buffers.0).is_empty());
        buffers.give_back(rest);
        assert_eq!(lock(&buffers.0).len(), 1);
        assert_eq!(receive(&buffers).as_ptr(), begin.wrapping_add(30));
    }

    #[test]
    fn one_buffer_serves_for_ever() {
        let buffers = Buffers::default();
        let mut packet = receive(&buffers);
        let first = packet.as_ptr();
        let mut begun_anew = 0;
        for _ in 0..4 * SLACK / 30 {
            buffers.give_back(packet);
            assert_eq!(lock(&buffers.0).len(), 1); // an allocator might give the same memory again
            packet = receive(&buffers);
            assert!((first..=first.wrapping_add(SLACK)).contains(&packet.as_ptr()));
            begun_anew += usize::from(packet.as_ptr() == first);
        }
        assert!(begun_anew > 1);
    }

    #[test]
    fn no_more_are_kept_than_was_said() {
        let buffers = Buffers::default();
        let packets: Vec<_> = (0..2 * KEPT).map(|_| receive(&buffers)).collect();
        packets.into_iter().for_each(|packet| buffers.give_back(packet));
        assert_eq!(lock(&buffers.0).len(), KEPT);
    }

    #[test]
    fn only_whole_buffers_are_kept() {
        let buffers = Buffers::default();
        buffers.give_back(Bytes::copy_from_slice(&[0; 20 << 10]));
        buffers.give_back(Bytes::from_static(&[0; 20 << 10]));
        assert!(lock(&buffers.0).is_empty());
    }
}
