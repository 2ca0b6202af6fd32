"""A process may end at any moment and in any state: its exit status is what Python says, and the library leaves no trace."""

import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

AT_ONCE = 4  # processes

BEGINNING = textwrap.dedent("""
    import asyncio, atexit, os, random, signal, socket, sys, threading, web_transport
    from web_transport import Client, Server

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    certificate, key = web_transport.generate_self_signed(["localhost"])
    server = Server(certificate_chain=[certificate], private_key=key, bind="127.0.0.1:0")
    url = f"https://127.0.0.1:{server.local_addr[1]}/"
    kept = []

    async def serve():
        async for request in server:
            kept.append(await request.accept())

    async def connected():
        kept.append(asyncio.create_task(serve()))
        client = Client(no_cert_verification=True)
        session = await client.connect(url)
        kept.extend([client, session])
        return session

    async def begun(*calls):
        kept.extend(asyncio.create_task(call) for call in calls)
        await asyncio.sleep(0)  # one turn of the loop: all of them wait now
""")

QUIET = {
    "endpoints that nobody used": "kept.append(Client())",
    "a handshake under way": """
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 0))
        async def main():
            await begun(Client(no_cert_verification=True).connect(f"https://127.0.0.1:{silent.getsockname()[1]}/"))
            await asyncio.to_thread(silent.recv, 1 << 16)  # the first packet has left
        asyncio.run(main())
        silent.close()
    """,
    "a connect to a dead port": """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            dead = taken.getsockname()[1]
        asyncio.run(begun(Client(no_cert_verification=True).connect(f"https://127.0.0.1:{dead}/")))
    """,
    "a request unanswered": """
        async def main():
            await begun(Client(no_cert_verification=True).connect(url))
            kept.append(await server.accept())
        asyncio.run(main())
    """,
    "a session open": "asyncio.run(connected())",
    "a stream open": """
        async def main():
            session = await connected()
            send, recv = await session.open_bi()
            await send.write(b"x")
            kept.extend([send, recv])
        asyncio.run(main())
    """,
    "a write blocked": """
        async def main():
            session = await connected()
            send = await session.open_uni()
            await begun(send.write(bytes(64 << 20)), send.write(b"behind it"))
        asyncio.run(main())
    """,
    "a read pending": """
        async def main():
            session = await connected()
            send, recv = await session.open_bi()
            await begun(recv.read(), recv.read(1), recv.wait_closed(), session.receive_datagram())
        asyncio.run(main())
    """,
    "an accept pending": """
        async def main():
            session = await connected()
            await begun(session.accept_bi(), session.accept_uni(), server.accept(), session.wait_closed(), server.wait_closed())
        asyncio.run(main())
    """,
    "datagrams that nobody awaited": """
        async def main():
            session = await connected()
            kept.extend(session.send_datagram(b"x" * 1000) for _ in range(3000))
        asyncio.run(main())
    """,
    "data on its way": """
        async def main():
            session = await connected()
            send = await session.open_uni()
            await send.write(bytes(100_000))
            await send.finish()
        asyncio.run(main())
    """,
    "a loop that was never closed": """
        loop = asyncio.new_event_loop()
        loop.run_until_complete(connected())
        kept.pop(0).cancel()
        loop.run_until_complete(asyncio.sleep(0))
        kept.append(loop)
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
            for object in (session, server):
                object.__dict__["all"] = session, send, recv, server
            kept.clear()
        asyncio.run(main())
    """,
    "closing in atexit": """
        def close():
            kept[-1].close(1, "the process ends")
            server.close()
        atexit.register(close)
        asyncio.run(connected())
    """,
    "a finalizer that runs when modules have gone": """
        class Last:
            def __init__(self, send, session):
                self.send, self.session = send, session
            def __del__(self):
                self.send.reset(1)
                self.session.send_datagram(b"x")
                self.session.close(1, "bye")
        async def main():
            session = await connected()
            sys.last = Last(await session.open_uni(), session)
        asyncio.run(main())
    """,
    "a forked child, by sys.exit": """
        asyncio.run(connected())
        if pid := os.fork():
            _, status = os.waitpid(pid, 0)
            sys.exit(os.waitstatus_to_exitcode(status))
        sys.exit(0)
    """,
    "a forked child, by os._exit": """
        asyncio.run(connected())
        if pid := os.fork():
            _, status = os.waitpid(pid, 0)
            sys.exit(os.waitstatus_to_exitcode(status))
        os._exit(0)
    """,
}

