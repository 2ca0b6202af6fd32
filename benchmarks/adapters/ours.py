"""Ours, through `web_transport`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from web_transport import Client, RecvStream, SendStream, Server, SessionRequest, WebTransportError, load_certificates, load_private_key
from web_transport import Session as TransportSession

from benchmarks.library import Connect, Handler, Session, Stream

OVER = (WebTransportError,)


def adapt_stream(halves: tuple[SendStream, RecvStream]) -> Stream:
    send, recv = halves

    async def write_all(data: bytes) -> None:
        await send.write(data)
        await send.finish()

    return Stream(send.write, send.finish, write_all, recv.read, recv.read)


class Adapted(Session):
    __slots__ = ("_session", "receive_datagram", "send_datagram")

    def __init__(self, session: TransportSession) -> None:
        self._session = session
        self.send_datagram, self.receive_datagram = session.send_datagram, session.receive_datagram

    async def open_bi(self) -> Stream:
        return adapt_stream(await self._session.open_bi())

    async def accept_bi(self) -> Stream:
        return adapt_stream(await self._session.accept_bi())

    async def close(self) -> None:
        self._session.close()

    def dropped(self) -> int:
        datagrams = self._session.stats().datagrams
        return datagrams.dropped_incoming + datagrams.dropped_outgoing

    def on_the_wire(self) -> tuple[int, int]:
        stats = self._session.stats()
        return stats.datagram_frames_sent, stats.datagram_frames_received


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    async def answer(request: SessionRequest) -> None:
        await handler(request.path, Adapted(await request.accept()))

    async def accept(server: Server) -> None:
        async with asyncio.TaskGroup() as sessions:
            async for request in server:
                sessions.create_task(answer(request))

    chain, private_key = load_certificates(certificate), load_private_key(key)
    async with Server(certificate_chain=chain, private_key=private_key, bind="127.0.0.1:0") as server:
        accepting = asyncio.create_task(accept(server))
        yield server.local_addr[1]
        accepting.cancel()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    async with Client(no_cert_verification=True) as connecting:

        async def connect(path: str) -> Session:
            return Adapted(await connecting.connect(f"https://127.0.0.1:{port}{path}"))

        yield connect
