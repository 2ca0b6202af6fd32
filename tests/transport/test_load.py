"""Many sessions at once, held over time: none is lost. Prints what an idle session costs the server in memory.

``make build && .venv/bin/python -m pytest -s -m soak tests/transport/test_load.py`` shows the figures. Server and client have a process
each; what the allocator keeps although it is free does not count.
"""

import asyncio
import sys

import pytest
from web_transport import Client

SERVER = """
import asyncio, ctypes, gc, sys
from contextlib import suppress
from pathlib import Path
from web_transport import Server, SessionError, generate_self_signed

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]

async def echo(session):
    with suppress(SessionError):
        send, recv = await session.accept_bi()
        async for chunk in recv:
            await send.write(chunk)

async def serve(server, sessions):
    async with asyncio.TaskGroup() as tasks:
        async for request in server:
            session = await request.accept()
            sessions.append(session)
            tasks.create_task(echo(session))

async def main(max_sessions):
    certificate, key = generate_self_signed(["localhost"])
    sessions = []
    async with Server(
        certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0", max_sessions=max_sessions
    ) as server:
        print(server.local_addr[1], flush=True)
        serving = asyncio.create_task(serve(server, sessions))
        while await asyncio.to_thread(sys.stdin.readline):
            open = sum(session.close_reason is None for session in sessions)
            print(resident(), open, flush=True)
        serving.cancel()

asyncio.run(main(int(sys.argv[1])))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Remote:
    """A server in a process of its own."""

    def __init__(self, process):
        self.process = process

    async def line(self):
        return (await self.process.stdout.readline()).split()

    async def measure(self):
        """Its resident memory in KiB, and how many sessions are open."""
        self.process.stdin.write(b"\n")
        kib, sessions = await self.line()
        return int(kib), int(sessions)


@pytest.fixture
async def start():
    """Starts a server that takes so many sessions on a connection, and ends it after the test."""
    processes = []

    async def start(max_sessions):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVER, str(max_sessions), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        processes.append(process)
        return Remote(process)

    yield start
    for process in processes:
        process.stdin.close()
        assert await process.wait() == 0


@pytest.mark.deadline(600)
@pytest.mark.parametrize(("count", "rounds"), [(100, 3), pytest.param(2000, 60, marks=pytest.mark.soak)])
@pytest.mark.parametrize("sharing", [1, 50])
async def test_none_of_many_sessions_is_lost(start, count, rounds, sharing, record_property):
    """Each session, with so many on a connection, has a message echoed every second, and is still open at the end."""
    server = await start(sharing)
    (port,) = await server.line()
    url = f"https://127.0.0.1:{int(port)}/"
    async with Client(no_cert_verification=True) as client:
        async with await client.connect(url):  # what is made once is made now
            before, _ = await server.measure()
        room = asyncio.Semaphore(50)

        async def connect():
            async with room:
                return await client.connect(url, pool=sharing > 1)

        sessions = await asyncio.gather(*(connect() for _ in range(count)))
        after, open_ = await server.measure()
        assert open_ == count
        print(f"{count} idle sessions, {sharing} on a connection: {(after - before) / count:.1f} KiB each on the server")
        record_property("kib_per_idle_session", (after - before) / count)
        assert client.stats().connections >= count / sharing
        streams = await asyncio.gather(*(session.open_bi() for session in sessions))
        loop = asyncio.get_running_loop()
        start_at = loop.time()

        async def echo(index, send, recv):
            for round_ in range(rounds):
                await asyncio.sleep(start_at + round_ + index / count - loop.time())
                message = b"%8d%8d" % (index, round_)
                await send.write(message)
                assert await recv.readexactly(len(message)) == message

        await asyncio.gather(*(echo(index, *pair) for index, pair in enumerate(streams)))
        print(f"{count * rounds} echoes in {loop.time() - start_at:.1f} s")
        assert [session.close_reason for session in sessions] == [None] * count
        assert (await server.measure())[1] == count
