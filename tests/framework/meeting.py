"""How the framework's tests connect a client to a server."""

import asyncio
from typing import Any

from pywebtransport import WebTransportClient, WebTransportServer, WebTransportSession
from pywebtransport.testing import SessionPair


def url_of(server: WebTransportServer, path: str = "/") -> str:
    """Where a server listens."""
    return f"https://127.0.0.1:{server.local_addresses[0][1]}{path}"


async def requested(server: WebTransportServer) -> WebTransportSession:
    """The next session that somebody asks a server for."""
    async for connection in server.incoming_connections():
        async for session in connection.incoming_sessions():
            return session
    raise AssertionError("the server was closed")


async def join(connector: WebTransportClient, listener: WebTransportServer, path: str = "/", **options: Any) -> SessionPair:
    """A session of a client with a server."""
    async with asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(connector.connect(url_of(listener, path), **options))
        session = await requested(listener)
        await session.accept()
    return SessionPair(connecting.result(), session, connector, listener)


async def call(session: WebTransportSession, data: bytes = b"hello") -> bytes:
    """What an echoing server answers."""
    async with await session.create_bidirectional_stream() as stream:
        await stream.write_all(data)
        return await stream.read_all()
