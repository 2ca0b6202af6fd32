//! Any network, any calls: from a seed follow a network and what two applications do, and whatever happens is checked
//! against a model of a session.
//!
//! `SEED=n` runs one seed and tells what happens, `SCENARIOS=n` runs so many, from `SEED` on if there is one.

mod model;
mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, Instant};

use model::{End, Key, Model, SIDES, content, endpoint, other};
use sim::{Net, Side, Sim, client_endpoint, seeded, server_endpoint, target};
use webtransport_proto::{Config, ConnectId, Dir, Endpoint, Event, Read, Response, Retry, SessionId, Target};

/// Virtual time in which everything that is owed must be paid
const PATIENCE: Duration = Duration::from_secs(7200);

struct Random(u64);

impl Random {
    /// SplitMix64
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len() as u64) as usize])
    }

    fn side(&mut self) -> Side {
        SIDES[self.below(2) as usize]
    }

    /// Small ones, and now and then any
    fn code(&mut self) -> u32 {
        if self.chance(50) { self.below(300) as u32 } else { self.next() as u32 }
    }
}

fn network(random: &mut Random, seed: u64) -> Net {
    let mut some = |percent, max| if random.chance(percent) { random.below(max) } else { 0 };
    let mut net = Net {
        seed,
        loss: some(60, 200),
        reorder: some(50, 400),
        duplicate: some(30, 200),
        corrupt: some(30, 50),
        latency: Duration::from_micros(200 + some(90, 100_000)),
        ..Net::default()
    };
    net.loss_to_client = random.chance(20).then(|| random.below(200));
    net.mtu = [1200, 1280, 1500][random.below(3) as usize];
    net
}

/// An impatient endpoint gives up long before the network can be blamed
fn config(random: &mut Random, impatient: bool) -> Config {
    let mut seconds = |short: u64, long: u64| Duration::from_secs(if impatient { 1 + random.below(short) } else { long });
    let base = Config {
        // A handshake that loses one flight after the other doubles its probe time-out to many minutes (RFC 9002 §6.2.1)
        max_idle_timeout: Some(seconds(10, 3600)),
        pending_timeout: seconds(5, 3600),
        request_timeout: seconds(5, 3600),
        close_timeout: seconds(3, 3600),
        idle_connection_timeout: seconds(5, 3600),
        ..Config::default()
    };
    Config {
        stream_receive_window: if random.chance(30) { 2000 + random.below(20_000) } else { base.stream_receive_window },
        receive_window: if random.chance(20) { 30_000 + random.below(100_000) } else { base.receive_window },
        max_concurrent_streams: if random.chance(30) { 1 + random.below(5) as u32 } else { 128 },
        flow_control: random.chance(80),
        session_receive_window: if random.chance(30) { 3000 + random.below(30_000) as u32 } else { base.session_receive_window },
        retry: if random.chance(20) { Retry::Always } else { base.retry },
        max_pending_streams: if impatient { 2 } else { 1000 },
        keep_alive_interval: random.chance(60).then_some(Duration::from_secs(1)),
        ..base
    }
}

struct Scenario {
    sim: Sim<Endpoint, Endpoint>,
    model: Model,
    random: Random,
    /// Streams with something to read, and those whose reader takes its time
    readable: [BTreeSet<Key>; 2],
    lazy: [BTreeSet<Key>; 2],
    /// Requests that wait for an answer
    requests: BTreeMap<u64, SessionId>,
    /// Every request is answered at once, and every byte is read
    hurry: bool,
    /// The client's address may change
    rebinds: bool,
    /// Sessions share a connection where both sides permit it
    pool: bool,
    talk: bool,
    datagrams: u64,
}

impl Scenario {
    fn new(seed: u64, impatient: bool, talk: bool) -> Self {
        let mut random = Random(seed ^ u64::from(impatient) << 63);
        let mut net = network(&mut random, seed);
        let [client, server] = [0, 1].map(|_| config(&mut random, impatient));
        if server.retry == Retry::Always {
            net.corrupt = 0; // quinn's client takes a Retry that was corrupted for the only one that it may follow
        }
        // Behind a NAT that forgets a client which is silent, nobody can reach it; and an address that was proved must stay
        let rebinds = impatient || client.keep_alive_interval.is_some() && server.retry != Retry::Always;
        let pool = random.chance(40);
        if talk {
            println!("pool: {pool}, {net:?}\nclient {client:?}\nserver {server:?}");
        }
        Self {
            sim: Sim::new(client_endpoint(seeded(&client, seed)), server_endpoint(seeded(&server, !seed)), net),
            model: Model::new(impatient, net.corrupt > 0),
            random,
            readable: Default::default(),
            lazy: Default::default(),
            requests: BTreeMap::new(),
            hurry: false,
            rebinds,
            pool,
            talk,
            datagrams: 0,
        }
    }

