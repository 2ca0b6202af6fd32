"""websockets (PyPI) over TLS: no WebTransport, but what people use instead.

A session's datagrams are messages, and so are its RPCs, which share one connection and are answered in order; text asks how many
datagrams have come. Any other stream is a connection of its own, whose empty message is the end.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from websockets import ConnectionClosed
from websockets.asyncio.client import connect as websockets_connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

from benchmarks.library import Connect, Handler, Session, Stream

MESSAGES = ("/rpc", "/count")  # paths whose streams are messages
OVER = (ConnectionClosed,)
OPTIONS = {"compression": None, "max_size": None, "ping_interval": None, "max_queue": 64}


def whole_connection(socket: Connection) -> Stream:
    async def finish() -> None:
        await socket.send(b"")

    async def write_all(data: bytes) -> None:
        await socket.send(data)
        await socket.send(b"")

    async def read(_n: int) -> bytes:
        return await socket.recv(decode=False)

    async def read_all() -> bytes:
        data = b""
        while message := await socket.recv(decode=False):
            data += message
        return data

    return Stream(socket.send, finish, write_all, read, read_all)


def message(send: Callable[[bytes], Awaitable[None]], read_all: Callable[[], Awaitable[bytes]]) -> Stream:
    return Stream(unused, unused, send, unused, read_all)


async def unused(*_arguments: object) -> bytes:
    raise NotImplementedError("a stream that is one message is written and read as a whole")


class Adapted(Session):
    __slots__ = ("_accepted", "_connect", "_others", "_path", "_questions", "_socket", "_turn", "send_datagram")

    def __init__(self, socket: Connection, path: str, connect: Connect | None = None) -> None:
        self._socket, self._path, self._connect = socket, path, connect
        self._turn: asyncio.Lock | None = None
        self._questions: asyncio.Queue[str] | None = asyncio.Queue() if path == "/count" else None
        self._others: list[Session] = []
        self._accepted = False
        self.send_datagram = socket.send

    async def _send_text(self, data: bytes) -> None:
        await self._socket.send(data, text=True)

    async def _answer(self) -> bytes:
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:  # answers come in the order in which they were asked for
            return await self._socket.recv(decode=False)

    async def open_bi(self) -> Stream:
        if self._path in MESSAGES:
            return message(self._socket.send if self._path == "/rpc" else self._send_text, self._answer)
        self._others.append(await self._connect(self._path))
        return await self._others[-1].accept_bi()

    async def accept_bi(self) -> Stream:
        if self._path in MESSAGES:
            asked = await (self._socket.recv(decode=False) if self._path == "/rpc" else self._questions.get())

            async def request() -> bytes:
                return asked

            return message(self._socket.send, request)
        if self._accepted:
            await self._socket.wait_closed()
            raise self._socket.protocol.close_exc
        self._accepted = True
        return whole_connection(self._socket)

    async def receive_datagram(self) -> bytes:
        while isinstance(received := await self._socket.recv(), str):
            self._questions.put_nowait(received)
        return received

    async def close(self) -> None:
        for session in self._others:
            await session.close()
        await self._socket.close()


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    async def answer(socket: ServerConnection) -> None:
        await handler(socket.request.path, Adapted(socket, socket.request.path))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with websockets_serve(answer, "127.0.0.1", 0, ssl=context, **OPTIONS) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def connect(path: str) -> Session:
        return Adapted(await websockets_connect(f"wss://127.0.0.1:{port}{path}", ssl=context, **OPTIONS), path, connect)

    yield connect
