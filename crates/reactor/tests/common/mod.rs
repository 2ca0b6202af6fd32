//! An application for tests and benchmarks: one thread that waits for a mailbox's bell as an event loop would.

#![allow(dead_code, unreachable_pub)] // each test uses a part of it
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use webtransport_reactor::proto::tls::{ClientTls, ServerTls, Verification, generate_self_signed};
use webtransport_reactor::proto::{Config, ConnectError, Response, SessionError, Target};
use webtransport_reactor::{EndpointHandle, Mailbox, RecvHandle, SendHandle, SessionHandle, StreamError};

/// No operation of a test takes longer
const PATIENCE: Duration = Duration::from_secs(20);

/// One thread's mailbox, and the means to wait for it
pub struct Loop {
    pub mailbox: Arc<Mailbox>,
    poll: RefCell<(Poll, Events)>,
}

impl Loop {
    pub fn new() -> Self {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let poll = Poll::new().unwrap();
        let bell = RawFd::try_from(mailbox.fileno()).unwrap();
        poll.registry().register(&mut SourceFd(&bell), Token(0), Interest::READABLE).unwrap();
        Self { mailbox, poll: RefCell::new((poll, Events::with_capacity(1))) }
    }

    /// Sleep until the bell rings, and take the tokens; none after `timeout`
    pub fn wait(&self, timeout: Duration) -> Vec<u64> {
        let (poll, events) = &mut *self.poll.borrow_mut();
        match poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {} // a process that was stopped and goes on
            result => result.unwrap(),
        }
        self.mailbox.drain()
    }

    /// Call `f` until it gives something, sleeping in between as an event loop does
    #[track_caller]
    pub fn until<T>(&self, mut f: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(result) = f() {
                return result;
            }
            self.wait(PATIENCE);
            assert!(Instant::now() < deadline, "it took too long");
        }
    }

    /// Ask now and then, where nobody rings
    #[track_caller]
    pub fn poll<T>(&self, mut f: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(result) = f() {
                return result;
            }
            self.wait(Duration::from_millis(10));
            assert!(Instant::now() < deadline, "it took too long");
        }
    }

    pub fn server(&self, config: Config) -> EndpointHandle {
        let (certificate, key) = generate_self_signed(&["localhost".into()], SystemTime::now()).unwrap();
        let tls = ServerTls::new(vec![certificate], &key).unwrap();
        let server = EndpointHandle::server(config, tls, "127.0.0.1:0".parse().unwrap()).unwrap();
        server.attach(Arc::clone(&self.mailbox));
        server
    }

    pub fn client(&self, config: Config) -> EndpointHandle {
        let client = EndpointHandle::client(config, ClientTls::new(Verification::Dangerous).unwrap()).unwrap();
        client.attach(Arc::clone(&self.mailbox));
        client
    }

    pub fn connect(&self, client: &EndpointHandle, remote: SocketAddr) -> Result<SessionHandle, ConnectError> {
        let connecting = client.connect(target(remote))?;
        self.until(|| connecting.poll(1).transpose())
    }

    pub fn accept(&self, server: &EndpointHandle) -> SessionHandle {
        self.until(|| server.accept(2)).accept(Response::new(200)).unwrap()
    }

    /// A session: the client's end, and the server's
    pub fn session(&self, client: &EndpointHandle, server: &EndpointHandle) -> (SessionHandle, SessionHandle) {
        let connecting = client.connect(target(server.local_address())).unwrap();
        let accepted = self.accept(server);
        (self.until(|| connecting.poll(1).transpose()).unwrap(), accepted)
    }

    pub fn open_bi(&self, session: &SessionHandle) -> (SendHandle, RecvHandle) {
        self.until(|| session.open_bi(3).transpose()).unwrap()
    }

    pub fn open_uni(&self, session: &SessionHandle) -> SendHandle {
        self.until(|| session.open_uni(3).transpose()).unwrap()
    }

    pub fn accept_bi(&self, session: &SessionHandle) -> Result<(SendHandle, RecvHandle), SessionError> {
        self.until(|| session.accept_bi(4).transpose())
    }

    pub fn accept_uni(&self, session: &SessionHandle) -> Result<RecvHandle, SessionError> {
        self.until(|| session.accept_uni(4).transpose())
    }

    pub fn write_all(&self, send: &SendHandle, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() {
            let taken = self.until(|| send.write(data, 5).transpose())?;
            data = &data[taken..];
        }
        Ok(())
    }

    pub fn read(&self, recv: &RecvHandle, n: usize) -> Result<Vec<u8>, StreamError> {
        let chunks = self.until(|| recv.read(n, 6).transpose())?;
        Ok(chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect())
    }

    pub fn read_to_end(&self, recv: &RecvHandle) -> Result<Vec<u8>, StreamError> {
        let mut data = Vec::new();
        loop {
            let some = self.read(recv, 1 << 20)?;
            if some.is_empty() {
                return Ok(data);
            }
            data.extend(some);
        }
    }

    /// Wait until there is nothing left of an endpoint that was closed
    pub fn gone(&self, endpoint: &EndpointHandle) {
        self.until(|| endpoint.is_gone(7).then_some(()));
    }
}

pub fn target(remote: SocketAddr) -> Target {
    Target {
        remote,
        server_name: "localhost".into(),
        authority: format!("localhost:{}", remote.port()),
        path: "/".into(),
        headers: Vec::new(),
        subprotocols: Vec::new(),
        pool: false,
        require_subprotocol: false,
    }
}
