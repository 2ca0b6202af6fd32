"""The peer web-transport-quinn (PyPI), drafts 02 and 07 on quinn: its import name is ours, so it never shares an environment with us."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import web_transport
from peers import common


def der(pem: Path) -> bytes:
    return base64.b64decode("".join(pem.read_text().splitlines()[1:-1]))


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except web_transport.StreamClosedByPeer as error:
        raise common.StreamEnded(error.kind, error.code) from error
    except web_transport.SessionError as error:
        raise common.SessionEnded from error


class Stream:
    def __init__(self, send: web_transport.SendStream | None, recv: web_transport.RecvStream | None) -> None:
        self._send, self._recv = send, recv

    async def write(self, data: bytes) -> None:
        with translated():
            await self._send.write(data)

    async def finish(self) -> None:
        with translated():
            await self._send.finish()

    async def read(self) -> bytes:
        with translated():
            return await self._recv.read(65536)

    async def reset(self, code: int) -> None:
        self._send.reset(code)

    async def stop(self, code: int) -> None:
        self._recv.stop(code)


class Session:
    def __init__(self, session: web_transport.Session, url: str) -> None:
        self.path, self.subprotocol = urlsplit(url).path, None
        self._session = session

    async def open_bi(self) -> Stream:
        with translated():
            return Stream(*await self._session.open_bi())

    async def open_uni(self) -> Stream:
        with translated():
            return Stream(await self._session.open_uni(), None)

    async def accept_bi(self) -> Stream:
        with translated():
            return Stream(*await self._session.accept_bi())

    async def accept_uni(self) -> Stream:
        with translated():
            return Stream(None, await self._session.accept_uni())

    async def send_datagram(self, data: bytes) -> None:
        with translated():
            self._session.send_datagram(data)

    async def receive_datagram(self) -> bytes:
        with translated():
            return await self._session.receive_datagram()

    async def close(self, code: int, reason: str) -> None:
        self._session.close(code, reason)

    async def wait_closed(self) -> tuple[int | None, str | None]:
        await self._session.wait_closed()
        closed = self._session.close_reason
        if isinstance(closed, web_transport.SessionClosedByPeer):
            return closed.code, closed.reason
        return None, type(closed).__name__


class Library:
    @asynccontextmanager
    async def serve(self, certificate: Path, key: Path, handler: Callable[[Session], Awaitable[None]]) -> AsyncIterator[int]:
        async def answer(request: web_transport.SessionRequest) -> None:
            if urlsplit(request.url).path == "/reject":
                await request.reject(common.REJECT)
            else:
                await handler(Session(await request.accept(), request.url))

        async def accept(server: web_transport.Server) -> None:
            async with asyncio.TaskGroup() as requests:
                async for request in server:
                    requests.create_task(answer(request))

        chain, private_key = [der(certificate)], der(key)
        async with web_transport.Server(certificate_chain=chain, private_key=private_key, bind="127.0.0.1:0") as server:
            accepting = asyncio.create_task(accept(server))
            yield server.local_addr[1]
            accepting.cancel()
            with suppress(asyncio.CancelledError):  # and nothing else: a handler's failure is shown
                await accepting

    @asynccontextmanager
    async def connect(self, url: str, subprotocols: list[str]) -> AsyncIterator[Session]:
        if subprotocols:
            raise common.NotOfferedError
        async with web_transport.Client(no_cert_verification=True) as client:
            try:
                session = await client.connect(url)
            except web_transport.ConnectError as error:
                if (status := re.search(r"expected 200, got: Some\((\d+)\)", str(error))) is None:
                    raise
                raise common.Rejected(int(status[1])) from error
            async with session:
                yield Session(session, url)

    def pool(self, url: str, count: int) -> AbstractAsyncContextManager[list[Session]]:
        raise common.NotOfferedError


if __name__ == "__main__":
    common.run(Library())
