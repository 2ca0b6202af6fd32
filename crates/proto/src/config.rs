//! Limits and time-outs, with their units and the reasons for their defaults.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use quinn_proto::{IdleTimeout, TransportConfig, VarInt, congestion};

use crate::congestion::Metered;
use crate::error::ConfigError;
use crate::origin::AllowedOrigins;
use crate::settings::Dialects;

/// Bytes of datagrams that QUIC holds; batches are much smaller, so that it is full only while the network is slow
pub(crate) const DATAGRAM_SEND_BUFFER: usize = 1 << 20;

/// The longest UDP payload that one send carries: 65 535 less the headers of IPv6 and UDP
pub(crate) const LONGEST_PAYLOAD: u16 = 65_535 - 40 - 8;

/// What loopback interfaces carry: Linux' and Windows' whatever there is, others' packets of 16 KiB
const LOOPBACK_PAYLOAD: u16 = if cfg!(any(target_os = "linux", windows)) { LONGEST_PAYLOAD } else { 16_384 - 40 - 8 };

/// What a loopback connection may have under way at first: a few of the longest packets, and such that the smallest receive buffer
/// that a system gives a socket has room for it
const LOOPBACK_WINDOW: u64 = 4 * LONGEST_PAYLOAD as u64;

/// What it may have under way at the most: as much as is received at once. More would only wait in the kernel, out of every cache.
const LOOPBACK_WINDOW_LIMIT: u64 = 1 << 20;

/// Streams of each direction that a peer may open before it has opened any: quinn allocates for every stream that is permitted,
/// and most sessions wait. With those that come on top, and a few of our own, its tables are just full.
const FEW_STREAMS: u32 = 16;

/// What kind of path leads to a peer
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Path {
    /// It stays on this machine
    Loopback,
    /// Packets of an Ethernet's size are the most that can be hoped for
    Network,
}

impl Path {
    pub(crate) fn to(remote: IpAddr) -> Self {
        if remote.to_canonical().is_loopback() { Self::Loopback } else { Self::Network }
    }
}

/// Which congestion controller to use
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CongestionControl {
    /// CUBIC (RFC 9438): what browsers and servers use
    #[default]
    Default,
    /// CUBIC as well: it fills long fat pipes
    Throughput,
    /// BBR: it keeps queues, and so latency, short
    LowLatency,
}

/// Where connections write down what happens to them, each in a log of its own (draft-ietf-quic-qlog-main-schema)
pub trait Qlog: fmt::Debug + Send + Sync {
    /// Begin a log under a name that no other has, nor has the peer's; `None`: there is to be none
    ///
    /// It is written piece by piece in the middle of everything else, and flushed when its connection is forgotten.
    fn open(&self, name: &str) -> Option<Box<dyn io::Write + Send + Sync>>;
}

/// When a server has clients prove their addresses by a Retry, which costs them a round trip (RFC 9000 §8.1.2)
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Retry {
    /// Never: whoever forges addresses can have us send to them thrice what they sent to us
    Never,
    /// While a quarter of the permitted handshakes is under way
    #[default]
    Load,
    /// Always
    Always,
}

