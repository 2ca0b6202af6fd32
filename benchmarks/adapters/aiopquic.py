"""aiopquic (PyPI): picoquic on a thread of its own."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

from aiopquic._binding._transport import TransportContext
from aiopquic.asyncio.webtransport import WebTransportSession, connect_webtransport, serve_webtransport
from aiopquic.quic.configuration import QuicConfiguration
from aiopquic.quic.events import WebTransportDatagramReceived, WebTransportNewStream, WebTransportStreamReset

from benchmarks.library import Connect, Handler, Session, Stream

CONFIGURATION = QuicConfiguration(verify_mode=ssl.CERT_NONE, max_connections=4096)  # by default 256
PATHS = ("/sink", "/source", "/echo", "/rpc", "/datagrams", "/count")  # a server of the library has one: each its own, on the next port


class SessionOver(Exception):
    """The session's events have come to their end."""


OVER = (SessionOver, ConnectionError)


def adapt_stream(session: WebTransportSession, stream_id: int) -> Stream:
    events = session.receive_stream_data(stream_id)

    async def write(data: bytes) -> None:
        await session.send_stream_data_drained(stream_id, data)

    async def finish() -> None:
        await session.send_stream_data_drained(stream_id, b"", end_stream=True)

    async def write_all(data: bytes) -> None:
        await session.send_stream_data_drained(stream_id, data, end_stream=True)

    async def read(_n: int) -> bytes:
        async for event in events:
            if isinstance(event, WebTransportStreamReset):
                raise SessionOver
            if event.data:
                return bytes(event.data)
        return b""

    async def read_all() -> bytes:
        return b"".join([bytes(event.data) async for event in events])

    return Stream(write, finish, write_all, read, read_all)


class Adapted(Session):
    """Of a client, *lingering* is what goes on behind the close, for three probe timeouts."""

    __slots__ = ("_closing", "_events", "_lingering", "_session", "_streams")

    def __init__(self, session: WebTransportSession, lingering: Callable[[], Awaitable[object]] | None = None) -> None:
        self._session, self._lingering = session, lingering
        self._events = session.events()
        self._streams: asyncio.Queue[int] | None = None  # once datagrams are received
        self._closing: asyncio.Task[object] | None = None

    async def open_bi(self) -> Stream:
        return adapt_stream(self._session, await self._session.create_stream())

    async def accept_bi(self) -> Stream:
        if self._streams:  # there is one queue of events for all
            return adapt_stream(self._session, await self._streams.get())
        async for event in self._events:
            if isinstance(event, WebTransportNewStream):
                return adapt_stream(self._session, event.stream_id)
        raise SessionOver

    async def send_datagram(self, data: bytes) -> None:
        while not self._session.send_datagram_frame(data):
            await self._session.get_datagram_tx_drain_event().wait()

    async def receive_datagram(self) -> bytes:
        self._streams = self._streams or asyncio.Queue()
        async for event in self._events:
            if isinstance(event, WebTransportDatagramReceived):
                return bytes(event.data)
            if isinstance(event, WebTransportNewStream):
                self._streams.put_nowait(event.stream_id)
        raise SessionOver

    async def close(self) -> None:
        self._session.close()
        if self._lingering:
            self._closing = asyncio.create_task(self._lingering())


def free_port() -> int:
    """The first of as many free ports in a row as there are paths."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        try:
            for number in range(1, len(PATHS)):
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port + number))
        except OSError:
            return free_port()
    return port


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    port = free_port()
    files = {"cert_file": str(certificate), "key_file": str(key), "configuration": CONFIGURATION}

    async def serve_path(number: int, path: str) -> None:
        async def answer(session: WebTransportSession) -> None:
            await handler(path, Adapted(session))

        servers.append(await serve_webtransport("127.0.0.1", port + number, path, handler=answer, **files))

    servers: list[object] = []
    for number, path in enumerate(PATHS):
        await serve_path(number, path)
    yield port
    for server in servers:
        server.close()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    transport = TransportContext()  # one thread for all sessions; by default each has one
    transport.start(
        is_client=True,
        alpn="h3",
        verify_peer=False,
        max_datagram_frame_size=CONFIGURATION.max_datagram_frame_size,
        rx_data_ring_cap=CONFIGURATION.max_stream_data,
        initial_max_data=CONFIGURATION.max_data,
        initial_max_streams_uni=CONFIGURATION.max_streams_uni,
        initial_max_streams_bidi=CONFIGURATION.max_streams_bidi,
        idle_timeout_ms=30_000,
        congestion_control_algorithm=CONFIGURATION.congestion_control_algorithm,
        max_connections=CONFIGURATION.max_connections,
    )

    async def connect(path: str) -> Session:
        stack = AsyncExitStack()
        connecting = connect_webtransport("127.0.0.1", port + PATHS.index(path), path, transport=transport, configuration=CONFIGURATION)
        return Adapted(await stack.enter_async_context(connecting), stack.aclose)

    yield connect
    transport.stop()
