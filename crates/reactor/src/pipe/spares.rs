//! Memory of bytes that the peer has acknowledged, kept for those that are written next.
//!
//! What an allocator gives for a long piece has often to be mapped anew, and is in no cache. What was just given back is both there
//! and warm.

use std::sync::Arc;

use bytes::Bytes;

use crate::sync::{Mutex, lock};

/// The most that an endpoint keeps, in bytes: about what is under way at full speed where round trips are short
const KEPT: usize = 2 << 20;

/// Pieces shorter than this are the allocator's: it has them at hand
const WORTH_KEEPING: usize = 16 << 10;

/// An endpoint's spare memory
#[derive(Debug, Default)]
pub struct Spares(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    memory: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spares {
    /// A copy of `data`, whose memory comes back when its last byte is not needed any more
    pub fn copy(self: &Arc<Self>, data: &[u8]) -> Bytes {
        if data.len() < WORTH_KEEPING {
            return Bytes::copy_from_slice(data);
        }
        // One that is of another size goes: whoever writes much writes pieces of one length
        let spare = self.take().filter(|spare| (data.len()..=2 * data.len()).contains(&spare.capacity()));
        let mut memory = spare.unwrap_or_else(|| Vec::with_capacity(data.len()));
        memory.extend_from_slice(data);
        Bytes::from_owner(Lent { memory, spares: Arc::clone(self) })
    }

    /// What came back last
    fn take(&self) -> Option<Vec<u8>> {
        let mut kept = lock(&self.0);
        let memory = kept.memory.pop()?;
        kept.bytes -= memory.capacity();
        Some(memory)
    }

    fn give_back(&self, mut memory: Vec<u8>) {
        memory.clear();
        let mut kept = lock(&self.0);
        if kept.bytes + memory.capacity() <= KEPT {
            kept.bytes += memory.capacity();
            kept.memory.push(memory);
        }
    }
}

/// Memory that holds bytes until they are acknowledged
struct Lent {
    memory: Vec<u8>,
    spares: Arc<Spares>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spares.give_back(std::mem::take(&mut self.memory));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_with_its_last_byte() {
        let spares = Arc::new(Spares::default());
        let mut first = spares.copy(&[1; 64 << 10]);
        let begin = first.as_ptr();
        let rest = first.split_off(100);
        drop(first);
        assert_ne!(spares.copy(&[2; 64 << 10]).as_ptr(), begin);
        drop(rest);
        let again = spares.copy(&[3; 64 << 10]);
        assert_eq!((again.as_ptr(), &again[..]), (begin, &[3; 64 << 10][..]));
    }

    #[test]
    fn no_more_is_kept_than_was_said() {
        let spares = Arc::new(Spares::default());
        let lent: Vec<_> = (0..2 * KEPT / (64 << 10)).map(|_| spares.copy(&[0; 64 << 10])).collect();
        drop(lent);
        assert_eq!(lock(&spares.0).bytes, KEPT);
        assert_eq!(std::iter::from_fn(|| spares.take()).map(|memory| memory.capacity()).sum::<usize>(), KEPT);
        assert_eq!(lock(&spares.0).bytes, 0);
    }

    #[test]
    fn short_bytes_hold_no_long_memory() {
        let spares = Arc::new(Spares::default());
        drop(spares.copy(&[0; 64 << 10]));
        drop(spares.copy(&[0; 20 << 10]));
        assert_eq!(spares.take().map(|memory| memory.capacity()), Some(20 << 10));
        drop(spares.copy(&[0; 1 << 10]));
        assert!(spares.take().is_none());
    }
}
