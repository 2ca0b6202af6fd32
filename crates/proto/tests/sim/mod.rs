//! Two endpoints, a network between them that misbehaves by seed, and a clock that jumps from event to event.

#![allow(dead_code, unreachable_pub)] // each test file uses its own part
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)] // helpers of tests, and so tests themselves

pub mod raw;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use webtransport_proto::tls::{ClientTls, ServerTls, Verification, fingerprint, generate_self_signed};
use webtransport_proto::{
    Config, ConnectId, Dir, EcnCodepoint, Endpoint, Event, Read, Response, SessionError, SessionId, StreamId, Target, Transmit,
};

/// Virtual time in which every test must come to its end
const PATIENCE: Duration = Duration::from_secs(300);

/// What the network does to datagrams; every choice follows from `seed`
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub seed: u64,
    pub latency: Duration,
    /// Datagrams of a thousand that vanish
    pub loss: u64,
    /// The same on the way to the client, where that differs
    pub loss_to_client: Option<u64>,
    /// Datagrams of a thousand that arrive up to three latencies late
    pub reorder: u64,
    /// Datagrams of a thousand that arrive twice
    pub duplicate: u64,
    /// Datagrams of a thousand that arrive with a byte changed
    pub corrupt: u64,
    /// Longer datagrams vanish
    pub mtu: usize,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            seed: 1,
            latency: Duration::from_millis(10),
            loss: 0,
            loss_to_client: None,
            reorder: 0,
            duplicate: 0,
            corrupt: 0,
            mtu: 1500,
        }
    }
}

/// What stands at an end of the link
pub trait Node {
    fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, ecn: Option<EcnCodepoint>, data: BytesMut);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&mut self) -> Option<Instant>;
    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit>;
}

impl Node for Endpoint {
    fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, ecn: Option<EcnCodepoint>, data: BytesMut) {
        self.handle_datagram(now, remote, None, ecn, data);
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.poll_timeout()
    }
    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.poll_transmit(now, 8, buf)
    }
}

/// Datagrams on their way, the earliest first
type Flight = BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>;

pub struct Sim<C: Node, S: Node> {
    pub client: C,
    pub server: S,
    pub now: Instant,
    pub net: Net,
    /// Nothing gets through, either way
    pub blackhole: bool,
    /// Where the server sees the client; what is sent elsewhere is astray
    pub client_address: SocketAddr,
    /// Where the client sees the server
    pub server_address: SocketAddr,
    /// What went astray, if somebody wants it
    pub strays: Option<Vec<Vec<u8>>>,
    /// Datagrams that left, either way
    pub transmits: u64,
    rng: u64,
    sent: u64,
    to_client: Flight,
    to_server: Flight,
}

pub fn client_address() -> SocketAddr {
    ([192, 0, 2, 1], 1000).into()
}

pub fn server_address() -> SocketAddr {
    ([192, 0, 2, 2], 4433).into()
}

impl<C: Node, S: Node> Sim<C, S> {
    pub fn new(client: C, server: S, net: Net) -> Self {
        Self {
            client,
            server,
            now: epoch(),
            net,
            blackhole: false,
            client_address: client_address(),
            server_address: server_address(),
            strays: None,
            transmits: 0,
            rng: net.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            sent: 0,
            to_client: Flight::new(),
            to_server: Flight::new(),
        }
    }

    /// SplitMix64
    fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.rng;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn happens(&mut self, per_mille: u64) -> bool {
        self.random() % 1000 < per_mille
    }

    fn travel(&mut self, to_server: bool, data: &[u8]) {
        self.transmits += 1;
        let loss = if to_server { self.net.loss } else { self.net.loss_to_client.unwrap_or(self.net.loss) };
        if self.blackhole || data.len() > self.net.mtu || self.happens(loss) {
            return;
        }
        let copies = 1 + u64::from(self.happens(self.net.duplicate));
        for _ in 0..copies {
            let mut data = data.to_vec();
            if self.net.corrupt > 0 && self.happens(self.net.corrupt) {
                let at = self.random() as usize % data.len();
                data[at] ^= 1 << (self.random() % 8);
            }
            let mut arrival = self.now + self.net.latency;
            if self.happens(self.net.reorder) {
                arrival += self.net.latency * (self.random() % 300) as u32 / 100;
            }
            self.sent += 1;
            let flight = if to_server { &mut self.to_server } else { &mut self.to_client };
            flight.push(Reverse((arrival, self.sent, data)));
        }
    }

    /// A NAT between the two forgets the client, and gives it another address
    pub fn rebind(&mut self) {
        self.client_address.set_port(self.client_address.port() + 1);
    }

