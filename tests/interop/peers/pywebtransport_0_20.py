"""The peer pywebtransport 0.20 (PyPI): what differs from 0.21. Requests for sessions and datagrams come as events."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pywebtransport
from peers import common
from pywebtransport.events import Event
from pywebtransport.types import EventType

CONNECT_TIME, ATTEMPTS = 1.0, 15  # seconds: some of its calls of connect never return, also with its own server
EVENT_DELAY = 1.0  # seconds; the library's events come by tasks of their own, after the error that a call raises


class Stream:
    """One stream: the error of a call may be the library's own; the peer's codes come as events, if WebTransport has them."""

    def __init__(self, stream: pywebtransport.WebTransportStream) -> None:
        self._stream = stream
        self._reset = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.get_running_loop().create_future()
        stream.events.once(event_type=EventType.STREAM_RESET_RECEIVED, handler=lambda event: _tell(self._reset, event))
        stream.events.once(event_type=EventType.STOP_SENDING_RECEIVED, handler=lambda event: _tell(self._stopped, event))

    async def write(self, data: bytes, *, end: bool = False) -> None:
        try:
            await self._stream.write_all(data=data, end_stream=end)
        except (pywebtransport.StreamError, pywebtransport.SessionError, pywebtransport.ConnectionError) as error:
            raise await self._ending("stop", self._stopped) from error

    async def finish(self) -> None:
        await self.write(b"", end=True)

    async def read(self) -> bytes:
        try:
            data = await self._stream.read(max_bytes=65536)
        except (pywebtransport.StreamError, pywebtransport.SessionError, pywebtransport.ConnectionError) as error:
            raise await self._ending("reset", self._reset) from error
        if not data and self._reset.done():  # it reads a reset as an end
            raise common.StreamEnded("reset", self._reset.result())
        return data

    async def _ending(self, kind: str, code: asyncio.Future[int]) -> Exception:
        try:
            async with asyncio.timeout(EVENT_DELAY):
                return common.StreamEnded(kind, await asyncio.shield(code))
        except TimeoutError:
            return common.SessionEnded()

    async def reset(self, code: int) -> None:
        await self._stream.reset(error_code=code)

    async def stop(self, code: int) -> None:
        await self._stream.stop_receiving(error_code=code)


class Session:
    def __init__(self, session: pywebtransport.WebTransportSession) -> None:
        self.path = session.path
        self.session = session
        self._bidi, self._uni = session.incoming_bidirectional_streams(), session.incoming_unidirectional_streams()
        self._datagrams: asyncio.Queue[bytes] = asyncio.Queue()
        self._closed = asyncio.get_running_loop().create_future()
        session.events.on(
            event_type=EventType.DATAGRAM_RECEIVED, handler=lambda event: self._datagrams.put_nowait(bytes(event.data["data"]))
        )
        session.events.once(event_type=EventType.SESSION_CLOSED, handler=self._on_closed)

    @property
    def subprotocol(self) -> str | None:
        return self.session.wt_protocol

    def _on_closed(self, event: Event) -> None:
        self._closed.set_result((event.data.get("error_code"), event.data.get("reason")))

    async def open_bi(self) -> Stream:
        return Stream(await self.session.create_bidirectional_stream())

    async def open_uni(self) -> Stream:
        return Stream(await self.session.create_unidirectional_stream())

    async def accept_bi(self) -> Stream:
        async for stream in self._bidi:
            return Stream(stream)
        raise common.SessionEnded

    async def accept_uni(self) -> Stream:
        async for stream in self._uni:
            return Stream(stream)
        raise common.SessionEnded

    async def send_datagram(self, data: bytes) -> None:
        await self.session.send_datagram(data=data)

    async def receive_datagram(self) -> bytes:
        return await self._datagrams.get()

    async def close(self, code: int, reason: str) -> None:
        await self.session.close(error_code=code, reason=reason)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        return await asyncio.shield(self._closed)


class Library:
    @asynccontextmanager
    async def serve(self, certificate: Path, key: Path, handler: Callable[[Session], Awaitable[None]]) -> AsyncIterator[int]:
        tasks: set[asyncio.Task[None]] = set()

        async def answer(event: Event) -> None:
            session = event.data["session"]
            if session.path == "/reject":
                await session.reject(status_code=common.REJECT)
                return
            adapted = Session(session)
            if common.SUBPROTOCOL in (session.wt_available_protocols or ()):
                session.wt_protocol = common.SUBPROTOCOL
            await session.accept()
            serving = asyncio.create_task(handler(adapted))
            tasks.add(serving)
            serving.add_done_callback(tasks.discard)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:  # the library refuses port 0
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = pywebtransport.ServerConfig(certfile=str(certificate), keyfile=str(key), bind_host="127.0.0.1", bind_port=port)
        async with pywebtransport.WebTransportServer(config=config) as server:
            server.on(event_type=EventType.SESSION_REQUEST, handler=answer)
            await server.listen()
            yield port
            for serving in list(tasks):
                serving.cancel()

    @asynccontextmanager
    async def connect(self, url: str, subprotocols: list[str]) -> AsyncIterator[Session]:
        offer = {"wt_available_protocols": subprotocols} if subprotocols else {}  # an empty offer is one that no answer suits
        config = pywebtransport.ClientConfig(verify_mode=ssl.CERT_NONE, **offer)
        async with AsyncExitStack() as stack:
            for left in reversed(range(ATTEMPTS)):
                client = await stack.enter_async_context(pywebtransport.WebTransportClient(config=config))
                try:
                    async with asyncio.timeout(CONNECT_TIME):
                        session = await client.connect(url=url)
                    break
                except TimeoutError:
                    if not left:
                        raise
                except (pywebtransport.ClientError, pywebtransport.ConnectionError, pywebtransport.SessionError) as error:
                    if urlsplit(url).path != "/reject":
                        raise
                    raise common.Rejected(None) from error
            async with session:
                yield Session(session)

    @asynccontextmanager
    async def pool(self, url: str, count: int) -> AsyncIterator[list[Session]]:
        async with self.connect(url, []) as first:
            connection = first.session._connection()
            others = [await connection.create_session(authority=urlsplit(url).netloc, path=urlsplit(url).path) for _ in range(count - 1)]
            yield [first, *map(Session, others)]


def _tell(code: asyncio.Future[int], event: Event) -> None:
    if not code.done():
        code.set_result(event.data.get("error_code"))


if __name__ == "__main__":
    common.run(Library())
