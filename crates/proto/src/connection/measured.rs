//! What a connection measures for its statistics, beside what QUIC does.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::congestion::{self, Meter};
use crate::stats::ConnectionStats;

pub(super) struct Measured {
    /// Bytes of the application that QUIC took
    pub(super) payload_sent: u64,
    /// The last packets that were sent carry ECN
    pub(super) ecn: bool,
    /// The handshake succeeded
    pub(super) connected: bool,
    /// What came of the handshake has been told
    pub(super) connected_told: bool,
    /// Requests for sessions that were refused, since the endpoint last asked
    pub(super) rejected: u64,
    acknowledged: u64,
    /// Of the path to `remote`
    meter: Arc<Meter>,
    remote: SocketAddr,
}

impl Measured {
    pub(super) fn new(quic: &quinn_proto::Connection) -> Self {
        let meter = congestion::meter(quic.congestion_state()).unwrap_or_default();
        Self {
            payload_sent: 0,
            ecn: false,
            connected: false,
            connected_told: false,
            rejected: 0,
            acknowledged: 0,
            meter,
            remote: quic.remote_address(),
        }
    }

    /// The connection is about to be closed
    pub(super) fn close(&mut self, quic: &quinn_proto::Connection) {
        self.meter(quic).close();
    }

    /// What is heard on the path of now
    fn meter(&mut self, quic: &quinn_proto::Connection) -> &Meter {
        self.acknowledged += self.meter.take_acknowledged();
        if self.remote != quic.remote_address() {
            self.remote = quic.remote_address();
            self.meter = congestion::meter(quic.congestion_state()).unwrap_or_default();
            self.acknowledged += self.meter.take_acknowledged();
        }
        &self.meter
    }

    pub(super) fn stats(&mut self, quic: &quinn_proto::Connection) -> ConnectionStats {
        self.meter(quic);
        let stats = quic.stats();
        ConnectionStats {
            payload_sent: self.payload_sent,
            bytes_sent: stats.udp_tx.bytes,
            packets_sent: stats.path.sent_packets,
            bytes_acknowledged: self.acknowledged,
            bytes_lost: stats.path.lost_bytes,
            packets_lost: stats.path.lost_packets,
            bytes_received: stats.udp_rx.bytes,
            packets_received: stats.udp_rx.datagrams,
            datagram_frames_sent: stats.frame_tx.datagram,
            datagram_frames_received: stats.frame_rx.datagram,
            smoothed_rtt: stats.path.rtt,
            rtt_variation: self.meter.rtt_variation(stats.path.rtt),
            min_rtt: stats.path.min_rtt,
            congestion_window: quic.congestion_state().metrics().congestion_window,
            mtu: stats.path.current_mtu,
            ecn: self.ecn,
            at_send_capacity: self.meter.at_capacity(),
        }
    }
}
