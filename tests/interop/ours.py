"""Our echo server, as peers and browsers meet it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import web_transport

RESET, STOP, CLOSE, REJECT, SUBPROTOCOL = 5, 6, (7, "bye"), 404, "b"  # as in peers/common.py
TIMEOUT = 20.0  # seconds for one test's conversation; the slowest takes two


class OurServer:
    """Our echo server with the paths that `peers.common` describes; what it sees of its clients waits in a queue."""

    def __init__(self, server: web_transport.Server) -> None:
        self.port = server.local_addr[1]
        self.sessions: list[web_transport.Session] = []
        self._server = server
        self._seen: asyncio.Queue[tuple[str, object]] = asyncio.Queue()

    async def saw(self, what: str) -> object:
        async with asyncio.timeout(TIMEOUT):
            while True:
                kind, value = await self._seen.get()
                if kind == what:
                    return value

    async def run(self) -> None:
        async with asyncio.TaskGroup() as requests:
            async for request in self._server:
                requests.create_task(self._answer(request))

    async def _answer(self, request: web_transport.SessionRequest) -> None:
        path = urlsplit(request.url).path
        if path == "/reject":
            await request.reject(REJECT)
            return
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in request.subprotocols else None
        async with await request.accept(subprotocol=subprotocol) as session:
            self.sessions.append(session)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._bidirectional(session, path, tasks))
                    tasks.create_task(self._unidirectional(session, tasks))
                    tasks.create_task(self._datagrams(session))
            except* web_transport.SessionError:
                self._seen.put_nowait(("close", session.close_reason))

    async def _bidirectional(self, session: web_transport.Session, path: str, tasks: asyncio.TaskGroup) -> None:
        async def echo(send: web_transport.SendStream, recv: web_transport.RecvStream) -> None:
            try:
                async for chunk in recv:
                    match path:
                        case "/reset":
                            send.reset(RESET)
                            recv.stop(STOP)
                            return
                        case "/close":
                            session.close(*CLOSE)
                            return
                        case "/drain":
                            session.drain()
                    await send.write(chunk)
                await send.finish()
            except web_transport.StreamClosedByPeer as closed:
                self._seen.put_nowait((closed.kind, closed.code))

        while True:
            tasks.create_task(echo(*await session.accept_bi()))

    async def _unidirectional(self, session: web_transport.Session, tasks: asyncio.TaskGroup) -> None:
        async def echo(recv: web_transport.RecvStream) -> None:
            async with await session.open_uni() as send:
                async for chunk in recv:
                    await send.write(chunk)

        while True:
            tasks.create_task(echo(await session.accept_uni()))

    async def _datagrams(self, session: web_transport.Session) -> None:
        while True:
            await session.send_datagram(await session.receive_datagram())


@asynccontextmanager
async def serving(certificate: tuple[bytes, bytes]) -> AsyncIterator[OurServer]:
    """Our server on a free port; the end waits for all that it does, so that no failure of it is missed."""
    async with web_transport.Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0") as endpoint:
        server = OurServer(endpoint)
        task = asyncio.create_task(server.run())
        yield server
    async with asyncio.timeout(TIMEOUT):
        await task
