//! What the state machine tells its owner, and the names it uses for things.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
pub use quinn_proto::Dir;

use crate::error::{ConnectError, SessionError};
use crate::request::{HttpRequest, Request, Response};
use crate::settings::Dialect;

/// One QUIC connection of an endpoint: a slot, and how often the slot was used before
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// One session: its connection and its CONNECT stream
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub(crate) connection: ConnectionId,
    pub(crate) stream: quinn_proto::StreamId,
}

/// One WebTransport stream, whichever side opened it
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub(crate) connection: ConnectionId,
    pub(crate) stream: quinn_proto::StreamId,
}

/// The caller's own number for an attempt to connect: it comes back in the events about it
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectId(pub u64);

impl ConnectionId {
    /// A number of its own among all connections of the endpoint, those before it included
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
}

impl SessionId {
    /// The connection that carries this session
    #[must_use]
    pub fn connection(self) -> ConnectionId {
        self.connection
    }
}

impl StreamId {
    /// The connection that carries this stream
    #[must_use]
    pub fn connection(self) -> ConnectionId {
        self.connection
    }

    /// The stream's number on the wire (RFC 9000 §2.1)
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::from(quinn_proto::VarInt::from(self.stream))
    }

    /// Whether data flows both ways
    #[must_use]
    pub fn dir(self) -> Dir {
        self.stream.dir()
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} session {}", self.connection, self.stream)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.connection, self.stream)
    }
}

/// What happened, in the order in which it happened
#[derive(Debug)]
pub enum Event {
    /// Server: a client asks for a session; answer with `accept_session` or `reject_session`
    SessionRequested {
        /// The session that is to be
        session: SessionId,
        /// What it asked for, checked
        request: Request,
        /// The version of WebTransport that both sides speak
        dialect: Dialect,
        /// The client's address
        remote: SocketAddr,
    },
    /// Server: a client asks for something that is not a session; answer with `answer_http`
    HttpRequested {
        /// The stream that it asks on
        stream: StreamId,
        /// What it asks for, checked
        request: HttpRequest,
        /// The client's address
        remote: SocketAddr,
    },
    /// Client: the server said 2xx
    SessionEstablished {
        /// The attempt this ends
        connect: ConnectId,
        /// The session that it made
        session: SessionId,
        /// The server's answer
        response: Response,
        /// The version of WebTransport that both sides speak
        dialect: Dialect,
        /// The server's address
        remote: SocketAddr,
    },
    /// Client: the handshake is done and the request sent; the server's answer is all that is missing
    ConnectAsked {
        /// The attempt that got so far
        connect: ConnectId,
    },
    /// Client: the attempt came to nothing
    ConnectFailed {
        /// The attempt this ends
        connect: ConnectId,
        /// Why
        error: ConnectError,
    },
    /// The peer opened a stream; it counts as unread until `read` is called
    StreamOpened {
        /// Its session
        session: SessionId,
        /// The stream
        stream: StreamId,
    },
    /// `read` will give something other than what it gave last: bytes, the end, or a reset
    StreamReadable {
        /// The stream
        stream: StreamId,
    },
    /// QUIC took bytes that `write` had queued: the caller may queue as many more
    StreamWritten {
        /// The stream
        stream: StreamId,
        /// How many bytes of the application, headers not counted
        bytes: usize,
    },
    /// The peer has acknowledged all data and the FIN; nothing more comes for the sending half
    StreamFinished {
        /// The stream
        stream: StreamId,
    },
    /// The peer sent STOP_SENDING, and the stream was reset in answer; nothing more comes for the sending half
    StreamStopped {
        /// The stream
        stream: StreamId,
        /// The application's code; `None` when the code on the wire was not one (WT §4.4)
        code: Option<u32>,
    },
    /// The peer permits more streams: `open_stream` may succeed where it did not
    StreamsAvailable {
        /// The connection whose sessions may try again
        connection: ConnectionId,
        /// In which direction
        dir: Dir,
    },
    /// A datagram of the peer
    DatagramReceived {
        /// Its session
        session: SessionId,
        /// Its payload, possibly empty
        payload: Bytes,
    },
    /// `datagram_room` is no longer zero
    DatagramsUnblocked {
        /// The connection
        connection: ConnectionId,
    },
    /// We or the peer would like the session to end soon (WT §4.7); fires once
    SessionDraining {
        /// The session
        session: SessionId,
    },
    /// The session is over; its streams too, but for what the peer had finished: read that now, to its end
    SessionClosed {
        /// The session
        session: SessionId,
        /// Who ended it, and how
        error: SessionError,
    },
    /// The peer closed the CONNECT stream, or was given up on; nothing more comes for this session
    SessionGone {
        /// The session
        session: SessionId,
    },
    /// The connection ended: CONNECTION_CLOSE left or came, or it was lost; all its sessions are gone
    ConnectionGone {
        /// The connection
        connection: ConnectionId,
    },
}
