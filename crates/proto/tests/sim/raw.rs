//! A peer that sends any bytes it likes: bare QUIC, with no idea of HTTP/3.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, EndpointConfig, Event, ReadError, StreamEvent, StreamId,
    Transmit, VarInt,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{EcnCodepoint, Net, Node, Sim, identity, seeded, server_address};
use webtransport_proto::{Config, Endpoint, Response, SessionError, SessionId};

pub struct Raw {
    endpoint: quinn_proto::Endpoint,
    handle: Option<ConnectionHandle>,
    quic: Option<Connection>,
    pub connected: bool,
    pub lost: Option<ConnectionError>,
    pub stopped: Vec<(StreamId, u64)>,
    pub datagrams: VecDeque<Bytes>,
    accepted: Vec<StreamId>,
}

/// A raw client against our server
pub fn raw_client(net: Net, server: Config) -> Sim<Raw, Endpoint> {
    raw_client_with(net, server, quinn_proto::TransportConfig::default())
}

/// One that takes no datagrams
pub fn raw_client_without_datagrams() -> Sim<Raw, Endpoint> {
    let mut transport = quinn_proto::TransportConfig::default();
    transport.datagram_receive_buffer_size(None);
    raw_client_with(Net::default(), Config::default(), transport)
}

/// One whose QUIC is configured otherwise
pub fn raw_client_with(net: Net, server: Config, transport: quinn_proto::TransportConfig) -> Sim<Raw, Endpoint> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust::Everyone))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut raw = Raw::new(None);
    let mut config = quinn_proto::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport));
    let (handle, quic) = raw.endpoint.connect(super::epoch(), config, server_address(), "localhost").unwrap();
    (raw.handle, raw.quic) = (Some(handle), Some(quic));
    Sim::new(raw, super::server_endpoint(seeded(&server, net.seed)), net)
}

/// Our client against a raw server
pub fn raw_server(net: Net, client: Config) -> Sim<Endpoint, Raw> {
    let (certificate, key) = identity().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate)], PrivateKeyDer::try_from(key).unwrap())
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn_proto::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    Sim::new(super::client_endpoint(seeded(&client, net.seed)), Raw::new(Some(config)), net)
}

impl Raw {
    fn new(server: Option<quinn_proto::ServerConfig>) -> Self {
        Self {
            endpoint: quinn_proto::Endpoint::new(Arc::new(EndpointConfig::default()), server.map(Arc::new), true, None),
            handle: None,
            quic: None,
            connected: false,
            lost: None,
            stopped: Vec::new(),
            datagrams: VecDeque::new(),
            accepted: Vec::new(),
        }
    }

    fn drive(&mut self) {
        let (Some(handle), Some(quic)) = (self.handle, &mut self.quic) else { return };
        while let Some(event) = quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                quic.handle_event(event);
            }
        }
        while let Some(event) = quic.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => self.lost = Some(reason),
                Event::Stream(StreamEvent::Stopped { id, error_code }) => self.stopped.push((id, error_code.into_inner())),
                Event::DatagramReceived => {
                    while let Some(datagram) = quic.datagrams().recv() {
                        self.datagrams.push_back(datagram);
                    }
                }
                _ => {}
            }
        }
        for dir in [Dir::Uni, Dir::Bi] {
            while let Some(id) = quic.streams().accept(dir) {
                self.accepted.push(id);
            }
        }
    }

    pub fn quic(&mut self) -> &mut Connection {
        self.quic.as_mut().expect("a connection")
    }

    /// Open a stream and send `bytes`
    pub fn send(&mut self, dir: Dir, bytes: &[u8]) -> StreamId {
        let id = self.quic().streams().open(dir).expect("stream credit");
        self.send_more(id, bytes);
        id
    }

    pub fn send_more(&mut self, id: StreamId, bytes: &[u8]) {
        assert_eq!(self.quic().send_stream(id).write(bytes), Ok(bytes.len()));
    }

    pub fn finish(&mut self, id: StreamId) {
        self.quic().send_stream(id).finish().expect("an open stream");
    }

    pub fn reset(&mut self, id: StreamId, code: u64) {
        self.quic().send_stream(id).reset(VarInt::from_u64(code).unwrap()).expect("an open stream");
    }

    pub fn send_datagram(&mut self, bytes: &[u8]) {
        self.quic().datagrams().send(Bytes::copy_from_slice(bytes), true).expect("datagrams");
    }

    /// Streams that the peer opened, in order
    pub fn accepted(&self, dir: Dir) -> Vec<StreamId> {
        self.accepted.iter().copied().filter(|id| id.dir() == dir).collect()
    }

    /// Streams that the peer opened since the last time
    pub fn take_accepted(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.accepted)
    }

    /// What is there to read now, and how the stream ended: `Ok(true)` by FIN, `Err(code)` by reset
    pub fn read(&mut self, id: StreamId) -> (Vec<u8>, Result<bool, u64>) {
        let mut data = Vec::new();
        let mut recv = self.quic().recv_stream(id);
        let Ok(mut chunks) = recv.read(true) else { return (data, Ok(true)) };
        let end = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => data.extend_from_slice(&chunk.bytes),
                Ok(None) => break Ok(true),
                Err(ReadError::Blocked) => break Ok(false),
                Err(ReadError::Reset(code)) => break Err(code.into_inner()),
            }
        };
        let _ = chunks.finalize();
        (data, end)
    }

    /// The application's code with which our side closed the connection
    pub fn close_code(&self) -> Option<u64> {
        match &self.lost {
            Some(ConnectionError::ApplicationClosed(close)) => Some(close.error_code.into_inner()),
            _ => None,
        }
    }
}

