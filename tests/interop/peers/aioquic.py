"""The peer aioquic (PyPI), draft-02: a small WebTransport on its `H3Connection`, which frames streams and datagrams and no more."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.asyncio import connect as quic_connect
from aioquic.asyncio import serve as quic_serve
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DatagramReceived, DataReceived, H3Event, HeadersReceived, WebTransportStreamDataReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated, QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset
from peers import common

CLOSE_SESSION = 0x2843  # the capsule's type
FIRST_CODE = 0x52E4A40FA8DB  # application code 0 on the wire
LAST_CODE = 0x52E5AC983162
LINGER = 2.0  # seconds a client waits for the server's end of a session's stream


def to_wire(code: int) -> int:
    return FIRST_CODE + code + code // 0x1E


def from_wire(code: int) -> int | None:
    """The application's code, or None for a code that is not WebTransport's (WT §4.4)."""
    if not FIRST_CODE <= code <= LAST_CODE or (code - 0x21) % 0x1F == 0:
        return None
    return (shifted := code - FIRST_CODE) - shifted // 0x1F


class Stream:
    """One stream: what came in waits in a queue, whose last item is b"" or the peer's reset."""

    def __init__(self, connection: "Connection", stream_id: int) -> None:
        self.id = stream_id
        self._connection = connection
        self.incoming: asyncio.Queue[bytes | common.StreamEnded] = asyncio.Queue()
        self.stopped: common.StreamEnded | None = None

    def received(self, data: bytes, ended: bool) -> None:
        if data:
            self.incoming.put_nowait(data)
        if ended:
            self.incoming.put_nowait(b"")

    async def write(self, data: bytes, *, end: bool = False) -> None:
        if self.stopped:
            raise self.stopped
        self._connection.quic.send_stream_data(self.id, data, end)
        self._connection.transmit()

    async def finish(self) -> None:
        await self.write(b"", end=True)

    async def read(self) -> bytes:
        chunk = await self.incoming.get()
        if isinstance(chunk, common.StreamEnded):
            raise chunk
        return chunk

    async def reset(self, code: int) -> None:
        self._connection.quic.reset_stream(self.id, to_wire(code))
        self._connection.transmit()

    async def stop(self, code: int) -> None:
        self._connection.quic.stop_stream(self.id, to_wire(code))
        self._connection.transmit()


class Session:
    def __init__(self, connection: "Connection", session_id: int, authority: str, path: str) -> None:
        self.id, self.authority, self.path = session_id, authority, path
        self.subprotocol = None  # headers are whatever the application writes
        self._connection = connection
        self._capsules = b""
        self.sending = True  # on the CONNECT stream
        self.answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()
        self.bidi: asyncio.Queue[Stream] = asyncio.Queue()
        self.uni: asyncio.Queue[Stream] = asyncio.Queue()
        self.datagrams: asyncio.Queue[bytes] = asyncio.Queue()

    def on_connect_stream(self, data: bytes, ended: bool) -> None:
        """The CONNECT stream carries capsules; its end without a close capsule is (0, "")."""
        self._capsules += data
        buffer = Buffer(data=self._capsules)
        try:
            while not buffer.eof():
                kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
                value = buffer.pull_bytes(length)
                self._capsules = self._capsules[buffer.tell() :]
                buffer = Buffer(data=self._capsules)
                if kind == CLOSE_SESSION:
                    self.ended(int.from_bytes(value[:4]), value[4:].decode())
        except BufferReadError:
            pass  # the rest of the capsule is on its way
        if ended:
            self.ended(0, "")

    def ended(self, code: int | None, reason: str | None) -> None:
        if not self.closed.done():
            self.closed.set_result((code, reason))
        self._send_close(b"")  # our side of the CONNECT stream ends too

    def _send_close(self, capsule: bytes) -> None:
        if self.sending:
            self.sending = False
            self._connection.h3.send_data(self.id, capsule, end_stream=True)
            self._connection.transmit()

    async def open_bi(self) -> Stream:
        stream = self._connection.stream(self._connection.h3.create_webtransport_stream(self.id))
        self._connection.opened.add(stream.id)
        return stream

    async def open_uni(self) -> Stream:
        return self._connection.stream(self._connection.h3.create_webtransport_stream(self.id, is_unidirectional=True))

    async def accept_bi(self) -> Stream:
        return await self.bidi.get()

    async def accept_uni(self) -> Stream:
        return await self.uni.get()

    async def send_datagram(self, data: bytes) -> None:
        self._connection.h3.send_datagram(self.id, data)
        self._connection.transmit()

    async def receive_datagram(self) -> bytes:
        return await self.datagrams.get()

    async def close(self, code: int, reason: str) -> None:
        value = code.to_bytes(4) + reason.encode()
        self._send_close(encode_uint_var(CLOSE_SESSION) + encode_uint_var(len(value)) + value)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        return await self.closed