/// What an endpoint is willing to do; every field has a default that suits loopback and the Internet
#[derive(Clone, Debug)]
pub struct Config {
    /// Silence after which a connection is given up; `None`: never
    pub max_idle_timeout: Option<Duration>,
    /// How often to send a PING on a silent connection; `None`: never
    pub keep_alive_interval: Option<Duration>,
    /// The congestion controller of every connection
    pub congestion_control: CongestionControl,
    /// Bytes that a peer may send on one stream before they are read, below 2^62
    pub stream_receive_window: u64,
    /// Bytes that a peer may send on one connection before they are read, below 2^62
    pub receive_window: u64,
    /// Bytes that one connection keeps until they are acknowledged
    pub send_window: u64,
    /// Streams of each direction that a peer may have open; browsers ask for at least 100 (W3C)
    pub max_concurrent_streams: u32,
    /// Whether to offer flow control of sessions, without which they cannot share a connection (WT §5)
    pub flow_control: bool,
    /// Bytes that a peer may send on one session before they are read, where there is flow control
    pub session_receive_window: u32,
    /// Sessions that a client may have on one connection where there is flow control
    pub max_sessions: u32,
    /// The same where there is none, and one session can starve the others: more than one is the application's risk (WT §5.1)
    pub max_sessions_without_flow_control: u32,
    /// The versions of WebTransport to offer; of those that the peer offers too, the newest is used (WT §7.1)
    pub dialects: Dialects,
    /// Streams kept until their session is known (WT §4.6)
    pub max_pending_streams: usize,
    /// Datagrams kept until their session is known (WT §4.6)
    pub max_pending_datagrams: usize,
    /// How long streams and datagrams of unknown sessions are kept
    pub pending_timeout: Duration,
    /// How long a client may take to complete its handshake or a request, a server to send SETTINGS, a handler to answer
    /// plain HTTP, and its client to take that answer
    pub request_timeout: Duration,
    /// The pages that a server takes requests from (WT §3.2)
    pub allowed_origins: AllowedOrigins,
    /// Whether the application answers plain HTTP requests; if not, each gets a 404
    pub http_requests: bool,
    /// Plain HTTP requests of one connection that may wait for an answer; further ones get a 503
    pub max_http_requests: usize,
    /// Bytes of a request's or response's fields, counted as RFC 9114 §4.2.2 says
    pub max_field_section_size: u64,
    /// How long `close` waits for finished streams to be acknowledged, and then for the peer's answer; longer where eight
    /// round trips take longer
    pub close_timeout: Duration,
    /// How long a server keeps a connection that has no session
    pub idle_connection_timeout: Duration,
    /// How long a client keeps a connection without sessions that others could share; a server gives up on it after
    /// `idle_connection_timeout`
    pub pool_linger: Duration,
    /// Connections, handshakes included, that a server keeps at once
    pub max_connections: usize,
    /// Handshakes that a server has under way at once
    pub max_pending_handshakes: usize,
    /// When a server has clients prove their addresses
    pub retry: Retry,
    /// What a server knows again after a restart, so that it can reset connections of its former life (RFC 9000 §10.3);
    /// `None`: its private key serves
    pub reset_key: Option<Vec<u8>>,
    /// Where connections write down what happens to them
    pub qlog: Option<Arc<dyn Qlog>>,
    /// Whether the socket never fragments, so that the path's MTU can be probed (RFC 8899)
    pub mtu_discovery: bool,
    /// Fixes all of QUIC's randomness; for simulations only
    pub rng_seed: Option<[u8; 32]>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_idle_timeout: Some(Duration::from_secs(30)),
            keep_alive_interval: None,
            congestion_control: CongestionControl::Default,
            stream_receive_window: 8 << 20,
            receive_window: 16 << 20,
            send_window: 8 << 20,
            max_concurrent_streams: 128,
            flow_control: true,
            // More than a stream's and less than the connection's: one stream that nobody reads does not stop its session, nor
            // a session the CONNECT streams
            session_receive_window: 12 << 20,
            max_sessions: 64,
            max_sessions_without_flow_control: 1,
            dialects: Dialects::default(),
            max_pending_streams: 32,
            max_pending_datagrams: 256,
            pending_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            allowed_origins: AllowedOrigins::default(),
            http_requests: false,
            max_http_requests: 16,
            max_field_section_size: 64 << 10,
            close_timeout: Duration::from_secs(3),
            idle_connection_timeout: Duration::from_secs(5),
            pool_linger: Duration::from_secs(1),
            max_connections: 65_536,
            // Some ten kilobytes each, while a client that is really there needs but a few round trips
            max_pending_handshakes: 4096,
            retry: Retry::Load,
            reset_key: None,
            qlog: None,
            mtu_discovery: true,
            rng_seed: None,
        }
    }
}

