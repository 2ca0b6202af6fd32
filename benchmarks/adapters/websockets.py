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


def adapt(socket: Connection, path: str, connect: Connect | None = None) -> Session:
    turn = asyncio.Lock()
    others: list[Session] = []
    questions: asyncio.Queue[str] = asyncio.Queue()
    accepted = False

    async def send_text(data: bytes) -> None:
        await socket.send(data, text=True)

    async def answer() -> bytes:
        async with turn:  # answers come in the order in which they were asked for
            return await socket.recv(decode=False)

    async def open_bi() -> Stream:
        if path in MESSAGES:
            return message(socket.send if path == "/rpc" else send_text, answer)
        others.append(await connect(path))
        return await others[-1].accept_bi()

    async def accept_bi() -> Stream:
        nonlocal accepted
        if path in MESSAGES:
            asked = await (socket.recv(decode=False) if path == "/rpc" else questions.get())

            async def request() -> bytes:
                return asked

            return message(socket.send, request)
        if accepted:
            await socket.wait_closed()
            raise socket.protocol.close_exc
        accepted = True
        return whole_connection(socket)

    async def receive_datagram() -> bytes:
        while isinstance(received := await socket.recv(), str):
            questions.put_nowait(received)
        return received

    async def close() -> None:
        for session in others:
            await session.close()
        await socket.close()

    return Session(open_bi, accept_bi, socket.send, receive_datagram, close)


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    async def answer(socket: ServerConnection) -> None:
        await handler(socket.request.path, adapt(socket, socket.request.path))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with websockets_serve(answer, "127.0.0.1", 0, ssl=context, **OPTIONS) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def connect(path: str) -> Session:
        return adapt(await websockets_connect(f"wss://127.0.0.1:{port}{path}", ssl=context, **OPTIONS), path, connect)

    yield connect