# What Python itself says about the end of these comes last on stderr
LOUD = {
    "Ctrl-C inside async with": (
        """
        async def main():
            async with server, await connected() as session:
                asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
                await session.receive_datagram()
        asyncio.run(main())
        """,
        -signal.SIGINT,
        "KeyboardInterrupt",
    ),
    "Ctrl-C at any moment": (
        """
        async def send(session):
            try:
                while True:
                    send, recv = await session.open_bi()
                    session.send_datagram(b"x")
                    async with send:
                        await send.write(bytes(1000))
            except web_transport.SessionClosedLocally:
                pass
        async def main():
            while True:
                async with await connected() as session:
                    tasks = [asyncio.create_task(send(session)) for _ in range(3)]
                    await asyncio.sleep(0)
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks)
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.3))
        asyncio.run(main())
        """,
        -signal.SIGINT,
        "KeyboardInterrupt",
    ),
    "an exception": (
        """
        async def main():
            async with server, await connected():
                raise LookupError("no such thing")
        asyncio.run(main())
        """,
        1,
        "LookupError: no such thing",
    ),
    "an exception in atexit": (
        """
        @atexit.register
        def fail():
            raise LookupError("no such thing")
        asyncio.run(connected())
        """,
        0,
        "LookupError: no such thing",
    ),
    "SIGTERM": (
        """
        async def main():
            await connected()
            os.kill(os.getpid(), signal.SIGTERM)
        asyncio.run(main())
        """,
        -signal.SIGTERM,
        "",
    ),
}

UNTOWARD = re.compile(r"panicked|abort|fatal python error|never (retrieved|awaited)|destroyed but|segmentation", re.IGNORECASE)
TIMES = pytest.mark.parametrize(
    ("loop", "times"),
    [
        ("asyncio", 2),
        pytest.param("asyncio", 50, marks=pytest.mark.soak),
        pytest.param("uvloop", 50, marks=pytest.mark.soak),
    ],
)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and signals")


def ends(script, times, loop="asyncio"):
    """The distinct ends of so many processes that run *script*: exit status and stderr."""
    beginning = "import uvloop\nuvloop.install()" if loop == "uvloop" else ""
    # Warned of are policies, which is what uvloop.install is about, and forks where there are threads
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", beginning + BEGINNING + textwrap.dedent(script)]

    def run(_):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stderr

    with ThreadPoolExecutor(AT_ONCE) as executor:
        return set(executor.map(run, range(times)))


@TIMES
@pytest.mark.parametrize("state", QUIET)
def test_exit_leaves_no_trace(state, loop, times):
    """Exit status 0, and nothing on stderr."""
    assert ends(QUIET[state], times, loop) == {(0, "")}


@TIMES
@pytest.mark.parametrize("state", LOUD)
def test_exit_for_a_reason_says_no_more_than_the_reason(state, loop, times):
    """The exit status and the last words are Python's own, and no words are the library's."""
    script, status, words = LOUD[state]
    for returncode, stderr in ends(script, times, loop):
        assert returncode == status, stderr
        assert stderr.rstrip().rpartition("\n")[2] == words
        assert not UNTOWARD.search(stderr), stderr


def test_a_forked_child_finds_its_endpoints_closed():
    """A child has no reactor threads: its endpoints are closed, it can make new ones, and the parent's go on."""
    script = """
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
    """
    assert ends(script, 2) == {(0, "")}
