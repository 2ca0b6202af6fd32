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

    The last five, of flow control, are for code that names them: the transport keeps it to itself, and nobody emits them.
    """

    CONNECTION_ESTABLISHED = "connection_established"
    CONNECTION_CLOSED = "connection_closed"
    CONNECTION_LOST = "connection_lost"
    CONNECTION_FAILED = "connection_failed"
    SESSION_REQUEST = "session_request"
    SESSION_READY = "session_ready"
    SESSION_CLOSED = "session_closed"
    SESSION_DRAINING = "session_draining"
    DATAGRAM_RECEIVED = "datagram_received"
    STREAM_OPENED = "stream_opened"
    STREAM_CLOSED = "stream_closed"
    STREAM_RESET_RECEIVED = "stream_reset_received"
    STOP_SENDING_RECEIVED = "stop_sending_received"
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
