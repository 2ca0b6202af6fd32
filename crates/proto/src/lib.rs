//! HTTP/3 and WebTransport as a state machine: no socket, no thread, no clock.
//!
//! An [`Endpoint`] owns every connection, session and stream. Its methods come in four kinds:
//!
//! - `handle_datagram`, `handle_timeout`: what the network and the clock bring in;
//! - `connect`, `accept_session`, `open_stream`, `write`, `read`, `close` and their like: what the application asks for;
//! - `poll_transmit`, `poll_timeout`: what must go out, and when to come back;
//! - `poll_event`: what the application should know, in order.
//!
//! After any call of the first two kinds, drain the polls. Every call that may need the time takes it as an argument.

mod capsule;
pub mod code;
mod config;
mod congestion;
mod connection;
mod control;
mod endpoint;
mod error;
mod event;
mod field;
mod flow;
mod frame;
mod input;
mod origin;
mod pending;
mod pool;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod qpack;
mod request;
mod scheduler;
mod session;
mod settings;
mod signed_id;
mod stats;
mod stream;
mod subprotocol;
pub mod tls;
mod varint;

pub use config::{Config, CongestionControl, Qlog, Retry};
pub use connection::Target;
pub use endpoint::Endpoint;
pub use error::{CloseSource, ConfigError, ConnectError, DatagramError, SessionError};
pub use event::{ConnectId, ConnectionId, Dir, Event, SessionId, StreamId};
pub use field::Field;
pub use origin::AllowedOrigins;
pub use quinn_proto::{EcnCodepoint, Transmit};
pub use request::{HttpRequest, Request, Response};
pub use settings::{Dialect, Dialects};
pub use stats::{ConnectionStats, EndpointStats};
pub use stream::Read;
pub use subprotocol::check_offer;
