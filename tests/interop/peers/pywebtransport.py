"""The peer pywebtransport 0.21 (PyPI), drafts 15 and 16 only."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pywebtransport
from peers import common
from pywebtransport.events import Event
from pywebtransport.types import EventType

EVENT_DELAY = 1.0  # seconds; the library's events come by tasks of their own, after the error that a call raises


class Stream:
    """One stream: the error of a call may be the library's own; the peer's codes come as events, if WebTransport has them."""

    def __init__(self, stream: pywebtransport.stream.WebTransportStream) -> None:
        self._stream = stream
        self._reset = asyncio.get_running_loop().create_future()
        self._stopped = asyncio.get_running_loop().create_future()
        stream.events.once(event_type=EventType.STREAM_RESET_RECEIVED, handler=self._on_reset)
        stream.events.once(event_type=EventType.STREAM_STOP_SENDING_RECEIVED, handler=self._on_stop)

    def _on_reset(self, event: Event) -> None:
        self._reset.set_result(event.data.get("error_code"))

    def _on_stop(self, event: Event) -> None:
        self._stopped.set_result(event.data.get("error_code"))

    async def write(self, data: bytes, *, end: bool = False) -> None:
        try:
            await self._stream.write_all(data=data, end_stream=end)
        except (pywebtransport.StreamError, pywebtransport.SessionError, pywebtransport.ConnectionError) as error:
            raise await self._ending("stop", self._stopped) from error

    async def finish(self) -> None:
        await self.write(b"", end=True)

    async def read(self) -> bytes:
        try:
            return await self._stream.read(max_size=65536)
        except (pywebtransport.StreamError, pywebtransport.SessionError, pywebtransport.ConnectionError) as error:
            raise await self._ending("reset", self._reset) from error

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
    def __init__(self, session: pywebtransport.WebTransportSession, authority: str) -> None:
        self.path, self._authority = session.path, authority
        self._session = session
        self._bidi, self._uni = session.incoming_bidirectional_streams(), session.incoming_unidirectional_streams()
        self._closed = asyncio.get_running_loop().create_future()
        session.events.once(event_type=EventType.SESSION_CLOSED, handler=self._on_closed)

    @property
    def subprotocol(self) -> str | None:
        return self._session.wt_protocol

    async def another(self) -> "Session":
        """One more session on the same connection."""
        session = await self._session.connection.create_session(authority=self._authority, path=self.path)
        return Session(session, self._authority)

    def _on_closed(self, event: Event) -> None:
        self._closed.set_result((event.data.get("error_code"), event.data.get("reason")))

    async def open_bi(self) -> Stream:
        return Stream(await self._session.create_bidirectional_stream())

    async def open_uni(self) -> Stream:
        return Stream(await self._session.create_unidirectional_stream())

    async def accept_bi(self) -> Stream:
        async for stream in self._bidi:
            return Stream(stream)
        raise common.SessionEnded

    async def accept_uni(self) -> Stream:
        async for stream in self._uni:
            return Stream(stream)
        raise common.SessionEnded

    async def send_datagram(self, data: bytes) -> None:
        await self._session.send_datagram(data=data)

    async def receive_datagram(self) -> bytes:
        try:
            return await self._session.read_datagram()
        except (pywebtransport.SessionError, pywebtransport.ConnectionError) as error:
            raise common.SessionEnded from error

    async def close(self, code: int, reason: str) -> None:
        await self._session.close(error_code=code, reason=reason)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        return await asyncio.shield(self._closed)


class Library:
    @asynccontextmanager
    async def serve(self, certificate: Path, key: Path, handler: Callable[[Session], Awaitable[None]]) -> AsyncIterator[int]:
        async def answer(session: pywebtransport.WebTransportSession) -> None:
            if session.path == "/reject":
                await session.reject(status_code=common.REJECT)
                return
            adapted = Session(session, "")
            chosen = common.SUBPROTOCOL if common.SUBPROTOCOL in (session.wt_available_protocols or ()) else None
            await session.accept(wt_protocol=chosen)
            await handler(adapted)

        async def accept_sessions(connection: pywebtransport.connection.WebTransportConnection) -> None:
            async with asyncio.TaskGroup() as sessions:
                async for session in connection.incoming_sessions():
                    sessions.create_task(answer(session))

        async def accept_connections(server: pywebtransport.WebTransportServer) -> None:
            async with asyncio.TaskGroup() as connections:
                async for connection in server.incoming_connections():
                    connections.create_task(accept_sessions(connection))

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:  # the library refuses port 0
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = pywebtransport.ServerConfig(certfile=str(certificate), keyfile=str(key), bind_host="127.0.0.1", bind_port=port)
        async with pywebtransport.WebTransportServer(config=config) as server:
            await server.listen()
            accepting = asyncio.create_task(accept_connections(server))
            yield port
            accepting.cancel()
            with suppress(asyncio.CancelledError):  # and nothing else: a handler's failure is shown
                await accepting

    @asynccontextmanager
    async def connect(self, url: str, subprotocols: list[str]) -> AsyncIterator[Session]:
        config = pywebtransport.ClientConfig(verify_mode=ssl.CERT_NONE)
        async with pywebtransport.WebTransportClient(config=config) as client:
            try:
                session = await client.connect(url=url, wt_available_protocols=subprotocols or None)
            except pywebtransport.ClientError as error:
                if error.error_code != pywebtransport.ErrorCodes.H3_REQUEST_REJECTED:
                    raise
                raise common.Rejected(None) from error
            async with session:
                yield Session(session, urlsplit(url).netloc)

    @asynccontextmanager
    async def pool(self, url: str, count: int) -> AsyncIterator[list[Session]]:
        async with self.connect(url, []) as session:
            yield [session, *[await session.another() for _ in range(count - 1)]]


if __name__ == "__main__":
    common.run(Library())
