//! What an event loop watches: a bell, and where the system can do that the sockets too.

#[cfg(loom)]
pub(super) use model::Bell;
#[cfg(all(unix, not(loom)))]
pub(super) use poll::Bell;
#[cfg(all(windows, not(loom)))]
pub(super) use socketpair::Bell;

#[cfg(all(unix, not(loom)))]
mod poll {
    use std::io;
    use std::os::fd::{AsRawFd as _, RawFd};
    use std::sync::Mutex;
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Registry, Token, Waker};

    use crate::sync::lock;

    const BELL: Token = Token(usize::MAX);

    /// A poll of its own, whose file descriptor is readable while one of those in it has news. A socket that is closed leaves it by itself,
    /// so no loop ever watches a number that has become another file's.
    #[derive(Debug)]
    pub(in super::super) struct Bell {
        poll: Mutex<(Poll, Events)>,
        registry: Registry,
        waker: Waker,
        fd: RawFd,
    }

    impl Bell {
        pub(in super::super) fn new() -> io::Result<Self> {
            let poll = Poll::new()?;
            let (registry, fd) = (poll.registry().try_clone()?, poll.as_raw_fd());
            let waker = Waker::new(&registry, BELL)?;
            Ok(Self { poll: Mutex::new((poll, Events::with_capacity(64))), registry, waker, fd })
        }

        pub(in super::super) fn ring(&self) {
            // It fails only where it rings already
            let _ = self.waker.wake();
        }

        /// Returns the numbers of the sockets that may have something to read
        pub(in super::super) fn silence(&self) -> Vec<usize> {
            let (poll, events) = &mut *lock(&self.poll);
            let mut readable = Vec::new();
            loop {
                if poll.poll(events, Some(Duration::ZERO)).is_err() {
                    return readable; // interrupted: what was not taken still rings
                }
                readable.extend(events.iter().map(|event| event.token()).filter(|token| *token != BELL).map(usize::from));
                if events.iter().count() < 64 {
                    return readable;
                }
            }
        }

        pub(in super::super) fn fileno(&self) -> u64 {
            u64::try_from(self.fd).unwrap_or_default()
        }

        pub(in super::super) fn watch(&self, socket: u64, number: usize) -> io::Result<()> {
            let fd = RawFd::try_from(socket).map_err(io::Error::other)?;
            self.registry.register(&mut SourceFd(&fd), Token(number), Interest::READABLE)
        }

        pub(in super::super) fn unwatch(&self, socket: u64) {
            // It fails only where the socket is not in it
            let _ = RawFd::try_from(socket).map(|fd| self.registry.deregister(&mut SourceFd(&fd)));
        }
    }
}

#[cfg(all(windows, not(loom)))]
mod socketpair {
    use std::io::{self, Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::windows::io::AsRawSocket as _;

    /// Two ends of a connection within this process: a byte at the one end rings
    #[derive(Debug)]
    pub(in super::super) struct Bell {
        rope: TcpStream,
        clapper: TcpStream,
    }

    impl Bell {
        pub(in super::super) fn new() -> io::Result<Self> {
            let (rope, clapper) = pair()?;
            rope.set_nonblocking(true)?;
            clapper.set_nonblocking(true)?;
            Ok(Self { rope, clapper })
        }

        // Both fail only where there is nothing to do: the bell rings already, or is silent already
        pub(in super::super) fn ring(&self) {
            let _ = (&self.rope).write(&[0]);
        }

        pub(in super::super) fn silence(&self) -> Vec<usize> {
            while matches!((&self.clapper).read(&mut [0; 64]), Ok(64)) {}
            Vec::new()
        }

        pub(in super::super) fn fileno(&self) -> u64 {
            self.clapper.as_raw_socket()
        }

        pub(in super::super) fn watch(&self, _socket: u64, _number: usize) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into()) // nor could a Proactor loop
        }

        pub(in super::super) fn unwatch(&self, _socket: u64) {}
    }

    /// Windows has no socket pair: connect to ourselves, and take no stranger who is quicker
    fn pair() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let rope = TcpStream::connect(listener.local_addr()?)?;
        rope.set_nodelay(true)?;
        loop {
            let (clapper, from) = listener.accept()?;
            if from == rope.local_addr()? {
                return Ok((rope, clapper));
            }
        }
    }
}

#[cfg(loom)]
mod model {
    use std::io;

    use loom::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug)]
    pub(in super::super) struct Bell(AtomicBool);

    impl Bell {
        pub(in super::super) fn new() -> io::Result<Self> {
            Ok(Self(AtomicBool::new(false)))
        }

        pub(in super::super) fn ring(&self) {
            self.0.store(true, Ordering::SeqCst);
        }

        pub(in super::super) fn silence(&self) -> Vec<usize> {
            self.0.store(false, Ordering::SeqCst);
            Vec::new()
        }

        pub(in super::super) fn is_ringing(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }

        pub(in super::super) fn fileno(&self) -> u64 {
            0
        }

        pub(in super::super) fn watch(&self, _socket: u64, _number: usize) -> io::Result<()> {
            Ok(())
        }

        pub(in super::super) fn unwatch(&self, _socket: u64) {}
    }
}
