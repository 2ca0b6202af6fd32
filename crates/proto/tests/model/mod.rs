//! What two endpoints owe each other, whatever the network does to their packets: the least that can be said of a session
//! without knowing how it is carried. Each thing that an endpoint tells or gives is checked against what was asked of both.

#![allow(unreachable_pub)] // the helper of one test

use std::collections::{BTreeMap, BTreeSet};

use webtransport_proto::{CloseSource, ConnectError, ConnectionId, Dir, Endpoint, Event, Read, SessionError, SessionId, StreamId};

use super::sim::Side;

pub const SIDES: [Side; 2] = [Side::Client, Side::Server];

pub fn other(side: Side) -> Side {
    SIDES[1 - side as usize]
}

/// A session, by the number in its path, and a stream of it, by its number on the wire
pub type Key = (u64, u64);

/// How one side saw the end of something that the other side sends
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    Finished,
    Reset(Option<u32>),
    /// With the session
    Lost,
}

/// One direction of a stream
#[derive(Default, Debug)]
pub struct Half {
    // what the sender did, and was told
    pub written: usize,
    pub taken: usize,
    pub finished: bool,
    pub reset: Option<u32>,
    pub acknowledged: bool,
    pub told_stop: Option<Option<u32>>,
    // what the receiver did, and saw
    pub received: usize,
    pub stopped: Option<u32>,
    pub end: Option<End>,
}

impl Half {
    pub fn may_write(&self) -> bool {
        !self.finished && self.reset.is_none() && self.told_stop.is_none()
    }
}

#[derive(Debug)]
pub struct Stream {
    pub dir: Dir,
    pub opener: Side,
    /// What each side calls it, once it knows of it
    pub ids: [Option<StreamId>; 2],
    /// By who sends
    pub halves: [Half; 2],
}

impl Stream {
    pub fn sends(&self, side: Side) -> bool {
        self.dir == Dir::Bi || self.opener == side
    }
}

#[derive(Default, Debug)]
pub struct Session {
    pub cancelled: bool,
    pub rejected: Option<u16>,
    pub failed: bool,
    /// Each side's view, by side
    pub ids: [Option<SessionId>; 2],
    pub open: [bool; 2],
    pub closed: [Option<(u32, String)>; 2],
    pub ended: [Option<SessionError>; 2],
    pub gone: [bool; 2],
    pub asked_to_drain: [bool; 2],
    pub told_to_drain: [bool; 2],
    /// Datagrams by who sent them: those that have not arrived
    pub datagrams: [BTreeSet<Vec<u8>>; 2],
}

impl Session {
    pub fn is_open(&self) -> bool {
        self.open == [true; 2]
    }
}

/// Byte `at` of what `sender` writes on a stream
pub fn content(key: Key, sender: Side, at: usize) -> u8 {
    (key.0 * 7 + key.1 * 13 + sender as u64 * 31 + at as u64 + (at as u64 >> 8) * 3) as u8
}

#[derive(Default)]
pub struct Model {
    /// The network may take longer than the time-outs, so that less is owed
    pub impatient: bool,
    /// The network flips bits
    pub corrupt: bool,
    pub sessions: BTreeMap<u64, Session>,
    pub streams: BTreeMap<Key, Stream>,
    pub endpoint_closed: [Option<(u64, String)>; 2],
    /// The server asked all its sessions to end soon, and takes no more
    pub drained: bool,
    gone: [BTreeSet<ConnectionId>; 2],
    by_session: [BTreeMap<SessionId, u64>; 2],
    by_stream: [BTreeMap<StreamId, Key>; 2],
}

impl Model {
    pub fn new(impatient: bool, corrupt: bool) -> Self {
        Self { impatient, corrupt, ..Self::default() }
    }

    fn number(&self, side: Side, session: SessionId) -> u64 {
        assert!(!self.gone[side as usize].contains(&session.connection()), "{side:?}: an event of a connection that is gone");
        *self.by_session[side as usize].get(&session).unwrap_or_else(|| panic!("{side:?}: {session:?} is unknown"))
    }

    pub fn key(&self, side: Side, stream: StreamId) -> Key {
        assert!(!self.gone[side as usize].contains(&stream.connection()), "{side:?}: an event of a connection that is gone");
        *self.by_stream[side as usize].get(&stream).unwrap_or_else(|| panic!("{side:?}: {stream:?} is unknown"))
    }