    fn say(&self, side: Side, what: &dyn Debug) {
        if self.talk {
            println!("{:>12.3?} {side:?}: {what:?}", self.sim.now - sim::epoch());
        }
    }

    fn at(&mut self, side: Side) -> (Instant, &mut Endpoint) {
        (self.sim.now, endpoint(&mut self.sim, side))
    }

    // ---- what comes ----

    fn pump(&mut self) {
        for side in SIDES {
            while let Some(event) = self.at(side).1.poll_event() {
                self.say(side, &event);
                self.event(side, &event);
            }
        }
        for side in SIDES {
            let ready: Vec<_> = self.readable[side as usize].iter().copied().collect();
            for key in ready {
                if self.hurry || !self.lazy[side as usize].contains(&key) {
                    self.read(side, key, u64::MAX);
                }
            }
        }
    }

    fn event(&mut self, side: Side, event: &Event) {
        if let Event::SessionRequested { session, request, .. } = event {
            let number = self.model.requested(*session, &request.path);
            self.requests.insert(number, *session);
            if self.hurry || self.random.chance(80) {
                self.answer(number);
            }
            return;
        }
        if let Some(key) = self.model.check(side, event) {
            self.readable[side as usize].insert(key);
            if matches!(event, Event::StreamOpened { .. }) && self.random.chance(20) {
                self.lazy[side as usize].insert(key);
            }
        }
        if let Event::SessionClosed { session, .. } = event {
            // What the peer had finished is to be read now
            let over = |key: &Key| self.model.sessions[&key.0].ids[side as usize] == Some(*session);
            let keys: Vec<_> = self.model.streams.keys().copied().filter(over).collect();
            for key in keys {
                self.read(side, key, u64::MAX);
            }
        }
    }

    fn answer(&mut self, number: u64) {
        let Some(id) = self.requests.remove(&number) else { return };
        let session = self.model.sessions.get_mut(&number).expect("asked for");
        let now = self.sim.now;
        if self.random.chance(90) {
            session.open[1] = self.sim.server.accept_session(now, id, &Response::new(200));
        } else {
            let response = Response::new(400 + self.random.below(100) as u16);
            if self.sim.server.reject_session(now, id, &response) {
                session.rejected = Some(response.status);
            }
        }
        self.say(Side::Server, &format!("answer {number}: {:?}", self.model.sessions[&number]));
    }

    fn read(&mut self, side: Side, key: Key, mut budget: u64) {
        let stream = &self.model.streams[&key];
        let Some(id) = stream.ids[side as usize].filter(|_| stream.sends(other(side))) else { return };
        while budget > 0 {
            let max = if self.random.chance(80) { usize::MAX } else { 1 + self.random.below(3000) as usize };
            let (now, endpoint) = self.at(side);
            let read = endpoint.read(now, id, max);
            if let Read::Chunk(chunk) = &read {
                assert!(chunk.len() <= max);
                budget = budget.saturating_sub(chunk.len() as u64);
            } else {
                self.say(side, &format!("{key:?} {read:?}"));
            }
            if !self.model.check_read(side, key, &read) {
                self.readable[side as usize].remove(&key);
                return;
            }
        }
    }

    // ---- what is done ----

    fn connect(&mut self) {
        let (number, pool) = (self.model.sessions.len() as u64, self.pool);
        self.model.sessions.insert(number, model::Session::default());
        let (now, client) = self.at(Side::Client);
        let target = Target { pool, ..target(&format!("/{number}")) };
        client.connect(now, ConnectId(number), target);
    }

    /// A session that is open on this side
    fn session(&mut self, side: Side) -> Option<(u64, SessionId)> {
        let open = self.model.sessions.iter().filter(|(_, session)| session.open[side as usize]);
        let open: Vec<_> = open.filter_map(|(&number, session)| Some((number, session.ids[side as usize]?))).collect();
        self.random.pick(&open)
    }

