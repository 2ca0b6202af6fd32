"""pywebtransport 0.21 (PyPI), whose import name is that of our framework."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pywebtransport

from benchmarks.library import Connect, Handler, Session, Stream

OVER = (pywebtransport.WebTransportError, StopAsyncIteration)
# Its defaults hold back what the scenarios do: 100 connections, a MiB of what was written
LIMITS = {"max_connections": 10_000, "connection_receive_window": 16 << 20, "connection_send_window": 16 << 20}
LIMITS |= {"stream_receive_window": 8 << 20, "session_receive_window": 16 << 20, "initial_max_data": 16 << 20}


def adapt_stream(stream: pywebtransport.stream.WebTransportStream) -> Stream:
    async def write(data: bytes) -> None:
        await stream.write_all(data=data)

    async def read(n: int) -> bytes:
        return await stream.read(max_size=n)

    finish = partial(stream.write_all, data=b"", end_stream=True)

    async def write_all(data: bytes) -> None:
        await stream.write_all(data=data, end_stream=True)

    return Stream(write, finish, write_all, read, stream.read_all)


class Adapted(Session):
    __slots__ = ("_session", "_streams", "receive_datagram")

    def __init__(self, session: pywebtransport.WebTransportSession) -> None:
        self._session = session
        self._streams = session.incoming_bidirectional_streams()
        self.receive_datagram = session.read_datagram

    async def open_bi(self) -> Stream:
        return adapt_stream(await self._session.create_bidirectional_stream())

    async def accept_bi(self) -> Stream:
        return adapt_stream(await anext(self._streams))

    async def send_datagram(self, data: bytes) -> None:
        await self._session.send_datagram(data=data)

    async def close(self) -> None:
        await self._session.close()


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    async def answer(session: pywebtransport.WebTransportSession) -> None:
        await session.accept()
        await handler(session.path, Adapted(session))

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
    config = pywebtransport.ServerConfig(certfile=str(certificate), keyfile=str(key), bind_host="127.0.0.1", bind_port=port, **LIMITS)
    async with pywebtransport.WebTransportServer(config=config) as server:
        await server.listen()
        accepting = asyncio.create_task(accept_connections(server))
        yield port
        accepting.cancel()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    config = pywebtransport.ClientConfig(verify_mode=ssl.CERT_NONE, **LIMITS)
    async with pywebtransport.WebTransportClient(config=config) as connecting:

        async def connect(path: str) -> Session:
            return Adapted(await connecting.connect(url=f"https://127.0.0.1:{port}{path}"))

        yield connect
