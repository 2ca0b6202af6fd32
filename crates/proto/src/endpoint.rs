//! All connections of one socket: who gets a datagram, who has something to send, whose timer is next.

mod calls;
mod connecting;
mod retry;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    ConnectionHandle, DatagramEvent, EcnCodepoint, EndpointConfig, Incoming, QlogConfig, ServerConfig, Transmit, TransportConfig,
    VarInt,
};
use ring::{hkdf, hmac};
use rustc_hash::FxHashMap;

use crate::config::{Config, LONGEST_PAYLOAD, Path};
use crate::connection::Connection;
use crate::error::{ConfigError, ConnectError};
use crate::event::{ConnectId, ConnectionId, Event};
use crate::pool::Pool;
use crate::signed_id::SignedIds;
use crate::stats::EndpointStats;
use crate::tls::{self, ClientTls, ServerTls};

/// The state machine: one UDP socket's worth of connections, sessions and streams
///
/// Calls about something that is over do nothing, or return what says so.
pub struct Endpoint {
    quic: quinn_proto::Endpoint,
    config: Arc<Config>,
    /// How QUIC behaves on either kind of path
    network: Arc<TransportConfig>,
    loopback: Arc<TransportConfig>,
    client: Option<ClientTls>,
    /// How to serve on either kind of path, by its number
    server: Option<[Arc<ServerConfig>; 2]>,
    /// A server's; it stays what it was when the certificate changes
    secret: [u8; 32],
    slots: Vec<Slot>,
    /// Connections of a client that sessions may share
    pool: Pool,
    /// Where a client's attempts are under way
    attempts: FxHashMap<ConnectId, ConnectionId>,
    events: VecDeque<Event>,
    /// Memory for the events of whichever connection has some: most wait, and keep none
    spare: VecDeque<Event>,
    /// Connections that may have something to send, in turn
    dirty: VecDeque<u32>,
    /// Connections to which something happened that may have consequences
    unsettled: Vec<u32>,
    /// One entry for each connection with a timer; one that came too early is put back
    timers: BTreeSet<(Instant, u32)>,
    /// Datagrams that belong to no connection: version negotiation, refusals, stateless resets
    responses: VecDeque<(Transmit, Vec<u8>)>,
    /// Connections without their `ConnectionGone`
    live: usize,
    /// It takes no new connections
    draining: bool,
    /// Clients' connections whose handshake has neither succeeded nor failed
    handshaking: usize,
    closed: bool,
    totals: EndpointStats,
}

/// quinn's handles are indices that it uses again; so are ours, told apart by a generation
#[derive(Default)]
struct Slot {
    connection: Option<Box<Connection>>,
    generation: u32,
    dirty: bool,
    unsettled: bool,
    /// It counts as `handshaking`
    handshaking: bool,
    /// The entry of this slot among the timers
    armed: Option<Instant>,
}

impl Endpoint {
    /// An endpoint that takes connections
    ///
    /// # Errors
    /// A configuration that QUIC cannot express.
    #[allow(clippy::needless_pass_by_value)] // what an endpoint is made of belongs to it
    pub fn server(config: Config, tls: ServerTls) -> Result<Self, ConfigError> {
        let secret = config.reset_key.as_ref().map_or(tls.secret, |key| tls::derive(key, &[b"webtransport reset key"]));
        let mut endpoint = Self::new(config, None, Some(secret))?;
        endpoint.set_server_tls(&tls);
        Ok(endpoint)
    }

    /// An endpoint that makes connections
    ///
    /// # Errors
    /// A configuration that QUIC cannot express.
    pub fn client(config: Config, tls: ClientTls) -> Result<Self, ConfigError> {
        Self::new(config, Some(tls), None)
    }

