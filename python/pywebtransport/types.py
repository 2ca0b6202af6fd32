"""Aliases, states and protocols: the words that the other modules share."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import Buffer
else:
    Buffer: TypeAlias = bytes | bytearray | memoryview  # and all their kind: `collections.abc.Buffer` is not in Python 3.11
    """What has bytes that can be read in place."""

__all__ = [
    "Address",
    "Buffer",
    "ConnectionId",
    "ConnectionProtocol",
    "ConnectionState",
    "EventType",
    "Headers",
    "SessionId",
    "SessionProtocol",
    "SessionState",
    "StreamDirection",
    "StreamId",
    "StreamState",
]

Address: TypeAlias = tuple[str, int]
"""An IP address and a port."""

Headers: TypeAlias = Mapping[str, str]
"""Header fields; those that a peer sent have their names in lower case (RFC 9114 §4.2), and repeated ones are joined by commas."""

ConnectionId: TypeAlias = str
"""What tells connections of this process apart; it is not on the wire."""

SessionId: TypeAlias = str
"""What tells sessions of this process apart; it is not on the wire."""

StreamId: TypeAlias = int
"""A stream's number on the wire (RFC 9000 §2.1)."""


class ConnectionState(StrEnum):
    """Where a connection is in its life: idle, connecting, connected, closing, then closed or failed."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


class SessionState(StrEnum):
    """Where a session is in its life: connecting, connected, perhaps draining, closing, closed."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DRAINING = "draining"
    CLOSING = "closing"
    CLOSED = "closed"


class StreamState(StrEnum):
    """How much of a stream is left: `HALF_CLOSED_LOCAL` has our end behind it, `HALF_CLOSED_REMOTE` the peer's."""

    OPEN = "open"
    HALF_CLOSED_LOCAL = "half_closed_local"
    HALF_CLOSED_REMOTE = "half_closed_remote"
    RESET_SENT = "reset_sent"
    RESET_RECEIVED = "reset_received"
    CLOSED = "closed"


class StreamDirection(StrEnum):
    """Which ways a stream carries bytes, seen from this side."""

    BIDIRECTIONAL = "bidirectional"
    SEND_ONLY = "send_only"
    RECEIVE_ONLY = "receive_only"


class EventType(StrEnum):
    """What an `EventEmitter` of the framework may tell; applications may use words of their own beside these.

    The ``data`` of each has the ids of what it is about, and what is named with it here. ``SESSION_DATA_BLOCKED`` and the others of flow
    control are for code that names them: the transport keeps it to itself, and nobody emits them.
    """

    CONNECTION_ESTABLISHED = "connection_established"
    """A server or a client has one more ``connection``, a client with its ``url``; a `ReconnectingClient` has a new ``session``."""
    CONNECTION_CLOSED = "connection_closed"
    """A connection is over: ``close_code``, ``close_reason``, ``remote_address``."""
    CONNECTION_LOST = "connection_lost"
    """A connection is over, and nobody closed it: the same, and the ``error``."""
    CONNECTION_FAILED = "connection_failed"
    """A client could not connect: ``url``, ``error``; a `ReconnectingClient` has given up, after so many ``attempts``."""
    SESSION_REQUEST = "session_request"
    """A client asks a server for a ``session``, to be accepted or rejected: ``path``, ``headers``, ``connection``, ``remote_address``."""
    SESSION_READY = "session_ready"
    """A session that a client asked for is accepted."""
    SESSION_CLOSED = "session_closed"
    """A session is over, whoever ended it: ``close_code``, ``close_reason``."""
    SESSION_DRAINING = "session_draining"
    """A session should end soon, since one side asked for it."""
    DATAGRAM_RECEIVED = "datagram_received"
    """A datagram came, the bytes ``data``; whoever listens takes it away from `WebTransportDatagrams.receive`."""
    STREAM_OPENED = "stream_opened"
    """A ``stream`` was opened here, or one of the peer's accepted: ``direction``, ``is_peer_initiated``."""
    STREAM_CLOSED = "stream_closed"
    """A stream is over, in each of its directions: ``state``."""
    STREAM_RESET_RECEIVED = "stream_reset_received"
    """The peer reset a stream: ``error_code``."""
    STOP_SENDING_RECEIVED = "stop_sending_received"
    """The peer wants no more of a stream: ``error_code``."""
    SESSION_DATA_BLOCKED = "session_data_blocked"
    SESSION_STREAMS_BLOCKED = "session_streams_blocked"
    SESSION_MAX_DATA_UPDATED = "session_max_data_updated"
    SESSION_MAX_STREAMS_BIDI_UPDATED = "session_max_streams_bidi_updated"
    SESSION_MAX_STREAMS_UNI_UPDATED = "session_max_streams_uni_updated"


class ConnectionProtocol(Protocol):
    """What a session knows of its connection."""

    @property
    def connection_id(self) -> ConnectionId:
        """What tells it from other connections of this process."""

    @property
    def is_client(self) -> bool:
        """Whether this side connected."""

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""

    @property
    def state(self) -> ConnectionState:
        """Where it is in its life."""

    @property
    def remote_address(self) -> Address | None:
        """The peer's address and port."""

    async def close(self, error_code: int = 0, reason: str | None = None) -> None:
        """Close it with all its sessions."""


class SessionProtocol(Protocol):
    """What a stream knows of its session, and all that middleware may rely on."""

    @property
    def session_id(self) -> SessionId:
        """What tells it from other sessions of this process."""

    @property
    def path(self) -> str:
        """The path that the client asked for, without its query."""

    @property
    def query(self) -> str:
        """What follows the path and its question mark; "" if nothing does."""

    @property
    def headers(self) -> Headers:
        """The header fields of the request."""

    @property
    def remote_address(self) -> Address:
        """The peer's address and port."""

    @property
    def state(self) -> SessionState:
        """Where it is in its life."""

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""

    async def close(self, error_code: int = 0, reason: str | None = None) -> None:
        """End it with a code and a reason for the peer's application."""
