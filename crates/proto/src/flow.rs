//! Flow control of one session: how many bytes and streams each side may still send (WT §5).
//!
//! The peer's limits hold us back, ours hold the peer back. Limits only ever rise: by what is consumed, and by what ends.
//! Where flow control was not negotiated everything is counted, and nothing limited but by QUIC.
//!
//! Two counts are not exact, for want of RESET_STREAM_AT and of the final size of a stream that was reset. A stream that is
//! reset before its header arrives belongs to no session that we know of, so the peer may count more streams than we do; and
//! how many bytes it had sent on a stream that ends early we can only bound. Both are settled in the peer's favour: it never
//! runs dry, and QUIC's limits still hold.

use std::collections::BTreeSet;

use quinn_proto::{Dir, StreamId};

use crate::code::H3Code;
use crate::settings::{Dialect, Settings};

/// No stream has a higher number (RFC 9000 §4.6)
const MAX_STREAMS: u64 = 1 << 60;

/// How many streams more than we permitted are forgiven: the peer may have counted some that we never saw
const STREAMS_FORGIVEN: u64 = 16;

/// What of a window must be used up before the peer is told of more
const RENEWAL: u64 = 4;

#[derive(Debug, Default)]
pub(crate) struct Flow {
    on: bool,
    /// A limit that only repeats the last one is an error (draft-15 and later)
    must_grow: bool,
    send: Send,
    recv: Recv,
}

/// What the peer permits, and what we have used of it
#[derive(Debug, Default)]
struct Send {
    data: Limit,
    /// By direction
    streams: [Limit; 2],
    /// Streams with bytes for which there was no credit
    waiting: BTreeSet<StreamId>,
}

/// What we permit, and what the peer has used of it
#[derive(Debug, Default)]
struct Recv {
    data_window: u64,
    max_data: u64,
    /// The part of `max_data` that the peer may know: it has left
    max_data_left: u64,
    /// Bytes that were read
    data: u64,
    /// Bytes that are no longer of concern: read, or given up with their stream
    data_done: u64,
    streams_window: u64,
    max_streams: [u64; 2],
    streams: [u64; 2],
    streams_done: [u64; 2],
}

/// A number that may be reached and not exceeded
#[derive(Debug, Default)]
struct Limit {
    max: u64,
    used: u64,
    /// The peer was told that this limit holds us back
    blocked_at: Option<u64>,
}

impl Limit {
    fn credit(&self) -> u64 {
        self.max.saturating_sub(self.used)
    }

    /// The peer's new limit
    fn raise(&mut self, max: u64, must_grow: bool) -> Result<(), H3Code> {
        if max < self.max || must_grow && max == self.max {
            return Err(H3Code::WT_FLOW_CONTROL_ERROR); // WT §5.6.2, §5.6.4
        }
        self.max = max;
        Ok(())
    }

    /// The limit that holds us back, if the peer has yet to be told
    fn blocked(&mut self) -> Option<u64> {
        (self.credit() == 0 && self.blocked_at.replace(self.max) != Some(self.max)).then_some(self.max)
    }
}

/// Whether two sides that sent these settings limit their sessions (WT §5.1)
pub(crate) fn is_negotiated(dialect: Dialect, local: &Settings, peer: &Settings) -> bool {
    let limits = |settings: &Settings| {
        settings.wt_initial_max_data > 0 || settings.wt_initial_max_streams_uni > 0 || settings.wt_initial_max_streams_bidi > 0
    };
    let sessions = |settings: &Settings| settings.wt_max_sessions_draft13 > 1;
    match dialect {
        Dialect::Draft02 | Dialect::Draft07 => false,
        Dialect::Draft14 => limits(local) && limits(peer) || sessions(local) && sessions(peer),
        Dialect::Draft16 => limits(local) && limits(peer),
    }
}

impl Flow {
    /// Both sides' SETTINGS are known: their limits are the first
    pub(crate) fn start(&mut self, dialect: Dialect, local: &Settings, peer: &Settings) {
        self.on = true;
        self.must_grow = dialect >= Dialect::Draft16;
        self.send.data.max = peer.wt_initial_max_data;
        self.send.streams[Dir::Bi as usize].max = peer.wt_initial_max_streams_bidi;
        self.send.streams[Dir::Uni as usize].max = peer.wt_initial_max_streams_uni;
        let recv = &mut self.recv;
        recv.data_window = local.wt_initial_max_data;
        recv.max_data = recv.data_window;
        recv.max_data_left = recv.data_window;
        recv.streams_window = local.wt_initial_max_streams_bidi;
        recv.max_streams = [recv.streams_window; 2];
    }

