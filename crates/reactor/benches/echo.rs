//! The floor: what two Rust programs reach over loopback on this reactor, with no Python in the way.
//!
//! `cargo bench -p webtransport-reactor` prints a table, with `-- --json` one JSON object a line, with `-- load` only the scenarios that
//! have this in their names. The server is a process of its own, as this program run with `serve`. CPU is that of both processes, all
//! threads.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use common::{Loop, target};
use webtransport_reactor::proto::{Config, Response};
use webtransport_reactor::{EndpointHandle, RecvHandle, SendHandle, SessionHandle};

const BULK: usize = 1 << 30;
const PIECE: usize = 64 << 10;
const ROUND_TRIPS: usize = 20_000;
const SMALL: usize = 64;
const IN_FLIGHT: usize = 64;

fn main() {
    match env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        _ => {
            // cargo adds `--bench`
            let only = env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
            measure(env::args().any(|arg| arg == "--json"), &only);
        }
    }
}

// ---- the server ----

fn serve() {
    let main = Loop::new();
    let server = main.server(Config::default());
    println!("{}", server.local_address());
    // The client holds the other end: however it ends, we end with it
    thread::spawn(|| process::exit(i32::from(io::stdin().read_to_end(&mut Vec::new()).is_err())));
    loop {
        let request = main.until(|| server.accept(2));
        let path = request.request().path.clone();
        let session = request.accept(Response::new(200)).unwrap();
        match path.as_str() {
            "/sink" => sink(&main, &session),
            "/source" => source(&main, &session),
            "/echo" => echo(&main, &session),
            "/rpc" => rpc(&main, &session),
            _ => datagrams(&main, &session),
        }
        main.poll(|| session.end());
    }
}

fn sink(main: &Loop, session: &SessionHandle) {
    let (send, recv) = main.accept_bi(session).unwrap();
    drain(main, &recv);
    send.finish().unwrap();
}

fn source(main: &Loop, session: &SessionHandle) {
    let (send, recv) = main.accept_bi(session).unwrap();
    drain(main, &recv);
    fill(main, &send);
}

fn echo(main: &Loop, session: &SessionHandle) {
    let (send, recv) = main.accept_bi(session).unwrap();
    while pass_on(main, &recv, &send) {}
    let _ = send.finish();
}

