//! Streams and datagrams that came before their session, and are kept for a while (WT §4.6).

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use quinn_proto::StreamId;

#[derive(Debug, Default)]
pub(crate) struct Pending {
    streams: VecDeque<(Instant, StreamId, StreamId)>,
    datagrams: VecDeque<(Instant, StreamId, Bytes)>,
}

impl Pending {
    /// Keep a stream of `session` until `deadline`; returns the oldest where that makes one too many
    pub(crate) fn push_stream(&mut self, deadline: Instant, session: StreamId, stream: StreamId, limit: usize) -> Option<StreamId> {
        self.streams.push_back((deadline, session, stream));
        (self.streams.len() > limit).then(|| self.streams.pop_front().map(|(_, _, stream)| stream)).flatten()
    }

    /// Keep a datagram of `session` until `deadline`, instead of the oldest where that makes one too many
    pub(crate) fn push_datagram(&mut self, deadline: Instant, session: StreamId, payload: &[u8], limit: usize) {
        self.datagrams.push_back((deadline, session, Bytes::copy_from_slice(payload))); // a slice would keep its whole packet
        if self.datagrams.len() > limit {
            self.datagrams.pop_front();
        }
    }

    /// What came for `session`, in order
    pub(crate) fn take(&mut self, session: StreamId) -> (Vec<StreamId>, Vec<Bytes>) {
        let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
        self.streams.retain(|&(_, of, stream)| {
            if of == session {
                streams.push(stream);
            }
            of != session
        });
        self.datagrams.retain_mut(|(_, of, payload)| {
            if *of == session {
                datagrams.push(std::mem::take(payload));
            }
            *of != session
        });
        (streams, datagrams)
    }

    /// Streams that waited too long; datagrams that did are dropped
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<StreamId> {
        while self.datagrams.front().is_some_and(|&(deadline, ..)| deadline <= now) {
            self.datagrams.pop_front();
        }
        let mut expired = Vec::new();
        while let Some(&(deadline, _, stream)) = self.streams.front() {
            if deadline > now {
                break;
            }
            self.streams.pop_front();
            expired.push(stream);
        }
        expired
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stream = self.streams.front().map(|&(deadline, ..)| deadline);
        let datagram = self.datagrams.front().map(|&(deadline, ..)| deadline);
        stream.into_iter().chain(datagram).min()
    }
}
