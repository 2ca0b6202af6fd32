"""What libraries of this kind get wrong, in the quantities in which it shows; single cases are with what they are about."""

import asyncio
import gc
import os
from pathlib import Path

import pytest
from pywebtransport import WebTransportConnection

from tests.framework.meeting import join, requested, url_of


@pytest.mark.deadline(60)
async def test_1000_sessions_one_after_the_other_on_a_shared_connection_with_one_place(meet):
    """A clean close frees the place at once, on both sides: the next session need not wait, nor connect anew."""
    ends = await meet(server={"max_sessions": 2})
    connection = ends.client.connection
    accepted = 0

    async def serve() -> None:
        nonlocal accepted
        async with asyncio.TaskGroup() as tasks:
            async for incoming in ends.listener.incoming_connections():
                tasks.create_task(answer(incoming))

    async def answer(incoming: WebTransportConnection) -> None:
        nonlocal accepted
        async for session in incoming.incoming_sessions():
            accepted += 1
            await session.accept()

    serving = asyncio.create_task(serve())
    staying = await connection.create_session()
    for _ in range(1000):
        await (await connection.create_session()).close()
    serving.cancel()
    assert accepted == 1001
    assert connection.sessions == [ends.client, staying]
    assert ends.listener.diagnostics().stats.connections_accepted == 2, "the first session's, and that which the others shared"


@pytest.mark.deadline(60)
async def test_1000_connects_leak_no_connection(serve, make_client):
    """A session of `connect` takes its connection with it: no task, no file and no entry is left."""
    server, client = await serve(), make_client()
    await (await join(client, server)).client.close()
    gc.collect()  # what tests before this one left
    tasks, files = asyncio.all_tasks(), _open_files()
    for _ in range(100):
        async with asyncio.TaskGroup() as group:
            connecting = [group.create_task(client.connect(url_of(server))) for _ in range(10)]
            for _ in range(10):
                await (await requested(server)).accept()
        await asyncio.gather(*(task.result().close() for task in connecting))
        del connecting
    async with asyncio.timeout(10):
        while len(server.connection_manager) or len(asyncio.all_tasks()) > len(tasks):
            await asyncio.sleep(0)
    assert (client.diagnostics().connection_states, server.diagnostics().session_states) == ({}, {})
    assert client.diagnostics().stats.connections_successful == 1001
    assert _open_files() <= files


@pytest.mark.parametrize("slow", [False, True], ids=["a reader", "no reader"])
async def test_1000_datagrams_in_a_burst_are_delivered_or_counted(ends, slow):
    """Nothing vanishes between the two applications: what did not arrive was dropped, and one side says so."""
    sent = received = 0

    async def receive() -> None:
        nonlocal received
        while True:
            await ends.server.read_datagram()
            received += 1

    def dropped() -> int:
        return ends.client.datagrams.dropped_outgoing + ends.server.datagrams.dropped_incoming

    receiving = asyncio.create_task(receive()) if not slow else None
    for number in range(1000):
        await ends.client.send_datagram(number.to_bytes(2))
        sent += 1
    receiving = receiving or asyncio.create_task(receive())
    async with asyncio.timeout(10):
        while received + dropped() < sent:
            await asyncio.sleep(0)
    receiving.cancel()
    assert received + dropped() == 1000
    assert received > 0


READS = {
    "read_all": lambda stream: stream.read_all(),
    "readexactly": lambda stream: stream.readexactly(12),
    "readuntil": lambda stream: stream.readuntil(b";"),
    "readline": lambda stream: stream.readline(),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("how", ["cancelled", "timed out", "timed out by the configuration"])
async def test_reads_that_are_given_up_lose_nothing(meet, parked, read, how):
    """Whatever had come when one was given up, the next has it."""
    ends = await meet(server={"read_timeout": 0.05 if how == "timed out by the configuration" else None})
    ours = await ends.client.create_unidirectional_stream()
    theirs = await ends.server.accept_unidirectional_stream()
    whole = b"twelve bytes" if read in ("read_all", "readexactly") else b"up to here ;" if read == "readuntil" else b"up to a line\n"

    async def arrived(size: int) -> None:
        async with asyncio.timeout(10):
            while theirs.diagnostics().bytes_received < size:
                await asyncio.sleep(0)

    for part in (whole[:1], whole[1:5], whole[5:11]):
        reading = asyncio.create_task(READS[read](theirs))
        await asyncio.sleep(0)
        await ours.write(part)
        await arrived(whole.index(part) + len(part))
        if how == "cancelled":
            reading.cancel()
        elif how == "timed out":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reading, 0.01)
        await asyncio.wait([reading])
        assert reading.cancelled() or isinstance(reading.exception(), TimeoutError)
    await ours.write_all(whole[11:])
    await arrived(len(whole))
    assert await READS[read](theirs) == whole


def _open_files() -> int:
    """How many files and sockets this process has open, where that can be told."""
    directory = Path("/proc/self/fd")
    return len(os.listdir(directory)) if directory.exists() else 0
