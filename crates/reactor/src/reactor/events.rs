//! What the state machine tells, carried to those whom it concerns.

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use webtransport_proto::{Dialect, Dir, Event, Read, Response, SessionError, SessionId, StreamId};

use super::{Reactor, SessionEntry, StreamEntry, lost};
use crate::http::Waiting;
use crate::pipe::Outcome;
use crate::shared::{Exchange, Figures, RecvStream, SendStream, Session, Stream};

impl Reactor {
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::SessionRequested { session, request, dialect, remote } => {
                let certificates = self.proto.peer_certificates(session);
                let session = self.add_session(session, dialect, Exchange::Asked { request, certificates }, remote);
                self.shared.request(session, &mut self.woken);
            }
            Event::HttpRequested { stream, request, remote } => {
                let request = Waiting { stream, request, remote };
                if self.shared.is_closed() || !self.shared.http.push(request, &mut self.woken) {
                    self.proto.answer_http(self.now, stream, &Response::new(503));
                }
            }
            Event::SessionEstablished { connect, session, response, dialect, remote } => {
                let id = session;
                let session = self.add_session(session, dialect, Exchange::Answered(response), remote);
                match self.connecting.remove(&connect) {
                    Some(connecting) => connecting.resolve(Ok(session), &mut self.woken),
                    None => self.proto.close_session(self.now, id, 0, ""), // it was cancelled a moment ago
                }
            }
            Event::ConnectAsked { connect } => {
                if let Some(connecting) = self.connecting.get(&connect) {
                    connecting.asked(&mut self.woken);
                }
            }
            Event::ConnectFailed { connect, error } => {
                if let Some(connecting) = self.connecting.remove(&connect) {
                    connecting.resolve(Err(error), &mut self.woken);
                }
            }
            Event::StreamOpened { session, stream } => self.stream_opened(session, stream),
            Event::StreamReadable { stream } => {
                if let Some(recv) = self.streams.get(&stream).and_then(|entry| entry.recv.clone()) {
                    self.mark_unread(&recv);
                }
            }
            Event::StreamWritten { stream, bytes } => {
                if let Some(StreamEntry { send: Some(send), .. }) = self.streams.get(&stream) {
                    send.pipe.written(bytes, &mut self.woken);
                }
            }
            Event::StreamFinished { stream } => {
                if let Some(send) = self.send_ended(stream) {
                    send.pipe.finished(&mut self.woken);
                    self.touch(&send.session);
                }
            }
            Event::StreamStopped { stream, code } => {
                if let Some(send) = self.send_ended(stream) {
                    send.pipe.stopped(code, &mut self.woken);
                }
            }
            Event::StreamsAvailable { connection, dir } => {
                // One each by turns: the connection's streams are there for all of its sessions (WT §8)
                let mut sessions = self.connections.get(&connection).cloned().unwrap_or_default();
                while !sessions.is_empty() {
                    sessions.retain(|&session| self.open_wanted(session, dir));
                }
                // Whoever was first is last the next time
                if let Some(sessions) = self.connections.get_mut(&connection).filter(|sessions| !sessions.is_empty()) {
                    sessions.rotate_left(1);
                }
            }
            Event::DatagramReceived { session, payload } => {
                if let Some(SessionEntry { session, .. }) = self.sessions.get(&session) {
                    self.crowded |= session.incoming.push(&payload, self.now, &mut self.woken);
                    if session.touch() {
                        self.touched.push(Arc::clone(session));
                    }
                }
            }
            // `transmit` comes after every event, and looks
            Event::DatagramsUnblocked { .. } => {}
            Event::SessionDraining { session } => {
                if let Some(entry) = self.sessions.get(&session) {
                    entry.session.set_draining(&mut self.woken);
                }
            }
            Event::SessionClosed { session, error } => self.session_closed(session, error),
            Event::SessionGone { session } => self.session_gone(session, lost()),
            Event::ConnectionGone { connection } => {
                for session in self.connections.remove(&connection).unwrap_or_default() {
                    self.session_gone(session, lost());
                }
            }
        }
    }

    fn add_session(&mut self, id: SessionId, dialect: Dialect, exchange: Exchange, remote_address: SocketAddr) -> Arc<Session> {
        let figures = Figures {
            connection: self.proto.stats(id).unwrap_or_default(),
            max_datagram_size: self.proto.max_datagram_size(id),
            remote_address,
        };
        let session = Arc::new(Session::new(id, Arc::clone(&self.shared), dialect, exchange, figures));
        let entry = SessionEntry { session: Arc::clone(&session), streams: FxHashSet::default(), wanted: [0; 2] };
        self.sessions.insert(id, entry);
        // Room for one: most connections have no more
        self.connections.entry(id.connection()).or_insert_with(|| Vec::with_capacity(1)).push(id);
        session
    }

    fn add_stream(&mut self, session: &Arc<Session>, id: StreamId, stream: &Stream) {
        if let Some(entry) = self.sessions.get_mut(&session.id) {
            entry.streams.insert(id);
            let (send, recv) = (stream.send.clone(), stream.recv.clone());
            self.streams.insert(id, StreamEntry { session: Arc::clone(session), send, recv, unread: false });
        }
    }

    fn stream_opened(&mut self, session: SessionId, id: StreamId) {
        let Some(entry) = self.sessions.get(&session) else { return };
        let session = Arc::clone(&entry.session);
        let stream = Stream::peer(id, &session, session.early_bite(id.dir()));
        self.add_stream(&session, id, &stream);
        if let Some(recv) = &stream.recv {
            self.mark_unread(recv);
        }
        session.offer(id.dir(), stream, &mut self.woken);
    }

    /// Open a stream if one is wanted and permitted; returns whether it was
    pub(super) fn open_wanted(&mut self, session: SessionId, dir: Dir) -> bool {
        let Some(entry) = self.sessions.get_mut(&session).filter(|entry| entry.wanted[dir as usize] > 0) else { return false };
        let Some(id) = self.proto.open_stream(self.now, session, dir) else { return false };
        entry.wanted[dir as usize] -= 1;
        let session = Arc::clone(&entry.session);
        let stream = Stream::local(id, &session);
        self.add_stream(&session, id, &stream);
        session.opened(dir, stream, &mut self.woken);
        true
    }

    pub(super) fn mark_unread(&mut self, recv: &Arc<RecvStream>) {
        if let Some(entry) = self.streams.get_mut(&recv.id)
            && !mem::replace(&mut entry.unread, true)
        {
            self.unread.push(Arc::clone(recv));
        }
    }

    /// Move what the streams that have news hold into their pipes
    pub(super) fn read_streams(&mut self) {
        while let Some(recv) = self.unread.pop() {
            if let Some(entry) = self.streams.get_mut(&recv.id) {
                entry.unread = false;
                self.read_stream(&recv);
                self.touch(&recv.session);
            }
        }
    }

    fn read_stream(&mut self, recv: &Arc<RecvStream>) {
        while let Some(room) = recv.pipe.room() {
            let mut outcome = self.read_chunks(recv.id, room);
            // A reader who does not read still learns of a reset. Not so for a stream that nobody has: QUIC's count of
            // streams, which a reset would lower, is what bounds those.
            if outcome == Outcome::Full
                && recv.pipe.is_accepted()
                && let Some(code) = self.proto.check_reset(self.now, recv.id)
            {
                outcome = Outcome::Reset(code);
            }
            let ended = matches!(outcome, Outcome::Finished | Outcome::Reset(_));
            let go_on = recv.pipe.fill(&mut self.chunks, outcome, &mut self.woken);
            if ended {
                self.recv_ended(recv.id);
            }
            if !go_on {
                return;
            }
        }
    }

    /// Read up to `room` bytes into `chunks`, and say what came after them
    fn read_chunks(&mut self, id: StreamId, mut room: usize) -> Outcome {
        while room > 0 {
            match self.proto.read(self.now, id, room) {
                Read::Chunk(chunk) => {
                    room = room.saturating_sub(chunk.len());
                    self.chunks.push(chunk);
                }
                Read::Finished => return Outcome::Finished,
                Read::Reset(code) => return Outcome::Reset(code),
                // If it is closed, its session's end says why
                Read::Blocked | Read::Closed => return Outcome::Blocked,
            }
        }
        Outcome::Full
    }

    /// The sending half is over for QUIC
    pub(super) fn send_ended(&mut self, id: StreamId) -> Option<Arc<SendStream>> {
        let send = self.streams.get_mut(&id)?.send.take();
        self.forget_ended(id);
        send
    }

    /// The receiving half is over for QUIC
    pub(super) fn recv_ended(&mut self, id: StreamId) {
        if let Some(entry) = self.streams.get_mut(&id) {
            entry.recv = None;
            self.forget_ended(id);
        }
    }

    fn forget_ended(&mut self, id: StreamId) {
        if let Some(StreamEntry { session, send: None, recv: None, .. }) = self.streams.get(&id) {
            if let Some(entry) = self.sessions.get_mut(&session.id) {
                entry.streams.remove(&id);
            }
            self.streams.remove(&id);
        }
    }

    /// The session is over: its streams end with it, but for those that the peer had finished
    fn session_closed(&mut self, id: SessionId, error: SessionError) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        let session = Arc::clone(&entry.session);
        let error = session.error().unwrap_or(error);
        for stream in mem::take(&mut entry.streams) {
            let Some(StreamEntry { send, recv, .. }) = self.streams.remove(&stream) else { continue };
            if let Some(recv) = recv {
                // At once, past the pipe's capacity if need be: after this there is nothing to read from
                let mut outcome = self.read_chunks(stream, usize::MAX);
                if outcome != Outcome::Finished || error == SessionError::Local {
                    self.chunks.clear();
                    outcome = Outcome::Lost(error.clone());
                }
                recv.pipe.fill(&mut self.chunks, outcome, &mut self.woken);
            }
            if let Some(send) = send {
                send.pipe.lost(&error, &mut self.woken);
            }
        }
        self.touch(&session); // its last figures
        self.feeding.retain(|feeding| !Arc::ptr_eq(feeding, &session));
        session.end(error, &mut self.woken);
        if matches!(session.exchange, Exchange::Asked { .. }) {
            self.shared.request_died();
        }
    }

    /// Nothing more comes of the session; `error` is for the case that nothing has come of its end either
    pub(super) fn session_gone(&mut self, id: SessionId, error: SessionError) {
        if self.sessions.get(&id).is_some_and(|entry| !entry.session.is_over()) {
            self.session_closed(id, error);
        }
        let Some(SessionEntry { session, .. }) = self.sessions.remove(&id) else { return };
        session.set_gone(&mut self.woken);
        if let Some(sessions) = self.connections.get_mut(&id.connection()) {
            sessions.retain(|other| *other != id);
            if sessions.is_empty() {
                self.connections.remove(&id.connection());
            }
        }
    }
}
