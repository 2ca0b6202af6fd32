//! Wake tokens on their way to an event loop, and the bell that announces them.
//!
//! [`post`](Mailbox::post) adds tokens under the lock, and after releasing it rings the bell if the box was empty.
//! [`drain`](Mailbox::drain) silences the bell, and after that takes the tokens under the lock. No lock is held across a
//! system call, and no token is lost:
//!
//! - A token is in the box before its bell rings, so whoever hears the bell finds it.
//! - A post that did not ring found the box full of tokens that nobody had taken. Whoever put in the first of them rings,
//!   or is about to, and only a drain that takes all of them, the new one too, can come between.
//! - Silencing comes before taking. A token that arrives between the two is taken although its bell may ring once more:
//!   a bell for nothing, which is harmless. The other way round the bell would be silenced for a token that was not taken.

use std::io;

use crate::fork::Epoch;
use crate::sync::{Mutex, lock};

/// Tokens for one event loop, from any number of threads
#[derive(Debug)]
pub struct Mailbox {
    tokens: Mutex<Vec<u64>>,
    bell: Bell,
    epoch: Epoch,
}

impl Mailbox {
    /// An empty mailbox
    ///
    /// # Errors
    /// The system has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { tokens: Mutex::new(Vec::new()), bell: Bell::new()?, epoch: Epoch::now() })
    }

    /// Put in all of `tokens`, leaving it empty but with its memory
    pub fn post(&self, tokens: &mut Vec<u64>) {
        if tokens.is_empty() || self.epoch.is_over() {
            return;
        }
        let was_empty = {
            let mut waiting = lock(&self.tokens);
            let was_empty = waiting.is_empty();
            waiting.append(tokens);
            was_empty
        };
        if was_empty {
            self.bell.ring();
        }
    }

    /// Silence the bell, and take every token
    pub fn drain(&self) -> Vec<u64> {
        if self.epoch.is_over() {
            return Vec::new();
        }
        self.bell.silence();
        std::mem::take(&mut *lock(&self.tokens))
    }

    /// What is readable while tokens wait: a file descriptor, or on Windows a socket
    #[must_use]
    pub fn fileno(&self) -> u64 {
        self.bell.fileno()
    }

    /// Whether the bell has rung and was not silenced since
    #[cfg(loom)]
    pub fn is_ringing(&self) -> bool {
        self.bell.0.load(loom::sync::atomic::Ordering::SeqCst)
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
use eventfd::Bell;
#[cfg(loom)]
use model::Bell;
#[cfg(not(any(target_os = "linux", loom)))]
use socketpair::Bell;

#[cfg(all(target_os = "linux", not(loom)))]
mod eventfd {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};

    /// A counter in the kernel: writing adds to it, reading takes all
    #[derive(Debug)]
    pub(super) struct Bell(OwnedFd);

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
        }

        // Both fail only where there is nothing to do: the bell rings already, or is silent already
        pub(super) fn ring(&self) {
            let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        }

        pub(super) fn silence(&self) {
            let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
        }

        pub(super) fn fileno(&self) -> u64 {
            u64::try_from(self.0.as_raw_fd()).unwrap_or_default()
        }
    }
}

#[cfg(not(any(target_os = "linux", loom)))]
mod socketpair {
    use std::io::{self, Read as _, Write as _};
    #[cfg(windows)]
    use std::net::TcpStream as Stream;
    #[cfg(unix)]
    use std::os::unix::net::UnixStream as Stream;

    /// Two ends of a connection within this process: a byte at the one end rings
    #[derive(Debug)]
    pub(super) struct Bell {
        rope: Stream,
        clapper: Stream,
    }

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            let (rope, clapper) = pair()?;
            rope.set_nonblocking(true)?;
            clapper.set_nonblocking(true)?;
            Ok(Self { rope, clapper })
        }

        // Both fail only where there is nothing to do: the bell rings already, or is silent already
        pub(super) fn ring(&self) {
            let _ = (&self.rope).write(&[0]);
        }

        pub(super) fn silence(&self) {
            while matches!((&self.clapper).read(&mut [0; 64]), Ok(64)) {}
        }

        #[cfg(unix)]
        pub(super) fn fileno(&self) -> u64 {
            use std::os::fd::AsRawFd as _;
            u64::try_from(self.clapper.as_raw_fd()).unwrap_or_default()
        }

        #[cfg(windows)]
        pub(super) fn fileno(&self) -> u64 {
            use std::os::windows::io::AsRawSocket as _;
            self.clapper.as_raw_socket()
        }
    }

    #[cfg(unix)]
    fn pair() -> io::Result<(Stream, Stream)> {
        Stream::pair()
    }

    /// Windows has no socket pair: connect to ourselves, and take no stranger who is quicker
    #[cfg(windows)]
    fn pair() -> io::Result<(Stream, Stream)> {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let rope = Stream::connect(listener.local_addr()?)?;
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
    pub(super) struct Bell(pub(super) AtomicBool);

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(AtomicBool::new(false)))
        }

        pub(super) fn ring(&self) {
            self.0.store(true, Ordering::SeqCst);
        }

        pub(super) fn silence(&self) {
            self.0.store(false, Ordering::SeqCst);
        }

        pub(super) fn fileno(&self) -> u64 {
            0
        }
    }
}
