"""Ours, through the application framework `pywebtransport`."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pywebtransport import ClientConfig, ServerApp, ServerConfig, WebTransportClient, WebTransportSession, WebTransportStream
from pywebtransport.exceptions import WebTransportError

from benchmarks.library import Connect, Handler, Session, Stream

OVER = (WebTransportError,)


def adapt_stream(stream: WebTransportStream) -> Stream:
    async def finish() -> None:
        await stream.write_all(b"")

    return Stream(stream.write, finish, stream.write_all, stream.read, stream.read_all)


class Adapted(Session):
    __slots__ = ("_session", "receive_datagram", "send_datagram")

    def __init__(self, session: WebTransportSession) -> None:
        self._session = session
        self.send_datagram, self.receive_datagram = session.send_datagram, session.read_datagram

    async def open_bi(self) -> Stream:
        return adapt_stream(await self._session.create_bidirectional_stream())

    async def accept_bi(self) -> Stream:
        return adapt_stream(await self._session.accept_bidirectional_stream())

    async def close(self) -> None:
        await self._session.close()

    def dropped(self) -> int:
        datagrams = self._session.datagrams
        return datagrams.dropped_incoming + datagrams.dropped_outgoing


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    config = ServerConfig(bind_host="127.0.0.1", bind_port=0, certfile=certificate, keyfile=key)
    async with ServerApp(config) as app:

        @app.route("/{role}")
        async def answer(session: WebTransportSession, role: str) -> None:
            await handler(f"/{role}", Adapted(session))

        await app.server.listen()
        serving = asyncio.create_task(app.serve())
        yield app.server.local_addresses[0][1]
        serving.cancel()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    async with WebTransportClient(ClientConfig(verify_mode=ssl.CERT_NONE)) as connecting:

        async def connect(path: str) -> Session:
            return Adapted(await connecting.connect(f"https://127.0.0.1:{port}{path}"))

        yield connect
