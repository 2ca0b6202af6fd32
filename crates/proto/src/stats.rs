//! Figures of connections, and of a whole endpoint.

use std::time::Duration;

/// What a session's connection has done, and how its path is now; several sessions on one connection share them
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionStats {
    /// Bytes of streams and datagrams that QUIC took from the application, each once
    pub payload_sent: u64,
    /// Bytes of the UDP payloads that were sent: packets with all that is in them
    pub bytes_sent: u64,
    /// QUIC packets that were sent
    pub packets_sent: u64,
    /// Bytes of the packets that asked for an acknowledgement and got it
    pub bytes_acknowledged: u64,
    /// Bytes of the packets that were given up
    pub bytes_lost: u64,
    /// Packets that were given up (RFC 9002 §6.1); some of them may have arrived late
    pub packets_lost: u64,
    /// Bytes of the UDP payloads that came
    pub bytes_received: u64,
    /// UDP payloads that came: after the handshake, of one packet each
    pub packets_received: u64,
    /// DATAGRAM frames in the packets that were sent (RFC 9221 §4): what QUIC took and did not send is not in it
    pub datagram_frames_sent: u64,
    /// DATAGRAM frames in the packets that came, each once and for whichever session
    pub datagram_frames_received: u64,
    /// The estimate of the round-trip time (RFC 9002 §5.3)
    pub smoothed_rtt: Duration,
    /// How much it varies; `None` before the first sample
    pub rtt_variation: Option<Duration>,
    /// The shortest round trip on this path
    pub min_rtt: Duration,
    /// Bytes that may be on their way at once
    pub congestion_window: u64,
    /// The largest UDP payload that the path is known to carry
    pub mtu: u16,
    /// The path carries ECN marks (RFC 9000 §13.4)
    pub ecn: bool,
    /// The network, not the application, was what held back the data of late
    pub at_send_capacity: bool,
}

impl ConnectionStats {
    /// How many bits a second the network would carry now: a congestion window for each round trip; `None` before the
    /// first sample
    #[must_use]
    pub fn send_rate(&self) -> Option<u64> {
        self.rtt_variation?;
        let nanos = self.smoothed_rtt.as_nanos().max(1);
        u64::try_from(u128::from(self.congestion_window) * 8 * 1_000_000_000 / nanos).ok()
    }
}

/// What an endpoint has done since it was made
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointStats {
    /// Handshakes that succeeded
    pub connections_established: u64,
    /// Clients that were told to go away before a handshake, for lack of room or time
    pub connections_refused: u64,
    /// Handshakes that began and came to nothing
    pub handshakes_failed: u64,
    /// Requests for sessions that were answered with a 2xx: by us, or to us
    pub sessions_accepted: u64,
    /// Requests for sessions that were refused: by us, whether or not the application had seen them, or to us
    pub sessions_rejected: u64,
    /// UDP payloads that were sent
    pub packets_sent: u64,
    /// Bytes of UDP payloads that were sent
    pub bytes_sent: u64,
    /// UDP payloads that came, from whomever
    pub packets_received: u64,
    /// Bytes of UDP payloads that came
    pub bytes_received: u64,
}
