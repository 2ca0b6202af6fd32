//! Why things end: one enum per operation, each saying who did it and with which code.

use std::fmt;

use thiserror::Error;

use crate::request::Response;

/// What carried the peer's close
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseSource {
    /// A CLOSE capsule, or the end of the CONNECT stream (WT §6)
    Session,
    /// CONNECTION_CLOSE of the application (RFC 9000 §19.19, type 0x1d)
    Application,
    /// CONNECTION_CLOSE of the transport (type 0x1c)
    Transport,
    /// A stateless reset (RFC 9000 §10.3)
    ConnectionReset,
}

impl fmt::Display for CloseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Application => "application",
            Self::Transport => "transport",
            Self::ConnectionReset => "connection-reset",
        })
    }
}

/// Why a session ended
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SessionError {
    /// We closed it
    #[error("session closed locally")]
    Local,
    /// The peer closed it
    #[error("session closed by peer: {by}, code {}, reason {reason:?}", code.map_or("none".into(), |code| code.to_string()))]
    Peer {
        /// By what means
        by: CloseSource,
        /// The code as the means carries it; `None` where it carries none
        code: Option<u64>,
        /// The peer's words
        reason: String,
    },
    /// Nothing was heard of the peer for the idle time-out
    #[error("session timed out: nothing heard from the peer for the idle time-out")]
    TimedOut,
    /// The peer broke the protocol, and we closed the connection or the session for it
    #[error("{0}")]
    Protocol(String),
}

/// Why an attempt to connect came to nothing
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// The server answered with a status that is not 2xx
    #[error("server rejected the session: status {}", .0.status)]
    Rejected(Response),
    /// The endpoint was closed, or the attempt was cancelled
    #[error("client closed")]
    Closed,
    /// The server never answered, or not in time
    #[error("timed out: no answer from the server")]
    TimedOut,
    /// Anything else, told in a sentence: TLS, the peer's close, a setting that the server lacks
    #[error("{0}")]
    Failed(String),
}

/// Why a datagram was not taken
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum DatagramError {
    /// It is longer than `max_datagram_size`
    #[error("datagram too large: {len} bytes, the limit is {max}")]
    TooLarge {
        /// Its length, in bytes
        len: usize,
        /// The longest that fits now
        max: usize,
    },
    /// The peer takes none
    #[error("peer does not support datagrams")]
    UnsupportedByPeer,
    /// QUIC has enough to do: try again after `DatagramsUnblocked`
    #[error("datagram queue is full")]
    Blocked,
    /// The session is over
    #[error("session is over")]
    Closed,
}

/// What a configuration got wrong
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct ConfigError(pub String);