impl Config {
    /// Check what a user may get wrong, so that nothing later can fail for it
    ///
    /// # Errors
    /// A time-out, in milliseconds, or a window that does not fit in QUIC's 62 bits; no version of WebTransport to offer.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.dialects.is_empty() {
            return Err(ConfigError("dialects must name at least one version".into()));
        }
        // A clock could not tell of a deadline that is much farther away
        for (name, timeout) in [
            ("max_idle_timeout", self.max_idle_timeout),
            ("keep_alive_interval", self.keep_alive_interval),
            ("pending_timeout", Some(self.pending_timeout)),
            ("request_timeout", Some(self.request_timeout)),
        ] {
            if let Some(Err(_)) = timeout.map(IdleTimeout::try_from) {
                return Err(ConfigError(format!("{name} is too long")));
            }
        }
        for (name, window) in [("stream_receive_window", self.stream_receive_window), ("receive_window", self.receive_window)] {
            VarInt::from_u64(window).map_err(|_| ConfigError(format!("{name} is not below 2^62: {window}")))?;
        }
        Ok(())
    }

    /// Streams of each direction to permit, of those that the application permits at most so many: CONNECT streams and HTTP/3's own
    /// come on top
    pub(crate) fn permitted_streams(&self, at_most: u32) -> VarInt {
        VarInt::from_u32(self.max_concurrent_streams.min(at_most).saturating_add(8))
    }

    /// Whether a client must prove its address while so many handshakes are under way
    pub(crate) fn wants_retry(&self, handshakes: usize) -> bool {
        match self.retry {
            Retry::Never => false,
            Retry::Load => handshakes >= self.max_pending_handshakes / 4,
            Retry::Always => true,
        }
    }

    /// The same in quinn's terms, for a kind of path
    pub(crate) fn transport(&self, path: Path) -> TransportConfig {
        let mut transport = TransportConfig::default();
        let streams = self.permitted_streams(FEW_STREAMS);
        transport
            .max_idle_timeout(self.max_idle_timeout.and_then(|t| IdleTimeout::try_from(t).ok()))
            .keep_alive_interval(self.keep_alive_interval)
            .stream_receive_window(VarInt::from_u64(self.stream_receive_window).unwrap_or(VarInt::MAX))
            .receive_window(VarInt::from_u64(self.receive_window).unwrap_or(VarInt::MAX))
            .send_window(self.send_window)
            .max_concurrent_bidi_streams(streams)
            .max_concurrent_uni_streams(streams)
            // Emptied after every packet, so it need not hold many
            .datagram_receive_buffer_size(Some(1 << 20))
            .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER);
        let (mut cubic, mut bbr) = (congestion::CubicConfig::default(), congestion::BbrConfig::default());
        let mut limit = u64::MAX;
        if path == Path::Loopback {
            limit = LOOPBACK_WINDOW_LIMIT;
            // No probes: they would cost more than most connections send. Should an interface carry less, the losses show it.
            transport.initial_mtu(LOOPBACK_PAYLOAD);
            cubic.initial_window(LOOPBACK_WINDOW);
            bbr.initial_window(LOOPBACK_WINDOW);
        }
        match self.congestion_control {
            CongestionControl::Default | CongestionControl::Throughput => {
                transport.congestion_controller_factory(Arc::new(Metered::new(cubic, limit)))
            }
            CongestionControl::LowLatency => transport.congestion_controller_factory(Arc::new(Metered::new(bbr, limit))),
        };
        transport
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_out_is_longer_than_a_clock_can_tell() {
        type Set = fn(&mut Config, Duration);
        let forever = Duration::from_secs(1 << 60);
        let sets: [(&str, Set); 4] = [
            ("max_idle_timeout", |config, timeout| config.max_idle_timeout = Some(timeout)),
            ("keep_alive_interval", |config, timeout| config.keep_alive_interval = Some(timeout)),
            ("pending_timeout", |config, timeout| config.pending_timeout = timeout),
            ("request_timeout", |config, timeout| config.request_timeout = timeout),
        ];
        for (name, set) in sets {
            let mut config = Config::default();
            set(&mut config, forever);
            assert_eq!(config.validate(), Err(ConfigError(format!("{name} is too long"))));
            set(&mut config, Duration::from_secs(100 * 365 * 24 * 3600));
            assert_eq!(config.validate(), Ok(()));
        }
    }
}
