"""What ``diagnostics()`` methods return: figures of one moment, in bytes and seconds.

A figure that the transport does not tell is None. Times of day are seconds since the epoch.
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any, Self

from .types import ConnectionState, Headers, SessionId, SessionState, StreamDirection, StreamId, StreamState

__all__ = [
    "ClientDiagnostics",
    "ClientStats",
    "ConnectionDiagnostics",
    "ServerDiagnostics",
    "ServerStats",
    "SessionDiagnostics",
    "StreamDiagnostics",
]


class _Diagnostics:
    """What all have in common: they may be awaited, which code that is written for older versions does."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield

    def to_dict(self) -> dict[str, Any]:
        """All of it in dicts, by the names of the fields."""
        figures: dict[str, Any] = asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        return figures


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDiagnostics(_Diagnostics):
    """How a stream is."""

    stream_id: StreamId
    """Its number on the wire (RFC 9000 §2.1)."""
    session_id: SessionId
    """That of its session."""
    direction: StreamDirection
    """Which ways it carries bytes, seen from this side."""
    state: StreamState
    """How much of it is left."""
    is_peer_initiated: bool
    """Whether the peer opened it."""
    bytes_sent: int
    """Bytes that QUIC has taken to send; 0 where nothing can be sent."""
    bytes_received: int
    """Bytes that came, read or not; 0 where nothing can come."""
    write_buffer_size: int
    """Bytes that were written and still wait to be taken by QUIC."""
    read_buffer_size: int
    """Bytes that came and still wait to be read."""
    created_at: float
    """When it was made here, in seconds since the epoch."""
    closed_at: float | None
    """When this side noticed the end."""
    close_code: int | None
    """The peer's, or ours, where the stream was reset or stopped."""
    close_reason: str | None
    """Which of the two: "reset by peer", "stopped by peer", "reset" or "stopped"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDiagnostics(_Diagnostics):
    """How a session is. What ``local_`` is counts or limits this side, and ``peer_`` the other."""

    session_id: SessionId
    """What tells it from other sessions of this process."""
    state: SessionState
    """Where it is in its life."""
    is_client: bool
    """Whether this side connected."""
    path: str
    """The path that the client asked for, without its query."""
    headers: Headers
    """The header fields of the request."""
    wt_available_protocols: list[str]
    """The application protocols that the client offers (WT §3.3)."""
    wt_protocol: str | None
    """The one of them that the server picked."""
    dialect: str | None
    """The version of WebTransport in use, such as "draft-02"."""
    created_at: float
    """When it was made here, in seconds since the epoch."""
    ready_at: float | None
    """When it was established, in seconds since the epoch."""
    closed_at: float | None
    """When it ended, in seconds since the epoch."""
    close_code: int | None
    """The code with which one side closed it."""
    close_reason: str | None
    """The reason that came with the code, or what else ended it."""
    active_streams: int
    """Streams that this side uses and that have not ended."""
    blocked_streams: int | None = None
    """None: QUIC does not tell."""
    datagrams_sent: int
    """Datagrams that QUIC took."""
    datagrams_received: int
    """Datagrams that came, also those that were dropped before anybody received them."""
    datagram_bytes_sent: int
    """Bytes of the datagrams that were queued to be sent."""
    datagram_bytes_received: int
    """Bytes of the datagrams that were received here."""
    datagrams_dropped_outgoing: int
    """Dropped because too many waited to be sent, or for too long."""
    datagrams_dropped_incoming: int
    """Dropped because too many waited to be received, or for too long."""
    local_streams_bidi_opened: int
    """Bidirectional streams that this side opened."""
    local_streams_uni_opened: int
    """Unidirectional streams that this side opened."""
    peer_streams_bidi_opened: int
    """Bidirectional streams of the peer that were accepted here."""
    peer_streams_bidi_closed: int
    """Those of them that have ended."""
    peer_streams_uni_opened: int
    """Unidirectional streams of the peer that were accepted here."""
    peer_streams_uni_closed: int
    """Those of them that have ended."""
    flow_control_negotiated: bool | None = None
    """None: the transport keeps it to itself."""
    local_max_data: int | None = None
    """None: the transport keeps it to itself."""
    local_max_streams_bidi: int | None = None
    """None: the transport keeps it to itself."""
    local_max_streams_uni: int | None = None
    """None: the transport keeps it to itself."""
    local_data_sent: int | None = None
    """None: the transport keeps it to itself."""
    local_data_received: int | None = None
    """None: the transport keeps it to itself."""
    local_data_consumed: int | None = None
    """None: the transport keeps it to itself."""
    peer_max_data: int | None = None
    """None: the transport keeps it to itself."""
    peer_max_streams_bidi: int | None = None
    """None: the transport keeps it to itself."""
    peer_max_streams_uni: int | None = None
    """None: the transport keeps it to itself."""
    rtt: float | None
    """The estimate of the round-trip time, in seconds (RFC 9002 §5)."""
    packets_sent: int | None
    """Packets of the connection, those that got lost included."""
    packets_lost: int | None
    """Packets of the connection that were given up as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDiagnostics(_Diagnostics):
    """How a connection is."""

    connection_id: str
    """What tells it from other connections of this process."""
    state: ConnectionState
    """Where it is in its life."""
    is_client: bool
    """Whether this side connected."""
    remote_address: tuple[str, int] | None
    """The peer's address and port."""
    created_at: float
    """When it was made here, in seconds since the epoch."""
    closed_at: float | None
    """When it ended, in seconds since the epoch."""
    close_code: int | None
    """The code with which it was closed."""
    close_reason: str | None
    """The reason that came with the code, or what else ended it."""
    session_states: dict[SessionState, int]
    """How many of its sessions are in each state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats(_Diagnostics):
    """What a client has done. Times are in seconds, None as long as no connection was made."""

    created_at: float
    """When it was made here, in seconds since the epoch."""
    connections_attempted: int
    """Calls of `connect`."""
    connections_successful: int
    """Those that gave a session."""
    connections_failed: int
    """Those that raised."""
    min_connect_time: float | None
    """The shortest that a connect took."""
    avg_connect_time: float | None
    """What it took on average."""
    max_connect_time: float | None
    """The longest."""

    @property
    def success_rate(self) -> float:
        """The part of the attempts that came to something, from 0 to 1; 1 if there was none."""
        ended = self.connections_successful + self.connections_failed
        return self.connections_successful / ended if ended else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientDiagnostics(_Diagnostics):
    """How a client is."""

    connection_states: dict[ConnectionState, int]
    """How many of its connections are in each state."""
    stats: ClientStats
    """What it has done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStats(_Diagnostics):
    """What a server has done."""

    start_time: float | None
    """When it began to listen."""
    connections_accepted: int
    """Those that asked for a session, and came here."""
    connections_rejected: int
    """Those that were refused for lack of room, or asked for a session and were rejected."""
    connection_errors: int
    """Those that were lost: silence, a stateless reset, an error of the peer's transport."""
    protocol_errors: int
    """Those that were closed because the peer broke the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDiagnostics(_Diagnostics):
    """How a server is."""

    is_serving: bool
    """Whether it listens."""
    max_connections: int
    """How many there may be at once."""
    connection_states: dict[ConnectionState, int]
    """How many of its connections are in each state."""
    session_states: dict[SessionState, int]
    """How many of its sessions are in each state."""
    stats: ServerStats
    """What it has done."""
