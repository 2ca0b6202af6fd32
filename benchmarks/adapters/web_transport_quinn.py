"""web-transport-quinn 0.1 (PyPI), whose import name is ours."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import web_transport

from benchmarks.library import Connect, Handler, Session, Stream

OVER = (web_transport.WebTransportError,)
FULL = 256 << 10


def der(pem: Path) -> bytes:
    return base64.b64decode("".join(pem.read_text().splitlines()[1:-1]))


def adapt_stream(halves: tuple[web_transport.SendStream, web_transport.RecvStream]) -> Stream:
    send, recv = halves

    async def write_all(data: bytes) -> None:
        await send.write(data)
        await send.finish()

    async def read(n: int) -> bytes:
        return await recv.read(n)

    async def drain() -> int:
        size = 0
        try:
            while True:  # read(n) gives what one packet brought
                size += len(await recv.readexactly(FULL))
        except web_transport.StreamIncompleteReadError as end:
            return size + len(end.partial)

    return Stream(send.write, send.finish, write_all, read, recv.read, drain)


class Adapted(Session):
    __slots__ = ("_session", "receive_datagram")

    def __init__(self, session: web_transport.Session) -> None:
        self._session = session
        self.receive_datagram = session.receive_datagram

    async def open_bi(self) -> Stream:
        return adapt_stream(await self._session.open_bi())

    async def accept_bi(self) -> Stream:
        return adapt_stream(await self._session.accept_bi())

    async def send_datagram(self, data: bytes) -> None:
        self._session.send_datagram(data)

    async def close(self) -> None:
        self._session.close()


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    async def answer(request: web_transport.SessionRequest) -> None:
        await handler(urlsplit(request.url).path, Adapted(await request.accept()))

    async def accept(server: web_transport.Server) -> None:
        async with asyncio.TaskGroup() as sessions:
            async for request in server:
                sessions.create_task(answer(request))

    async with web_transport.Server(certificate_chain=[der(certificate)], private_key=der(key), bind="127.0.0.1:0") as server:
        accepting = asyncio.create_task(accept(server))
        yield server.local_addr[1]
        accepting.cancel()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    async with web_transport.Client(no_cert_verification=True) as connecting:

        async def connect(path: str) -> Session:
            return Adapted(await connecting.connect(f"https://127.0.0.1:{port}{path}"))

        yield connect
