//! The peer wtransport, drafts 02 and 07 on quinn: one session a connection.
//!
//! Its codes are those of the wire: it neither maps a stream's code into WebTransport's range nor back (WT §4.4), and its `close`
//! closes the QUIC connection with the application's code.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use harness::{Ended, Library, Refused};
use wtransport::{
    ClientConfig, Connection, Endpoint, Identity, ServerConfig, VarInt,
    endpoint::endpoint_side::Client,
    error::{ConnectingError, ConnectionError, StreamReadError, StreamWriteError},
    tls::{Certificate, CertificateChain, PrivateKey},
};

struct SendStream(wtransport::SendStream);
struct RecvStream(wtransport::RecvStream);

/// A client's endpoint lives as long as its session
#[derive(Clone)]
struct Session(Connection, Option<Arc<Endpoint<Client>>>);

fn session_over(error: impl std::fmt::Display) -> Ended {
    Ended::Session(error.to_string())
}

fn write_failed(error: StreamWriteError) -> Ended {
    match error {
        StreamWriteError::Stopped(code) => Ended::Stop(Some(code.into_inner())),
        error => session_over(error),
    }
}

impl harness::SendStream for SendStream {
    async fn write(&mut self, data: &[u8]) -> Result<(), Ended> {
        self.0.write_all(data).await.map_err(write_failed)
    }

    async fn finish(&mut self) -> Result<(), Ended> {
        self.0.finish().await.map_err(write_failed)
    }

    fn reset(&mut self, code: u32) {
        let _ = self.0.reset(VarInt::from_u32(code));
    }
}

impl harness::RecvStream for RecvStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Ended> {
        match self.0.read(buffer).await {
            Ok(read) => Ok(read.unwrap_or(0)),
            Err(StreamReadError::Reset(code)) => Err(Ended::Reset(Some(code.into_inner()))),
            Err(error) => Err(session_over(error)),
        }
    }

    fn stop(self, code: u32) {
        self.0.stop(VarInt::from_u32(code));
    }
}

impl harness::Session for Session {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), Ended> {
        let (send, recv) = self.0.open_bi().await.map_err(session_over)?.await.map_err(session_over)?;
        Ok((SendStream(send), RecvStream(recv)))
    }

    async fn open_uni(&self) -> Result<SendStream, Ended> {
        let opening = self.0.open_uni().await.map_err(session_over)?;
        Ok(SendStream(opening.await.map_err(session_over)?))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Ended> {
        let (send, recv) = self.0.accept_bi().await.map_err(session_over)?;
        Ok((SendStream(send), RecvStream(recv)))
    }

    async fn accept_uni(&self) -> Result<RecvStream, Ended> {
        Ok(RecvStream(self.0.accept_uni().await.map_err(session_over)?))
    }

    fn send_datagram(&self, data: &[u8]) -> Result<(), Ended> {
        self.0.send_datagram(data).map_err(session_over)
    }

    async fn receive_datagram(&self) -> Result<Vec<u8>, Ended> {
        Ok(self.0.receive_datagram().await.map_err(session_over)?.to_vec())
    }

    async fn close(&self, code: u32, reason: &str) {
        self.0.close(VarInt::from_u32(code), reason.as_bytes());
        if let Some(endpoint) = &self.1 {
            endpoint.wait_idle().await; // before the process ends, and nothing more is sent
        }
    }

    async fn closed(&self) -> harness::Value {
        // After a close capsule the library closes the connection itself; a failed accept then tells what the capsule said.
        self.0.closed().await;
        let Err(error) = self.0.accept_uni().await else {
            return harness::json!([null, "a stream after the end"]);
        };
        match error {
            ConnectionError::ApplicationClosed(close) => {
                harness::json!([close.code().into_inner(), String::from_utf8_lossy(close.reason())])
            }
            error => harness::json!([null, error.to_string()]),
        }
    }

    fn protocol(&self) -> Option<String> {
        None
    }
}

struct Wtransport;

impl Library for Wtransport {
    type Session = Session;
    const SUBPROTOCOLS: bool = false;

    async fn serve(certificate: Vec<u8>, key: Vec<u8>, listening: fn(u16)) -> Result<()> {
        let chain = CertificateChain::single(Certificate::from_der(certificate)?);
        let identity = Identity::new(chain, PrivateKey::from_der_pkcs8(key));
        let config = ServerConfig::builder().with_bind_address("127.0.0.1:0".parse()?).with_identity(identity).build();
        let endpoint = Endpoint::server(config)?;
        listening(endpoint.local_addr()?.port());
        loop {
            let incoming = endpoint.accept().await;
            tokio::spawn(async move {
                let request = incoming.await?;
                let path = request.path().to_owned();
                if path == "/reject" {
                    request.not_found().await;
                } else {
                    harness::handle(Session(request.accept().await?, None), path).await;
                }
                Ok::<_, ConnectionError>(())
            });
        }
    }

    async fn connect(url: &str, _protocols: &[&str]) -> Result<Session, Refused> {
        let config =
            ClientConfig::builder().with_bind_address("127.0.0.1:0".parse().expect("an address")).with_no_cert_validation().build();
        let endpoint = Endpoint::client(config).context("no socket").map_err(Refused::Error)?;
        match endpoint.connect(url).await {
            Ok(connection) => Ok(Session(connection, Some(Arc::new(endpoint)))),
            Err(ConnectingError::SessionRejected) => Err(Refused::Status(None)),
            Err(error) => Err(Refused::Error(error.into())),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    harness::run::<Wtransport>().await
}