    /// Let everything that wants to leave leave
    pub fn flush(&mut self) {
        for from_client in [true, false] {
            let mut buf = Vec::new();
            loop {
                buf.clear();
                let transmit = if from_client {
                    self.client.poll_transmit(self.now, &mut buf)
                } else {
                    self.server.poll_transmit(self.now, &mut buf)
                };
                let Some(transmit) = transmit else { break };
                let size = transmit.segment_size.unwrap_or(transmit.size).max(1);
                if !from_client && transmit.destination != self.client_address {
                    if let Some(strays) = &mut self.strays {
                        strays.extend(buf[..transmit.size].chunks(size).map(<[u8]>::to_vec));
                    }
                    continue;
                }
                for segment in buf[..transmit.size].chunks(size) {
                    self.travel(from_client, segment);
                }
            }
        }
    }

    /// Jump to the next instant at which something happens, and let it; false if nothing ever will
    pub fn step(&mut self) -> bool {
        self.flush();
        let arrivals = [self.to_client.peek(), self.to_server.peek()].map(|first| first.map(|Reverse((at, ..))| *at));
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        let Some(next) = arrivals.into_iter().chain(timers).flatten().min() else { return false };
        self.now = self.now.max(next);
        while let Some(Reverse((_, _, data))) = pop_due(&mut self.to_client, self.now) {
            self.client.handle_datagram(self.now, self.server_address, None, BytesMut::from(&data[..]));
        }
        while let Some(Reverse((_, _, data))) = pop_due(&mut self.to_server, self.now) {
            self.server.handle_datagram(self.now, self.client_address, None, BytesMut::from(&data[..]));
        }
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
        }
        if self.server.poll_timeout().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
        }
        self.flush();
        true
    }

    /// Let this much virtual time pass
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.flush();
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// When something happens next
    pub fn next_at(&mut self) -> Option<Instant> {
        let arrivals = [self.to_client.peek(), self.to_server.peek()].map(|first| first.map(|Reverse((at, ..))| *at));
        let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
        arrivals.into_iter().chain(timers).flatten().min()
    }

    /// Step until `look` finds what it looks for
    ///
    /// # Panics
    /// It never does, within the patience that a test has.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = self.now;
        self.flush();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(self.now - start < PATIENCE, "{what}: did not happen in time (seed {})", self.net.seed);
            assert!(self.step(), "{what}: cannot happen any more (seed {})", self.net.seed);
        }
    }
}

fn pop_due(flight: &mut Flight, now: Instant) -> Option<Reverse<(Instant, u64, Vec<u8>)>> {
    flight.peek().is_some_and(|Reverse((at, ..))| *at <= now).then(|| flight.pop()).flatten()
}

/// One arbitrary instant at which all simulations begin
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    #[allow(clippy::disallowed_methods)] // the only look at a clock: an `Instant` cannot be made otherwise
    *EPOCH.get_or_init(Instant::now)
}

/// A certificate for every simulation
pub fn identity() -> &'static (Vec<u8>, Vec<u8>) {
    static IDENTITY: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        #[allow(clippy::disallowed_methods)] // rustls looks at the clock, to see whether certificates are valid
        generate_self_signed(&["localhost".to_owned()], SystemTime::now()).unwrap()
    })
}

pub fn server_endpoint(config: Config) -> Endpoint {
    let (certificate, key) = identity().clone();
    Endpoint::server(config, ServerTls::new(vec![certificate], &key).unwrap()).unwrap()
}

pub fn client_endpoint(config: Config) -> Endpoint {
    let hash = fingerprint(&identity().0);
    Endpoint::client(config, ClientTls::new(Verification::Pinned(vec![hash])).unwrap()).unwrap()
}

pub fn seeded(config: &Config, seed: u64) -> Config {
    let mut rng_seed = [0; 32];
    rng_seed[..8].copy_from_slice(&seed.to_le_bytes());
    Config { rng_seed: Some(rng_seed), ..config.clone() }
}

