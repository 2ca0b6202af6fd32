"""An application framework on top of `web_transport`."""

from importlib.metadata import version

from .app import ServerApp
from .client import WebTransportClient
from .config import ClientConfig, ServerConfig
from .connection import WebTransportConnection
from .constants import ErrorCodes
from .datagrams import WebTransportDatagrams
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
from .manager import ConnectionManager, SessionManager
from .messaging import StructuredDatagramTransport, StructuredStream
from .middleware import MiddlewareManager, MiddlewareRejected, RateLimiter
from .router import RequestRouter
from .server import WebTransportServer
from .session import WebTransportSession
from .stream import WebTransportBidirectionalStream, WebTransportReceiveStream, WebTransportSendStream, WebTransportStream
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
    "ConnectionManager",
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
    "MiddlewareManager",
    "MiddlewareRejected",
    "ProtocolError",
    "RateLimiter",
    "RequestRouter",
    "SerializationError",
    "ServerApp",
    "ServerConfig",
    "ServerError",
    "SessionClosedError",
    "SessionError",
    "SessionId",
    "SessionManager",
    "SessionState",
    "StreamDirection",
    "StreamError",
    "StreamId",
    "StreamState",
    "StructuredDatagramTransport",
    "StructuredStream",
    "TimeoutError",
    "WebTransportBidirectionalStream",
    "WebTransportClient",
    "WebTransportConnection",
    "WebTransportDatagrams",
    "WebTransportError",
    "WebTransportReceiveStream",
    "WebTransportSendStream",
    "WebTransportServer",
    "WebTransportSession",
    "WebTransportStream",
    "__version__",
]
