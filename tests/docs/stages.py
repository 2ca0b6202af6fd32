"""What the code of a page may begin with: a name of a stage, and what it provides by which names."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import web_transport
from pywebtransport import ClientConfig, ServerApp, ServerConfig, WebTransportClient, WebTransportSession
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

Names = dict[str, Any]
STAGES: dict[str, Callable[[], AbstractAsyncContextManager[Names]]] = {}


def stage(function: Callable[[], AsyncIterator[Names]]) -> Callable[[], AbstractAsyncContextManager[Names]]:
    """Registers a stage by the name of its function."""
    STAGES[function.__name__] = asynccontextmanager(function)
    return STAGES[function.__name__]


@stage
async def nothing() -> AsyncIterator[Names]:
    """A namespace with nothing in it."""
    yield {}


@stage
async def files() -> AsyncIterator[Names]:
    """A certificate for localhost and its key as PEM files, called as authorities call them."""
    certfile, keyfile = generate_self_signed_cert("localhost")
    Path("fullchain.pem").write_bytes(Path(certfile).read_bytes())
    Path("privkey.pem").write_bytes(Path(keyfile).read_bytes())
    yield {"certificate_hash": certificate_hash(certfile)}


@stage
async def server() -> AsyncIterator[Names]:
    """A server of the transport that nobody accepts sessions from yet, and a client that pins its certificate."""
    certificate, key = web_transport.generate_self_signed(["localhost", "127.0.0.1"])
    pin = web_transport.certificate_hash(certificate)
    async with (
        web_transport.Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0") as server,
        web_transport.Client(server_certificate_hashes=[pin]) as client,
    ):
        url = f"https://127.0.0.1:{server.local_addr[1]}/"
        yield {"server": server, "client": client, "url": url, "certificate": certificate, "key": key, "certificate_hash": pin}


@stage
async def sessions() -> AsyncIterator[Names]:
    """The two ends of a session of the transport: `session` at the client, `peer` at the server."""
    async with server() as names:
        connecting = asyncio.create_task(names["client"].connect(names["url"]))
        request = await names["server"].accept()
        peer = await request.accept()
        async with await connecting as session, peer:
            yield {**names, "session": session, "peer": peer}


@stage
async def echo() -> AsyncIterator[Names]:
    """A server that sends back what comes over every session, and one such session."""
    async with (
        server() as names,
        _background(serve_echoes(names["server"])),
        await names["client"].connect(names["url"]) as session,
    ):
        yield {**names, "session": session}


async def serve_echoes(server: web_transport.Server) -> None:
    async def serve(request: web_transport.SessionRequest) -> None:
        async with await request.accept() as session:
            with suppress(ExceptionGroup):  # it ended
                await _echo(session)

    async with asyncio.TaskGroup() as group:
        async for request in server:
            group.create_task(serve(request))


async def _echo(session: web_transport.Session) -> None:
    async def bidirectional() -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(back(*await session.accept_bi()))

    async def unidirectional() -> None:
        while True:
            recv = await session.accept_uni()
            await back(await session.open_uni(), recv)

    async def back(send: web_transport.SendStream, recv: web_transport.RecvStream) -> None:
        with suppress(web_transport.StreamError):
            async with send, recv:
                async for chunk in recv:
                    await send.write(chunk)

    async def datagrams() -> None:
        async for data in session.datagrams:
            session.send_datagram(data)

    async with asyncio.TaskGroup() as group:
        for echo in (bidirectional, unidirectional, datagrams):
            group.create_task(echo())


@stage
async def framework() -> AsyncIterator[Names]:
    """The two ends of a session of the framework: `session` at the client, `peer` at the server."""
    asked: asyncio.Queue[WebTransportSession] = asyncio.Queue()

    async def handler(session: WebTransportSession) -> None:
        asked.put_nowait(session)
        await session.wait_closed()

    async with serving(handler) as (_, client, url), await client.connect(url) as session:
        yield {"session": session, "peer": await asked.get(), "client": client, "url": url}


@stage
async def framework_echo() -> AsyncIterator[Names]:
    """A session of the framework whose peer sends back what comes."""

    async def handler(session: WebTransportSession) -> None:
        async def streams() -> None:
            async for stream in session.incoming_bidirectional_streams():
                await stream.write_all(await stream.read_all())

        async def datagrams() -> None:
            while True:
                await session.datagrams.send(await session.datagrams.receive())

        async with _background(streams()), _background(datagrams()):
            await session.wait_closed()

    async with serving(handler) as (_, client, url), await client.connect(url) as session:
        yield {"session": session, "client": client, "url": url}


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[tuple[ServerApp, WebTransportClient, str]]:
    """An application with one handler, a client that pins its certificate, and its URL."""
    certfile, keyfile = generate_self_signed_cert("localhost")
    config = ServerConfig(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=0, close_timeout=0.5)
    app = ServerApp(config)
    app.route("/")(handler)
    pins = ClientConfig(server_certificate_hashes=[certificate_hash(certfile)])
    async with app, WebTransportClient(pins) as client:
        await app.server.listen()
        async with _background(app.serve()):
            yield app, client, f"https://127.0.0.1:{app.server.local_addresses[0][1]}/"


@asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
