//! The reactor: it owns the socket and the state machine, and [`turn`](Reactor::turn) does all there is to do, once.
//!
//! commands → receive → timers → transmit, and after each of them the events that it caused. A turn is bounded: a flood
//! from outside does not keep commands waiting, nor does a bulk sender keep acknowledgements waiting. Nothing in a turn
//! depends on which thread turns, and nothing is done for a connection about which there is no news.

mod events;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, mem};

use bytes::Bytes;
use mio::{Poll, Registry, Waker};
use rustc_hash::{FxHashMap, FxHashSet};
use webtransport_proto::{
    CloseSource, ConnectError, ConnectId, ConnectionId, Endpoint, SessionError, SessionId, StreamId, Transmit,
};

use crate::command::{Command, Inbox};
use crate::export::Export;
use crate::helm::{SOCKET, WAKER};
use crate::pipe::Outcome;
use crate::shared::{self, Connecting, Counts, Figures, RecvStream, SendStream, Session};
use crate::socket::{Received, Socket};
use crate::sync::lock;

/// Receive batches in one turn of the thread; what is left waits in the kernel until transmits and commands had their turn
const RECEIVE_ROUNDS: usize = 4;

/// Transmits in one turn, after which acknowledgements are looked for
const TRANSMIT_ROUNDS: usize = 16;

/// How long a closed endpoint goes on at the most: sessions that were closing already finish that, which takes them twice
/// `Config::close_timeout` where the peer is silent, and then CONNECTION_CLOSE must get out of a socket that may block
const CLOSE_TIMEOUT: Duration = Duration::from_secs(7);

/// Who turns
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// An event loop, which has other things to do too, and takes the tokens itself
    Loop,
    /// The endpoint's own thread
    Thread,
}

/// Everything of one endpoint
pub(crate) struct Reactor {
    proto: Endpoint,
    shared: Arc<shared::Endpoint>,
    socket: Socket,
    /// Of the thread's poll
    registry: Registry,
    /// The thread wants to know of packets
    listening: bool,
    /// The socket may have something for us; polls tell only of changes
    readable: bool,
    now: Instant,
    /// Set by `drain`: when the last session has gone, say so
    draining: bool,
    /// Set by `close`: when to end at the latest
    deadline: Option<Instant>,

    connecting: FxHashMap<ConnectId, Arc<Connecting>>,
    connections: FxHashMap<ConnectionId, Vec<SessionId>>,
    sessions: FxHashMap<SessionId, SessionEntry>,
    streams: FxHashMap<StreamId, StreamEntry>,

    /// What the socket had no room for: the rest of `outgoing` from the number of bytes on
    blocked: Option<(Transmit, usize)>,
    outgoing: Vec<u8>,
    /// Sessions with datagrams to send
    feeding: Vec<Arc<Session>>,
    /// What came and was not looked at yet
    received: VecDeque<Received>,
    /// Somebody should come for datagrams before there are more
    crowded: bool,
    /// Streams to read at the end of the batch
    unread: Vec<Arc<RecvStream>>,
    /// Sessions whose figures may have changed in this turn
    touched: Vec<Arc<Session>>,
    /// Tokens of those who should look again
    woken: Vec<u64>,

    // Empty between uses; they keep their memory
    commands: Vec<Command>,
    chunks: Vec<Bytes>,

    /// Dropped last: then the socket is closed, and the handles may say so
    _end: End,
}

struct SessionEntry {
    session: Arc<Session>,
    streams: FxHashSet<StreamId>,
    /// How many streams of each direction wait for the peer's permission
    wanted: [usize; 2],
}

/// The halves of a stream that have not ended
struct StreamEntry {
    session: Arc<Session>,
    send: Option<Arc<SendStream>>,
    recv: Option<Arc<RecvStream>>,
    /// It is in `unread`
    unread: bool,
}