    fn new(config: Config, client: Option<ClientTls>, secret: Option<[u8; 32]>) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut quic = EndpointConfig::default();
        quic.rng_seed(config.rng_seed);
        // Whatever comes is taken: receive buffers are as long as a datagram can be
        quic.max_udp_payload_size(LONGEST_PAYLOAD).map_err(|error| ConfigError(error.to_string()))?;
        if let Some(secret) = secret {
            let reset_key = tls::derive(&secret, &[b"stateless reset"]);
            quic.reset_key(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset_key)));
            // A connection id that it did not make itself is not worth a reset, so it must know those of its former life
            let key = hmac::Key::new(hmac::HMAC_SHA256, &tls::derive(&secret, &[b"connection id"]));
            quic.cid_generator(move || Box::new(SignedIds(key.clone())));
        }
        Ok(Self {
            quic: quinn_proto::Endpoint::new(Arc::new(quic), None, config.mtu_discovery, None),
            network: Arc::new(config.transport(Path::Network)),
            loopback: Arc::new(config.transport(Path::Loopback)),
            server: None,
            config: Arc::new(config),
            client,
            secret: secret.unwrap_or_default(),
            slots: Vec::new(),
            pool: Pool::default(),
            attempts: FxHashMap::default(),
            events: VecDeque::new(),
            spare: VecDeque::new(),
            dirty: VecDeque::new(),
            unsettled: Vec::new(),
            timers: BTreeSet::new(),
            responses: VecDeque::new(),
            live: 0,
            draining: false,
            handshaking: 0,
            closed: false,
            totals: EndpointStats::default(),
        })
    }

    /// Prove new connections with another certificate; those that exist go on
    pub fn set_server_tls(&mut self, tls: &ServerTls) {
        // The same for every certificate, or the answers to Retries on their way would be worth nothing
        let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&tls::derive(&self.secret, &[b"retry token"]));
        let server = ServerConfig::new(Arc::clone(&tls.quic) as _, Arc::new(token_key));
        self.server = Some([&self.loopback, &self.network].map(|transport| {
            let mut server = server.clone();
            server.transport_config(Arc::clone(transport));
            Arc::new(server)
        }));
        self.quic.set_server_config(Some(Arc::new(server)));
    }

    /// How to serve a client: its connection has a log of its own, if there are logs
    fn server_config(&self, now: Instant, incoming: &Incoming) -> Option<Arc<ServerConfig>> {
        let remote = incoming.remote_address().ip();
        let server = &self.server.as_ref()?[Path::to(remote) as usize];
        if self.config.qlog.is_none() {
            return Some(Arc::clone(server)); // one for all of them
        }
        let mut server = ServerConfig::clone(server);
        server.transport_config(self.transport(now, remote, incoming.orig_dst_cid(), "server"));
        Some(Arc::new(server))
    }

    /// How QUIC is to behave on a connection that began with `id`: each has a log of its own, if there are logs
    fn transport(&self, now: Instant, remote: IpAddr, id: &quinn_proto::ConnectionId, side: &str) -> Arc<TransportConfig> {
        let path = Path::to(remote);
        let name = format!("{id}_{side}");
        let Some(writer) = self.config.qlog.as_ref().and_then(|qlog| qlog.open(&name)) else {
            return Arc::clone(if path == Path::Loopback { &self.loopback } else { &self.network });
        };
        let mut qlog = QlogConfig::default();
        qlog.writer(writer).title(Some(name)).start_time(now);
        let mut transport = self.config.transport(path);
        transport.qlog_stream(qlog.into_stream());
        Arc::new(transport)
    }

    // ---- the network and the clock ----

    /// One UDP datagram came
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        local_ip: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        data: BytesMut,
    ) {
        self.totals.packets_received += 1;
        self.totals.bytes_received += data.len() as u64;
        if self.client.is_none() && retry::holds_retry(&data) {
            return;
        }
        let mut buf = Vec::new();
        match self.quic.handle(now, remote, local_ip, ecn, data, &mut buf) {
            None => {}
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let index = index(handle);
                if let Some(connection) = self.slot(index) {
                    connection.quic.handle_event(event);
                    self.drive(now, index);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                if let Some(transmit) = self.handle_incoming(now, incoming, &mut buf) {
                    self.respond(transmit, buf);
                }
            }
            Some(DatagramEvent::Response(transmit)) => self.respond(transmit, buf),
        }
    }

    /// A client would like a connection; returns the answer if it gets none
    fn handle_incoming(&mut self, now: Instant, incoming: Incoming, buf: &mut Vec<u8>) -> Option<Transmit> {
        let config = &self.config;
        let full = self.live >= config.max_connections || self.handshaking >= config.max_pending_handshakes;
        if self.closed || self.draining || full {
            self.totals.connections_refused += 1;
            return Some(self.quic.refuse(incoming, buf));
        }
        if !incoming.remote_address_validated() && config.wants_retry(self.handshaking) {
            return self.quic.retry(incoming, buf).ok(); // which fails only for an answer to a Retry, and that is validated
        }
        let server = self.server_config(now, &incoming);
        match self.quic.accept(incoming, now, buf, server) {
            Ok((handle, quic)) => {
                let index = self.insert(handle, quic);
                self.slots[handle.0].handshaking = true;
                self.handshaking += 1;
                if let Some(connection) = self.slot(index) {
                    connection.await_handshake(now);
                }
                self.drive(now, index);
                None
            }
            Err(error) => {
                self.totals.handshakes_failed += 1;
                error.response
            }
        }
    }

    fn respond(&mut self, transmit: Transmit, buf: Vec<u8>) {
        /// An answer to strangers is a courtesy: a flood of them must not become a flood of ours
        const MAX_RESPONSES: usize = 1024;
        if self.responses.len() < MAX_RESPONSES {
            self.responses.push_back((transmit, buf));
        }
    }

    /// The instant that `poll_timeout` named has come
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, index)) = self.timers.first() {
            if deadline > now {
                return;
            }
            self.timers.pop_first();
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            slot.armed = None;
            let Some(connection) = &mut slot.connection else { continue };
            if connection.poll_timeout().is_some_and(|deadline| deadline <= now) {
                connection.handle_timeout(now);
                self.drive(now, index);
            } else {
                self.arm(index);
            }
        }
    }

    /// When to call `handle_timeout`, unless something else happens before
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.timers.first().map(|&(deadline, _)| deadline)
    }

    /// Let what came and what was asked have its consequences; `poll_transmit` does that too, if nobody did
    ///
    /// Once for many calls: a stream's header, its bytes and its end then go to QUIC together, and the most urgent streams first.
    pub fn settle(&mut self, now: Instant) {
        while let Some(index) = self.unsettled.pop() {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            slot.unsettled = false;
            let Some(connection) = &mut slot.connection else { continue };
            connection.settle(now);
            self.account(index);
            self.collect(index);
            self.touch(index);
            self.move_connects(now, index);
        }
    }

    /// What to send next: up to `max_segments` datagrams of one size to one address, appended to `buf`
    pub fn poll_transmit(&mut self, now: Instant, max_segments: usize, buf: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.next_transmit(now, max_segments, buf)?;
        self.totals.packets_sent += transmit.segment_size.map_or(1, |segment| transmit.size.div_ceil(segment)) as u64;
        self.totals.bytes_sent += transmit.size as u64;
        Some(transmit)
    }

    fn next_transmit(&mut self, now: Instant, max_segments: usize, buf: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.responses.pop_front() {
            buf.extend_from_slice(&bytes);
            return Some(transmit);
        }
        self.settle(now);
        while let Some(index) = self.dirty.pop_front() {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            slot.dirty = false;
            let Some(connection) = &mut slot.connection else { continue };
            let transmit = connection.poll_transmit(now, max_segments, buf);
            if transmit.is_some() {
                self.touch(index);
                self.collect(index);
                return transmit;
            }
            self.drive_quic(index);
            self.collect(index);
            self.arm(index);
        }
        None
    }

    /// What the application should know next
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    // ---- the application: attempts are in `connecting`, sessions and streams in `calls` ----

    /// Server: take no more sessions, and ask those that there are to end soon (RFC 9114 §5.2, WT §4.7)
    ///
    /// Requests that have come by now may still be answered; sessions go on until someone closes them.
    pub fn drain(&mut self, now: Instant) {
        self.draining = true;
        for index in 0..self.slots.len() as u32 {
            if let Some(connection) = self.slot(index) {
                connection.drain(now);
                self.drive(now, index);
            }
        }
    }

    /// Close every connection, and take no more: sessions end with `SessionClosed`, attempts with `ConnectFailed`
    ///
    /// Sessions that are closing already may finish that first, for a few seconds. A code of 2^62 or more is cut to its limit.
    pub fn close(&mut self, now: Instant, code: u64, reason: &[u8]) {
        self.closed = true;
        let code = VarInt::from_u64(code).unwrap_or(VarInt::MAX);
        let reason = Bytes::copy_from_slice(reason);
        for index in 0..self.slots.len() as u32 {
            if let Some(connection) = self.slot(index) {
                connection.close(now, code, reason.clone());
                self.drive(now, index);
            }
        }
    }

    /// Connections whose `ConnectionGone` has yet to come; none after `close`: the endpoint may be dropped
    #[must_use]
    pub fn connections(&self) -> usize {
        self.live
    }

    /// What the endpoint has done since it was made
    #[must_use]
    pub fn totals(&self) -> EndpointStats {
        self.totals
    }

    // ---- slots ----

    fn slot(&mut self, index: u32) -> Option<&mut Connection> {
        self.slots.get_mut(index as usize)?.connection.as_deref_mut()
    }

    fn slot_of(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slot(id.index).filter(|connection| connection.id == id)
    }

    fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.slots.get(id.index as usize)?.connection.as_deref().filter(|connection| connection.id == id)
    }

    fn insert(&mut self, handle: ConnectionHandle, quic: quinn_proto::Connection) -> u32 {
        let index = index(handle);
        if self.slots.len() <= handle.0 {
            self.slots.resize_with(handle.0 + 1, Slot::default);
        }
        let slot = &mut self.slots[handle.0];
        let id = ConnectionId { index, generation: slot.generation };
        slot.connection = Some(Box::new(Connection::new(id, handle, quic, Arc::clone(&self.config))));
        self.live += 1;
        index
    }

    /// Do something with a connection; what follows from it comes with `settle`
    fn with<T>(&mut self, id: ConnectionId, call: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        let result = call(self.slot_of(id)?);
        self.collect(id.index);
        self.unsettle(id.index);
        Some(result)
    }

    /// Let a connection take in what happened
    fn drive(&mut self, now: Instant, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if let Some(connection) = &mut slot.connection {
            if connection.events.capacity() == 0 {
                connection.events = std::mem::take(&mut self.spare); // `collect` gives it back
            }
            connection.drive(now);
            self.account(index);
            self.collect(index);
            self.drive_quic(index);
            self.unsettle(index);
        }
    }

    /// Carry messages between quinn's connection and endpoint; forget a connection that is drained
    fn drive_quic(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(connection) = &mut slot.connection else { return };
        while let Some(event) = connection.quic.poll_endpoint_events() {
            if let Some(event) = self.quic.handle_event(connection.handle, event) {
                connection.quic.handle_event(event);
            }
        }
        if connection.quic.is_drained() {
            connection.say_gone();
            self.collect(index);
            let slot = &mut self.slots[index as usize];
            if let Some(Connection { id, pool_key: Some(key), .. }) = slot.connection.take().as_deref() {
                self.pool.remove(key, *id);
            }
            slot.generation += 1;
            if let Some(armed) = slot.armed.take() {
                self.timers.remove(&(armed, index));
            }
        }
    }

    /// Count what came of the handshake, and of requests
    fn account(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(connection) = &mut slot.connection else { return };
        if slot.handshaking && !connection.quic.is_handshaking() {
            slot.handshaking = false;
            self.handshaking -= 1;
        }
        match connection.handshake_result() {
            Some(true) => self.totals.connections_established += 1,
            Some(false) => self.totals.handshakes_failed += 1,
            None => {}
        }
        self.totals.sessions_rejected += connection.take_rejected();
    }

    /// Take over a connection's events
    fn collect(&mut self, index: u32) {
        let Some(connection) = self.slots.get_mut(index as usize).and_then(|slot| slot.connection.as_deref_mut()) else { return };
        if connection.events.capacity() == 0 {
            return; // as after most calls
        }
        let mut events = std::mem::take(&mut connection.events);
        for event in &events {
            match event {
                Event::SessionEstablished { connect, .. } => {
                    self.attempts.remove(connect);
                    self.totals.sessions_accepted += 1;
                }
                Event::ConnectFailed { connect, error } => {
                    self.attempts.remove(connect);
                    self.totals.sessions_rejected += u64::from(matches!(error, ConnectError::Rejected(_)));
                }
                Event::ConnectionGone { .. } => self.live -= 1,
                _ => {}
            }
        }
        self.events.append(&mut events);
        self.spare = events;
    }

    /// Something happened to a connection
    fn unsettle(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.connection.is_some()
            && !std::mem::replace(&mut slot.unsettled, true)
        {
            self.unsettled.push(index);
        }
    }

    /// A connection may have something to send
    fn touch(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.connection.is_some()
            && !std::mem::replace(&mut slot.dirty, true)
        {
            self.dirty.push_back(index);
        }
    }

    fn arm(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let Some(deadline) = slot.connection.as_mut().and_then(|connection| connection.poll_timeout()) else { return };
        if slot.armed.is_none_or(|armed| deadline < armed) {
            if let Some(armed) = slot.armed.replace(deadline) {
                self.timers.remove(&(armed, index));
            }
            self.timers.insert((deadline, index));
        }
    }
}

fn index(handle: ConnectionHandle) -> u32 {
    u32::try_from(handle.0).unwrap_or(u32::MAX)
}