    pub fn opened(&mut self, side: Side, session: u64, stream: StreamId) -> Key {
        let key = (session, stream.as_u64());
        let mut ids = [None; 2];
        ids[side as usize] = Some(stream);
        let new = Stream { dir: stream.dir(), opener: side, ids, halves: Default::default() };
        assert!(self.streams.insert(key, new).is_none(), "{side:?} opened {stream:?} twice");
        self.by_stream[side as usize].insert(stream, key);
        key
    }

    pub fn requested(&mut self, session: SessionId, path: &str) -> u64 {
        let number = path[1..].parse().expect("a path that was asked for");
        self.found(Side::Server, number, session);
        number
    }

    fn found(&mut self, side: Side, number: u64, id: SessionId) {
        let session = self.sessions.get_mut(&number).expect("a session that was asked for");
        assert!(session.ids[side as usize].replace(id).is_none(), "{side:?}: session {number} came twice");
        self.by_session[side as usize].insert(id, number);
    }

    /// Check one event; gives the stream that there is something to read on
    pub fn check(&mut self, side: Side, event: &Event) -> Option<Key> {
        let s = side as usize;
        let peer = other(side);
        match event {
            Event::SessionRequested { .. } => unreachable!("it is answered"),
            Event::SessionEstablished { connect, session, .. } => {
                self.found(side, connect.0, *session);
                let found = self.sessions.get_mut(&connect.0)?;
                assert!(!found.cancelled && !found.failed && found.rejected.is_none(), "established: {found:?}");
                found.open[s] = true;
            }
            Event::ConnectFailed { connect, error } => self.check_failure(connect.0, error),
            Event::StreamOpened { session, stream } => {
                let key = (self.number(side, *session), stream.as_u64());
                let impossible = format!("{side:?}: {key:?} was never opened");
                let found = self.streams.get_mut(&key).expect(&impossible);
                assert!(found.opener == peer && found.dir == stream.dir(), "{side:?}: {key:?} is not the peer's: {found:?}");
                assert!(found.ids[s].replace(*stream).is_none(), "{side:?}: {key:?} opened twice");
                assert!(self.sessions[&key.0].open[s], "{side:?}: {key:?} opened on a session that is not open");
                self.by_stream[s].insert(*stream, key);
                return Some(key);
            }
            Event::StreamReadable { stream } => return Some(self.key(side, *stream)),
            Event::StreamWritten { stream, bytes } => {
                let half = self.half(self.key(side, *stream), side);
                half.taken += bytes;
                assert!(half.taken <= half.written, "{side:?}: {stream:?} took more than was written");
            }
            Event::StreamFinished { stream } => {
                let half = self.half(self.key(side, *stream), side);
                assert!(half.finished && half.taken == half.written, "{side:?}: {stream:?} finished by itself: {half:?}");
                assert!(!std::mem::replace(&mut half.acknowledged, true), "{side:?}: {stream:?} finished twice");
                assert!(half.told_stop.is_none(), "{side:?}: {stream:?} finished after it was stopped");
            }
            Event::StreamStopped { stream, code } => {
                let key = self.key(side, *stream);
                let end_near = self.end_is_near(key.0, peer) || self.died_unknown(key, side);
                let half = self.half(key, side);
                assert!(half.told_stop.replace(*code).is_none(), "{side:?}: {key:?} stopped twice");
                assert!(!half.acknowledged, "{side:?}: {key:?} stopped after its end");
                match code {
                    Some(_) => assert_eq!(*code, half.stopped, "{side:?}: {key:?} stopped with a code that was not given"),
                    None => assert!(end_near, "{side:?}: {key:?} stopped without a code: {half:?}"),
                }
            }
            Event::StreamsAvailable { connection, .. } | Event::DatagramsUnblocked { connection } => {
                assert!(!self.gone[s].contains(connection), "{side:?}: an event of a connection that is gone");
            }
            Event::DatagramReceived { session, payload } => {
                let number = self.number(side, *session);
                let found = self.sessions.get_mut(&number)?;
                assert!(found.open[s], "{side:?}: a datagram for a session that is not open");
                let known = found.datagrams[peer as usize].remove(&payload[..]);
                assert!(known, "{side:?}: datagram {payload:?} came twice, or was never sent");
            }
            Event::SessionDraining { session } => {
                let number = self.number(side, *session);
                let asked = self.drained;
                let found = self.sessions.get_mut(&number)?;
                assert!(asked || found.asked_to_drain.contains(&true), "{side:?}: session {number} drains, but nobody asked");
                assert!(!std::mem::replace(&mut found.told_to_drain[s], true), "{side:?}: session {number} drains twice");
            }
            Event::SessionClosed { session, error } => {
                let number = self.number(side, *session);
                self.check_session_error(side, number, error);
                let found = self.sessions.get_mut(&number)?;
                found.open[s] = false;
                assert_eq!(found.ended[s].replace(error.clone()), None, "{side:?}: session {number} closed twice");
            }
            Event::SessionGone { session } => {
                let number = self.number(side, *session);
                let found = self.sessions.get_mut(&number)?;
                assert!(found.ended[s].is_some() || found.rejected.is_some(), "{side:?}: session {number} gone before it closed");
                assert!(!std::mem::replace(&mut found.gone[s], true), "{side:?}: session {number} gone twice");
            }
            Event::ConnectionGone { connection } => {
                for (id, number) in &self.by_session[s] {
                    let found = &self.sessions[number];
                    let over = id.connection() != *connection || !found.open[s] || found.ended[s].is_some();
                    assert!(over, "{side:?}: session {number} lost its connection, and was not told");
                }
                assert!(self.gone[s].insert(*connection), "{side:?}: {connection:?} gone twice");
            }
            #[allow(unreachable_patterns)] // what the state machine learns to say later is nobody's promise here
            _ => {}
        }
        None
    }

