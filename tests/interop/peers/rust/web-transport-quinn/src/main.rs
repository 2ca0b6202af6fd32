//! The peer web-transport-quinn, drafts 02 and 07 on quinn: one session a connection.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use harness::{Ended, Library, Refused};
use http::StatusCode;
use url::Url;
use web_transport_quinn as wt;
use wt::proto::{ConnectRequest, ConnectResponse};

struct SendStream(wt::SendStream);
struct RecvStream(wt::RecvStream);

#[derive(Clone)]
struct Session(wt::Session);

fn session_over(error: impl std::fmt::Display) -> Ended {
    Ended::Session(error.to_string())
}

impl harness::SendStream for SendStream {
    async fn write(&mut self, data: &[u8]) -> Result<(), Ended> {
        self.0.write_all(data).await.map_err(|error| match error {
            wt::WriteError::Stopped(code) => Ended::Stop(Some(code.into())),
            wt::WriteError::InvalidStopped(_) => Ended::Stop(None),
            error => session_over(error),
        })
    }

    async fn finish(&mut self) -> Result<(), Ended> {
        self.0.finish().map_err(session_over)
    }

    fn reset(&mut self, code: u32) {
        let _ = self.0.reset(code);
    }
}

impl harness::RecvStream for RecvStream {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Ended> {
        match self.0.read(buffer).await {
            Ok(read) => Ok(read.unwrap_or(0)),
            Err(wt::ReadError::Reset(code)) => Err(Ended::Reset(Some(code.into()))),
            Err(wt::ReadError::InvalidReset(_)) => Err(Ended::Reset(None)),
            Err(error) => Err(session_over(error)),
        }
    }

    fn stop(mut self, code: u32) {
        let _ = self.0.stop(code);
    }
}

impl harness::Session for Session {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), Ended> {
        let (send, recv) = self.0.open_bi().await.map_err(session_over)?;
        Ok((SendStream(send), RecvStream(recv)))
    }

    async fn open_uni(&self) -> Result<SendStream, Ended> {
        Ok(SendStream(self.0.open_uni().await.map_err(session_over)?))
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Ended> {
        let (send, recv) = self.0.accept_bi().await.map_err(session_over)?;
        Ok((SendStream(send), RecvStream(recv)))
    }

    async fn accept_uni(&self) -> Result<RecvStream, Ended> {
        Ok(RecvStream(self.0.accept_uni().await.map_err(session_over)?))
    }

    fn send_datagram(&self, data: &[u8]) -> Result<(), Ended> {
        self.0.send_datagram(Bytes::copy_from_slice(data)).map_err(session_over)
    }

    async fn receive_datagram(&self) -> Result<Vec<u8>, Ended> {
        Ok(self.0.read_datagram().await.map_err(session_over)?.to_vec())
    }

    async fn close(&self, code: u32, reason: &str) {
        self.0.close(code, reason.as_bytes());
        self.0.closed().await;
    }

    async fn closed(&self) -> harness::Value {
        match self.0.closed().await {
            wt::SessionError::WebTransportError(wt::WebTransportError::Closed(code, reason)) => harness::json!([code, reason]),
            error => harness::json!([null, error.to_string()]),
        }
    }

    fn protocol(&self) -> Option<String> {
        self.0.protocol().map(str::to_owned)
    }
}

struct Quinn;

impl Library for Quinn {
    type Session = Session;
    const SUBPROTOCOLS: bool = true;

    async fn serve(certificate: Vec<u8>, key: Vec<u8>, listening: fn(u16)) -> Result<()> {
        let key = key.try_into().map_err(anyhow::Error::msg)?;
        let mut server =
            wt::ServerBuilder::new().with_addr("127.0.0.1:0".parse()?).with_certificate(vec![certificate.into()], key)?;
        listening(server.local_addr()?.port());
        while let Some(request) = server.accept().await {
            tokio::spawn(async move {
                let path = request.url.path().to_owned();
                if path == "/reject" {
                    return request.reject(StatusCode::NOT_FOUND).await;
                }
                let offered = request.protocols.iter().any(|protocol| protocol == harness::SUBPROTOCOL);
                let response = match offered {
                    true => ConnectResponse::OK.with_protocol(harness::SUBPROTOCOL),
                    false => ConnectResponse::OK,
                };
                harness::handle(Session(request.respond(response).await?), path).await;
                Ok(())
            });
        }
        Ok(())
    }

    async fn connect(url: &str, protocols: &[&str]) -> Result<Session, Refused> {
        let client =
            wt::ClientBuilder::new().dangerous().with_no_certificate_verification().context("no client").map_err(Refused::Error)?;
        let url: Url = url.parse().map_err(|error: url::ParseError| Refused::Error(error.into()))?;
        let request = ConnectRequest::new(url).with_protocols(protocols.iter().map(|protocol| (*protocol).to_owned()));
        match client.connect(request).await {
            Ok(session) => Ok(Session(session)),
            Err(wt::ClientError::HttpError(wt::ConnectError::ProtoError(wt::proto::ConnectError::WrongStatus(Some(status))))) => {
                Err(Refused::Status(Some(status.as_u16())))
            }
            Err(error) => Err(Refused::Error(error.into())),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    harness::run::<Quinn>().await
}
