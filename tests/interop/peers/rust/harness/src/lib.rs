//! What both Rust peers do, written once: an echo server, and a client's checks against one, as `../common.py` describes them.
//!
//! A peer's `main.rs` adapts its library to [`Library`] and calls [`run`].

mod client;
mod server;

use std::{future::Future, path::PathBuf};

use anyhow::{Result, bail};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Map;

pub use serde_json::{Value, json};
pub use server::handle;

pub const RESET: u32 = 5;
pub const STOP: u32 = 6;
pub const CLOSE: (u32, &str) = (7, "bye");
pub const SUBPROTOCOL: &str = "b"; // what a server chooses, if it is offered

/// How a call on a stream failed
pub enum Ended {
    /// The other side reset the stream; its code, if the library tells
    Reset(Option<u64>),
    /// The other side stopped reading; its code, if the library tells
    Stop(Option<u64>),
    /// The session is over
    Session(String),
}

impl From<Ended> for anyhow::Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Reset(code) => anyhow::anyhow!("reset by the other side, code {code:?}"),
            Ended::Stop(code) => anyhow::anyhow!("stopped by the other side, code {code:?}"),
            Ended::Session(why) => anyhow::anyhow!("session over: {why}"),
        }
    }
}

pub trait SendStream: Send + 'static {
    fn write(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Ended>> + Send;
    fn finish(&mut self) -> impl Future<Output = Result<(), Ended>> + Send;
    fn reset(&mut self, code: u32);
}

pub trait RecvStream: Send + 'static {
    /// The size of the next chunk, or 0 at the end
    fn read(&mut self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, Ended>> + Send;
    fn stop(self, code: u32);
}

pub trait Session: Clone + Send + Sync + 'static {
    type Send: SendStream;
    type Recv: RecvStream;

    fn open_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), Ended>> + Send;
    fn open_uni(&self) -> impl Future<Output = Result<Self::Send, Ended>> + Send;
    fn accept_bi(&self) -> impl Future<Output = Result<(Self::Send, Self::Recv), Ended>> + Send;
    fn accept_uni(&self) -> impl Future<Output = Result<Self::Recv, Ended>> + Send;
    fn send_datagram(&self, data: &[u8]) -> Result<(), Ended>;
    fn receive_datagram(&self) -> impl Future<Output = Result<Vec<u8>, Ended>> + Send;
    /// Close it, and wait until that may have arrived
    fn close(&self, code: u32, reason: &str) -> impl Future<Output = ()> + Send;
    /// `[code, reason]` of the other side, or `[null, why]` when the library does not tell them
    fn closed(&self) -> impl Future<Output = Value> + Send;
    /// The subprotocol that was agreed on
    fn protocol(&self) -> Option<String>;
}

/// Why there is no session
pub enum Refused {
    /// The server's answer; None where the library keeps the status to itself
    Status(Option<u16>),
    Error(anyhow::Error),
}

pub trait Library: 'static {
    type Session: Session;
    /// Whether it knows WT-Available-Protocols
    const SUBPROTOCOLS: bool;

    /// Serve on a free port of 127.0.0.1, which `listening` is told: [`handle`] each session. Certificate and PKCS#8 key are DER
    fn serve(certificate: Vec<u8>, key: Vec<u8>, listening: fn(u16)) -> impl Future<Output = Result<()>>;

    fn connect(url: &str, protocols: &[&str]) -> impl Future<Output = Result<Self::Session, Refused>>;
}

fn saw(what: &str, value: Value) {
    println!("{}", json!([what, value]));
}

/// Do what the command line says
pub async fn run<L: Library>() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", "--cert", certificate, "--key", key] => {
            let certificate = CertificateDer::from_pem_file(PathBuf::from(certificate))?;
            let key = PrivatePkcs8KeyDer::from_pem_file(PathBuf::from(key))?;
            // Standard input's end ends the process, whatever else it does; so does SIGTERM, unhandled.
            std::thread::spawn(|| {
                let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                std::process::exit(0);
            });
            L::serve(certificate.to_vec(), key.secret_pkcs8_der().to_vec(), |port| println!("listening {port}")).await
        }
        ["connect", url, ref names @ ..] => {
            let mut results = Map::new();
            for check in client::Check::ALL {
                if names.is_empty() || names.contains(&check.name()) {
                    results.insert(check.name().into(), client::run::<L>(check, url).await);
                }
            }
            println!("{}", Value::from(results));
            Ok(())
        }
        _ => bail!("usage: serve --cert PEM --key PEM | connect URL [CHECK ...]"),
    }
}