fn rpc(main: &Loop, session: &SessionHandle) {
    let mut calls: Vec<(SendHandle, RecvHandle)> = Vec::new();
    loop {
        loop {
            match session.accept_bi(4) {
                Ok(Some(call)) => calls.push(call),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        calls.retain(|(send, recv)| {
            loop {
                match recv.read(PIECE, 6) {
                    Ok(Some(chunks)) if chunks.is_empty() => {
                        let _ = send.finish();
                        break false;
                    }
                    Ok(Some(chunks)) => chunks.iter().for_each(|chunk| drop(send.write(chunk, 5))),
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            }
        });
        main.wait(Duration::from_secs(1));
    }
}

fn datagrams(main: &Loop, session: &SessionHandle) {
    while let Ok(datagram) = main.until(|| session.receive_datagram(4).transpose()) {
        if session.send_datagram(&datagram).is_err() {
            return;
        }
    }
}

// ---- both ----

fn fill(main: &Loop, send: &SendHandle) {
    let piece = vec![0x5a; PIECE];
    for _ in 0..BULK / PIECE {
        main.write_all(send, &piece).unwrap();
    }
    send.finish().unwrap();
}

fn drain(main: &Loop, recv: &RecvHandle) -> usize {
    let mut total = 0;
    loop {
        match main.until(|| recv.read(1 << 20, 6).transpose()).unwrap() {
            chunks if chunks.is_empty() => return total,
            chunks => total += chunks.len(),
        }
    }
}

/// Returns false at the end of the stream
fn pass_on(main: &Loop, recv: &RecvHandle, send: &SendHandle) -> bool {
    let Ok(chunks) = main.until(|| recv.read(PIECE, 6).transpose()) else { return false };
    chunks.iter().all(|chunk| main.write_all(send, chunk).is_ok()) && !chunks.is_empty()
}

// ---- the client ----

type Scenario = fn(&Bench, &str);

struct Bench {
    main: Loop,
    client: EndpointHandle,
    server: Server,
    json: bool,
}

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut process =
            Command::new(env::current_exe().unwrap()).arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What one scenario used
struct Spent {
    wall: Duration,
    cpu: Duration,
}

fn measure(json: bool, only: &str) {
    let main = Loop::new();
    let client = main.client(Config::default());
    let bench = Bench { main, client, server: Server::start(), json };
    if !json {
        println!("{:32} {:>14} {:>10} {:>10} {:>14}", "", "rate", "p50 µs", "p99 µs", "CPU");
    }
    let scenarios: [(&str, Scenario); 6] = [
        ("upload, 64 KiB writes", |bench, name| bench.bulk(name, "/sink")),
        ("download, 64 KiB writes", |bench, name| bench.bulk(name, "/source")),
        ("ping-pong on one stream, 64 B", Bench::ping_pong),
        ("datagram echo, 64 B", Bench::datagram_echo),
        ("stream RPC, 64 B, one at a time", Bench::rpc_one_by_one),
        ("stream RPC, 64 B, 64 in flight", Bench::rpc_many),
    ];
    for (name, run) in scenarios {
        if name.contains(only) {
            run(&bench, name);
        }
    }
}

impl Bench {
    fn session(&self, path: &str) -> SessionHandle {
        let mut target = target(self.server.address);
        target.path = path.into();
        let connecting = self.client.connect(target).unwrap();
        let session = self.main.until(|| connecting.poll(1).transpose()).unwrap();
        // The path's MTU is discovered before anything is measured
        self.main.wait(Duration::from_millis(200));
        session
    }

    fn spend(&self, work: impl FnOnce()) -> Spent {
        let cpu = || cpu_time(process::id()) + cpu_time(self.server.process.id());
        let (before, begin) = (cpu(), Instant::now());
        work();
        Spent { wall: begin.elapsed(), cpu: cpu().saturating_sub(before) }
    }

    fn bulk(&self, name: &str, path: &str) {
        let session = self.session(path);
        let spent = self.spend(|| {
            let (send, recv) = self.main.open_bi(&session);
            if path == "/sink" {
                fill(&self.main, &send);
                drain(&self.main, &recv);
            } else {
                send.finish().unwrap();
                assert_eq!(drain(&self.main, &recv), BULK);
            }
        });
        let rate = BULK as f64 / 1e6 / spent.wall.as_secs_f64();
        let per_gb = spent.cpu.as_secs_f64() / (BULK as f64 / 1e9);
        self.report(name, (rate, "MB/s"), None, (per_gb, "s/GB"));
    }

    fn round_trips(&self, name: &str, n: usize, mut round_trip: impl FnMut()) {
        let mut times = Vec::with_capacity(n);
        let spent = self.spend(|| {
            for _ in 0..n {
                let begin = Instant::now();
                round_trip();
                times.push(begin.elapsed());
            }
        });
        times.sort_unstable();
        let rate = n as f64 / spent.wall.as_secs_f64();
        let each = spent.cpu.as_secs_f64() * 1e6 / n as f64;
        self.report(name, (rate, "/s"), Some((times[n / 2], times[n * 99 / 100])), (each, "µs each"));
    }

    fn ping_pong(&self, name: &str) {
        let session = self.session("/echo");
        let (send, recv) = self.main.open_bi(&session);
        self.round_trips(name, ROUND_TRIPS, || {
            self.main.write_all(&send, &[1; SMALL]).unwrap();
            let mut left = SMALL;
            while left > 0 {
                left -= self.main.until(|| recv.read(left, 6).transpose()).unwrap().len();
            }
        });
    }

    fn datagram_echo(&self, name: &str) {
        let session = self.session("/datagrams");
        self.round_trips(name, ROUND_TRIPS, || {
            session.send_datagram(&[1; SMALL]).unwrap();
            self.main.until(|| session.receive_datagram(4).transpose()).unwrap();
        });
    }

    fn rpc_one_by_one(&self, name: &str) {
        let session = self.session("/rpc");
        self.round_trips(name, ROUND_TRIPS, || {
            let (send, recv) = self.main.open_bi(&session);
            self.main.write_all(&send, &[1; SMALL]).unwrap();
            send.finish().unwrap();
            assert_eq!(drain(&self.main, &recv), SMALL);
        });
    }

    fn rpc_many(&self, name: &str) {
        let session = self.session("/rpc");
        let n = 5 * ROUND_TRIPS;
        let spent = self.spend(|| {
            let (mut begun, mut done) = (0, 0);
            let mut calls: Vec<(SendHandle, RecvHandle)> = Vec::new();
            while done < n {
                while begun < n && calls.len() < IN_FLIGHT {
                    let Some((send, recv)) = session.open_bi(3).unwrap() else { break };
                    assert_eq!(send.write(&[1; SMALL], 5), Ok(Some(SMALL)));
                    send.finish().unwrap();
                    calls.push((send, recv));
                    begun += 1;
                }
                calls.retain(|(_, recv)| {
                    loop {
                        match recv.read(PIECE, 6).unwrap() {
                            Some(chunks) if chunks.is_empty() => {
                                done += 1;
                                break false;
                            }
                            Some(_) => {}
                            None => break true,
                        }
                    }
                });
                if done < n {
                    self.main.wait(Duration::from_secs(1));
                }
            }
        });
        let rate = n as f64 / spent.wall.as_secs_f64();
        let each = spent.cpu.as_secs_f64() * 1e6 / n as f64;
        self.report(name, (rate, "/s"), None, (each, "µs each"));
    }

    fn report(&self, name: &str, rate: (f64, &str), times: Option<(Duration, Duration)>, cpu: (f64, &str)) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        if self.json {
            let times = times
                .map_or(String::new(), |(p50, p99)| format!(r#", "p50_us": {:.1}, "p99_us": {:.1}"#, micros(p50), micros(p99)));
            println!(
                r#"{{"scenario": "{name}", "rate": {:.1}, "rate_unit": "{}"{times}, "cpu": {:.3}, "cpu_unit": "{}"}}"#,
                rate.0, rate.1, cpu.0, cpu.1
            );
        } else {
            let (p50, p99) = times.map_or((String::new(), String::new()), |(p50, p99)| {
                (format!("{:.1}", micros(p50)), format!("{:.1}", micros(p99)))
            });
            let rate = format!("{:.0} {}", rate.0, rate.1);
            println!("{name:32} {rate:>14} {p50:>10} {p99:>10} {:>14}", format!("{:.2} {}", cpu.0, cpu.1));
        }
    }
}

/// What a process has used of the processor, over all its threads (Linux; elsewhere zero)
fn cpu_time(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