    /// A stream that this side knows, of a session that is open there
    fn stream(&mut self, side: Side, want: impl Fn(&model::Stream) -> bool) -> Option<(Key, webtransport_proto::StreamId)> {
        let known = self.model.streams.iter().filter(|(key, stream)| {
            self.model.sessions[&key.0].open[side as usize] && stream.ids[side as usize].is_some() && want(stream)
        });
        let known: Vec<_> = known.filter_map(|(&key, stream)| Some((key, stream.ids[side as usize]?))).collect();
        self.random.pick(&known)
    }

    fn open(&mut self, side: Side) -> Option<Key> {
        let (number, session) = self.session(side)?;
        let dir = if self.random.chance(50) { Dir::Bi } else { Dir::Uni };
        let (now, endpoint) = self.at(side);
        let id = endpoint.open_stream(now, session, dir)?;
        let key = self.model.opened(side, number, id);
        self.say(side, &format!("open {key:?}"));
        Some(key)
    }

    fn write(&mut self, side: Side, key: Key) {
        let len = if self.random.chance(70) { self.random.below(2000) } else { self.random.below(30_000) } as usize;
        let half = self.model.half(key, side);
        let data: Vec<u8> = (half.written..half.written + len).map(|at| content(key, side, at)).collect();
        half.written += len;
        self.say(side, &format!("write {key:?} {len}"));
        let id = self.model.streams[&key].ids[side as usize].expect("known");
        self.at(side).1.write(id, data.into());
    }

    fn finish(&mut self, side: Side, key: Key) {
        self.model.half(key, side).finished = true;
        self.say(side, &format!("finish {key:?}"));
        let id = self.model.streams[&key].ids[side as usize].expect("known");
        self.at(side).1.finish(id);
    }

    /// Something that one of the two applications might do
    fn act(&mut self) {
        let side = self.random.side();
        match self.random.below(100) {
            0..15 => drop(self.open(side)),
            15..40 => {
                if let Some((key, _)) = self.stream(side, |stream| stream.sends(side) && stream.halves[side as usize].may_write()) {
                    self.write(side, key);
                }
            }
            40..52 => {
                if let Some((key, _)) = self.stream(side, |stream| stream.sends(side) && stream.halves[side as usize].may_write()) {
                    self.finish(side, key);
                }
            }
            52..58 => {
                let sending = |stream: &model::Stream| {
                    let half = &stream.halves[side as usize];
                    stream.sends(side) && half.reset.is_none() && !half.acknowledged
                };
                if let Some((key, id)) = self.stream(side, sending) {
                    let code = self.random.code();
                    self.say(side, &format!("reset {key:?} {code}"));
                    self.model.half(key, side).reset = Some(code);
                    let (now, endpoint) = self.at(side);
                    endpoint.reset(now, id, code);
                }
            }
            58..64 => {
                let receiving = |stream: &model::Stream| {
                    let half = &stream.halves[other(side) as usize];
                    stream.sends(other(side)) && half.stopped.is_none() && half.end.is_none()
                };
                if let Some((key, id)) = self.stream(side, receiving) {
                    let code = self.random.code();
                    self.say(side, &format!("stop {key:?} {code}"));
                    self.model.half(key, other(side)).stopped = Some(code);
                    self.at(side).1.stop(id, code);
                }
            }
            64..74 => self.datagram(side),
            74..82 => {
                let lazy: Vec<_> = self.lazy[side as usize].iter().copied().collect();
                if let Some(key) = self.random.pick(&lazy) {
                    let budget = 1 + self.random.below(5000);
                    self.read(side, key, budget);
                }
            }
            82..86 => {
                if let Some((_, id)) = self.stream(side, |stream| stream.sends(side)) {
                    let (group, order) = (self.random.below(3) as u32, self.random.next() as i64);
                    self.at(side).1.set_send_order(id, group, order);
                }
            }
            86..89 => {
                if let Some((number, id)) = self.session(side) {
                    self.say(side, &format!("drain {number}"));
                    self.model.sessions.get_mut(&number).expect("open").asked_to_drain[side as usize] = true;
                    let (now, endpoint) = self.at(side);
                    endpoint.drain_session(now, id);
                }
            }
            89..91 => self.connect(),
            91..93 => self.cancel(),
            93..95 => {
                if let Some(number) = self.requests.keys().next().copied() {
                    self.answer(number);
                }
            }
            95 => {
                if self.random.chance(20) {
                    self.say(Side::Server, &"drain the endpoint");
                    self.model.drained = true;
                    let (now, server) = self.at(Side::Server);
                    server.drain(now);
                }
            }
            96..98 => {
                if let Some((number, id)) = self.session(side) {
                    self.close(side, number, id);
                }
            }
            _ => self.disturb(),
        }
        self.pump();
    }

