//! The protocol's floor: bare quinn at both ends, no HTTP/3 and no WebTransport. The application protocol (ALPN) says what a connection is for.

#![allow(clippy::unwrap_used)]

mod server;

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::{Arguments, PIECE, QUIET, Role, SMALL};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, SendStream, ServerConfig, TransportConfig,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PATHS: [&str; 6] = ["/sink", "/source", "/echo", "/rpc", "/datagrams", "/count"];

fn main() {
    ring::default_provider().install_default().unwrap();
    let arguments = Arguments::parse();
    // All in one thread: hops between threads would be the price of a runtime, not of the protocol
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let entered = runtime.handle().clone();
    let _entered = entered.enter(); // also what is dropped outside of a task belongs to it
    match &arguments.role {
        Role::Serve { certificate, key } => runtime.block_on(server::serve(&arguments, certificate, key)),
        Role::Client => {
            let endpoint = runtime.block_on(async { endpoint(&arguments, None) });
            harness::run(&mut Client { runtime, endpoint, arguments, connection: None, stream: None });
        }
    }
}

fn endpoint(arguments: &Arguments, server: Option<ServerConfig>) -> Endpoint {
    let port = if server.is_some() { arguments.address.port() } else { 0 };
    let socket = UdpSocket::bind((arguments.address.ip(), port)).unwrap();
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(arguments.payload).unwrap();
    Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime)).unwrap()
}

/// The windows of `webtransport_proto::Config`, and its congestion control
fn transport(payload: u16) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(payload);
    let mut control = CubicConfig::default();
    control.initial_window(control_window(payload));
    let mut transport = TransportConfig::default();
    transport
        .congestion_controller_factory(Arc::new(control))
        .stream_receive_window((8u32 << 20).into())
        .receive_window((16u32 << 20).into())
        .send_window(8 << 20)
        .max_concurrent_bidi_streams(136u32.into())
        .datagram_receive_buffer_size(Some(1 << 20))
        .datagram_send_buffer_size(1 << 20)
        .mtu_discovery_config(Some(discovery))
        .initial_mtu(payload)
        // quinn hands the kernel ten packets at once, which together must not be longer than 64 KiB
        .enable_segmentation_offload(payload <= u16::MAX / 10);
    Arc::new(transport)
}

/// QUIC's own (RFC 9002 §7.2), unless it has no room for a packet
fn control_window(payload: u16) -> u64 {
    if payload > 1452 { 4 * u64::from(payload) } else { 14_720 }
}

struct Client {
    runtime: Runtime,
    endpoint: Endpoint,
    arguments: Arguments,
    connection: Option<Connection>,
    stream: Option<(SendStream, RecvStream)>,
}

impl Client {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().unwrap()
    }
}

impl harness::Client for Client {
    fn connect(&mut self, path: &str) {
        self.stream = None;
        if let Some(connection) = self.connection.take() {
            connection.close(0u32.into(), b"");
        }
        let mut tls =
            rustls::ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(Any)).with_no_client_auth();
        tls.alpn_protocols = vec![path.into()];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        config.transport_config(transport(self.arguments.payload));
        let connecting = self.endpoint.connect_with(config, self.arguments.address, "localhost").unwrap();
        self.connection = Some(self.runtime.block_on(connecting).unwrap());
    }

    fn upload(&mut self, size: usize, piece: usize, streams: usize) {
        let connection = self.connection().clone();
        self.runtime.block_on(async {
            let mut parts = JoinSet::new();
            for _ in 0..streams {
                let connection = connection.clone();
                parts.spawn(async move {
                    let (mut send, mut recv) = connection.open_bi().await.unwrap();
                    fill(&mut send, size / streams, piece).await;
                    let arrived = recv.read_to_end(32).await.unwrap();
                    assert_eq!(String::from_utf8(arrived).unwrap(), (size / streams).to_string());
                });
            }
            while let Some(part) = parts.join_next().await {
                part.unwrap();
            }
        });
    }

    fn download(&mut self, size: usize) {
        let arrived = self.runtime.block_on(async {
            let (mut send, mut recv) = self.connection().open_bi().await.unwrap();
            send.write_all(size.to_string().as_bytes()).await.unwrap();
            send.finish().unwrap();
            drain(&mut recv).await
        });
        assert_eq!(arrived, size);
    }

    fn open(&mut self) {
        self.stream = Some(self.runtime.block_on(self.connection().open_bi()).unwrap());
    }

    fn ping_pong(&mut self) {
        let (send, recv) = self.stream.as_mut().unwrap();
        self.runtime.block_on(async {
            send.write_all(&[1; SMALL]).await.unwrap();
            recv.read_exact(&mut [0; SMALL]).await.unwrap();
        });
    }

    fn rpc(&mut self) {
        self.runtime.block_on(call(self.connection().clone()));
    }

    fn rpc_many(&mut self, in_flight: usize, time: Duration) -> usize {
        let (connection, deadline) = (self.connection().clone(), Instant::now() + time);
        self.runtime.block_on(async {
            let mut callers = JoinSet::new();
            for _ in 0..in_flight {
                let connection = connection.clone();
                callers.spawn(async move {
                    let mut done = 0;
                    while Instant::now() < deadline {
                        call(connection.clone()).await;
                        done += 1;
                    }
                    done
                });
            }
            callers.join_all().await.into_iter().sum()
        })
    }

    fn send_datagrams(&mut self, payload: &[u8], count: usize) {
        self.runtime.block_on(async {
            for _ in 0..count {
                self.connection().send_datagram_wait(Bytes::copy_from_slice(payload)).await.unwrap();
            }
            tokio::task::yield_now().await; // so that they leave
        });
    }

    fn receive_datagram(&mut self) -> bool {
        let received = async { tokio::time::timeout(QUIET, self.connection().read_datagram()).await };
        self.runtime.block_on(received).is_ok_and(|datagram| datagram.is_ok())
    }

    fn how_many(&mut self) -> Value {
        self.runtime.block_on(async {
            let (mut send, mut recv) = self.connection().open_bi().await.unwrap();
            send.write_all(b"how many?").await.unwrap();
            send.finish().unwrap();
            serde_json::from_slice(&recv.read_to_end(PIECE).await.unwrap()).unwrap()
        })
    }

    fn dropped(&self) -> u64 {
        0
    }

    fn left(&self) -> u64 {
        self.connection().stats().frame_tx.datagram
    }
}

async fn call(connection: Connection) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[1; SMALL]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(recv.read_to_end(PIECE).await.unwrap().len(), SMALL);
}

async fn fill(send: &mut SendStream, size: usize, piece: usize) {
    let whole = vec![0x5a; piece];
    for _ in 0..size / piece {
        send.write_all(&whole).await.unwrap();
    }
    send.write_all(&whole[..size % piece]).await.unwrap();
    send.finish().unwrap();
}

async fn drain(recv: &mut RecvStream) -> usize {
    let mut size = 0;
    while let Ok(Some(chunk)) = recv.read_chunk(usize::MAX, true).await {
        size += chunk.bytes.len();
    }
    size
}

/// Takes any certificate
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> &'static CryptoProvider {
    CryptoProvider::get_default().unwrap()
}
