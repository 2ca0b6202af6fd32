"""An application framework on top of `web_transport`."""

from importlib.metadata import version

from .config import ClientConfig, ServerConfig
from .constants import ErrorCodes
from .events import Event, EventEmitter, EventHandler
from .exceptions import (
    AuthenticationError,
    CertificateError,
    ClientError,
    ConfigurationError,
    ConnectionError,
    DatagramError,
    FlowControlError,
    HandshakeError,
    ProtocolError,
    SerializationError,
    ServerError,
    SessionClosedError,
    SessionError,
    StreamError,
    TimeoutError,
    WebTransportError,
)
from .types import Address, ConnectionState, EventType, Headers, SessionId, SessionState, StreamDirection, StreamId, StreamState

__version__ = version("webtransport-python")

__all__ = [
    "Address",
    "AuthenticationError",
    "CertificateError",
    "ClientConfig",
    "ClientError",
    "ConfigurationError",
    "ConnectionError",
    "ConnectionState",
    "DatagramError",
    "ErrorCodes",
    "Event",
    "EventEmitter",
    "EventHandler",
    "EventType",
    "FlowControlError",
    "HandshakeError",
    "Headers",
    "ProtocolError",
    "SerializationError",
    "ServerConfig",
    "ServerError",
    "SessionClosedError",
    "SessionError",
    "SessionId",
    "SessionState",
    "StreamDirection",
    "StreamError",
    "StreamId",
    "StreamState",
    "TimeoutError",
    "WebTransportError",
    "__version__",
]