    fn datagram(&mut self, side: Side) {
        let Some((number, session)) = self.session(side) else { return };
        self.datagrams += 1;
        let mut payload = self.datagrams.to_be_bytes().to_vec();
        payload.resize(8 + self.random.below(1000) as usize, side as u8);
        let (_, endpoint) = self.at(side);
        if endpoint.datagram_room(session) > 0 && endpoint.send_datagram(session, &payload).is_ok() {
            self.model.sessions.get_mut(&number).expect("open").datagrams[side as usize].insert(payload);
        }
    }

    fn cancel(&mut self) {
        let asking = |session: &model::Session| session.ids[0].is_none() && !session.failed && !session.cancelled;
        let asking: Vec<_> = self.model.sessions.iter().filter(|(_, session)| asking(session)).map(|(&n, _)| n).collect();
        if let Some(number) = self.random.pick(&asking) {
            self.say(Side::Client, &format!("cancel {number}"));
            self.model.sessions.get_mut(&number).expect("asked for").cancelled = true;
            let (now, client) = self.at(Side::Client);
            client.cancel_connect(now, ConnectId(number));
        }
    }

    fn close(&mut self, side: Side, number: u64, id: SessionId) {
        let code = self.random.code();
        let reason = "Grund ".repeat(self.random.below(4) as usize);
        self.say(side, &format!("close {number} {code} {reason:?}"));
        self.model.sessions.get_mut(&number).expect("open").closed[side as usize] = Some((code, reason.clone()));
        let (now, endpoint) = self.at(side);
        endpoint.close_session(now, id, code, &reason);
    }

    fn disturb(&mut self) {
        let what = self.random.below(3);
        self.say(Side::Client, &["another address", "another loss rate", "blackhole"][what as usize]);
        match what {
            0 if self.rebinds => self.sim.rebind(),
            0 => {}
            1 => self.sim.net.loss = self.random.below(200),
            _ => {
                self.sim.blackhole = true;
                let longest = if self.model.impatient { 15_000 } else { 3_000 };
                let time = Duration::from_millis(self.random.below(longest));
                self.pass(time);
                self.sim.blackhole = false;
            }
        }
    }

    // ---- time ----

    fn pass(&mut self, time: Duration) {
        let end = self.sim.now + time;
        self.sim.flush();
        self.pump();
        while self.sim.next_at().is_some_and(|at| at <= end) {
            self.sim.step();
            self.pump();
        }
        self.sim.now = end;
    }

