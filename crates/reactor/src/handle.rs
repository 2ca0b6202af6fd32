//! The application's end: handles that never block, may be used from any thread, and end what they stand for when dropped.
//!
//! A call that cannot be answered yet returns `None` and parks `token`, as the crate's documentation tells.

mod session;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, mem, thread};

use webtransport_proto::tls::{ClientTls, ServerTls};
use webtransport_proto::{
    Config, ConfigError, ConnectError, ConnectId, ConnectionStats, Endpoint, EndpointStats, SessionError, Target,
};

pub use self::session::{RequestHandle, SessionHandle};
pub use self::stream::{RecvHandle, SendHandle};
use crate::command::Command;
use crate::fork::Epoch;
use crate::helm;
use crate::http::HttpHandle;
use crate::mailbox::Mailbox;
use crate::reactor::Reactor;
use crate::shared::{self, Connecting, Counts, Figures, Session};
use crate::socket::Socket;
use crate::sync::lock;

/// Why an endpoint could not be made
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What was asked for makes no sense
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be bound
    #[error("cannot bind {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The system gave no socket, no thread, no file descriptor
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Why a request could not be answered
#[derive(Debug, thiserror::Error)]
pub enum RequestGone {
    /// It has been answered
    #[error("request was already answered")]
    Answered,
    /// The client has gone
    #[error("client has gone: {0}")]
    Gone(SessionError),
}

/// Why a datagram was not queued
#[derive(Debug, thiserror::Error)]
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
    /// The session is over
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// An endpoint, its thread and its connections; dropping it closes it with code 0
pub struct EndpointHandle {
    shared: Arc<shared::Endpoint>,
    next_connect: AtomicU64,
}

impl EndpointHandle {
    /// Bind `address` and serve. `[::]` serves IPv4 as well.
    ///
    /// # Errors
    /// The configuration makes no sense, or the address cannot be bound.
    pub fn server(config: Config, tls: ServerTls, address: SocketAddr) -> Result<Self, StartError> {
        let proto = Endpoint::server(config, tls)?;
        Self::start(proto, Socket::server(address).map_err(|error| StartError::Bind(address, error))?)
    }

    /// A client on a free port, for both families where there is IPv6
    ///
    /// # Errors
    /// The configuration makes no sense, or the system gives no socket.
    pub fn client(config: Config, tls: ClientTls) -> Result<Self, StartError> {
        let proto = Endpoint::client(config, tls)?;
        Self::start(proto, Socket::client()?)
    }

    fn start(proto: Endpoint, socket: Socket) -> Result<Self, StartError> {
        let (reactor, poll) = Reactor::new(proto, socket)?;
        let shared = Arc::clone(reactor.shared());
        shared.helm.launch(reactor);
        let endpoint = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wt-reactor".into()).spawn(move || helm::stand_by(&endpoint, poll));
        if let Err(error) = thread {
            shared.helm.sink();
            return Err(error.into());
        }
        Ok(Self { shared, next_connect: AtomicU64::new(0) })
    }

    /// Where tokens go from now on; to be called before the first is parked
    pub fn attach(&self, mailbox: Arc<Mailbox>) {
        if !self.is_forked() {
            self.shared.attach(mailbox);
        }
    }

    /// The address of the socket
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.shared.local_address
    }

    /// Whether it was closed, here or by the death of its thread
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_forked() || self.shared.is_closed()
    }

    /// How many of each the reactor keeps; a closed endpoint that has ended keeps none
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.published().0
    }

    /// What the endpoint has done since it was made, also after its end
    #[must_use]
    pub fn totals(&self) -> EndpointStats {
        self.published().1
    }

    fn published(&self) -> (Counts, EndpointStats) {
        if self.is_forked() { Default::default() } else { self.shared.published() }
    }

    /// Use this certificate for connections to come
    pub fn reload(&self, tls: ServerTls) {
        if !self.is_forked() {
            self.shared.tell(Command::ReloadTls(Box::new(tls)));
        }
    }

    /// The next request of a client. `None` and closed: no more will come.
    #[must_use]
    pub fn accept(&self, token: u64) -> Option<RequestHandle> {
        if self.is_forked() {
            return None;
        }
        self.shared.accept(token).map(RequestHandle::new)
    }

    /// Where requests of plain HTTP come out, if the configuration says that they are wanted
    #[must_use]
    pub fn http(&self) -> HttpHandle {
        HttpHandle::new(Arc::clone(&self.shared))
    }

    /// Begin to connect
    ///
    /// # Errors
    /// The endpoint is closed.
    pub fn connect(&self, target: Target) -> Result<ConnectingHandle, ConnectError> {
        if self.is_closed() {
            return Err(ConnectError::Closed);
        }
        let id = ConnectId(self.next_connect.fetch_add(1, Ordering::Relaxed));
        let connecting = Arc::new(Connecting::new(id, Arc::clone(&self.shared)));
        if self.shared.tell(Command::Connect(Arc::clone(&connecting), Box::new(target))) {
            Ok(ConnectingHandle { connecting })
        } else {
            Err(ConnectError::Closed)
        }
    }

    /// Server: take no more sessions, and ask those that there are to end soon. The second time does nothing.
    pub fn drain(&self) {
        if !self.is_forked() {
            self.shared.tell(Command::DrainEndpoint);
        }
    }

    /// Whether the last session has gone after `drain`; if not, `token` is parked
    #[must_use]
    pub fn is_drained(&self, token: u64) -> bool {
        self.is_forked() || self.shared.is_drained(token)
    }

    /// Close every connection with `code`, which goes out as it is, and `reason`. The second time does nothing.
    pub fn close(&self, code: u64, reason: &[u8]) {
        if self.is_forked() {
            return;
        }
        let mut woken = Vec::new();
        if !self.shared.close(&mut woken) {
            self.shared.tell(Command::CloseEndpoint(code, reason.to_vec()));
        }
        self.shared.post(&mut woken);
    }

    /// Whether all connections have ended and the socket is closed; if not, `token` is parked
    #[must_use]
    pub fn is_gone(&self, token: u64) -> bool {
        self.is_forked() || self.shared.gone(token)
    }

    fn is_forked(&self) -> bool {
        self.shared.epoch.is_over()
    }
}

