//! What the application's handles and the reactor have in common: one object for each endpoint, session and stream.

mod connecting;
mod endpoint;
mod session;
mod stream;

pub(crate) use self::connecting::Connecting;
pub use self::endpoint::Counts;
pub(crate) use self::endpoint::Endpoint;
pub(crate) use self::session::{Exchange, Figures, Session};
pub(crate) use self::stream::{RecvStream, SendStream, Stream};
