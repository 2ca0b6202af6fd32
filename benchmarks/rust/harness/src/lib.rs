//! The scenarios of `benchmarks/scenarios.py` for Rust programs, which speak the JSON lines that `benchmarks/worker.py` describes.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::missing_errors_doc)] // a benchmark that fails says so by ending

mod usage;

use std::io::{BufRead as _, stdin};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use serde_json::{Value, json};

use self::usage::usage;

pub const PIECE: usize = 64 << 10;
pub const SMALL: usize = 64;
/// Time without a datagram, after which none is expected any more
pub const QUIET: Duration = Duration::from_millis(200);
/// The share of the time that is measured to warm up
const WARM_UP: f64 = 0.4;

/// A client, which has one session at a time; every call blocks until it is done
pub trait Client {
    fn connect(&mut self, path: &str);
    fn upload(&mut self, size: usize, piece: usize, streams: usize);
    fn download(&mut self, size: usize);
    /// Open the stream of `ping_pong`
    fn open(&mut self);
    fn ping_pong(&mut self);
    fn rpc(&mut self);
    /// As many calls as fit into the time, so many at once
    fn rpc_many(&mut self, in_flight: usize, time: Duration) -> usize;
    fn send_datagrams(&mut self, payload: &[u8], count: usize);
    /// Whether one came within `QUIET`
    fn receive_datagram(&mut self) -> bool;
    /// What the server has counted
    fn how_many(&mut self) -> Value;
    /// Datagrams that this side has dropped
    fn dropped(&self) -> u64;
    /// Datagrams in the packets that left
    fn left(&self) -> u64;
}

/// The program's command line, as the driver writes it
pub struct Arguments {
    /// Where the server listens
    pub address: SocketAddr,
    /// The largest UDP payload, where the program can be told
    pub payload: u16,
    pub role: Role,
}

pub enum Role {
    Serve { certificate: PathBuf, key: PathBuf },
    Client,
}

impl Arguments {
    pub fn parse() -> Self {
        let (mut address, mut payload) = (IpAddr::V4(Ipv4Addr::LOCALHOST), 1452);
        let mut arguments = env::args().skip(1);
        let mut next =
            || arguments.next().unwrap_or_else(|| panic!("usage: [--address IP] [--payload BYTES] serve CERT KEY | client PORT"));
        loop {
            match next().as_str() {
                "--address" => address = next().parse().unwrap(),
                "--payload" => payload = next().parse().unwrap(),
                "serve" => {
                    let role = Role::Serve { certificate: next().into(), key: next().into() };
                    return Self { address: (address, 0).into(), payload, role };
                }
                "client" => return Self { address: (address, next().parse().unwrap()).into(), payload, role: Role::Client },
                other => panic!("unknown argument: {other}"),
            }
        }
    }
}

/// Tell the driver where the server is, and from now on what it uses
pub fn serving(port: u16) {
    println!("{}", json!({ "port": port }));
    thread::spawn(|| {
        for _ in stdin().lines() {
            println!("{}", json!({ "usage": usage() }));
        }
        process::exit(0);
    });
}

/// Run the scenarios that the driver asks for
pub fn run(client: &mut impl Client) {
    while let Some(asked) = read() {
        let seconds = asked["seconds"].as_f64().unwrap();
        let mut bench = Bench { client, seconds };
        let answer = match bench.scenario(asked["scenario"].as_str().unwrap()) {
            Some(result) => json!({ "result": result }),
            None => json!({ "failed": "" }), // it is none of the floors,
        };
        println!("{answer}");
    }
}

fn read() -> Option<Value> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line).unwrap();
    serde_json::from_str(&line).ok()
}

struct Bench<'a, C: Client> {
    client: &'a mut C,
    seconds: f64,
}