    // ---- what the peer permits ----

    /// Bytes that may be sent now
    pub(crate) fn credit(&self) -> usize {
        if self.on { usize::try_from(self.send.data.credit()).unwrap_or(usize::MAX) } else { usize::MAX }
    }

    pub(crate) fn sent(&mut self, bytes: usize) {
        self.send.data.used += bytes as u64;
    }

    /// A stream has bytes, and there is no credit. Returns the limit if the peer has yet to be told (WT §5.6.5).
    pub(crate) fn wait(&mut self, stream: StreamId) -> Option<u64> {
        self.send.waiting.insert(stream);
        self.send.data.blocked()
    }

    /// WT_MAX_DATA: returns the streams that waited for it
    pub(crate) fn raise_max_data(&mut self, limit: u64) -> Result<BTreeSet<StreamId>, H3Code> {
        if !self.on {
            return Ok(BTreeSet::new()); // WT §5.1: without flow control its capsules are ignored
        }
        self.send.data.raise(limit, self.must_grow)?;
        Ok(std::mem::take(&mut self.send.waiting))
    }

    /// Whether one more stream may be opened; if not, also the limit that the peer has yet to be told of (WT §5.6.3)
    pub(crate) fn may_open(&mut self, dir: Dir) -> Result<(), Option<u64>> {
        let limit = &mut self.send.streams[dir as usize];
        if self.on && limit.credit() == 0 { Err(limit.blocked()) } else { Ok(()) }
    }

    pub(crate) fn opened(&mut self, dir: Dir) {
        self.send.streams[dir as usize].used += 1;
    }

    /// WT_MAX_STREAMS
    pub(crate) fn raise_max_streams(&mut self, dir: Dir, limit: u64) -> Result<(), H3Code> {
        if !self.on {
            return Ok(());
        }
        check_streams(limit)?;
        self.send.streams[dir as usize].raise(limit, self.must_grow)
    }

    /// WT_STREAMS_BLOCKED: nothing waits for it, but it may be nonsense
    pub(crate) fn peer_blocked(&self, limit: u64) -> Result<(), H3Code> {
        if self.on { check_streams(limit) } else { Ok(()) }
    }

    /// WT_MAX_STREAM_DATA and WT_STREAM_DATA_BLOCKED have no place in HTTP/3 (WT §5.4)
    pub(crate) fn prohibited(&self) -> Result<(), H3Code> {
        if self.on { Err(H3Code::MESSAGE_ERROR) } else { Ok(()) }
    }

    // ---- what we permit ----

    pub(crate) fn peer_opened(&mut self, dir: Dir) -> Result<(), H3Code> {
        let recv = &mut self.recv;
        let streams = &mut recv.streams[dir as usize];
        *streams += 1;
        let exceeded = self.on && *streams > recv.max_streams[dir as usize] + STREAMS_FORGIVEN;
        if exceeded { Err(H3Code::WT_FLOW_CONTROL_ERROR) } else { Ok(()) }
    }

    /// A stream of the peer is over, be it one that we never saw the header of
    pub(crate) fn peer_closed(&mut self, dir: Dir) {
        self.recv.streams_done[dir as usize] += 1;
    }

    /// Bytes of the peer were read
    pub(crate) fn received(&mut self, bytes: usize) -> Result<(), H3Code> {
        let recv = &mut self.recv;
        recv.data += bytes as u64;
        recv.data_done += bytes as u64;
        // What is read now came before any limit could that has not left yet
        if self.on && recv.data > recv.max_data_left { Err(H3Code::WT_FLOW_CONTROL_ERROR) } else { Ok(()) }
    }

    /// A stream ended early, and the peer may have sent up to `unread` bytes more than were read
    pub(crate) fn forgive(&mut self, unread: u64) {
        let recv = &mut self.recv;
        recv.data_done += unread.min(recv.max_data.saturating_sub(recv.data_done));
    }

    /// What the peer is to be told by WT_MAX_DATA now
    pub(crate) fn max_data_due(&mut self) -> Option<u64> {
        let recv = &mut self.recv;
        let limit = recv.data_done + recv.data_window;
        let due = self.on && limit > recv.max_data && limit - recv.max_data >= recv.data_window / RENEWAL;
        due.then(|| recv.max_data = limit)?;
        Some(limit)
    }