impl Node for Raw {
    fn handle_datagram(&mut self, now: Instant, remote: SocketAddr, ecn: Option<EcnCodepoint>, data: BytesMut) {
        let mut buf = Vec::new();
        match self.endpoint.handle(now, remote, None, ecn, data, &mut buf) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some(quic) = &mut self.quic {
                    quic.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let (handle, quic) = self.endpoint.accept(incoming, now, &mut buf, None).expect("a connection");
                (self.handle, self.quic) = (Some(handle), Some(quic));
            }
            Some(DatagramEvent::Response(_)) | None => {}
        }
        self.drive();
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(quic) = &mut self.quic {
            quic.handle_timeout(now);
        }
        self.drive();
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.quic.as_mut()?.poll_timeout()
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.quic.as_mut()?.poll_transmit(now, 1, buf);
        self.drive();
        transmit
    }
}

mod trust {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub struct Everyone;

    impl ServerCertVerifier for Everyone {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    }
}

// ---- bytes of HTTP/3, made by hand ----

pub fn varint(value: u64) -> Vec<u8> {
    match value {
        0..=0x3f => vec![value as u8],
        0x40..=0x3fff => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..=0x3fff_ffff => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

pub fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    concat(&[&varint(ty), &varint(payload.len() as u64), payload])
}

/// A control stream's first bytes
pub fn settings(settings: &[(u64, u64)]) -> Vec<u8> {
    let payload: Vec<u8> = settings.iter().flat_map(|&(id, value)| concat(&[&varint(id), &varint(value)])).collect();
    concat(&[&[0x00], &frame(0x04, &payload)])
}

/// What Chromium sends, GREASE and all
pub const CHROMIUM: [(u64, u64); 7] = [
    (0x01, 65536),
    (0x06, 16384),
    (0x07, 100),
    (0x33, 1),
    (0xff_d277, 1),
    (0x2b60_3742, 1),
    (0x1f * 123_456_789 + 0x21, 5_000_000_000),
];

/// What a server of the newest draft sends
pub const SERVER: [(u64, u64); 3] = [(0x08, 1), (0x33, 1), (0x2c7c_f000, 1)];

/// A HEADERS frame of literal fields (RFC 9204 §4.5.6)
pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0, 0];
    let mut string = |bits: u32, pattern: u8, text: &str| {
        let max = (1usize << bits) - 1;
        if text.len() < max {
            block.push(pattern | text.len() as u8);
        } else {
            block.push(pattern | max as u8);
            let mut rest = text.len() - max;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
        block.extend_from_slice(text.as_bytes());
    };
    for (name, value) in fields {
        string(3, 0x20, name);
        string(7, 0x00, value);
    }
    frame(0x01, &block)
}

pub fn connect_request() -> Vec<u8> {
    headers(&[
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
        (":protocol", "webtransport"),
        ("sec-webtransport-http3-draft02", "1"),
        ("origin", "http://localhost"),
    ])
}

/// A capsule, in a DATA frame of its own
pub fn capsule(ty: u64, payload: &[u8]) -> Vec<u8> {
    frame(0x00, &frame(ty, payload))
}

// ---- our server, attacked ----

pub type Attack = Sim<Raw, Endpoint>;

/// A raw client whose handshake is done
pub fn attack(server: Config) -> Attack {
    let mut sim = raw_client(Net::default(), server);
    sim.until("handshake", |sim| sim.client.connected.then_some(()));
    sim
}

/// One that has sent SETTINGS as well
pub fn http3() -> Attack {
    let mut sim = attack(Config::default());
    sim.client.send(Dir::Uni, &settings(&CHROMIUM));
    sim
}

/// One whose session was accepted: the CONNECT stream, and the server's name for the session
pub fn established() -> (Attack, StreamId, SessionId) {
    let mut sim = http3();
    let connect = sim.client.send(Dir::Bi, &connect_request());
    let session = request(&mut sim);
    let now = sim.now;
    assert!(sim.server.accept_session(now, session, &Response::new(200)));
    (sim, connect, session)
}

pub fn event<T>(sim: &mut Attack, what: &str, mut want: impl FnMut(webtransport_proto::Event) -> Option<T>) -> T {
    sim.until(what, |sim| {
        while let Some(event) = sim.server.poll_event() {
            if let Some(found) = want(event) {
                return Some(found);
            }
        }
        None
    })
}

pub fn request(sim: &mut Attack) -> SessionId {
    event(sim, "request", |event| match event {
        webtransport_proto::Event::SessionRequested { session, .. } => Some(session),
        _ => None,
    })
}

pub fn closed(sim: &mut Attack) -> SessionError {
    event(sim, "session closed", |event| match event {
        webtransport_proto::Event::SessionClosed { error, .. } => Some(error),
        _ => None,
    })
}

/// The connection is closed with this code
pub fn costs(mut sim: Attack, code: u64) {
    let found = sim.until("connection close", |sim| sim.client.lost.is_some().then(|| sim.client.close_code()));
    assert_eq!(found, Some(code), "closed with {found:x?} instead of {code:#x}");
}

/// The stream is reset with this code, and the connection lives
pub fn costs_stream(sim: &mut Attack, stream: StreamId, code: u64) {
    let found = sim.until("reset", |sim| sim.client.read(stream).1.err());
    assert_eq!(found, code, "reset with {found:#x} instead of {code:#x}");
    assert!(sim.client.lost.is_none());
}
