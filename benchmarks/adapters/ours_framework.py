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


def adapt(session: WebTransportSession) -> Session:
    async def open_bi() -> Stream:
        return adapt_stream(await session.create_bidirectional_stream())

    async def accept_bi() -> Stream:
        return adapt_stream(await session.accept_bidirectional_stream())

    def dropped() -> int:
        datagrams = session.datagrams
        return datagrams.dropped_incoming + datagrams.dropped_outgoing

    return Session(open_bi, accept_bi, session.send_datagram, session.read_datagram, session.close, dropped)


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    config = ServerConfig(bind_host="127.0.0.1", bind_port=0, certfile=certificate, keyfile=key)
    async with ServerApp(config) as app:

        @app.route("/{role}")
        async def answer(session: WebTransportSession, role: str) -> None:
            await handler(f"/{role}", adapt(session))

        await app.server.listen()
        serving = asyncio.create_task(app.serve())
        yield app.server.local_addresses[0][1]
        serving.cancel()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    async with WebTransportClient(ClientConfig(verify_mode=ssl.CERT_NONE)) as connecting:

        async def connect(path: str) -> Session:
            return adapt(await connecting.connect(f"https://127.0.0.1:{port}{path}"))

        yield connect
