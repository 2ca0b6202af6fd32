"""What `stats` methods return: figures of one moment, in bytes, seconds and bits per second.

A figure that QUIC does not tell is None. All of them stay available after the end of what they are about.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SendStreamStats:
    """How far the bytes of a sending half have come; without the stream's header (W3C ``WebTransportSendStreamStats``)."""

    bytes_written: int
    """Bytes that `write` has taken; of a cancelled one, the prefix that it queued."""

    bytes_sent: int
    """Bytes that QUIC has taken, to send them as soon as flow and congestion control permit."""

    bytes_acknowledged: int | None
    """Bytes that the peer is known to have: all once `SendStream.wait_closed` may return. None before that, since QUIC
    acknowledges packets and not streams."""


@dataclass(frozen=True, slots=True)
class RecvStreamStats:
    """How many bytes of a receiving half came and were read (W3C ``WebTransportReceiveStreamStats``)."""

    bytes_received: int
    """Bytes that came in order. Up to half a megabyte of them waits for a reader; the next are counted once he has made room."""

    bytes_read: int
    """Bytes that reads have returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatagramStats:
    """What became of a session's datagrams (W3C ``WebTransportDatagramStats``)."""

    sent: int
    """Datagrams that QUIC took, to send them as soon as congestion control permits; those that left by now are among
    `SessionStats.datagram_frames_sent`."""

    received: int
    """Datagrams that came for the session, also those that were dropped before anybody received them."""

    dropped_outgoing: int
    """Dropped because too many waited to be sent, because the path no longer carried one of that size, or because the session
    ended before they could leave."""

    dropped_incoming: int
    """Dropped because too many waited to be received."""

    expired_outgoing: int
    """Dropped because they waited to be sent for longer than `Datagrams.outgoing_max_age`."""

    expired_incoming: int
    """Dropped because they waited to be received for longer than `Datagrams.incoming_max_age`."""

    lost_outgoing: int | None = None
    """Datagrams that got lost on their way. None: our QUIC counts lost packets (`SessionStats.packets_lost`), and does not say
    what was in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStats:
    """What a session's connection has done, and how its path is (W3C ``WebTransportConnectionStats``).

    Sessions that share a connection share all these figures but `datagrams`. They are as of the last packets; after the end,
    as of then. Bytes of packets are those of UDP payloads.
    """

    bytes_sent: int
    """Bytes of streams and datagrams that QUIC took to send: the application's alone, and each once."""

    bytes_sent_overhead: int
    """Bytes sent beyond that: headers, acknowledgements, retransmissions, the handshake. While QUIC has yet to send some of
    `bytes_sent`, it seems less by as many."""

    bytes_acknowledged: int
    """Bytes of the packets that the peer acknowledged, with all that was in them; of packets that ask for that only."""

    bytes_lost: int
    """Bytes of the packets in `packets_lost`."""

    bytes_received: int
    """Bytes of the packets that came, with all that was in them, duplicates too."""

    packets_sent: int
    """QUIC packets sent, probes and those that got lost included."""

    packets_lost: int
    """Packets that were given up as lost (RFC 9002 §6.1); some may have arrived later."""

    packets_received: int
    """UDP payloads that came: packets, but that those of a handshake may share one."""

    datagram_frames_sent: int
    """Datagrams in the packets that were sent (RFC 9221 §4). What of them is not among the peer's `datagram_frames_received` got lost on
    the way."""

    datagram_frames_received: int
    """Datagrams in the packets that came, each once: also those that came before their session, or after its end."""

    smoothed_rtt: float
    """The estimate of the round-trip time, in seconds (RFC 9002 §5.3)."""

    rtt_variation: float | None
    """How much round-trip times vary, in seconds (RFC 9002 §5.3); None before the first was measured."""

    min_rtt: float
    """The shortest round trip on this path, in seconds (RFC 9002 §5.2)."""

    estimated_send_rate: int | None
    """Bits per second that the network would carry: a congestion window for each round trip; None before the first was
    measured."""

    at_send_capacity: bool
    """Whether of late the network held the data back. If not, the application sent less than it could, and
    `estimated_send_rate` is a guess."""

    congestion_window: int
    """Bytes that may be on their way at once (RFC 9002 §7)."""

    mtu: int
    """The largest UDP payload that the path is known to carry, in bytes (RFC 9000 §14)."""

    ecn: bool
    """Whether packets carry marks for explicit congestion notification, which the path delivers (RFC 9000 §13.4)."""

    datagrams: DatagramStats
    """What became of the session's datagrams; its own also where it shares the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStats:
    """What a server or a client keeps now, and what it has done since it was made; after its end, what it had done by then.

    The counters are ours; what they count is in RFC 9000 §5 and §8.1.2.
    """

    connections: int
    """Connections that have not ended, those in their handshake included."""

    sessions: int
    """Sessions that are not over and gone, those that are only requested included."""

    streams: int
    """Streams of which at least one half has not ended."""

    connecting: int
    """Attempts of a client to connect that have neither succeeded nor failed."""

    connections_established: int
    """Handshakes that succeeded."""

    connections_refused: int
    """Clients that a server refused before their handshake, for lack of room or because it was draining or closed."""

    handshakes_failed: int
    """Handshakes that began and came to nothing: certificates, time-outs, connections closed meanwhile."""

    sessions_accepted: int
    """Requests for sessions that were answered with a 2xx: a client's by the servers, a server's by `SessionRequest.accept`."""

    sessions_rejected: int
    """Requests for sessions that were refused; a server's also where the application never saw them: limits, origins."""

    packets_sent: int
    """UDP payloads sent."""

    bytes_sent: int
    """Bytes of those."""

    packets_received: int
    """UDP payloads that came, from whomever."""

    bytes_received: int
    """Bytes of those."""
