"""A bad network costs time and no bytes: over real UDP, through a relay that loses datagrams by seed."""

import asyncio
import hashlib
import random

import pytest

MIB = 1 << 20
LOSS = 0.2  # of the datagrams, each way


class Relay(asyncio.DatagramProtocol):
    """Stands for a server: passes on what clients send it, and what comes back, except for what it loses."""

    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.passed = self.lost = 0
        self.upstream = {}  # a client's address: the transport that stands for it at the server

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, client):
        if self.loses():
            return
        upstream = self.upstream.get(client)
        if upstream is None:
            self.upstream[client] = upstream = asyncio.get_running_loop().create_task(self.connect(client))
        if upstream.done():
            upstream.result().sendto(data)
        # else: lost as well, which is what may happen to a first packet

    async def connect(self, client):
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Back(self, client), remote_addr=self.server)
        return transport

    def loses(self):
        lost = self.random.random() < LOSS
        self.lost += lost
        self.passed += not lost
        return lost

    def close(self):
        self.transport.close()
        for upstream in self.upstream.values():
            upstream.result().close()


class Back(asyncio.DatagramProtocol):
    """The way back from the server to one client."""

    def __init__(self, relay, client):
        self.relay, self.client = relay, client

    def datagram_received(self, data, _):
        if not self.relay.loses():
            self.relay.transport.sendto(data, self.client)


@pytest.fixture
async def relay(server):
    """A lossy relay before the server."""
    loop = asyncio.get_running_loop()
    _, relay = await loop.create_datagram_endpoint(lambda: Relay(server.local_addr, seed=20), local_addr=("127.0.0.1", 0))
    yield relay
    relay.close()


@pytest.mark.deadline(600)
@pytest.mark.parametrize("size", [MIB, pytest.param(16 * MIB, marks=pytest.mark.soak)])
async def test_a_fifth_lost_each_way_costs_no_byte(server, client, relay, size):
    """Every byte arrives, there and back, and so does the close."""
    connecting = asyncio.create_task(client.connect(f"https://127.0.0.1:{relay.transport.get_extra_info('sockname')[1]}/"))
    accepted = await (await server.accept()).accept()
    session = await connecting
    data = random.Random(size).randbytes(size)
    send, recv = await session.open_bi()
    echoing = asyncio.create_task(echo(*await accepted.accept_bi()))
    async with send:
        sending = asyncio.create_task(send.write(data))
        digest = hashlib.sha256()
        for _ in range(size // MIB):
            digest.update(await recv.readexactly(MIB))
        await sending
    assert await recv.read() == b""
    await echoing
    assert digest.digest() == hashlib.sha256(data).digest()
    session.close(7, "done")
    await session.wait_closed()
    await accepted.wait_closed()
    assert (accepted.close_reason.code, accepted.close_reason.reason) == (7, "done")
    assert relay.lost > relay.passed / 8


async def echo(send, recv):
    async with send:
        async for chunk in recv:
            await send.write(chunk)
