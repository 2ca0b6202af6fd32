"""Threads: many loops at once, and a loop that stands still."""

import asyncio
import threading
import time

import pytest
import web_transport
from web_transport import Client, Server


def in_threads(count, target):
    """Run *target(index)* in that many threads; the first error of any is raised."""
    errors = []

    def run(index):
        try:
            target(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def new_uvloop():
    return pytest.importorskip("uvloop").new_event_loop()


async def serve_echo(server):
    """Echo every stream of every session until the server is closed."""

    async def serve(session):
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    send, recv = await session.accept_bi()
                except web_transport.SessionError:
                    return
                tasks.create_task(echo(send, recv))

    async def echo(send, recv):
        async with send:
            await send.write(await recv.read())

    async with asyncio.TaskGroup() as tasks:
        async for request in server:
            tasks.create_task(serve(await request.accept()))


async def call(session, data):
    send, recv = await session.open_bi()
    async with send:
        await send.write(data)
    return await recv.read()


@pytest.mark.parametrize("factories", [[asyncio.new_event_loop], [new_uvloop], [asyncio.new_event_loop, new_uvloop]])
def test_a_loop_per_thread_each_with_its_endpoints(certificate, connect, factories):
    """Loops in different threads have nothing to do with each other, also where they are of different kinds."""

    def one(index):
        async def main():
            async with (
                asyncio.timeout(30),
                Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0") as server,
                Client(server_certificate_hashes=[web_transport.certificate_hash(certificate[0])]) as client,
            ):
                pair = await connect(client, server)
                for _ in range(50):
                    send, recv = await pair.uni()
                    async with send:
                        await send.write(b"%d" % index)
                    assert await recv.read() == b"%d" % index

        with asyncio.Runner(loop_factory=factories[index % len(factories)]) as runner:
            runner.run(main())

    in_threads(4, one)


def test_clients_in_many_threads_of_one_server(certificate):
    """A server in one loop serves clients in others."""
    server = Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0")
    url = f"https://127.0.0.1:{server.local_addr[1]}/"

    def client(index):
        async def main():
            async with asyncio.timeout(30), Client(no_cert_verification=True) as client, await client.connect(url) as session:
                replies = await asyncio.gather(*(call(session, b"%d.%d" % (index, i)) for i in range(50)))
                assert replies == [b"%d.%d" % (index, i) for i in range(50)]

        asyncio.run(main())

    async def serve():
        async with asyncio.timeout(60), server:
            serving = asyncio.create_task(serve_echo(server))
            await asyncio.to_thread(in_threads, 4, client)
            server.close()
            await serving

    asyncio.run(serve())


@pytest.mark.deadline(60)
@pytest.mark.parametrize(("blocked", "idle"), [(5, 2), pytest.param(10, 2, marks=pytest.mark.soak)])
async def test_a_blocked_loop_keeps_its_sessions(make_server, make_client, connect, blocked, idle):
    """While Python is busy, ACKs and keep-alives go on: a session survives a pause that is far longer than the idle time-out."""
    pair = await connect(make_client(max_idle_timeout=idle, keep_alive_interval=idle / 4), make_server(max_idle_timeout=idle))
    time.sleep(blocked)
    send, recv = await pair.uni()
    async with send:
        await send.write(b"still here")
    assert await recv.read() == b"still here"


@pytest.mark.deadline(60)
async def test_a_blocked_loop_acknowledges(server, certificate):
    """What arrives is acknowledged by the reactor: a peer's finished stream is done although nobody here runs."""
    done = threading.Event()

    def client():
        async def main():
            async with asyncio.timeout(20), Client(no_cert_verification=True) as client:
                session = await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/")
                send = await session.open_uni()
                accepted.wait()
                await send.write(bytes(1 << 20))
                await send.finish()
                assert await send.wait_closed() is None
                done.set()
                leave.wait()

        asyncio.run(main())

    accepted, leave = threading.Event(), threading.Event()
    running = asyncio.create_task(asyncio.to_thread(client))
    request = await server.accept()
    session = await request.accept()
    recv = await session.accept_uni()
    accepted.set()
    blocked_until_done = done.wait(15)  # the loop of this test stands still here
    assert blocked_until_done
    assert len(await recv.read()) == 1 << 20
    leave.set()
    await running