    fn until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        let start = self.sim.now;
        self.sim.flush();
        self.pump();
        while !done(self) {
            let debts = self.model.debts();
            let about: Vec<_> = debts.iter().map(|(key, side)| (key, side, &self.model.streams[key])).collect();
            assert!(self.sim.now - start < PATIENCE, "{what}: not in time: {about:?}, {:?}", self.model.sessions);
            assert!(self.sim.step(), "{what}: cannot happen any more: {about:?}");
            self.pump();
        }
    }

    // ---- the whole ----

    fn run(mut self) {
        for _ in 0..1 + self.random.below(3) {
            self.connect();
        }
        if !self.model.impatient && self.random.chance(80) {
            self.until("a session", |scenario| {
                scenario.model.sessions.values().all(|s| s.failed || s.is_open()) || !scenario.requests.is_empty()
            });
        }
        for _ in 0..self.random.below(60) {
            self.act();
            let time = match self.random.below(10) {
                0..4 => 0,
                4..9 => self.random.below(100_000),
                _ => self.random.below(2_000_000),
            };
            self.pass(Duration::from_micros(time));
        }
        self.settle();
        self.end();
    }

    /// Whatever is owed on the sessions that go on is paid
    fn settle(&mut self) {
        self.hurry = true;
        for number in self.requests.keys().copied().collect::<Vec<_>>() {
            self.answer(number);
        }
        for side in SIDES {
            let keys = self.lazy[side as usize].clone();
            for key in keys {
                self.readable[side as usize].insert(key);
            }
        }
        if !self.model.impatient {
            self.until("what is owed", |scenario| scenario.model.debts().is_empty());
        }
    }

    /// Everything ends, by either side and in either way, and nothing is left
    fn end(&mut self) {
        // Finished a moment before the close, and delivered all the same
        let mut last = Vec::new();
        for _ in 0..self.random.below(4) {
            let side = self.random.side();
            if let Some(key) = self.open(side) {
                self.write(side, key);
                self.finish(side, key);
                last.push((key, side));
            }
        }
        let gentle = self.random.chance(70);
        if gentle {
            let open: Vec<_> =
                self.model.sessions.iter().filter(|(_, s)| s.open.contains(&true)).map(|(&n, s)| (n, s.ids)).collect();
            for (number, ids) in open {
                let first = self.random.side();
                let both = self.random.chance(20);
                for side in [first, other(first)] {
                    // A session that only one side has yet is closed by that side
                    let alone = ids[other(side) as usize].is_none();
                    let open = self.model.sessions[&number].open[side as usize];
                    if let Some(id) = ids[side as usize].filter(|_| open && (side == first || both || alone)) {
                        self.close(side, number, id);
                    }
                }
            }
            self.pump();
            self.until("the sessions' end", |scenario| {
                let over = |s: &model::Session| s.closed == [None, None] || s.cancelled || s.gone == [true; 2];
                scenario.model.sessions.values().all(over) || scenario.model.impatient
            });
            if !self.model.impatient {
                self.check_last(&last);
            }
        }
        let first = self.random.side();
        for side in [first, other(first)] {
            if gentle || side == first || self.random.chance(50) {
                self.close_endpoint(side);
            }
        }
        self.hurry = true;
        self.until("nothing", |scenario| scenario.sim.client.connections() + scenario.sim.server.connections() == 0);
        for side in SIDES {
            self.close_endpoint(side);
        }
        while self.sim.step() {
            self.pump();
        }
        for (number, session) in &self.model.sessions {
            for side in SIDES {
                let known = session.ids[side as usize].is_some() && session.rejected.is_none();
                let told = session.ended[side as usize].is_some() && session.gone[side as usize];
                assert!(told || !known, "{side:?} was not told of the end of session {number}: {session:?}");
            }
        }
    }

    /// What a side finished before it closed is there, unless the other side closed as well
    fn check_last(&mut self, last: &[(Key, Side)]) {
        for &(key, side) in last {
            let session = &self.model.sessions[&key.0];
            let by_us_alone = session.closed[side as usize].is_some() && session.closed[other(side) as usize].is_none();
            let heard = by_us_alone && !session.cancelled;
            let half = self.model.half(key, side);
            if heard {
                assert_eq!(half.end, Some(End::Finished), "{side:?} finished {key:?} before it closed: {half:?}");
            }
        }
    }

    fn close_endpoint(&mut self, side: Side) {
        if self.model.endpoint_closed[side as usize].is_none() {
            let code = u64::from(self.random.code());
            self.say(side, &format!("close the endpoint: {code}"));
            self.model.endpoint_closed[side as usize] = Some((code, "gone".into()));
            let (now, endpoint) = self.at(side);
            endpoint.close(now, code, b"gone");
        }
        self.pump();
    }
}

/// Tells how to see it again
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("again: SEED={} cargo test -p webtransport-proto --test scenarios {name} -- --nocapture", self.0);
        }
    }
}

fn run(count: u64, impatient: bool) {
    let variable = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (first, scenarios) = (variable("SEED"), variable("SCENARIOS"));
    if let (Some(seed), None) = (first, scenarios) {
        return Scenario::new(seed, impatient, true).run();
    }
    let first = first.unwrap_or(0);
    for seed in first..first + scenarios.unwrap_or(count) {
        let _replay = Replay(seed);
        Scenario::new(seed, impatient, false).run();
    }
}

#[test]
fn every_promise_is_kept_where_time_is_no_matter() {
    run(1000, false);
}

#[test]
fn whatever_is_told_is_true_where_time_is_short() {
    run(1000, true);
}

/// A server that hears a client at an address of its own twice, at the smallest congestion window, sent nothing any more
#[test]
fn what_went_wrong_once_goes_well() {
    let _replay = Replay(38_713);
    Scenario::new(38_713, false, false).run();
}
