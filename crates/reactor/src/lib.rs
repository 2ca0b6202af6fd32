//! Threads and sockets around `webtransport_proto`, for an application that lives in another thread and must never wait.
//!
//! # The threads
//!
//! Each endpoint has one reactor, which owns its socket and all its connections, sessions and streams. Nobody else touches what it
//! owns. A turn is: commands, receive, timers, transmit, events. The event loop that drains the endpoint's mailbox turns it, as long as
//! it comes when the mailbox's bell rings. A thread of the endpoint's, named `wt-reactor`, turns it when a timer is due, when the loop does
//! not come for some milliseconds, and where there is none.
//!
//! The application holds handles: [`EndpointHandle`], [`SessionHandle`], [`SendHandle`] and so on. A handle never blocks and may be
//! used from any thread. It shares with the reactor
//!
//! - a pipe for each direction of a stream, where bytes wait, within bounds ([`pipe`]);
//! - queues of datagrams, and of streams and requests that nobody has accepted;
//! - the reactor's inbox: commands, in order.
//!
//! What cannot be done now parks a *token*, a number of the caller's choice. Once it is worth trying again the reactor puts the
//! token into the [`Mailbox`] attached to the endpoint, and rings its bell: a file descriptor that an event loop watches. So the
//! reactor knows nothing about whoever waits, and cannot be held up by it.
//!
//! # The end
//!
//! Dropping a handle ends what it stands for: a stream is reset or stopped, a session closed. An endpoint that is closed, or whose
//! handle is dropped, says so to its peers, and then its thread ends by itself; nobody waits for it. Whatever becomes of the thread, its
//! handles then say that all is over.

#![forbid(unsafe_code)]

mod buffers;
mod command;
mod datagrams;
mod export;
mod fork;
mod handle;
mod helm;
mod http;
mod logs;
pub mod mailbox;
pub mod pipe;
mod reactor;
mod shared;
mod socket;
mod sync;

pub use datagrams::{DatagramCounts, DatagramLimits};
pub use export::ExportHandle;
pub use fork::after_fork_in_child;
pub use handle::{
    ConnectingHandle, DatagramError, EndpointHandle, RecvHandle, RequestGone, RequestHandle, SendHandle, SessionHandle, StartError,
};
pub use http::{HttpHandle, HttpRequestHandle};
pub use logs::{KeyLogFile, QlogDir};
pub use mailbox::Mailbox;
pub use pipe::{Chunks, RecvCounts, SendCounts, StreamError};
pub use shared::Counts;
/// The state machine's own types, for those who know it only through this crate
pub use webtransport_proto as proto;
