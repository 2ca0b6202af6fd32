"""What aioquic and its fork qh3 share: a small WebTransport on their `H3Connection`, which frames streams and datagrams and no more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.library import Handler, Session, Stream


class SessionOver(Exception):
    """The connection has gone, and the session with it."""


OVER = (SessionOver,)
BACKLOG = 256 * 1024  # bytes that may wait to be sent on a stream: neither library makes its writers wait


class Incoming:
    """What has come on a stream, until it is read."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._ended = False
        self._arrived = asyncio.Event()

    def feed(self, data: bytes, ended: bool) -> None:
        if data:
            self._chunks.append(data)
        self._ended |= ended
        self._arrived.set()

    async def read(self, _n: int = 0) -> bytes:
        while not self._chunks and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    async def read_all(self) -> bytes:
        while not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        return await self.read()


class Connection:
    """A mixin before a library's `QuicConnectionProtocol`: one connection, one session. What is sent leaves once a turn of the loop."""

    h3_type: Callable[..., Any]
    handler: Handler | None = None  # a server's

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.h3: Any = None  # until ALPN has chosen it
        self._opened: set[int] = set()
        self._streams: dict[int, Incoming] = {}
        self.accepted: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._datagrams: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._answered = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self._session_id = 0

    def backlog(self, stream_id: int) -> int:
        """Bytes of a stream that have yet to be sent."""
        raise NotImplementedError

    def datagram_backlog(self) -> int:
        """Datagrams that have yet to be sent, if the library tells."""
        return 0

    def may_open(self) -> bool:
        """Whether there is credit for one more stream, where the library does not wait for it by itself."""
        return True

    def transmit(self) -> None:
        super().transmit()  # type: ignore[misc]  # the library's
        self._moved.set()

    def quic_event_received(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "ProtocolNegotiated":
            self.h3 = self.h3_type(self._quic, enable_webtransport=True)
        elif kind == "StreamDataReceived" and event.stream_id in self._opened:
            self._streams[event.stream_id].feed(event.data, event.end_stream)
            return  # H3Connection would look for HTTP frames in what comes back on a stream that we opened
        elif kind == "ConnectionTerminated":
            self.accepted.put_nowait(None)
            self._datagrams.put_nowait(None)
            if not self.handler and not self._answered.done():
                self._answered.set_exception(ConnectionError(event.reason_phrase))
        if self.h3:
            for h3_event in self.h3.handle_event(event):
                self._on_h3(type(h3_event).__name__, h3_event)

    def _on_h3(self, kind: str, event: Any) -> None:
        if kind == "WebTransportStreamDataReceived":
            if (incoming := self._streams.get(event.stream_id)) is None:
                stream, incoming = self._stream(event.stream_id)
                self.accepted.put_nowait(stream)
            incoming.feed(event.data, event.stream_ended)
        elif kind == "DatagramReceived":
            self._datagrams.put_nowait(event.data)
        elif kind == "HeadersReceived" and self.handler:
            self._session_id = event.stream_id
            self.h3.send_headers(event.stream_id, [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")])
            path = dict(event.headers)[b":path"].decode()
            self.tasks.add(asyncio.create_task(self.handler(path, Adapted(self))))
        elif kind == "HeadersReceived":
            self._answered.set_result(None)

    async def request(self, authority: str, path: str) -> None:
        self._session_id = self._quic.get_next_available_stream_id()
        headers = {":method": "CONNECT", ":scheme": "https", ":authority": authority, ":path": path, ":protocol": "webtransport"}
        headers["sec-webtransport-http3-draft02"] = "1"
        self.h3.send_headers(self._session_id, [(name.encode(), value.encode()) for name, value in headers.items()])
        self.transmit()
        await self._answered

    async def open_bi(self) -> Stream:
        while not self.may_open():
            await self._progress()
        stream_id = self.h3.create_webtransport_stream(self._session_id)
        self._opened.add(stream_id)
        return self._stream(stream_id)[0]

    async def send_datagram(self, data: bytes) -> None:
        self._send_datagram(data)
        self._transmit_soon()
        while self.datagram_backlog() > 256:
            await self._progress()

    async def receive_datagram(self) -> bytes:
        return taken(await self._datagrams.get())

    def _send_datagram(self, data: bytes) -> None:
        self.h3.send_datagram(self._session_id, data)

    def _stream(self, stream_id: int) -> tuple[Stream, Incoming]:
        incoming = self._streams[stream_id] = Incoming()

        async def write(data: bytes, end: bool = False) -> None:
            self._quic.send_stream_data(stream_id, data, end)
            self._transmit_soon()
            while self.backlog(stream_id) > BACKLOG:
                await self._progress()

        async def finish() -> None:
            await write(b"", end=True)

        async def write_all(data: bytes) -> None:
            await write(data, end=True)

        async def read_all() -> bytes:
            data = await incoming.read_all()
            self._streams.pop(stream_id, None)
            self._opened.discard(stream_id)
            return data

        return Stream(write, finish, write_all, incoming.read, read_all), incoming

    async def _progress(self) -> None:
        self._moved.clear()
        await self._moved.wait()


def taken(item: Any) -> Any:
    """What came; None is the end."""
    if item is None:
        raise SessionOver
    return item


class Adapted(Session):
    """Of a client, *lingering* is what goes on behind the close, for three probe timeouts."""

    __slots__ = ("_connection", "_lingering", "receive_datagram", "send_datagram")

    def __init__(self, connection: Connection, lingering: Callable[[], Awaitable[object]] | None = None) -> None:
        self._connection, self._lingering = connection, lingering
        self.send_datagram, self.receive_datagram = connection.send_datagram, connection.receive_datagram

    async def open_bi(self) -> Stream:
        return await self._connection.open_bi()

    async def accept_bi(self) -> Stream:
        return taken(await self._connection.accepted.get())

    async def close(self) -> None:
        self._connection.close()
        if self._lingering:
            self._connection.tasks.add(asyncio.create_task(self._lingering()))
