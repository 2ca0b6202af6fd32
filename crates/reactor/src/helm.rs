//! Who turns the reactor: the event loop as long as it comes, and the thread where it does not.
//!
//! A packet that the loop itself receives costs no hop from thread to thread. So the loop watches the socket, turns the reactor
//! when there is something to read or a command to carry out, and the thread *stands by*: every few milliseconds it looks whether the
//! loop still comes, and turns only when a timer is due. When nobody has come for so long, nothing is late yet: the thread then watches
//! the socket as well. Only if there is something to do, and the loop lets as much time pass again, the thread takes the helm, until the
//! loop is back.
//!
//! Each turn is made under one lock. A loop that finds it taken does not wait: it leaves word that it was there, and whoever holds the
//! lock looks for that after letting go.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, TryLockError};
use std::time::{Duration, Instant};
use std::{io, thread};

use mio::{Events, Poll, Token};

use crate::reactor::{Caller, Reactor};
use crate::shared::Endpoint;
use crate::sync::{Mutex, MutexGuard, lock};

/// How long the loop may let something wait. Longer than its ordinary work takes between two looks, shorter than any peer's patience.
const PATIENCE: Duration = Duration::from_millis(4);

/// Somebody came in vain, or did something after which there must be a turn
const CAME: u8 = 1;
/// And the socket had something to read, which no poll tells twice
const READABLE: u8 = 2;

pub(crate) const SOCKET: Token = Token(0);
pub(crate) const WAKER: Token = Token(1);

/// The reactor, and what those who turn it must know of each other
#[derive(Default)]
pub(crate) struct Helm {
    /// `None`: not yet, or it has ended
    reactor: Mutex<Option<Reactor>>,
    /// It has ended
    over: AtomicBool,
    /// How often the loop came
    visits: AtomicU64,
    /// `CAME`, `READABLE`: what the next turn is for
    missed: AtomicU8,
    /// Changed only by who holds the reactor, so that the last turn's word stands
    plan: Mutex<Plan>,
}

/// When the thread wakes by itself
#[derive(Default)]
struct Plan {
    /// When the reactor wants to be turned at the latest, as of its last turn
    due: Option<Instant>,
    /// When the thread wakes to turn it, or to look for the loop; `None`: never
    alarm: Option<Instant>,
}

/// Whoever turns the reactor. If that panics the reactor ends, and says so to all who wait for it.
struct Turning<'a>(MutexGuard<'a, Option<Reactor>>);

impl Drop for Turning<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0 = None;
        }
    }
}

impl Helm {
    pub(crate) fn launch(&self, reactor: Reactor) {
        *lock(&self.reactor) = Some(reactor);
    }

    /// Give it up before anybody has turned it
    pub(crate) fn sink(&self) {
        *lock(&self.reactor) = None;
    }

    /// The reactor has ended: the thread ends too, once it wakes
    pub(crate) fn set_over(&self) {
        self.over.store(true, SeqCst);
    }

    /// Do something with the reactor while nobody turns it, nor ends it
    pub(crate) fn hold<T>(&self, f: impl FnOnce(Option<&mut Reactor>) -> T) -> T {
        f(lock(&self.reactor).as_mut())
    }

