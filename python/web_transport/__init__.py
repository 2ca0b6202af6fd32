"""WebTransport over HTTP/3 for asyncio: servers and clients, sessions, streams and datagrams.

::

    async with web_transport.Client() as client:
        async with await client.connect("https://example.com/chat") as session:
            send, recv = await session.open_bi()
            async with send:
                await send.write(b"hello")
            print(await recv.read())
"""

from .certs import certificate_hash, generate_self_signed, load_certificates, load_private_key
from .client import Client
from .datagrams import Datagrams
from .errors import (
    ConnectError,
    DatagramError,
    DatagramNotSupportedError,
    DatagramTooLargeError,
    ProtocolError,
    SessionClosed,
    SessionClosedByPeer,
    SessionClosedLocally,
    SessionError,
    SessionRejected,
    SessionTimeout,
    StreamClosed,
    StreamClosedByPeer,
    StreamClosedLocally,
    StreamError,
    StreamIncompleteReadError,
    StreamTooLongError,
    WebTransportError,
)
from .headers import Headers
from .http import HttpRequest, HttpResponse
from .logs import init_tracing
from .server import Server, SessionRequest
from .session import Session
from .stats import DatagramStats, EndpointStats, RecvStreamStats, SendStreamStats, SessionStats
from .streams import RecvStream, SendGroup, SendStream

__all__ = [
    "Client",
    "ConnectError",
    "DatagramError",
    "DatagramNotSupportedError",
    "DatagramStats",
    "DatagramTooLargeError",
    "Datagrams",
    "EndpointStats",
    "Headers",
    "HttpRequest",
    "HttpResponse",
    "ProtocolError",
    "RecvStream",
    "RecvStreamStats",
    "SendGroup",
    "SendStream",
    "SendStreamStats",
    "Server",
    "Session",
    "SessionClosed",
    "SessionClosedByPeer",
    "SessionClosedLocally",
    "SessionError",
    "SessionRejected",
    "SessionRequest",
    "SessionStats",
    "SessionTimeout",
    "StreamClosed",
    "StreamClosedByPeer",
    "StreamClosedLocally",
    "StreamError",
    "StreamIncompleteReadError",
    "StreamTooLongError",
    "WebTransportError",
    "certificate_hash",
    "generate_self_signed",
    "init_tracing",
    "load_certificates",
    "load_private_key",
]