class Connection(QuicConnectionProtocol):
    handler: Callable[[Session], Awaitable[None]] | None = None  # a server's

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.quic = self._quic
        self.h3: H3Connection = None  # until ALPN has chosen it
        self.opened: set[int] = set()  # bidirectional streams that we opened
        self.sessions: dict[int, Session] = {}
        self.streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def stream(self, stream_id: int) -> Stream:
        return self.streams.setdefault(stream_id, Stream(self, stream_id))

    def quic_event_received(self, event: QuicEvent) -> None:
        match event:
            case ProtocolNegotiated():
                self.h3 = H3Connection(self.quic, enable_webtransport=True)
            case StreamReset(stream_id=stream_id, error_code=code):
                self.stream(stream_id).incoming.put_nowait(common.StreamEnded("reset", from_wire(code)))
            case StopSendingReceived(stream_id=stream_id) if stream_id in self.sessions:
                self.sessions[stream_id].sending = False
            case StopSendingReceived(stream_id=stream_id, error_code=code):
                self.stream(stream_id).stopped = common.StreamEnded("stop", from_wire(code))
            case StreamDataReceived(stream_id=stream_id, data=data, end_stream=ended) if stream_id in self.opened:
                self.stream(stream_id).received(data, ended)
                return  # H3Connection would look for HTTP frames in what comes back on a stream that we opened
            case ConnectionTerminated(error_code=code, reason_phrase=reason):
                for session in self.sessions.values():
                    session.sending = False
                    session.ended(None, f"connection closed: 0x{code:x} {reason}")
                    if not session.answered.done():
                        session.answered.set_exception(ConnectionError(f"0x{code:x} {reason}"))
        if self.h3:
            for h3_event in self.h3.handle_event(event):
                self._on_h3(h3_event)

    def _on_h3(self, event: H3Event) -> None:
        match event:
            case HeadersReceived(headers=headers, stream_id=stream_id) if self.handler:
                self._on_request(stream_id, {name.decode(): value.decode() for name, value in headers})
            case HeadersReceived(headers=headers, stream_id=stream_id):
                self.sessions[stream_id].answered.set_result(int(dict(headers)[b":status"]))
            case DataReceived(data=data, stream_id=stream_id, stream_ended=ended) if stream_id in self.sessions:
                self.sessions[stream_id].on_connect_stream(data, ended)
            case DatagramReceived(data=data, stream_id=stream_id) if stream_id in self.sessions:
                self.sessions[stream_id].datagrams.put_nowait(data)
            case WebTransportStreamDataReceived(data=data, stream_id=stream_id, session_id=session_id, stream_ended=ended):
                stream = self.streams.get(stream_id)
                if stream is None:
                    session, stream = self.sessions[session_id], self.stream(stream_id)
                    (session.uni if stream_id & 2 else session.bidi).put_nowait(stream)
                stream.received(data, ended)

    def _on_request(self, stream_id: int, headers: dict[str, str]) -> None:
        path = urlsplit(headers[":path"]).path
        if (headers[":method"], headers.get(":protocol")) != ("CONNECT", "webtransport") or path == "/reject":
            self.h3.send_headers(stream_id, [(b":status", b"%d" % common.REJECT)], end_stream=True)
            return
        self.h3.send_headers(stream_id, [(b":status", b"200"), (b"sec-webtransport-http3-draft", b"draft02")])
        session = self.sessions[stream_id] = Session(self, stream_id, headers[":authority"], path)
        session.answered.set_result(200)
        task = asyncio.create_task(self.handler(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def request(self, authority: str, path: str) -> Session:
        session_id = self.quic.get_next_available_stream_id()
        session = self.sessions[session_id] = Session(self, session_id, authority, path)
        headers = {":method": "CONNECT", ":scheme": "https", ":authority": authority, ":path": path, ":protocol": "webtransport"}
        headers["sec-webtransport-http3-draft02"] = "1"
        self.h3.send_headers(session_id, [(name.encode(), value.encode()) for name, value in headers.items()])
        self.transmit()
        if not 200 <= (status := await session.answered) < 300:
            raise common.Rejected(status)
        return session


def configuration(**options: object) -> QuicConfiguration:
    return QuicConfiguration(alpn_protocols=H3_ALPN, max_datagram_frame_size=65536, **options)


class Library:
    @asynccontextmanager
    async def serve(self, certificate: Path, key: Path, handler: Callable[[Session], Awaitable[None]]) -> AsyncIterator[int]:
        class ServerConnection(Connection):
            pass

        ServerConnection.handler = staticmethod(handler)
        config = configuration(is_client=False)
        config.load_cert_chain(certificate, key)
        server = await quic_serve("127.0.0.1", 0, configuration=config, create_protocol=ServerConnection)
        yield server._transport.get_extra_info("sockname")[1]
        server.close()

    @asynccontextmanager
    async def connect(self, url: str, subprotocols: list[str]) -> AsyncIterator[Session]:
        if subprotocols:
            raise common.NotOfferedError
        target = urlsplit(url)
        config = configuration(is_client=True, verify_mode=ssl.CERT_NONE)
        async with quic_connect(target.hostname, target.port, configuration=config, create_protocol=Connection) as connection:
            session = await connection.request(target.netloc, target.path)
            yield session
            for session in connection.sessions.values():
                await session.close(0, "")
            async with asyncio.timeout(LINGER):  # CONNECTION_CLOSE must not overtake the capsule
                await asyncio.gather(*(session.wait_closed() for session in connection.sessions.values()))
            connection.close(ErrorCode.H3_NO_ERROR)

    def pool(self, url: str, count: int) -> AbstractAsyncContextManager[list[Session]]:
        raise common.NotOfferedError


if __name__ == "__main__":
    common.run(Library())