    /// Whether `side` may have begun to end the session, so that its resets and stops may be the session's
    fn end_is_near(&self, number: u64, side: Side) -> bool {
        let session = &self.sessions[&number];
        session.closed[side as usize].is_some()
            || session.ended[side as usize].is_some()
            || session.cancelled
            || self.endpoint_closed[side as usize].is_some()
    }

    fn check_failure(&mut self, number: u64, error: &ConnectError) {
        let [client_closed, server_closed] = [0, 1].map(|side| self.endpoint_closed[side].is_some());
        let impatient = self.impatient;
        let session = self.sessions.get_mut(&number).expect("an attempt that was made");
        assert!(!session.cancelled && session.ids[0].is_none(), "failed after its end: {error:?}, {session:?}");
        assert!(!std::mem::replace(&mut session.failed, true), "session {number} failed twice");
        let right = match error {
            ConnectError::Rejected(response) => session.rejected == Some(response.status),
            ConnectError::Closed => client_closed,
            // One bit makes Version Negotiation of any long header, and nothing authenticates that (RFC 9000 §17.2.1)
            ConnectError::Failed(reason) if reason.contains("QUIC version") => self.corrupt,
            _ => server_closed || self.drained || impatient,
        };
        assert!(right, "session {number} failed for no reason: {error:?}");
    }

    /// Whoever did it: what the peer did is never ours, what we did is never the peer's, and codes are exact
    fn check_session_error(&self, side: Side, number: u64, error: &SessionError) {
        let session = &self.sessions[&number];
        let peer = other(side) as usize;
        let here = session.closed[side as usize].is_some() || self.endpoint_closed[side as usize].is_some();
        let there = session.closed[peer].as_ref();
        let end_near = self.end_is_near(number, other(side));
        let right = match error {
            SessionError::Local => here,
            SessionError::Peer { by: CloseSource::Session, code: Some(code), reason } => {
                there.is_some_and(|(closed, text)| u64::from(*closed) == *code && text == reason)
            }
            SessionError::Peer { by: CloseSource::Session, code: None, .. } => {
                session.cancelled || self.impatient && end_near || self.endpoint_closed[peer].is_some()
            }
            SessionError::Peer { by: CloseSource::Application, code, reason } => {
                let closed = self.endpoint_closed[peer].as_ref();
                closed.is_some_and(|(closed, text)| Some(*closed) == *code && text == reason)
                    // What is left of a session whose peer has given up waiting for us
                    || (self.impatient || session.cancelled) && *code == Some(0x100)
            }
            // The peer's CONNECTION_CLOSE may be lost, and then nobody is there any more
            SessionError::Peer { by: CloseSource::ConnectionReset, .. } | SessionError::TimedOut => {
                self.impatient || session.cancelled || self.endpoint_closed[peer].is_some()
            }
            SessionError::Peer { by: CloseSource::Transport, .. } | SessionError::Protocol(_) => false,
        };
        assert!(right, "{side:?}: session {number} ended with {error:?}: {session:?}, {:?}", self.endpoint_closed);
    }