impl Drop for EndpointHandle {
    fn drop(&mut self) {
        if !leak_if_forked(self.shared.epoch, &self.shared) {
            self.close(0, b"");
        }
    }
}

/// An attempt to connect; dropping it before it gave the session cancels it
pub struct ConnectingHandle {
    connecting: Arc<Connecting>,
}

impl ConnectingHandle {
    /// The session, once
    ///
    /// # Errors
    /// Why there is none.
    pub fn poll(&self, token: u64) -> Result<Option<SessionHandle>, ConnectError> {
        if self.connecting.endpoint.epoch.is_over() {
            return Err(ConnectError::Closed);
        }
        let result = self.connecting.poll(token).transpose()?;
        Ok(result.map(SessionHandle::new))
    }

    /// Whether the server was reached, and asked: then only its answer is missing. Else `token` is parked.
    #[must_use]
    pub fn is_asked(&self, token: u64) -> bool {
        !self.connecting.endpoint.epoch.is_over() && self.connecting.is_asked(token)
    }
}

impl Drop for ConnectingHandle {
    fn drop(&mut self) {
        let Connecting { endpoint, .. } = &*self.connecting;
        if leak_if_forked(endpoint.epoch, &self.connecting) {
            return;
        }
        // In this order, for it may come to a session in between, which the command then finds
        if !self.connecting.is_resolved() {
            endpoint.tell(Command::CancelConnect(Arc::clone(&self.connecting)));
        } else if let Some(session) = self.connecting.unclaimed() {
            drop(SessionHandle::new(session));
        }
    }
}

fn figures(session: &Session) -> Figures {
    if session.endpoint.epoch.is_over() {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        return Figures { max_datagram_size: None, remote_address: nowhere, connection: ConnectionStats::default() };
    }
    *lock(&session.figures)
}

/// In a forked child what a handle shares may be half written, and must not be freed. Returns whether this is one.
pub(crate) fn leak_if_forked<T>(epoch: Epoch, shared: &Arc<T>) -> bool {
    let forked = epoch.is_over();
    if forked {
        mem::forget(Arc::clone(shared));
    }
    forked
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant, SystemTime};

    use webtransport_proto::Response;
    use webtransport_proto::tls::{Verification, generate_self_signed};

    use super::*;
    use crate::datagrams::DatagramLimits;

    /// An endpoint that nobody turns but its loop, whatever else the system has to do
    #[allow(clippy::unwrap_used)]
    fn without_thread(proto: Endpoint, socket: Socket, mailbox: &Arc<Mailbox>) -> EndpointHandle {
        let (reactor, _poll) = Reactor::new(proto, socket).unwrap();
        let shared = Arc::clone(reactor.shared());
        shared.helm.launch(reactor);
        shared.attach(Arc::clone(mailbox));
        EndpointHandle { shared, next_connect: AtomicU64::new(0) }
    }

    /// Several packets come at once, and each carries more than half of the datagrams that the session keeps
    #[test]
    fn a_flood_leaves_the_loop_time_to_take_it() {
        const SENT: usize = 150;
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let (certificate, key) = generate_self_signed(&["localhost".into()], SystemTime::now()).unwrap();
        let server = Endpoint::server(Config::default(), ServerTls::new(vec![certificate], &key).unwrap()).unwrap();
        let server = without_thread(server, Socket::server((Ipv4Addr::LOCALHOST, 0).into()).unwrap(), &mailbox);
        let client = Endpoint::client(Config::default(), ClientTls::new(Verification::Dangerous).unwrap()).unwrap();
        let client = without_thread(client, Socket::client().unwrap(), &mailbox);
        let target = Target {
            remote: server.local_address(),
            server_name: "localhost".into(),
            authority: "localhost".into(),
            path: "/".into(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            pool: false,
            require_subprotocol: false,
        };
        let connecting = client.connect(target).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let drain = || {
            assert!(Instant::now() < deadline, "it took too long");
            mailbox.drain();
        };
        let there = loop {
            match server.accept(1) {
                Some(request) => break request.accept(Response::new(200)).unwrap(),
                None => drain(),
            }
        };
        let here = loop {
            match connecting.poll(2).unwrap() {
                Some(session) => break session,
                None => drain(),
            }
        };
        there.limit_incoming_datagrams(DatagramLimits { max_buffered: 64, ..DatagramLimits::default() });
        for _ in 0..SENT {
            here.send_datagram(&[7; 1000]).unwrap();
        }
        let mut received = 0;
        while received + (there.datagram_counts().1.dropped as usize) < SENT {
            drain();
            while there.receive_datagram(3).unwrap().is_some() {
                received += 1;
            }
        }
        assert_eq!(received, SENT);
    }
}