impl<C: Client> Bench<'_, C> {
    fn scenario(&mut self, name: &str) -> Option<Value> {
        Some(match name {
            "upload" => self.bulk("/sink", |client, size| client.upload(size, PIECE, 1)),
            "upload-1MiB" => self.bulk("/sink", |client, size| client.upload(size, 1 << 20, 1)),
            "upload-8" => self.bulk("/sink", |client, size| client.upload(size / 8 * 8, PIECE, 8)),
            "download" => self.bulk("/source", Client::download),
            "ping-pong" => {
                self.client.connect("/echo");
                self.client.open();
                self.latency(Client::ping_pong)
            }
            "rpc" => {
                self.client.connect("/rpc");
                self.latency(Client::rpc)
            }
            "rpc-64" => {
                self.client.connect("/rpc");
                self.client.rpc_many(64, self.time(WARM_UP));
                let (time, mut count) = (self.time(1.0), 0);
                let mut result = self.measure(|client| count = client.rpc_many(64, time));
                result["count"] = count.into();
                result
            }
            "datagram" => self.datagrams(1),
            "datagram-32" => self.datagrams(32),
            "flood-1KiB" => self.flood(1024),
            "flood-64" => self.flood(64),
            "connect" => self.latency(|client| client.connect("/echo")),
            _ => return None,
        })
    }

    fn time(&self, share: f64) -> Duration {
        Duration::from_secs_f64(self.seconds * share)
    }

    fn measure(&mut self, work: impl FnOnce(&mut C)) -> Value {
        phase("ready");
        let (before, start) = (usage(), Instant::now());
        work(self.client);
        let seconds = start.elapsed().as_secs_f64();
        let after = usage();
        phase("done");
        let spent = |name: &str| after[name].as_f64().unwrap() - before[name].as_f64().unwrap();
        json!({
            "seconds": seconds,
            "client": { "cpu": spent("cpu"), "switches": spent("switches"), "peak": after["peak"] },
        })
    }

    /// Find out how much fits into the time, then transfer that
    fn bulk(&mut self, path: &str, transfer: impl Fn(&mut C, usize)) -> Value {
        self.client.connect(path);
        let (mut size, mut spent) = (1 << 20, 0.0);
        while spent < self.seconds * WARM_UP / 2.0 {
            size *= if spent > 0.0 { 4 } else { 1 };
            let start = Instant::now();
            transfer(self.client, size);
            spent = start.elapsed().as_secs_f64();
        }
        let size = (size as f64 / spent * self.seconds) as usize / 8 * 8;
        let mut result = self.measure(|client| transfer(client, size));
        result["count"] = size.into();
        result
    }

    fn latency(&mut self, operation: impl Fn(&mut C)) -> Value {
        let repeat = |client: &mut C, time: Duration| {
            let (mut times, start) = (Vec::new(), Instant::now());
            while start.elapsed() < time {
                let begin = Instant::now();
                operation(client);
                times.push(begin.elapsed().as_secs_f64());
            }
            times
        };
        repeat(self.client, self.time(WARM_UP));
        let (time, mut times) = (self.time(1.0), Vec::new());
        let mut result = self.measure(|client| times = repeat(client, time));
        times.sort_by(f64::total_cmp);
        result["count"] = times.len().into();
        result["p50"] = times[times.len() / 2].into();
        result["p99"] = times[times.len() * 99 / 100].into();
        result
    }

    fn datagrams(&mut self, in_flight: usize) -> Value {
        self.client.connect("/datagrams");
        self.client.send_datagrams(&[1; SMALL], in_flight - 1);
        self.latency(|client| {
            client.send_datagrams(&[1; SMALL], 1);
            while !client.receive_datagram() {
                client.send_datagrams(&[1; SMALL], in_flight); // they were lost
            }
        })
    }

    fn flood(&mut self, size: usize) -> Value {
        self.client.connect("/count");
        let (payload, time) = (vec![1; size], self.time(1.0));
        let (mut sent, mut told) = (8, Value::Null);
        self.client.send_datagrams(&payload, sent);
        let mut result = self.measure(|client| {
            let start = Instant::now();
            while start.elapsed() < time {
                client.send_datagrams(&payload, 64);
                sent += 64;
            }
            told = client.how_many();
        });
        result["sent"] = sent.into();
        result["count"] = told["received"].clone();
        result["received"] = told["received"].clone();
        result["seconds"] = told["seconds"].clone();
        let number = |name: &str| told[name].as_u64().unwrap();
        let (dropped, lost) = (number("dropped") + self.client.dropped(), self.client.left() - number("came"));
        assert_eq!(number("received") + dropped + lost, sent as u64, "some datagrams are in no counter");
        result["dropped"] = dropped.into();
        result
    }
}

fn phase(name: &str) {
    println!("{}", json!({ "phase": name }));
    read();
}
