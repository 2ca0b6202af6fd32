//! WebTransport streams: the application's bytes (WT §4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Dir, StreamId, VarInt};

use super::Connection;
use super::incoming::Input;
use super::timer::Timer;
use crate::capsule;
use crate::code::{self, H3Code};
use crate::event::{self, Event};
use crate::flow;
use crate::scheduler::Rank;
use crate::session::{self, Failure, Session};
use crate::stream::{Read, Stream};

/// How long the application may take to answer STOP_SENDING with a reset code of its own
const STOP_GRACE: Duration = Duration::from_millis(100);

/// Bytes of one stream before it is another's turn, if another waits
const QUANTUM: usize = 16 << 10;

/// What QUIC may hold however small the congestion window is
const LEAST_SEND_WINDOW: u64 = 32 << 10;

impl Connection {
    pub(super) fn stream_id(&self, stream: StreamId) -> event::StreamId {
        event::StreamId { connection: self.id, stream }
    }

    pub(super) fn session_is_open(&self, session: StreamId) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.is_open())
    }

    // ---- sending ----

    pub(crate) fn open_stream(&mut self, now: Instant, session: StreamId, dir: Dir) -> Option<StreamId> {
        let found = self.sessions.get_mut(&session).filter(|session| session.is_open())?;
        match found.flow.may_open(dir) {
            Ok(()) => {}
            Err(None) => return None,
            Err(Some(limit)) => {
                self.send_capsule(now, session, |out| capsule::streams_blocked(dir, limit, out));
                return None;
            }
        }
        let id = self.quic.streams().open(dir)?;
        found.flow.opened(dir);
        self.streams.insert(id, Stream::local(session, dir, self.scheduler.newcomer()));
        self.schedule(id);
        Some(id)
    }

    pub(crate) fn write(&mut self, id: StreamId, data: Bytes) {
        if let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) {
            send.push(data);
            self.schedule(id);
        }
    }

    pub(crate) fn finish(&mut self, id: StreamId) {
        let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) else { return };
        send.finish = true;
        if send.stopped.is_some() {
            return self.answer_stop(id);
        }
        self.schedule(id);
    }

    pub(crate) fn set_send_order(&mut self, id: StreamId, group: u32, order: i64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (session, Some(send)) = (stream.session, &mut stream.send) else { return };
        let scheduled = std::mem::take(&mut send.scheduled);
        if scheduled {
            self.scheduler.remove(session, id, send.rank);
        }
        send.rank = Rank { group, order, ..send.rank };
        if scheduled {
            self.schedule(id);
        }
    }

    pub(crate) fn reset(&mut self, now: Instant, id: StreamId, code: u32) {
        let rtt = self.round_trip();
        let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) else { return };
        let code = VarInt::from(code::to_http(code));
        match send.reset_hold(now, rtt) {
            Some(until) if send.stopped.is_none() => {
                send.held_reset = Some(code);
                send.clear();
                self.arm(until, Timer::Held(id));
            }
            _ => self.reset_quic(id, code),
        }
        self.flushed(now, id);
    }

    /// QUIC has room again
    pub(super) fn writable(&mut self, now: Instant, id: StreamId) {
        if self.streams.contains_key(&id) { self.schedule(id) } else { self.feed_critical(now, id) }
    }

    /// A stream has, or may have, something for QUIC
    pub(super) fn schedule(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && let Some(send) = &mut stream.send
            && !std::mem::replace(&mut send.scheduled, true)
        {
            self.scheduler.add(stream.session, id, send.rank);
        }
    }

    /// Keep what QUIC has taken and not sent near one congestion window: more would only wait there, beyond the reach of
    /// whatever turns out to be more urgent
    pub(super) fn fit_send_window(&mut self) {
        let window = self.quic.congestion_state().window().saturating_mul(2);
        let window = window.max(LEAST_SEND_WINDOW).min(self.config.send_window);
        if self.send_window != window {
            self.send_window = window;
            self.quic.set_send_window(window);
        }
    }

    /// Give QUIC what it takes, by turns
    pub(super) fn pump(&mut self, now: Instant) {
        while let Some((session, id)) = self.scheduler.pop() {
            self.feed(now, session, id);
        }
    }

    /// Give QUIC up to a quantum of a stream, or all if no other waits, and see when the stream has its next turn
    fn feed(&mut self, now: Instant, session: StreamId, id: StreamId) {
        let rtt = self.round_trip();
        let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) else { return };
        send.scheduled = false;
        let Some(flow) = self.sessions.get_mut(&session).map(|session| &mut session.flow) else { return };
        let credit = flow.credit();
        let turn = if self.scheduler.is_idle() { credit } else { credit.min(QUANTUM) };
        let fed = send.feed(self.quic.send_stream(id), turn, now, rtt);
        flow.sent(fed.bytes);
        let blocked_at = (send.is_waiting() && !fed.blocked && fed.bytes == credit).then(|| flow.wait(id));
        if fed.bytes > 0 {
            self.measured.payload_sent += fed.bytes as u64;
            send.rank = self.scheduler.served(session, send.rank);
            self.events
                .push_back(Event::StreamWritten { stream: event::StreamId { connection: self.id, stream: id }, bytes: fed.bytes });
        }
        if send.is_waiting() && !fed.blocked && blocked_at.is_none() {
            send.scheduled = true;
            self.scheduler.add(session, id, send.rank);
        }
        if let Some(until) = send.fin_hold(now, rtt).filter(|_| send.finish) {
            self.arm(until, Timer::Held(id));
        }
        if let Some(limit) = blocked_at.flatten() {
            self.send_capsule(now, session, |out| capsule::data_blocked(limit, out));
        }
    }

    /// The same for HTTP/3's own streams and CONNECT streams, which wait for nobody
    pub(super) fn feed_critical(&mut self, now: Instant, id: StreamId) {
        let rtt = self.round_trip();
        // They say little, and rarely: so what has said it keeps nothing
        if let Some((_, own)) = self.own.iter_mut().find(|(own, _)| *own == id) {
            let Some(mut send) = own.take() else { return };
            send.feed(self.quic.send_stream(id), usize::MAX, now, rtt);
            *own = Some(send).filter(|send| send.is_waiting());
        } else if let Some(Session { send, .. }) = self.sessions.get_mut(&id).map(Box::as_mut) {
            send.feed(self.quic.send_stream(id), usize::MAX, now, rtt);
            send.shrink();
        }
    }

    /// A FIN or reset has waited for the header long enough
    pub(super) fn release_held(&mut self, id: StreamId) {
        let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) else { return };
        match send.held_reset {
            Some(code) => self.reset_quic(id, code),
            None => self.schedule(id),
        }
    }

    fn reset_quic(&mut self, id: StreamId, code: VarInt) {
        // It fails where the stream has ended by itself
        let _ = self.quic.send_stream(id).reset(code);
        self.send_done(id);
    }

    fn send_done(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            if let Some(send) = stream.send.take()
                && send.scheduled
            {
                self.scheduler.remove(stream.session, id, send.rank);
            }
            self.forget_done(id);
        }
    }

    /// Forget a stream whose halves are both over
    fn forget_done(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id).filter(|stream| stream.is_done()) else { return };
        let session = stream.session;
        self.streams.remove(&id);
        if id.initiator() != self.quic.side()
            && let Some(found) = self.sessions.get_mut(&session)
        {
            found.flow.peer_closed(id.dir());
            self.credit_due.insert(session);
        }
    }

    /// Something that a closing session waited for may have happened
    fn flushed(&mut self, now: Instant, id: StreamId) {
        if let Some(session) = self.streams.get(&id).map(|stream| stream.session) {
            self.check_flushed(now, session);
        }
    }

    /// The peer acknowledged everything, and the FIN
    pub(super) fn finished(&mut self, now: Instant, id: StreamId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.send_done = true;
            return self.reap_session(id);
        }
        let Some(stream) = self.streams.get(&id) else { return };
        let session = stream.session;
        // Whoever was told that the peer stopped the stream was told its end
        if stream.send.as_ref().is_some_and(|send| !send.stop_told) {
            self.events.push_back(Event::StreamFinished { stream: self.stream_id(id) });
        }
        self.send_done(id);
        self.check_flushed(now, session);
    }

    /// The peer's STOP_SENDING
    pub(super) fn stopped(&mut self, now: Instant, id: StreamId, code: VarInt) {
        if self.sessions.contains_key(&id) {
            return self.session_stopped(now, id, code);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (session, Some(send)) = (stream.session, &mut stream.send) else { return };
        if let Some(held) = send.held_reset {
            return self.reset_quic(id, held);
        }
        if send.stopped.replace(code).is_some() {
            return;
        }
        send.clear();
        if session::means_session_gone(H3Code::from(code.into_inner())) && self.session_is_open(session) {
            self.arm(now + self.round_trip(), Timer::Attributed(id));
        } else {
            self.tell_stopped(now, id, code);
        }
        self.check_flushed(now, session);
    }

    fn tell_stopped(&mut self, now: Instant, id: StreamId, code: VarInt) {
        let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send.as_mut()) else { return };
        if std::mem::replace(&mut send.stop_told, true) {
            return;
        }
        let code = code::from_http(H3Code::from(code.into_inner()));
        self.events.push_back(Event::StreamStopped { stream: self.stream_id(id), code });
        self.arm(now + STOP_GRACE, Timer::Stopped(id));
    }

    /// RFC 9000 §3.5: STOP_SENDING is answered by a reset, with the same code unless the application chose one
    pub(super) fn answer_stop(&mut self, id: StreamId) {
        let stopped = self.streams.get(&id).and_then(|stream| stream.send.as_ref()?.stopped);
        if let Some(code) = stopped {
            self.reset_quic(id, code);
        }
    }

    // ---- receiving ----

    pub(crate) fn read(&mut self, now: Instant, id: StreamId, max: usize) -> Read {
        let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) else { return Read::Closed };
        if let Some(tail) = &mut recv.tail {
            return match tail.front_mut() {
                Some(chunk) if chunk.len() > max => Read::Chunk(chunk.split_to(max)),
                Some(_) => tail.pop_front().map_or(Read::Closed, Read::Chunk),
                None => {
                    self.recv_done(id);
                    Read::Finished
                }
            };
        }
        if recv.held_reset.is_some() {
            if !recv.held_expired {
                return Read::Blocked;
            }
            self.recv_done(id);
            return Read::Reset(None); // none of the codes that are held is an application's
        }
        match self.input(id, max) {
            Input::Chunk(data) => {
                self.received(now, id, data.len());
                Read::Chunk(data)
            }
            Input::Blocked => Read::Blocked,
            Input::Reset(code) => self.received_reset(now, id, code).map_or(Read::Blocked, Read::Reset),
            Input::Finished => {
                self.recv_done(id);
                Read::Finished
            }
            Input::Closed => Read::Closed,
        }
    }

    /// The peer's reset, noticed without reading what came before it
    pub(crate) fn check_reset(&mut self, now: Instant, id: StreamId) -> Option<Option<u32>> {
        let recv = self.streams.get_mut(&id)?.recv.as_mut()?;
        if recv.tail.is_some() {
            return None;
        }
        if recv.held_reset.is_some() {
            return recv.held_expired.then(|| {
                self.recv_done(id);
                None
            });
        }
        let code = self.quic.recv_stream(id).received_reset().ok()??;
        self.received_reset(now, id, code)
    }

    /// The application's code, unless the reset may be the session's end: that shows within a round trip
    fn received_reset(&mut self, now: Instant, id: StreamId, code: VarInt) -> Option<Option<u32>> {
        let stream = self.streams.get_mut(&id)?;
        let session = stream.session;
        if session::means_session_gone(H3Code::from(code.into_inner())) && self.session_is_open(session) {
            if let Some(recv) = self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) {
                recv.held_reset = Some(code);
            }
            self.give_up_rest(id);
            self.arm(now + self.round_trip(), Timer::Attributed(id));
            return None;
        }
        self.give_up_rest(id);
        self.recv_done(id);
        Some(code::from_http(H3Code::from(code.into_inner())))
    }

    /// The session lives on, so what looked like its end was the stream's alone
    pub(super) fn attribute_to_stream(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(recv) = &mut stream.recv
            && recv.held_reset.is_some()
            && !std::mem::replace(&mut recv.held_expired, true)
        {
            self.events.push_back(Event::StreamReadable { stream: event::StreamId { connection: self.id, stream: id } });
        }
        let stopped = self.streams.get(&id).and_then(|stream| stream.send.as_ref()?.stopped);
        if let Some(code) = stopped {
            self.tell_stopped(now, id, code);
        }
    }

    pub(super) fn stream_readable(&mut self, _now: Instant, id: StreamId) {
        self.events.push_back(Event::StreamReadable { stream: self.stream_id(id) });
    }

    pub(crate) fn stop(&mut self, id: StreamId, code: u32) {
        if self.streams.get(&id).is_some_and(|stream| stream.recv.is_some()) {
            self.stop_quic(id, code::to_http(code));
            self.give_up_rest(id);
            self.recv_done(id);
        }
    }

    fn recv_done(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.recv = None;
            self.forget_done(id);
        }
    }

    // ---- flow control (WT §5) ----

    /// The first limits of a session; both sides' SETTINGS are known
    pub(super) fn start_flow(&self, session: &mut Session) {
        let (Some(dialect), Some(peer)) = (self.dialect, &self.peer) else { return };
        let local = self.settings();
        if flow::is_negotiated(dialect, &local, peer) {
            session.flow.start(dialect, &local, peer);
        }
    }

    /// Whether sessions may share this connection (WT §5.1)
    pub(crate) fn has_flow_control(&self) -> bool {
        match (self.dialect, &self.peer) {
            (Some(dialect), Some(peer)) => flow::is_negotiated(dialect, &self.settings(), peer),
            _ => false,
        }
    }

    /// How many sessions a client may have on this connection at a time
    pub(super) fn session_limit(&self) -> usize {
        let config = &self.config;
        (if self.has_flow_control() { config.max_sessions } else { config.max_sessions_without_flow_control }) as usize
    }

    /// The application took bytes of the peer
    fn received(&mut self, now: Instant, id: StreamId, bytes: usize) {
        let Some(session) = self.streams.get(&id).map(|stream| stream.session) else { return };
        let Some(found) = self.sessions.get_mut(&session).filter(|session| session.is_open()) else { return };
        match found.flow.received(bytes) {
            Ok(()) => drop(self.credit_due.insert(session)),
            Err(code) => self.session_failed(now, session, &Failure::Stream(code)), // WT §5.6.4
        }
    }

    /// A stream of the peer ended before all of it was read
    fn give_up_rest(&mut self, id: StreamId) {
        let Some(session) = self.streams.get(&id).map(|stream| stream.session) else { return };
        if let Some(found) = self.sessions.get_mut(&session) {
            found.flow.forgive(self.config.stream_receive_window);
            self.credit_due.insert(session);
        }
    }

    /// A stream of the peer ended before it was known whose it was: whoever counted it gets it back
    pub(super) fn lost_stream(&mut self, dir: Dir) {
        for (&id, session) in &mut self.sessions {
            session.flow.peer_closed(dir);
            self.credit_due.insert(id);
        }
    }

    /// Tell peers of the credit that they have again (WT §5.6)
    pub(super) fn send_credit(&mut self, now: Instant) {
        while let Some(id) = self.credit_due.pop_first() {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_open()) else { continue };
            let max_data = session.flow.max_data_due();
            let max_streams = [Dir::Bi, Dir::Uni].map(|dir| (dir, session.flow.max_streams_due(dir)));
            if let Some(limit) = max_data {
                self.raised.push(id);
                self.send_capsule(now, id, |out| capsule::max_data(limit, out));
            }
            for (dir, limit) in max_streams {
                if let Some(limit) = limit {
                    self.send_capsule(now, id, |out| capsule::max_streams(dir, limit, out));
                }
            }
        }
    }

    // ---- with the session's end ----

    /// End every stream of a session (WT §6); what the peer had finished before stays to be read
    pub(super) fn end_streams(&mut self, session: StreamId) {
        let mut ids: Vec<_> = self.streams.iter().filter(|(_, stream)| stream.session == session).map(|(&id, _)| id).collect();
        ids.sort_unstable();
        for id in ids {
            let Some(stream) = self.streams.get(&id) else { continue };
            if let Some(send) = &stream.send {
                let gone = VarInt::from(H3Code::WT_SESSION_GONE);
                let code = send.held_reset.or(send.stopped).unwrap_or(gone);
                self.reset_quic(id, code);
            }
            if self.streams.get(&id).is_some_and(|stream| stream.recv.as_ref().is_some_and(|recv| recv.tail.is_none())) {
                self.keep_tail(id);
            }
        }
    }

    /// Take the rest of a stream if all of it is here, else stop it
    fn keep_tail(&mut self, id: StreamId) {
        let mut tail = VecDeque::new();
        let complete = loop {
            match self.input(id, usize::MAX) {
                Input::Chunk(data) => tail.push_back(data),
                Input::Finished => break true,
                Input::Blocked | Input::Reset(_) | Input::Closed => break false,
            }
        };
        match self.streams.get_mut(&id).and_then(|stream| stream.recv.as_mut()) {
            Some(recv) if complete => recv.tail = Some(tail),
            _ => {
                self.stop_quic(id, H3Code::WT_SESSION_GONE);
                self.recv_done(id);
            }
        }
    }
}