    /// The loop is here, and takes the tokens of those who should look again; returns whether it is to come again soon
    pub(crate) fn visit(&self, endpoint: &Endpoint, readable: bool, tokens: &mut Vec<u64>) -> bool {
        self.visits.fetch_add(1, SeqCst);
        // Left before looking: then a thread that holds the helm at that moment finds it
        self.missed.fetch_or(if readable { CAME | READABLE } else { CAME }, SeqCst);
        let mut turning = match self.reactor.try_lock() {
            Ok(reactor) => Turning(reactor),
            Err(TryLockError::Poisoned(poisoned)) => Turning(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => return false,
        };
        let readable = self.missed.swap(0, SeqCst) & READABLE != 0;
        let Some(reactor) = turning.0.as_mut() else { return false };
        let now = Instant::now();
        let due = reactor.turn(now, Caller::Loop, readable);
        tokens.append(reactor.woken());
        if reactor.is_over() {
            *turning.0 = None;
            return false;
        }
        let late = self.reschedule(due, now);
        drop(turning);
        if late {
            endpoint.inbox().wake();
        }
        due.is_some_and(|due| due <= now)
    }

    /// Carry out the commands that wait, here and now, if nobody turns the reactor at the moment
    pub(crate) fn obey(&self, endpoint: &Endpoint) {
        self.at_once(endpoint, |_| ());
    }

    /// The same, and then write down what everybody may read
    pub(crate) fn publish(&self, endpoint: &Endpoint) {
        self.at_once(endpoint, Reactor::publish);
    }

    fn at_once(&self, endpoint: &Endpoint, then: impl FnOnce(&mut Reactor)) {
        let Ok(reactor) = self.reactor.try_lock() else { return };
        let mut turning = Turning(reactor);
        if let Some(reactor) = turning.0.as_mut() {
            reactor.obey(Instant::now());
            then(reactor);
            drop(turning);
            self.missed.fetch_or(CAME, SeqCst);
            endpoint.inbox().rouse();
        }
    }

    /// The thread's turn; returns whether there will be more
    fn turn(&self, mut readable: bool) -> bool {
        loop {
            readable |= self.missed.swap(0, SeqCst) & READABLE != 0;
            let mut turning = Turning(lock(&self.reactor));
            let Some(reactor) = turning.0.as_mut() else { return false };
            let due = reactor.turn(Instant::now(), Caller::Thread, readable);
            if reactor.is_over() {
                *turning.0 = None;
                return false;
            }
            lock(&self.plan).due = due;
            drop(turning);
            if !self.is_missed() {
                return true;
            }
        }
    }

    fn is_missed(&self) -> bool {
        self.missed.load(SeqCst) != 0
    }

    /// The loop has turned; returns whether the thread must be woken to make other plans
    fn reschedule(&self, due: Option<Instant>, now: Instant) -> bool {
        let mut plan = lock(&self.plan);
        let look = now + 2 * PATIENCE;
        // What was left for now the loop comes back for: the thread has no business there before it looks for the loop
        plan.due = due.map(|due| if due > now { due } else { look });
        let latest = plan.due.map_or(look, |due| due.min(look));
        let late = plan.alarm.is_none_or(|alarm| alarm > latest);
        if late {
            plan.alarm = Some(latest);
        }
        late
    }

    fn is_due(&self, now: Instant) -> bool {
        lock(&self.plan).due.is_some_and(|due| due <= now)
    }

    /// The thread will wake when the reactor is due, or at `look` at the latest
    fn set_alarm(&self, look: Option<Instant>) -> Option<Instant> {
        let mut plan = lock(&self.plan);
        plan.alarm = [plan.due, look].into_iter().flatten().min();
        plan.alarm
    }
}

/// What the thread knows of the loop
struct Watch {
    /// Its visits, when we looked last
    visits: u64,
    /// Until when it may let things wait; `None`: nothing waits
    patience: Option<Instant>,
    /// The socket has had something to read since it came last
    readable: bool,
    /// It does not come, or cannot: we turn
    in_charge: bool,
}

impl Watch {
    fn look(&mut self, endpoint: &Endpoint, now: Instant) {
        let visits = endpoint.helm.visits.load(SeqCst);
        if visits != self.visits {
            *self = Self { visits, patience: Some(now + PATIENCE), readable: false, in_charge: false };
        } else if !endpoint.is_watched() {
            self.in_charge = true;
        } else if !self.in_charge {
            let something = self.readable || endpoint.inbox().is_waiting();
            match self.patience {
                None if something => self.patience = Some(now + PATIENCE),
                Some(end) if end <= now && something => self.in_charge = true,
                Some(end) if end <= now => self.patience = None,
                _ => {}
            }
        }
    }

    /// Whether the thread wants to know of packets and commands
    fn listens(&self) -> bool {
        self.in_charge || self.patience.is_none()
    }
}

/// The thread: it ends with the reactor
pub(crate) fn stand_by(endpoint: &Arc<Endpoint>, mut poll: Poll) {
    let helm = &endpoint.helm;
    let mut events = Events::with_capacity(4);
    let mut watch = Watch { visits: 0, patience: None, readable: true, in_charge: true };
    let mut listened = false;
    while !helm.over.load(SeqCst) {
        let now = Instant::now();
        watch.look(endpoint, now);
        if watch.in_charge || helm.is_due(now) || helm.is_missed() {
            if !helm.turn(watch.readable || !watch.in_charge) {
                return;
            }
            watch.readable &= !watch.in_charge;
        }
        let listens = watch.listens();
        if listens != listened {
            listened = listens;
            helm.hold(|reactor| reactor.map(|reactor| reactor.listen(listens)));
        }
        let alarm = helm.set_alarm(if watch.in_charge { None } else { watch.patience });
        // Whoever has come in vain looks whether we sleep after leaving word, and so we look for that word after going to sleep
        let at_once = (listens && !endpoint.inbox().sleep()) || helm.is_missed();
        let timeout =
            if at_once { Some(Duration::ZERO) } else { alarm.map(|alarm| alarm.saturating_duration_since(Instant::now())) };
        if let Err(error) = poll.poll(&mut events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "cannot poll");
        }
        endpoint.inbox().awake();
        watch.readable |= events.iter().any(|event| event.token() == SOCKET && event.is_readable());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use webtransport_proto::Config;
    use webtransport_proto::tls::{ClientTls, Verification};

    use super::*;
    use crate::socket::Socket;

    /// No poll tells twice of the same packet
    #[test]
    fn what_one_came_for_in_vain_is_read_by_the_next_who_comes() {
        let proto = webtransport_proto::Endpoint::client(Config::default(), ClientTls::new(Verification::Dangerous).unwrap());
        let (reactor, _poll) = Reactor::new(proto.unwrap(), Socket::client().unwrap()).unwrap();
        let endpoint = Arc::clone(reactor.shared());
        endpoint.helm.launch(reactor);
        let mut tokens = Vec::new();
        endpoint.visit(true, &mut tokens); // there is nothing yet, and from here on it is not asked for
        let address = (Ipv4Addr::LOCALHOST, endpoint.local_address.port());
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(&[0; 100], address).unwrap();
        endpoint.helm.hold(|_| endpoint.visit(true, &mut tokens));
        assert_eq!(endpoint.published().1.packets_received, 0);
        endpoint.visit(false, &mut tokens);
        assert_eq!(endpoint.published().1.packets_received, 1);
        endpoint.helm.sink();
    }
}
