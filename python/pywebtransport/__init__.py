"""An application framework on top of `web_transport`."""

from importlib.metadata import version

from .app import ServerApp
from .balancer import LoadBalancer
from .client import WebTransportClient
from .cluster import ServerCluster
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
from .fleet import ClientFleet
from .manager import ConnectionManager, SessionManager
from .messaging import StructuredDatagramTransport, StructuredStream
from .middleware import MiddlewareManager, MiddlewareRejected, RateLimiter
from .pool import SessionPool
from .reconnect import ReconnectingClient
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
    "ClientFleet",
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
    "LoadBalancer",
    "MiddlewareManager",
    "MiddlewareRejected",
    "ProtocolError",
    "RateLimiter",
    "ReconnectingClient",
    "RequestRouter",
    "SerializationError",
    "ServerApp",
    "ServerCluster",
    "ServerConfig",
    "ServerError",
    "SessionClosedError",
    "SessionError",
    "SessionId",
    "SessionManager",
    "SessionPool",
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
