//! Packets that say they are a Retry, where none may come.

use crate::varint;

/// Whether one of the packets in a datagram says that it is a Retry, which only servers send (RFC 9000 §17.2.5): a server's
/// quinn would close the connection for it, although nothing in it is authenticated, and one flipped bit makes a Retry of a
/// client's Handshake packet
pub(super) fn holds_retry(mut datagram: &[u8]) -> bool {
    while let [first, 0, 0, 0, 1, rest @ ..] = datagram
        && first & 0x80 != 0
    {
        let ty = first >> 4 & 3;
        if ty == 3 {
            return true;
        }
        let Some(next) = after_packet(ty == 0, rest) else { return false };
        datagram = next;
    }
    false
}

/// What follows a packet with a long header, of which `rest` is what follows the version (RFC 9000 §17.2)
fn after_packet(is_initial: bool, rest: &[u8]) -> Option<&[u8]> {
    let mut rest = rest;
    for _ in 0..2 {
        let (&len, cid) = rest.split_first()?;
        rest = cid.get(usize::from(len)..)?;
    }
    // The token of an Initial, then the packet itself
    for _ in 0..1 + usize::from(is_initial) {
        let (len, size) = varint::decode(rest)?;
        rest = rest.get(size..)?.get(usize::try_from(len).ok()?..)?;
    }
    Some(rest)
}
