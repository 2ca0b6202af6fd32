//! Wake tokens on their way to an event loop, and the endpoints that want to be turned there.
//!
//! [`post`](Mailbox::post) adds tokens under the lock, and after releasing it rings the bell if it has not rung since they were taken last.
//! [`drain`](Mailbox::drain) silences the bell, and after that takes the tokens under the lock. No lock is held across a
//! system call, and no token is lost:
//!
//! - A token is in the box before its bell rings, so whoever hears the bell finds it.
//! - A post that did not ring found the box full of tokens that nobody had taken. Whoever put in the first of them rings,
//!   or is about to, and only a drain that takes all of them, the new one too, can come between.
//! - Silencing comes before taking. A token that arrives between the two is taken although its bell may ring once more:
//!   a bell for nothing, which is harmless. The other way round the bell would be silenced for a token that was not taken.
//!
//! An endpoint that has commands waits in the box like a token, but needs no bell while the loop is about to
//! [`flush`](Mailbox::flush). One whose socket has something to read makes the bell ring by itself: the loop that drains the box turns
//! both.

mod bell;

use std::sync::{Arc, Weak};
use std::{io, mem};

use rustc_hash::FxHashMap;

use self::bell::Bell;
use crate::fork::Epoch;
use crate::shared::Endpoint;
use crate::sync::{Mutex, lock};

/// Tokens for one event loop, from any number of threads
#[derive(Debug)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    /// The endpoints whose sockets the bell watches, by number
    endpoints: Mutex<Endpoints>,
    bell: Bell,
    epoch: Epoch,
}

#[derive(Debug, Default)]
struct Waiting {
    tokens: Vec<u64>,
    /// Endpoints to turn
    turns: Vec<usize>,
    /// The bell has rung for what waits, or is about to
    announced: bool,
    /// The loop is going to `flush`: no need to tell it what it asks for itself
    attended: bool,
}

#[derive(Debug, Default)]
struct Endpoints {
    next: usize,
    by_number: FxHashMap<usize, Weak<Endpoint>>,
}

/// Tokens for whoever drains: if a turn panics they go back, for most are other endpoints'
struct Taken<'a> {
    mailbox: &'a Mailbox,
    tokens: Vec<u64>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.mailbox.post(&mut self.tokens);
    }
}

impl Mailbox {
    /// An empty mailbox
    ///
    /// # Errors
    /// The system has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { waiting: Mutex::default(), endpoints: Mutex::default(), bell: Bell::new()?, epoch: Epoch::now() })
    }

    /// Put in all of `tokens`, leaving it empty but with its memory
    pub fn post(&self, tokens: &mut Vec<u64>) {
        if !tokens.is_empty() {
            self.put(|waiting| {
                waiting.tokens.append(tokens);
                true
            });
        }
    }

    /// Have the endpoint of this number turned
    pub(crate) fn ask(&self, number: usize) {
        self.put(|waiting| {
            if !waiting.turns.contains(&number) {
                waiting.turns.push(number);
            }
            !waiting.attended
        });
    }

    /// Put something in, and ring for it if `put` says that the loop must hear of it
    fn put(&self, put: impl FnOnce(&mut Waiting) -> bool) {
        if self.epoch.is_over() {
            return;
        }
        let rings = {
            let mut waiting = lock(&self.waiting);
            let rings = put(&mut waiting) && !waiting.announced;
            waiting.announced |= rings;
            rings
        };
        if rings {
            self.bell.ring();
        }
    }

    /// The loop is going to `flush`: until then the bell does not ring for endpoints that are to be turned
    pub fn attend(&self) {
        if !self.epoch.is_over() {
            lock(&self.waiting).attended = true;
        }
    }

    /// Turn the endpoints that are to be turned, and take every token; `None`: there are no such endpoints
    pub fn flush(&self) -> Option<Vec<u64>> {
        if self.epoch.is_over() {
            return None;
        }
        let waiting = {
            let mut waiting = lock(&self.waiting);
            waiting.attended = false;
            if waiting.turns.is_empty() {
                return None;
            }
            if waiting.announced { None } else { Some(mem::take(&mut *waiting)) }
        };
        Some(match waiting {
            Some(waiting) => self.turn(Vec::new(), waiting),
            None => self.drain(),
        })
    }

    /// Silence the bell, turn the endpoints that have something to do, and take every token
    pub fn drain(&self) -> Vec<u64> {
        if self.epoch.is_over() {
            return Vec::new();
        }
        let readable = self.bell.silence();
        let waiting = mem::take(&mut *lock(&self.waiting));
        self.turn(readable, waiting)
    }

    fn turn(&self, readable: Vec<usize>, waiting: Waiting) -> Vec<u64> {
        let Waiting { tokens, mut turns, .. } = waiting;
        let mut taken = Taken { mailbox: self, tokens };
        turns.retain(|number| !readable.contains(number));
        for (numbers, readable) in [(readable, true), (turns, false)] {
            for number in numbers {
                let endpoint = lock(&self.endpoints).by_number.get(&number).and_then(Weak::upgrade);
                if endpoint.is_some_and(|endpoint| endpoint.visit(readable, &mut taken.tokens)) {
                    self.ask(number); // it has more to do, after all that the loop has to do
                }
            }
        }
        mem::take(&mut taken.tokens)
    }

    /// What is readable while something waits: a file descriptor, or on Windows a socket
    #[must_use]
    pub fn fileno(&self) -> u64 {
        self.bell.fileno()
    }

    /// Have the bell ring when the endpoint's socket has something to read; `None`: this system cannot
    pub(crate) fn watch(&self, endpoint: &Arc<Endpoint>, socket: u64) -> Option<usize> {
        let number = {
            let mut endpoints = lock(&self.endpoints);
            endpoints.next += 1;
            let number = endpoints.next;
            endpoints.by_number.insert(number, Arc::downgrade(endpoint));
            number
        };
        let watched = self.bell.watch(socket, number);
        if let Err(error) = &watched {
            tracing::debug!(%error, "cannot watch the socket from the event loop");
            lock(&self.endpoints).by_number.remove(&number);
        }
        watched.ok().map(|()| number)
    }

    /// No longer
    pub(crate) fn unwatch(&self, number: usize, socket: u64) {
        lock(&self.endpoints).by_number.remove(&number);
        self.bell.unwatch(socket);
    }

    /// Whether the bell has rung and was not silenced since
    #[cfg(loom)]
    pub fn is_ringing(&self) -> bool {
        self.bell.is_ringing()
    }
}
