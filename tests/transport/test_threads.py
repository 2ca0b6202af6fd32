"""Threads and processes: many loops at once, a loop that stands still, and an interpreter that exits at any moment."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import web_transport
from web_transport import Client, Server, SessionTimeout


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


def test_a_loop_per_thread_each_with_its_endpoints(certificate, connect):
    """Loops in different threads have nothing to do with each other."""

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

        asyncio.run(main())

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
@pytest.mark.parametrize(("blocked", "idle"), [(3, 1), pytest.param(10, 2, marks=pytest.mark.soak)])
async def test_a_blocked_loop_keeps_its_sessions(make_server, make_client, connect, blocked, idle):
    """While Python is busy, ACKs and keep-alives go on: a session survives a pause many times the idle time-out."""
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


async def test_silence_is_a_timeout(make_client, certificate):
    """A peer that dies without a word is never reported as a close: it is SessionTimeout, for every call."""
    script = SERVER + "\nasyncio.run(main())"
    server = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        port = int(await asyncio.to_thread(server.stdout.readline))
        session = await make_client(no_cert_verification=True, max_idle_timeout=1).connect(f"https://127.0.0.1:{port}/")
        waiting = asyncio.create_task(session.accept_bi())
        server.kill()
        with pytest.raises(SessionTimeout):
            await waiting
        with pytest.raises(SessionTimeout):
            await session.open_bi()
        assert isinstance(session.close_reason, SessionTimeout)
        await session.wait_closed()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


# Exit. Each script ends its process in another state; none of them may leave a trace.

SERVER = textwrap.dedent("""
    import asyncio, os, socket, sys, threading, web_transport
    from web_transport import Client, Server

    certificate, key = web_transport.generate_self_signed(["localhost"])
    server = Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0")
    url = f"https://127.0.0.1:{server.local_addr[1]}/"
    kept = []

    async def serve():
        async for request in server:
            kept.append(await request.accept())

    async def main():
        print(server.local_addr[1], flush=True)
        await serve()

    async def connected():
        kept.append(asyncio.create_task(serve()))
        client = Client(no_cert_verification=True)
        session = await client.connect(url)
        kept.extend([client, session])
        return session
""")

EXITS = {
    "endpoints that nobody used": "kept.append(Client())",
    "a session open": "asyncio.run(connected())",
    "a stream open": """
        async def main():
            session = await connected()
            send, recv = await session.open_bi()
            await send.write(b"x")
            kept.extend([send, recv])
        asyncio.run(main())
    """,
    "a loop that was never closed": """
        loop = asyncio.new_event_loop()
        loop.run_until_complete(connected())
        kept.pop(0).cancel()
        loop.run_until_complete(asyncio.sleep(0))
        kept.append(loop)
    """,
    "tasks pending": """
        async def main():
            session = await connected()
            send, recv = await session.open_bi()
            pending = (session.accept_bi(), session.receive_datagram(), recv.read(), send.write(bytes(64 << 20)), server.accept())
            kept.extend(asyncio.create_task(call) for call in pending)
            await asyncio.sleep(0.1)
        asyncio.run(main())
    """,
    "sys.exit in a task": """
        async def main():
            await connected()
            sys.exit(0)
        asyncio.run(main())
    """,
    "os._exit": """
        async def main():
            await connected()
            os._exit(0)
        asyncio.run(main())
    """,
    "a handshake under way": """
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 0))
        async def main():
            client = Client(no_cert_verification=True)
            kept.append(asyncio.create_task(client.connect(f"https://127.0.0.1:{silent.getsockname()[1]}/")))
            await asyncio.sleep(0.1)
        asyncio.run(main())
        silent.close()
    """,
    "a request unanswered": """
        async def main():
            client = Client(no_cert_verification=True)
            kept.append(asyncio.create_task(client.connect(url)))
            kept.append(await server.accept())
        asyncio.run(main())
    """,
    "data on its way": """
        async def main():
            session = await connected()
            send = await session.open_uni()
            await send.write(bytes(100_000))
            await send.finish()
            for _ in range(1000):
                session.send_datagram(b"x" * 1000)
        asyncio.run(main())
    """,
    "a loop in a daemon thread": """
        ready = threading.Event()
        async def main():
            session = await connected()
            ready.set()
            while True:
                session.send_datagram(b"x")
                await asyncio.sleep(0)
        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        ready.wait()
    """,
    "closed, not waited for": """
        async def main():
            session = await connected()
            session.close(1, "bye")
            server.close()
        asyncio.run(main())
    """,
    "a cycle through the objects": """
        async def main():
            session = await connected()
            send, recv = await session.open_bi()
            for object in (session, send, recv, server):
                object.__dict__["me"] = object
            kept.clear()
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("state", EXITS)
def test_exit_leaves_no_trace(state):
    """A process may end in any state: exit status 0, nothing on stderr."""
    script = SERVER + textwrap.dedent(EXITS[state])
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_finds_its_endpoints_closed():
    """A child has no reactor threads: its endpoints are closed, it can make new ones, and the parent's go on."""
    script = SERVER + textwrap.dedent("""
        async def child(session):
            assert isinstance(session.close_reason, web_transport.SessionError), session.close_reason
            for call in (session.open_bi, session.receive_datagram, lambda: kept[-2].connect(url)):
                try:
                    await call()
                except web_transport.SessionError:
                    continue
                raise AssertionError(call)
            await session.wait_closed()
            assert await server.accept() is None
            await server.wait_closed()
            other = Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0")
            async with other, Client(no_cert_verification=True) as client:
                connecting = asyncio.create_task(client.connect(f"https://127.0.0.1:{other.local_addr[1]}/"))
                accepted = await (await other.accept()).accept()
                async with await connecting:
                    pass

        async def parent(session):
            await session.send_datagram(b"x")
            async with session:
                pass

        loop = asyncio.new_event_loop()
        session = loop.run_until_complete(connected())
        kept.pop(0).cancel()
        loop.run_until_complete(asyncio.sleep(0))
        pid = os.fork()
        if pid == 0:
            loop.close()
            asyncio.run(asyncio.wait_for(child(session), 10))
            sys.exit(0)
        _, status = os.waitpid(pid, 0)
        loop.run_until_complete(asyncio.wait_for(parent(session), 10))
        loop.close()
        sys.exit(os.waitstatus_to_exitcode(status))
    """)
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=40, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