struct End(Arc<shared::Endpoint>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Reactor {
    /// With the poll that its thread is to sleep in
    pub(crate) fn new(proto: Endpoint, socket: Socket) -> io::Result<(Self, Poll)> {
        let poll = Poll::new()?;
        let inbox = Inbox::new(Waker::new(poll.registry(), WAKER)?);
        let shared = Arc::new(shared::Endpoint::new(inbox, socket.local_address()?));
        let reactor = Self {
            proto,
            _end: End(Arc::clone(&shared)),
            shared,
            socket,
            registry: poll.registry().try_clone()?,
            listening: false,
            readable: true,
            now: Instant::now(),
            draining: false,
            deadline: None,
            connecting: FxHashMap::default(),
            connections: FxHashMap::default(),
            sessions: FxHashMap::default(),
            streams: FxHashMap::default(),
            blocked: None,
            outgoing: Vec::new(),
            feeding: Vec::new(),
            received: VecDeque::new(),
            crowded: false,
            unread: Vec::new(),
            touched: Vec::new(),
            woken: Vec::new(),
            commands: Vec::new(),
            chunks: Vec::new(),
        };
        Ok((reactor, poll))
    }

    /// What the application's handles share with this reactor
    pub(crate) fn shared(&self) -> &Arc<shared::Endpoint> {
        &self.shared
    }

    /// Do what there is to do, and return when to come back at the latest
    pub(crate) fn turn(&mut self, now: Instant, caller: Caller, readable: bool) -> Option<Instant> {
        self.readable |= readable;
        self.obey(now);
        let more_to_receive = self.receive(caller);
        if self.proto.poll_timeout().is_some_and(|timeout| timeout <= self.now) {
            self.proto.handle_timeout(self.now);
        }
        self.proto.settle(self.now);
        self.events();
        if caller == Caller::Thread {
            // Whoever waits can start while we encrypt
            self.shared.post(&mut self.woken);
        }
        let more_to_send = self.transmit();
        self.publish();
        if caller == Caller::Thread {
            self.shared.post(&mut self.woken);
        }
        if more_to_receive || more_to_send {
            return Some(now);
        }
        [self.proto.poll_timeout(), self.deadline].into_iter().flatten().min()
    }

    /// Tokens of those who should look again, for a loop to take
    pub(crate) fn woken(&mut self) -> &mut Vec<u64> {
        &mut self.woken
    }

    /// Whether there is nothing left to do, ever
    pub(crate) fn is_over(&self) -> bool {
        let done = self.proto.connections() == 0 && self.blocked.is_none();
        self.deadline.is_some_and(|deadline| done || deadline <= self.now)
    }

    /// Have the thread's poll tell, or not, when there is something to read
    pub(crate) fn listen(&mut self, listening: bool) {
        if self.listening != listening {
            self.listening = listening;
            self.watch_socket();
        }
    }

    /// Where an event loop can watch for packets
    pub(crate) fn socket(&self) -> u64 {
        self.socket.fileno()
    }

    fn watch_socket(&mut self) {
        if let Err(error) = self.socket.watch(&self.registry, SOCKET, self.listening, self.blocked.is_some()) {
            tracing::error!(%error, "cannot wait for the socket");
        }
    }

    /// Carry out the application's commands
    pub(crate) fn obey(&mut self, now: Instant) {
        self.now = now;
        let mut commands = mem::take(&mut self.commands);
        self.shared.inbox().take(&mut commands);
        let any = !commands.is_empty();
        for command in commands.drain(..) {
            self.carry_out(command);
        }
        self.commands = commands;
        if any {
            self.events();
            self.read_streams();
        }
    }

    fn carry_out(&mut self, command: Command) {
        let now = self.now;
        match command {
            Command::Connect(connecting, _) if self.deadline.is_some() => {
                connecting.resolve(Err(ConnectError::Closed), &mut self.woken);
            }
            Command::Connect(connecting, target) => {
                let id = connecting.id;
                self.connecting.insert(id, connecting);
                self.proto.connect(now, id, *target);
            }
            Command::CancelConnect(connecting) => {
                if self.connecting.remove(&connecting.id).is_some() {
                    self.proto.cancel_connect(now, connecting.id);
                } else if let Some(session) = connecting.unclaimed() {
                    self.proto.close_session(now, session.id, 0, "");
                }
            }
            Command::AcceptSession(session, response) => {
                if self.proto.accept_session(now, session.id, &response) {
                    self.touch(&session);
                } else {
                    // Its end comes as an event, if it has not come already; this is for a client that left without a word
                    self.events();
                    let error = SessionError::Peer { by: CloseSource::Session, code: Some(0), reason: String::new() };
                    self.session_gone(session.id, error);
                }
            }
            Command::RejectSession(session, response) => {
                self.proto.reject_session(now, session.id, &response);
                self.session_gone(session.id, SessionError::Local);
            }
            Command::DrainSession(session) => self.proto.drain_session(now, session.id),
            Command::AnswerHttp(stream, response) => drop(self.proto.answer_http(now, stream, &response)),
            Command::CloseSession(session, code, reason) => self.proto.close_session(now, session.id, code, &reason),
            Command::DrainEndpoint => {
                self.draining = true;
                self.proto.drain(now);
            }
            Command::CloseEndpoint(code, reason) => {
                if self.deadline.is_none() {
                    self.deadline = Some(now + CLOSE_TIMEOUT);
                    self.proto.close(now, code, &reason);
                }
            }
            Command::Export(export) => {
                let Export { session, label, context, length, .. } = &*export;
                let material = self.proto.export_keying_material(session.id, label, context, *length);
                export.answer(material, &mut self.woken);
            }
            Command::ReloadTls(tls) => self.proto.set_server_tls(&tls),
            Command::Open(session, dir) => {
                if let Some(entry) = self.sessions.get_mut(&session.id) {
                    entry.wanted[dir as usize] += 1;
                    self.open_wanted(session.id, dir);
                }
            }
            Command::Flush(send) => self.flush(&send),
            Command::SetSendOrder(send, group, order) => self.proto.set_send_order(send.id, group, order),
            Command::Resume(recv) => self.mark_unread(&recv),
            Command::Stop(recv, code) => {
                self.proto.stop(recv.id, code);
                self.recv_ended(recv.id);
            }
            Command::SendDatagrams(session) => {
                if self.sessions.contains_key(&session.id) {
                    self.feeding.push(session);
                }
            }
            Command::Refresh(session) => self.touched.push(session), // which the handle has marked
        }
    }

    fn flush(&mut self, send: &Arc<SendStream>) {
        let flushed = send.pipe.take(&mut self.chunks);
        for chunk in self.chunks.drain(..) {
            self.proto.write(send.id, chunk);
        }
        if flushed.finish {
            self.proto.finish(send.id);
        }
        if let Some(code) = flushed.reset {
            self.proto.reset(self.now, send.id, code);
            self.send_ended(send.id);
        }
        self.touch(&send.session);
    }

    /// Receive what has come, within bounds; returns whether there may be more
    ///
    /// One packet may carry nearly as many datagrams as a session keeps. So that none is dropped while the application takes them
    /// as fast as they come, a loop is left to do that before it goes on; a thread that turns has the loop beside it.
    fn receive(&mut self, caller: Caller) -> bool {
        for _ in 0..if caller == Caller::Loop { 1 } else { RECEIVE_ROUNDS } {
            if self.received.is_empty() {
                if !self.readable {
                    return false;
                }
                match self.socket.receive(&mut self.received, &self.shared.buffers) {
                    Ok(more) => self.readable = more,
                    // The echo of a packet that could not be delivered, most likely. What comes next rings anew.
                    Err(error) => {
                        tracing::debug!(%error, "cannot receive");
                        self.readable = false;
                    }
                }
            }
            self.now = Instant::now();
            self.crowded = false;
            while let Some(Received { remote, local_ip, ecn, stride, mut data }) = self.received.pop_front() {
                while !data.is_empty() {
                    let datagram = data.split_to(stride.min(data.len()));
                    self.proto.handle_datagram(self.now, remote, local_ip, ecn, datagram);
                    // Before the next one: quinn drops what it has of a stream when its reset arrives, and datagrams
                    // when there are too many
                    self.events();
                }
                if self.crowded && caller == Caller::Loop {
                    break;
                }
            }
            self.read_streams();
        }
        self.readable || !self.received.is_empty()
    }

    /// Send what there is to send, within bounds; returns whether there may be more
    fn transmit(&mut self) -> bool {
        let more = self.transmit_until_blocked();
        self.events();
        self.read_streams();
        self.watch_socket();
        more
    }

    fn transmit_until_blocked(&mut self) -> bool {
        for _ in 0..TRANSMIT_ROUNDS {
            if self.blocked.is_none() {
                let fed = self.feed_datagrams();
                self.outgoing.clear();
                let transmit = self.proto.poll_transmit(self.now, self.socket.max_segments(), &mut self.outgoing);
                let Some(transmit) = transmit else {
                    // A round that ran dry may make room for datagrams
                    if fed || self.feed_datagrams() {
                        continue;
                    }
                    return false;
                };
                self.blocked = Some((transmit, 0));
            }
            if let Some((transmit, mut sent)) = self.blocked.take()
                && !self.socket.send(&transmit, &self.outgoing[..transmit.size], &mut sent)
            {
                self.blocked = Some((transmit, sent));
                return false;
            }
        }
        true
    }

    /// Hand over as many datagrams as QUIC wants now; returns whether there were any
    fn feed_datagrams(&mut self) -> bool {
        let mut fed = false;
        let mut i = 0;
        while let Some(session) = self.feeding.get(i) {
            let room = self.proto.datagram_room(session.id);
            let more = session.outgoing.take(room, self.now, &mut self.chunks, &mut self.woken);
            let (mut taken, mut dropped) = (0, 0);
            for datagram in self.chunks.drain(..) {
                match self.proto.send_datagram(session.id, &datagram) {
                    Ok(()) => taken += 1,
                    // The path's MTU shrank meanwhile, or the session ended
                    Err(_) => dropped += 1,
                }
            }
            if taken + dropped > 0 {
                session.outgoing.count(taken, dropped);
                fed |= taken > 0;
                if session.touch() {
                    self.touched.push(Arc::clone(session));
                }
            }
            if more {
                i += 1;
            } else {
                self.feeding.swap_remove(i);
            }
        }
        fed
    }

    /// Tell the application what happened
    fn events(&mut self) {
        while let Some(event) = self.proto.poll_event() {
            self.event(event);
        }
    }

    /// There is news of the session's connection
    fn touch(&mut self, session: &Arc<Session>) {
        if session.touch() {
            self.touched.push(Arc::clone(session));
        }
    }

    /// Write down what everybody may read
    pub(crate) fn publish(&mut self) {
        for session in self.touched.drain(..) {
            session.untouch();
            let id = session.id;
            if let (Some(connection), Some(remote_address)) = (self.proto.stats(id), self.proto.remote_address(id)) {
                let max_datagram_size = self.proto.max_datagram_size(id);
                *lock(&session.figures) = Figures { max_datagram_size, remote_address, connection };
            }
        }
        if self.draining && self.sessions.is_empty() {
            self.shared.set_drained(&mut self.woken);
        }
        let counts = Counts {
            connections: self.proto.connections(),
            sessions: self.sessions.len(),
            streams: self.streams.len(),
            connecting: self.connecting.len(),
        };
        self.shared.publish(counts, self.proto.totals());
    }
}

/// Also when a panic unwinds: nobody waits for a reactor that is no more
impl Drop for Reactor {
    fn drop(&mut self) {
        for command in self.shared.inbox().end() {
            match command {
                Command::Connect(connecting, _) => connecting.resolve(Err(ConnectError::Closed), &mut self.woken),
                Command::Export(export) => export.answer(None, &mut self.woken),
                _ => {}
            }
        }
        for (_, connecting) in self.connecting.drain() {
            connecting.resolve(Err(ConnectError::Closed), &mut self.woken);
        }
        for (_, StreamEntry { session, send, recv, .. }) in self.streams.drain() {
            let error = session.error().unwrap_or_else(lost);
            if let Some(recv) = recv {
                recv.pipe.fill(&mut Vec::new(), Outcome::Lost(error.clone()), &mut self.woken);
            }
            if let Some(send) = send {
                send.pipe.lost(&error, &mut self.woken);
            }
        }
        for (_, SessionEntry { session, .. }) in self.sessions.drain() {
            session.end(lost(), &mut self.woken);
            session.set_gone(&mut self.woken);
        }
        self.shared.publish(Counts::default(), self.proto.totals());
        self.shared.unwatch(self.socket.fileno());
        self.shared.post(&mut self.woken);
    }
}

/// The error of a session that ended without an event to say why
fn lost() -> SessionError {
    SessionError::Protocol("connection lost".into())
}