    pub fn half(&mut self, key: Key, sender: Side) -> &mut Half {
        &mut self.streams.get_mut(&key).expect("a stream").halves[sender as usize]
    }

    /// Check what `side` read; false once there is nothing to come
    pub fn check_read(&mut self, side: Side, key: Key, read: &Read) -> bool {
        let sender = other(side);
        let end_near = self.end_is_near(key.0, sender);
        let session_over = !self.sessions[&key.0].open[side as usize];
        let died_unknown = self.died_unknown(key, side);
        let half = self.half(key, sender);
        let end = match read {
            Read::Blocked => return false,
            Read::Chunk(chunk) => {
                assert!(!chunk.is_empty() && half.end.is_none(), "{side:?}: {key:?}: data after the end");
                assert!(half.received + chunk.len() <= half.written, "{side:?}: {key:?}: more than was written");
                for (at, byte) in chunk.iter().enumerate() {
                    assert_eq!(*byte, content(key, sender, half.received + at), "{side:?}: {key:?}: not what was written");
                }
                half.received += chunk.len();
                return true;
            }
            Read::Finished => {
                assert!(half.finished, "{side:?}: {key:?} looks finished: {half:?}");
                assert_eq!(half.received, half.written, "{side:?}: {key:?}: some of a finished stream is missing");
                End::Finished
            }
            Read::Reset(code) => {
                match code {
                    Some(_) => assert_eq!(*code, half.reset, "{side:?}: {key:?} reset with a code that was not given"),
                    None => assert!(end_near || died_unknown, "{side:?}: {key:?} reset without a code: {half:?}"),
                }
                End::Reset(*code)
            }
            Read::Closed => {
                if half.end.is_some() || half.stopped.is_some() {
                    return false;
                }
                assert!(session_over, "{side:?}: {key:?} closed by itself: {half:?}");
                End::Lost
            }
        };
        assert_eq!(half.end.replace(end), None, "{side:?}: {key:?} ended twice");
        false
    }

    /// Whether a stream of `side` may have died without the peer knowing whose it was: it was reset, and its header lost several
    /// times, which is the price of a reset without RESET_STREAM_AT; or it came too long before its session (WT §4.6)
    fn died_unknown(&self, key: Key, side: Side) -> bool {
        let stream = &self.streams[&key];
        let unknown = stream.opener == side && stream.ids[other(side) as usize].is_none();
        unknown && (self.impatient || stream.halves[side as usize].reset.is_some())
    }

    /// Streams that still owe somebody something on sessions that go on
    pub fn debts(&self) -> Vec<(Key, Side)> {
        let owes = |stream: &Stream, sender: Side| {
            let half = &stream.halves[sender as usize];
            match (half.finished, half.reset, half.stopped) {
                (false, None, None) => half.received < half.written,
                (_, Some(_), None) => half.end.is_none(),
                (true, None, None) => !half.acknowledged || half.end != Some(End::Finished),
                (true, None, Some(_)) => !half.acknowledged && half.told_stop.is_none(),
                (false, None, Some(code)) => half.told_stop != Some(Some(code)),
                (_, Some(_), Some(_)) => false,
            }
        };
        let live =
            self.streams.iter().filter(|(key, stream)| self.sessions[&key.0].is_open() && !self.died_unknown(**key, stream.opener));
        live.flat_map(|(&key, stream)| SIDES.map(|side| (key, side, stream)))
            .filter(|(_, side, stream)| stream.sends(*side) && owes(stream, *side))
            .map(|(key, side, _)| (key, side))
            .collect()
    }
}

/// Both ends of the link, by side
pub fn endpoint(sim: &mut super::sim::Sim<Endpoint, Endpoint>, side: Side) -> &mut Endpoint {
    match side {
        Side::Client => &mut sim.client,
        Side::Server => &mut sim.server,
    }
}
