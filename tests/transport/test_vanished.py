"""A peer that dies is noticed: by its silence, or by the stateless reset of whoever came after it."""

import asyncio
from contextlib import suppress

import pytest
from web_transport import SessionClosedByPeer, SessionTimeout

from tests.transport.processes import SERVER, kill, process

CLIENT = """
import asyncio, sys
from web_transport import Client

async def main(url):
    session = await Client(no_cert_verification=True).connect(url)
    await session.wait_closed()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_server_is_a_timeout(make_client, certificate_files):
    """A peer that dies without a word is never reported as a close: it is SessionTimeout, for every call."""
    async with process(SERVER, 0, *certificate_files) as server:
        port = int(await server.stdout.readline())
        session = await make_client(max_idle_timeout=1).connect(f"https://127.0.0.1:{port}/")
        waiting = asyncio.create_task(session.accept_bi())
        await kill(server)
        with pytest.raises(SessionTimeout):
            await waiting
        with pytest.raises(SessionTimeout):
            await session.open_bi()
        assert isinstance(session.close_reason, SessionTimeout)
        await session.wait_closed()


async def test_a_killed_client_is_a_timeout(make_server):
    """A server notices as well, and goes on to serve others."""
    server = make_server(max_idle_timeout=1)
    url = f"https://127.0.0.1:{server.local_addr[1]}/"
    for _ in range(2):
        async with process(CLIENT, url) as client:
            session = await (await server.accept()).accept()
            await kill(client)
            with pytest.raises(SessionTimeout):
                await session.receive_datagram()


async def test_a_restarted_server_resets_what_it_does_not_know(make_client, certificate_files):
    """The new process answers with a stateless reset (RFC 9000 §10.3), long before the idle time-out."""
    client = make_client(max_idle_timeout=None)
    async with process(SERVER, 0, *certificate_files) as server:
        port = int(await server.stdout.readline())
        session = await client.connect(f"https://127.0.0.1:{port}/")
        waiting = asyncio.create_task(session.accept_bi())
        await kill(server)
    async with process(SERVER, port, *certificate_files) as server:
        assert int(await server.stdout.readline()) == port
        with suppress(SessionClosedByPeer):  # something sent before may have been answered already
            await (await session.open_uni()).write(
                bytes(100)
            )  # a reset is shorter than what it answers, and long enough to look like a packet
        with pytest.raises(SessionClosedByPeer) as raised:
            await waiting
        assert (raised.value.source, raised.value.code, raised.value.reason) == ("connection-reset", None, "")
        async with await client.connect(f"https://127.0.0.1:{port}/"):
            pass  # the same socket serves on
