//! One HTTP/3 connection: what QUIC reports, and its end.
//!
//! The parts: `drain` ends it gently, `incoming` finds out what a peer's stream is, `identity` what TLS knows, `requests` asks
//! for sessions and answers, `sessions` lives on CONNECT streams, `sharing` sees to it that there are not too many, `streams` and
//! `datagrams` carry the application's bytes, `timer` knows what is waited for.

mod causes;
mod datagrams;
mod drain;
mod identity;
mod incoming;
mod measured;
mod requests;
mod sessions;
mod sharing;
mod streams;
mod timer;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{ConnectionError, ConnectionHandle, Dir, Side, StreamEvent, StreamId, Transmit, VarInt};
use rustc_hash::FxHashMap;

use crate::code::H3Code;
use crate::config::{Config, LONGEST_PAYLOAD};
use crate::error::{ConnectError, SessionError};
use crate::event::{ConnectId, ConnectionId, Event, SessionId};
use crate::field::Field;
use crate::pending::Pending;
use crate::pool;
use crate::scheduler::Scheduler;
use crate::session::{Phase, Session};
use crate::settings::{Dialect, Settings};
use crate::stats::ConnectionStats;
use crate::stream::{CRITICAL_PRIORITY, SendHalf, Stream};
use crate::tls::LastRefusal;
use crate::{frame, varint};

use causes::Stage;
use incoming::Incoming;
use measured::Measured;
use timer::{Timer, Timers};

pub(crate) use sharing::Moved;

/// Where a client wants a session
#[derive(Clone, Debug)]
pub struct Target {
    /// The server's address
    pub remote: SocketAddr,
    /// The name that the server's certificate must carry; an IP address without brackets
    pub server_name: String,
    /// Host and port as the URL has them
    pub authority: String,
    /// The path with its query; it begins with a slash
    pub path: String,
    /// More fields for the request
    pub headers: Vec<Field>,
    /// Application protocols, in order of preference (WT §3.3)
    pub subprotocols: Vec<String>,
    /// Share a connection with other sessions that want the same, where the server permits it
    pub pool: bool,
    /// Take no session for which the server picked none of them
    pub require_subprotocol: bool,
}

impl Target {
    /// What it has in common with others that may share its connection, if it may
    pub(crate) fn pool_key(&self) -> Option<pool::Key> {
        self.pool.then(|| (self.remote, self.server_name.clone()))
    }
}

pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) handle: ConnectionHandle,
    pub(crate) quic: quinn_proto::Connection,
    pub(crate) events: VecDeque<Event>,
    config: Arc<Config>,
    peer: Option<Settings>,
    dialect: Option<Dialect>,
    /// Server: the version that the first request's `:protocol` belongs to
    token: Option<Dialect>,
    /// HTTP/3's own streams that we opened, control, QPACK encoder, QPACK decoder, and what they have yet to say
    own: Vec<(StreamId, Option<Box<SendHalf>>)>,
    incoming: FxHashMap<StreamId, Incoming>,
    /// Boxed: the smallest table has room for four
    sessions: FxHashMap<StreamId, Box<Session>>,
    streams: FxHashMap<StreamId, Stream>,
    /// Streams with something to send
    scheduler: Scheduler,
    /// Sessions whose peer may be due more credit
    credit_due: BTreeSet<StreamId>,
    /// Sessions whose peer may be told of more credit with the next packet
    raised: Vec<StreamId>,
    /// Sessions that were opened since all that could leave has left
    answered: BTreeSet<StreamId>,
    /// What QUIC may hold
    send_window: u64,
    pending: Pending,
    /// Attempts that wait for the handshake, SETTINGS, or stream credit
    connects: VecDeque<(ConnectId, Target)>,
    /// Attempts for which there is no room here
    pub(crate) moved: Vec<Moved>,
    /// Set where sessions may share the connection, which a server's never may
    pub(crate) pool_key: Option<Box<pool::Key>>,
    /// Requests that found others here: what to ask for elsewhere if the server does not process them
    repeatable: FxHashMap<StreamId, Target>,
    /// The server refused one session more, and none has gone since
    full: bool,
    timers: Timers,
    /// Client-initiated bidirectional streams up to this index have been seen
    requests_seen: u64,
    critical: [Option<StreamId>; 3],
    had_session: bool,
    /// A GOAWAY was sent or received: every session is draining (WT §4.7)
    draining: bool,
    /// The first request that the server does not process: to a client, as GOAWAY says (RFC 9114 §5.2)
    goaway: Option<StreamId>,
    idle_since: Option<Instant>,
    /// A client's connection without sessions stays until then: for a reset to leave before CONNECTION_CLOSE, or for more
    /// sessions to come
    lingers_until: Option<Instant>,
    /// Close with this once the sessions that are closing have closed
    ending: Option<(VarInt, Bytes)>,
    /// We closed, and CONNECTION_CLOSE has yet to leave
    closing: bool,
    /// The peer closed the connection, and hears no more
    left: bool,
    /// `ConnectionGone` was said
    pub(crate) gone: bool,
    datagrams_wanted: bool,
    measured: Measured,
    /// A client's: where its verifier says why it refused the server
    pub(crate) refusal: Option<LastRefusal>,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, handle: ConnectionHandle, quic: quinn_proto::Connection, config: Arc<Config>) -> Self {
        let measured = Measured::new(&quic);
        Self {
            id,
            handle,
            quic,
            events: VecDeque::new(),
            config,
            peer: None,
            dialect: None,
            token: None,
            own: Vec::with_capacity(3),
            incoming: FxHashMap::default(),
            sessions: FxHashMap::default(),
            streams: FxHashMap::default(),
            scheduler: Scheduler::default(),
            credit_due: BTreeSet::new(),
            raised: Vec::new(),
            answered: BTreeSet::new(),
            send_window: 0,
            pending: Pending::default(),
            connects: VecDeque::new(),
            moved: Vec::new(),
            pool_key: None,
            repeatable: FxHashMap::default(),
            full: false,
            timers: Timers::default(),
            requests_seen: 0,
            critical: [None; 3],
            had_session: false,
            draining: false,
            goaway: None,
            idle_since: None,
            lingers_until: None,
            ending: None,
            closing: false,
            left: false,
            gone: false,
            datagrams_wanted: false,
            measured,
            refusal: None,
        }
    }

    fn session_id(&self, stream: StreamId) -> SessionId {
        SessionId { connection: self.id, stream }
    }

    fn is_over(&self) -> bool {
        self.closing || self.gone
    }

    // ---- the network and the clock ----

    /// Take all that QUIC has to report
    pub(crate) fn drive(&mut self, now: Instant) {
        self.open_own_streams(now);
        while let Some(event) = self.quic.poll() {
            self.measured.connected |= matches!(event, quinn_proto::Event::Connected);
            match event {
                quinn_proto::Event::ConnectionLost { reason } => self.lost(&reason),
                _ if self.is_over() => {}
                quinn_proto::Event::Stream(event) => self.handle_stream_event(now, &event),
                quinn_proto::Event::DatagramReceived => self.receive_datagrams(now),
                quinn_proto::Event::Connected if self.quic.side() == Side::Client => {
                    self.arm(now + self.config.request_timeout, Timer::Settings);
                }
                quinn_proto::Event::Connected => {
                    self.disarm(Timer::Handshake);
                    self.start_idling(now);
                }
                quinn_proto::Event::HandshakeDataReady | quinn_proto::Event::DatagramsUnblocked => {}
            }
        }
    }

    fn handle_stream_event(&mut self, now: Instant, event: &StreamEvent) {
        match *event {
            StreamEvent::Opened { dir } => self.accept_streams(now, dir),
            StreamEvent::Readable { id } => self.readable(now, id),
            StreamEvent::Writable { id } => self.writable(now, id),
            StreamEvent::Finished { id } => self.finished(now, id),
            StreamEvent::Stopped { id, error_code } => self.stopped(now, id, error_code),
            StreamEvent::Available { dir } => {
                self.open_own_streams(now);
                self.open_connects(now);
                self.events.push_back(Event::StreamsAvailable { connection: self.id, dir });
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.quic.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.quic.handle_timeout(now);
        }
        while let Some(timer) = self.timers.pop(now) {
            if !self.is_over() {
                self.handle_timer(now, timer);
            }
        }
        for stream in self.pending.expire(now) {
            self.lost_stream(stream.dir());
            self.refuse_stream(stream, H3Code::WT_BUFFERED_STREAM_REJECTED);
        }
        self.drive(now);
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        let quic = self.quic.poll_timeout();
        quic.into_iter().chain(self.timers.next()).chain(self.pending.deadline()).min()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, max_segments: usize, buf: &mut Vec<u8>) -> Option<Transmit> {
        if self.left {
            return None; // RFC 9000 §10.2.2 permits an answer to CONNECTION_CLOSE, which would only wake the peer
        }
        // More than one send can carry would only make `buf` grow
        let segments = max_segments.min(usize::from(LONGEST_PAYLOAD / self.quic.current_mtu())).max(1);
        let transmit = self.quic.poll_transmit(now, segments, buf);
        match &transmit {
            Some(transmit) => self.measured.ecn = transmit.ecn.is_some(),
            None => self.ran_dry(),
        }
        // Whatever left, they were before it
        for id in std::mem::take(&mut self.raised) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.flow.limits_left();
            }
        }
        self.unblock_datagrams();
        transmit
    }

    /// All that could leave has left
    fn ran_dry(&mut self) {
        if self.closing {
            self.say_gone();
        }
        for id in std::mem::take(&mut self.answered) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.datagrams_ready = true;
            }
        }
    }

    /// What it has done, and how its path is
    pub(crate) fn stats(&mut self) -> ConnectionStats {
        self.measured.stats(&self.quic)
    }

    /// Whether the handshake succeeded: told once, when it is over
    pub(crate) fn handshake_result(&mut self) -> Option<bool> {
        if self.quic.is_handshaking() || std::mem::replace(&mut self.measured.connected_told, true) {
            return None;
        }
        Some(self.measured.connected)
    }

    /// How many requests for sessions were refused since this was last asked
    pub(crate) fn take_rejected(&mut self) -> u64 {
        std::mem::take(&mut self.measured.rejected)
    }

    // ---- HTTP/3's own streams ----

    /// Open the control stream as soon as the peer permits it: with luck, SETTINGS ride in the first flight
    fn open_own_streams(&mut self, now: Instant) {
        const TYPES: [u64; 3] = [incoming::CONTROL, incoming::QPACK_ENCODER, incoming::QPACK_DECODER];
        while self.own.len() < TYPES.len() && !self.is_over() {
            let Some(id) = self.quic.streams().open(Dir::Uni) else { return };
            let ty = TYPES[self.own.len()];
            let mut bytes = BytesMut::new();
            varint::encode(ty, &mut bytes);
            if ty == incoming::CONTROL {
                frame::settings(&mut bytes, &self.settings());
                frame::grease(&mut bytes);
                if self.goaway.is_some() {
                    frame::goaway(&mut bytes);
                }
            }
            // It fails only on a closed stream
            let _ = self.quic.send_stream(id).set_priority(CRITICAL_PRIORITY);
            let mut send = Box::<SendHalf>::default();
            send.push(bytes.freeze());
            self.own.push((id, Some(send)));
            self.feed_critical(now, id);
        }
    }

    /// The peer's SETTINGS: from here on both sides know how they speak (WT §7.1)
    fn handle_settings(&mut self, now: Instant, settings: Settings) {
        let takes_datagrams = self.quic.datagrams().max_size().is_some();
        if settings.h3_datagram && !takes_datagrams {
            // RFC 9297 §2.1.1
            return self.fail(now, H3Code::SETTINGS_ERROR, "H3_DATAGRAM without the transport parameter max_datagram_frame_size");
        }
        if self.quic.side() == Side::Client && settings.wt_enabled > 1 {
            return self.fail(now, H3Code::SETTINGS_ERROR, "SETTINGS_WT_ENABLED is neither 0 nor 1"); // WT §3.1
        }
        self.dialect = Dialect::choose(&self.settings(), &settings);
        self.peer = Some(settings);
        self.disarm(Timer::Settings);
        self.open_connects(now);
        let mut queued: Vec<_> =
            self.sessions.iter().filter(|(_, session)| matches!(session.phase, Phase::Queued(_))).map(|(&id, _)| id).collect();
        queued.sort_unstable();
        for id in queued {
            self.request_ready(now, id);
        }
    }

    // ---- the end ----

    /// The peer broke a rule that costs it the connection
    fn fail(&mut self, now: Instant, code: H3Code, what: &str) {
        if self.is_over() {
            return;
        }
        tracing::debug!(connection = ?self.id, %code, what, "protocol violation");
        let text =
            if what.is_empty() { format!("peer broke HTTP/3, closed with {code}") } else { format!("{what}, closed with {code}") };
        self.end_all(&SessionError::Protocol(text.clone()), &ConnectError::Failed(text));
        self.close_quic(now, code.into(), Bytes::copy_from_slice(what.as_bytes()));
    }

    /// Close as the application asks: at once, but for sessions that are already closing
    pub(crate) fn close(&mut self, now: Instant, code: VarInt, reason: Bytes) {
        if self.is_over() {
            return;
        }
        self.end_open(&SessionError::Local, &ConnectError::Closed);
        if self.sessions.is_empty() {
            self.close_quic(now, code, reason);
        } else {
            self.ending = Some((code, reason));
        }
    }

    fn close_quic(&mut self, now: Instant, code: VarInt, reason: Bytes) {
        if !self.is_over() {
            self.closing = true;
            self.forget_all();
            self.measured.close(&self.quic);
            self.quic.close(now, code, reason);
        }
    }

    /// QUIC lost the connection
    fn lost(&mut self, reason: &ConnectionError) {
        self.left = matches!(reason, ConnectionError::ApplicationClosed(_) | ConnectionError::ConnectionClosed(_));
        if !self.is_over() {
            let error = causes::session_error(reason);
            let reason = &self.in_plain_words(reason);
            self.end_all(&error, &causes::connect_error(reason, self.stage()));
            self.forget_all();
        }
        self.say_gone();
    }

    fn stage(&self) -> Stage {
        match &self.peer {
            _ if !self.measured.connected => Stage::Handshake, // quinn's state is past it once the connection is lost
            None => Stage::Settings,
            Some(_) => Stage::Answer,
        }
    }

    pub(crate) fn say_gone(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            self.events.push_back(Event::ConnectionGone { connection: self.id });
        }
    }

    /// Nothing more can come of anything here but the tails of finished streams, which stay to be read
    fn forget_all(&mut self) {
        self.sessions.clear();
        self.repeatable.clear();
        self.scheduler = Scheduler::default();
        self.credit_due.clear();
        self.raised = Vec::new();
        self.answered.clear();
        self.incoming.clear();
        self.pending = Pending::default();
        self.timers = Timers::default();
        self.own.clear();
        self.streams.retain(|_, stream| {
            stream.send = None;
            stream.recv.as_ref().is_some_and(|recv| recv.tail.is_some())
        });
    }

    /// What follows from whatever has just happened: credit for the peer, bytes for QUIC, and perhaps the end
    pub(crate) fn settle(&mut self, now: Instant) {
        self.send_credit(now);
        self.fit_send_window();
        self.pump(now);
        if self.is_over() || !self.sessions.is_empty() || !self.connects.is_empty() {
            if self.idle_since.take().is_some() {
                self.disarm(Timer::Idle);
            }
            return;
        }
        if let Some((code, reason)) = self.ending.take() {
            return self.close_quic(now, code, reason);
        }
        if self.is_shareable() && self.idle_since.is_none() {
            self.idle_since = Some(now);
            self.linger(now + self.config.pool_linger);
        }
        if self.quic.side() == Side::Client && self.lingers_until.is_none_or(|until| until <= now) {
            return self.close_quic(now, H3Code::NO_ERROR.into(), Bytes::new()); // RFC 9114 §5.3
        }
        if self.quic.side() == Side::Server && !self.quic.is_handshaking() {
            self.start_idling(now);
        }
    }

    /// Stay until then, although there may be no session
    fn linger(&mut self, until: Instant) {
        self.lingers_until = Some(until);
        self.arm(until, Timer::Lingered);
    }

    /// Server: a client that begins and is not heard again is given up, even where silence is no reason to
    pub(crate) fn await_handshake(&mut self, now: Instant) {
        self.arm(now + self.config.request_timeout, Timer::Handshake);
    }

    fn start_idling(&mut self, now: Instant) {
        if self.quic.side() == Side::Server && self.idle_since.is_none() {
            self.idle_since = Some(now);
            self.arm(now + self.config.idle_connection_timeout, Timer::Idle);
        }
    }

    /// How long a closing session waits for its peer: where a few losses take longer than is usual, so does this
    fn close_timeout(&self) -> Duration {
        self.config.close_timeout.max(8 * self.quic.rtt())
    }

    /// How long a packet and its acknowledgement take; never zero, so that what waits for it waits for something
    fn round_trip(&self) -> Duration {
        self.quic.rtt().max(Duration::from_millis(1))
    }

    /// What we tell the peer: made when it is asked for, since most connections that wait will not ask again
    fn settings(&self) -> Settings {
        let config = &self.config;
        let limit = |limit: u32| if config.flow_control { u64::from(limit) } else { 0 };
        let if_offered = |dialect, value: u32| if config.dialects.contains(dialect) { value.into() } else { 0 };
        // WT §5.1, as of draft-13 and -14: more than one session says that there is flow control
        let max_sessions = if config.flow_control { config.max_sessions } else { 1 };
        Settings {
            enable_connect_protocol: self.quic.side() == Side::Server,
            h3_datagram: true,
            wt_draft02: config.dialects.contains(Dialect::Draft02),
            wt_max_sessions_draft07: if_offered(Dialect::Draft07, config.max_sessions_without_flow_control),
            wt_max_sessions_draft13: if_offered(Dialect::Draft14, max_sessions),
            wt_enabled: if_offered(Dialect::Draft16, 1),
            max_field_section_size: Some(config.max_field_section_size),
            wt_initial_max_data: limit(config.session_receive_window),
            wt_initial_max_streams_uni: limit(config.max_concurrent_streams),
            wt_initial_max_streams_bidi: limit(config.max_concurrent_streams),
            ..Settings::default()
        }
    }
}
