//! The halves of a stream.

use std::sync::Arc;

use webtransport_proto::{Dir, StreamId};

use super::Session;
use crate::pipe::{CAPACITY, RecvPipe, SendPipe};

/// A stream's halves: both, or the one that its direction has
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) send: Option<Arc<SendStream>>,
    pub(crate) recv: Option<Arc<RecvStream>>,
}

/// The sending half of a stream
pub(crate) struct SendStream {
    pub(crate) id: StreamId,
    pub(crate) session: Arc<Session>,
    pub(crate) pipe: SendPipe,
}

/// The receiving half of a stream
pub(crate) struct RecvStream {
    pub(crate) id: StreamId,
    pub(crate) session: Arc<Session>,
    pub(crate) pipe: RecvPipe,
}

impl Stream {
    /// A stream with as many halves as `id` says; `bite` bytes of it may be read before somebody accepts it
    pub(crate) fn peer(id: StreamId, session: &Arc<Session>, bite: usize) -> Self {
        Self {
            send: (id.dir() == Dir::Bi).then(|| Arc::new(SendStream::new(id, session))),
            recv: Some(Arc::new(RecvStream { id, session: Arc::clone(session), pipe: RecvPipe::new(bite) })),
        }
    }

    /// A stream that we opened
    pub(crate) fn local(id: StreamId, session: &Arc<Session>) -> Self {
        let recv = || Arc::new(RecvStream { id, session: Arc::clone(session), pipe: RecvPipe::new(CAPACITY) });
        Self { send: Some(Arc::new(SendStream::new(id, session))), recv: (id.dir() == Dir::Bi).then(recv) }
    }
}

impl SendStream {
    fn new(id: StreamId, session: &Arc<Session>) -> Self {
        Self { id, session: Arc::clone(session), pipe: SendPipe::default() }
    }
}