    /// What the peer is to be told by WT_MAX_STREAMS now
    pub(crate) fn max_streams_due(&mut self, dir: Dir) -> Option<u64> {
        let recv = &mut self.recv;
        let limit = (recv.streams_done[dir as usize] + recv.streams_window).min(MAX_STREAMS);
        let announced = &mut recv.max_streams[dir as usize];
        let due = self.on && limit > *announced && limit - *announced >= recv.streams_window / RENEWAL;
        due.then(|| *announced = limit)?;
        Some(limit)
    }

    /// All that was due has left
    pub(crate) fn limits_left(&mut self) {
        self.recv.max_data_left = self.recv.max_data;
    }
}

fn check_streams(limit: u64) -> Result<(), H3Code> {
    if limit > MAX_STREAMS { Err(H3Code::WT_FLOW_CONTROL_ERROR) } else { Ok(()) } // WT §5.6.2, §5.6.3
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Settings = limits(1000, 4);

    const fn limits(data: u64, streams: u64) -> Settings {
        Settings {
            qpack_max_table_capacity: 0,
            max_field_section_size: None,
            qpack_blocked_streams: 0,
            enable_connect_protocol: false,
            h3_datagram: true,
            h3_datagram_draft04: false,
            wt_draft02: false,
            wt_max_sessions_draft07: 0,
            wt_max_sessions_draft13: 0,
            wt_enabled: 1,
            wt_initial_max_data: data,
            wt_initial_max_streams_uni: streams,
            wt_initial_max_streams_bidi: streams,
        }
    }

    fn flow(dialect: Dialect) -> Flow {
        let mut flow = Flow::default();
        flow.start(dialect, &OURS, &limits(10, 2));
        flow
    }

    #[test]
    fn it_takes_both_sides_and_a_version_that_has_it() {
        let none = limits(0, 0);
        let sessions = |n| Settings { wt_max_sessions_draft13: n, ..limits(0, 0) };
        for (dialect, local, peer, expected) in [
            (Dialect::Draft16, OURS, limits(0, 1), true),
            (Dialect::Draft16, OURS, none.clone(), false),
            (Dialect::Draft16, none.clone(), OURS, false),
            (Dialect::Draft16, sessions(2), sessions(2), false),
            (Dialect::Draft14, OURS, OURS, true),
            (Dialect::Draft14, sessions(2), sessions(2), true),
            (Dialect::Draft14, sessions(2), sessions(1), false),
            (Dialect::Draft07, OURS, OURS, false),
            (Dialect::Draft02, OURS, OURS, false),
        ] {
            assert_eq!(is_negotiated(dialect, &local, &peer), expected, "{dialect} {local:?} {peer:?}");
        }
    }

    #[test]
    fn an_equal_limit_is_an_error_in_the_newest_draft_only() {
        for (dialect, equal) in [(Dialect::Draft14, true), (Dialect::Draft16, false)] {
            assert_eq!(flow(dialect).raise_max_data(10).is_ok(), equal);
            assert_eq!(flow(dialect).raise_max_streams(Dir::Bi, 2).is_ok(), equal);
            assert!(flow(dialect).raise_max_data(9).is_err());
            assert!(flow(dialect).raise_max_streams(Dir::Bi, 1).is_err());
            assert!(flow(dialect).raise_max_data(11).is_ok());
        }
    }

    #[test]
    fn streams_beyond_the_limit_are_an_error_after_a_margin() {
        let mut flow = flow(Dialect::Draft16);
        for _ in 0..4 + STREAMS_FORGIVEN {
            flow.peer_opened(Dir::Uni).unwrap();
        }
        assert_eq!(flow.peer_opened(Dir::Uni), Err(H3Code::WT_FLOW_CONTROL_ERROR));
        flow.peer_opened(Dir::Bi).unwrap();
        flow.peer_closed(Dir::Bi);
        assert_eq!(flow.max_streams_due(Dir::Bi), Some(5));
        assert_eq!(flow.max_streams_due(Dir::Bi), None, "said once");
    }

    #[test]
    fn without_flow_control_nothing_limits() {
        let mut flow = Flow::default();
        flow.sent(usize::MAX);
        assert_eq!(flow.credit(), usize::MAX);
        assert_eq!(flow.may_open(Dir::Uni), Ok(()));
        flow.received(usize::MAX).unwrap();
        assert_eq!(flow.max_data_due(), None);
        assert!(flow.raise_max_data(1).unwrap().is_empty());
        flow.raise_max_streams(Dir::Bi, u64::MAX).unwrap();
        flow.prohibited().unwrap();
    }
}