pub fn target(path: &str) -> Target {
    Target {
        remote: server_address(),
        server_name: "localhost".into(),
        authority: "localhost:4433".into(),
        path: path.into(),
        headers: vec![],
        subprotocols: vec![],
        pool: false,
        require_subprotocol: false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Server,
}

/// Two of our endpoints, and the events that nobody has asked for yet
pub struct Pair {
    pub sim: Sim<Endpoint, Endpoint>,
    client_events: VecDeque<Event>,
    server_events: VecDeque<Event>,
    connects: u64,
}

impl Pair {
    pub fn new(net: Net) -> Self {
        Self::with(net, Config::default(), Config::default())
    }

    pub fn with(net: Net, client: Config, server: Config) -> Self {
        let sim =
            Sim::new(client_endpoint(seeded(&client, net.seed)), server_endpoint(seeded(&server, net.seed.wrapping_add(1))), net);
        Self { sim, client_events: VecDeque::new(), server_events: VecDeque::new(), connects: 0 }
    }

    pub fn now(&self) -> Instant {
        self.sim.now
    }

    pub fn endpoint(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Client => &mut self.sim.client,
            Side::Server => &mut self.sim.server,
        }
    }

    fn take_event<T>(&mut self, side: Side, want: &mut impl FnMut(&Event) -> Option<T>) -> Option<T> {
        while let Some(event) = self.sim.client.poll_event() {
            self.client_events.push_back(event);
        }
        while let Some(event) = self.sim.server.poll_event() {
            self.server_events.push_back(event);
        }
        let events = match side {
            Side::Client => &mut self.client_events,
            Side::Server => &mut self.server_events,
        };
        let (at, found) = events.iter().enumerate().find_map(|(at, event)| want(event).map(|found| (at, found)))?;
        events.remove(at);
        Some(found)
    }

    /// Wait for an event; others stay for whoever waits for them
    ///
    /// # Panics
    /// It does not come.
    pub fn event<T>(&mut self, side: Side, what: &str, mut want: impl FnMut(&Event) -> Option<T>) -> T {
        let start = self.sim.now;
        self.sim.flush();
        loop {
            if let Some(found) = self.take_event(side, &mut want) {
                return found;
            }
            let seed = self.sim.net.seed;
            assert!(self.sim.now - start < PATIENCE, "{side:?}: {what}: did not happen in time (seed {seed})");
            if !self.sim.step() {
                let events = (&self.client_events, &self.server_events);
                panic!("{side:?}: {what}: cannot happen any more (seed {seed}): {events:?}");
            }
        }
    }

    /// Whether such an event has come by now
    pub fn has_event(&mut self, side: Side, mut want: impl FnMut(&Event) -> bool) -> bool {
        self.take_event(side, &mut |event| want(event).then_some(())).is_some()
    }

    pub fn ask(&mut self, path: &str) -> ConnectId {
        self.connects += 1;
        let connect = ConnectId(self.connects);
        let now = self.now();
        let target = Target { remote: self.sim.server_address, ..target(path) };
        self.sim.client.connect(now, connect, target);
        connect
    }

    /// Connect, and accept: the session as client and server call it
    pub fn connect(&mut self) -> (SessionId, SessionId) {
        self.ask("/");
        let server = self.event(Side::Server, "request", |event| match event {
            Event::SessionRequested { session, .. } => Some(*session),
            _ => None,
        });
        let now = self.now();
        assert!(self.sim.server.accept_session(now, server, &Response::new(200)));
        let client = self.event(Side::Client, "established", |event| match event {
            Event::SessionEstablished { session, .. } => Some(*session),
            _ => None,
        });
        (client, server)
    }

    pub fn open(&mut self, side: Side, session: SessionId, dir: Dir) -> StreamId {
        let now = self.now();
        self.endpoint(side).open_stream(now, session, dir).expect("stream credit")
    }

    /// The next stream that the peer opened
    pub fn accept(&mut self, side: Side) -> StreamId {
        self.event(side, "stream", |event| match event {
            Event::StreamOpened { stream, .. } => Some(*stream),
            _ => None,
        })
    }

    pub fn write(&mut self, side: Side, stream: StreamId, data: &[u8]) {
        self.endpoint(side).write(stream, data.to_vec().into());
    }

    pub fn finish(&mut self, side: Side, stream: StreamId) {
        self.endpoint(side).finish(stream);
    }

    pub fn read_now(&mut self, side: Side, stream: StreamId) -> Read {
        let now = self.now();
        self.endpoint(side).read(now, stream, usize::MAX)
    }

    /// All bytes up to the end, and what the end was
    pub fn read(&mut self, side: Side, stream: StreamId) -> (Vec<u8>, Read) {
        let mut data = Vec::new();
        let start = self.sim.now;
        loop {
            match self.read_now(side, stream) {
                Read::Chunk(chunk) => data.extend_from_slice(&chunk),
                Read::Blocked => {
                    assert!(self.sim.now - start < PATIENCE, "read: no end in time (seed {})", self.sim.net.seed);
                    assert!(self.sim.step(), "read: no end (seed {})", self.sim.net.seed);
                }
                end => return (data, end),
            }
        }
    }

    pub fn close(&mut self, side: Side, session: SessionId, code: u32, reason: &str) {
        let now = self.now();
        self.endpoint(side).close_session(now, session, code, reason);
    }

    pub fn closed(&mut self, side: Side) -> SessionError {
        self.event(side, "session closed", |event| match event {
            Event::SessionClosed { error, .. } => Some(error.clone()),
            _ => None,
        })
    }
}
