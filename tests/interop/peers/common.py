"""What every peer does, written once: an echo server, and a client's checks against one.

A peer's module adapts its library to `Library` and ends in `run`. It is started in the peer's own virtual environment as
``python -P -m peers.NAME`` with PYTHONPATH at the folder above: as a plain script, ``aioquic.py`` would hide the package that it adapts.

``serve --cert PEM --key PEM`` prints ``listening PORT``, then one JSON array a line for what it sees of its clients: ``["reset", 5]``,
``["stop", 6]``, ``["close", [7, "bye"]]``. It ends on SIGTERM or at the end of its standard input. Its paths:

- ``/echo``: bidirectional streams are echoed chunk by chunk, unidirectional ones on a new one, datagrams as they are;
- ``/reset``: a bidirectional stream's first chunk is answered with a reset (code 5) and a stop (code 6);
- ``/close``: a bidirectional stream's first chunk is answered with the session's close (code 7, "bye");
- ``/drain``: only ours: as ``/echo``, and the first chunk of a stream has the server ask for the session's end (WT_DRAIN_SESSION);
- ``/reject``: status 404.

Offered the subprotocol "b", a server chooses it.

``connect URL [CHECK ...]`` prints one JSON object with a result per check: True or what the server did; null where the library has no
API for it; a string says what went wrong.
"""

import argparse
import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, Protocol

RESET, STOP, CLOSE, REJECT = 5, 6, (7, "bye"), 404
PAYLOAD = bytes(range(250)) * 400  # 100 000 bytes: many packets, and no power of two
SUBPROTOCOL = "b"
TRANSFER = 16 << 20  # bytes
CHECK_TIMEOUT = 60.0  # seconds: 16 MiB take a library in Python many of them


class StreamEnded(Exception):
    """The other side reset the stream, or stopped reading it."""

    def __init__(self, kind: Literal["reset", "stop"], code: int | None) -> None:
        super().__init__(kind, code)
        self.kind, self.code = kind, code


class SessionEnded(Exception):
    """The session is over: nothing more will come."""


class Rejected(Exception):
    """The server answered with a *status* that is no success; None where the library keeps it to itself."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class NotOfferedError(Exception):
    """The library has no API for this."""


class Stream(Protocol):
    """One stream; a half that it does not have is never called."""

    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...
    async def read(self) -> bytes: ...  # a chunk, or b"" at the end
    async def reset(self, code: int) -> None: ...
    async def stop(self, code: int) -> None: ...


class Session(Protocol):
    path: str
    subprotocol: str | None

    async def open_bi(self) -> Stream: ...
    async def open_uni(self) -> Stream: ...
    async def accept_bi(self) -> Stream: ...
    async def accept_uni(self) -> Stream: ...
    async def send_datagram(self, data: bytes) -> None: ...
    async def receive_datagram(self) -> bytes: ...
    async def close(self, code: int, reason: str) -> None: ...
    async def wait_closed(self) -> tuple[int | None, str | None]: ...  # the other side's code and reason


class Library(Protocol):
    """What a peer's module provides. A server calls the handler with each session, once it has been accepted."""

    def serve(
        self, certificate: Path, key: Path, handler: Callable[[Session], Awaitable[None]]
    ) -> AbstractAsyncContextManager[int]: ...  # the port

    def connect(self, url: str, subprotocols: list[str]) -> AbstractAsyncContextManager[Session]: ...  # Rejected, NotOfferedError

    def pool(self, url: str, count: int) -> AbstractAsyncContextManager[list[Session]]: ...  # on one connection; NotOfferedError


def saw(what: str, value: object) -> None:
    print(json.dumps([what, value]), flush=True)


async def handle(session: Session) -> None:
    """Serve one session by its path, until it ends."""

    async def on_bi(stream: Stream) -> None:
        try:
            while chunk := await stream.read():
                if session.path == "/reset":
                    await stream.reset(RESET)
                    await stream.stop(STOP)
                    return
                if session.path == "/close":
                    await session.close(*CLOSE)
                    return
                await stream.write(chunk)
            await stream.finish()
        except StreamEnded as ended:
            saw(ended.kind, ended.code)

    async def on_uni(stream: Stream) -> None:
        answer = await session.open_uni()
        while chunk := await stream.read():
            await answer.write(chunk)
        await answer.finish()

    async def on_datagrams() -> None:
        while True:
            await session.send_datagram(await session.receive_datagram())

    async def on_streams(accept: Callable[[], Awaitable[Stream]], serve: Callable[[Stream], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as streams:
            while True:
                streams.create_task(quietly(serve(await accept())))

    async def quietly(serving: Awaitable[None]) -> None:
        try:
            await serving
        except* (SessionEnded, StreamEnded):
            pass  # the session's end is reported below, once

    async with asyncio.TaskGroup() as tasks:
        parts = (on_streams(session.accept_bi, on_bi), on_streams(session.accept_uni, on_uni), on_datagrams())
        serving = [tasks.create_task(quietly(part)) for part in parts]
        saw("close", await session.wait_closed())
        for task in serving:
            task.cancel()


async def serve(library: Library, certificate: Path, key: Path) -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, done.set)

    def on_stdin() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin)
            done.set()

    loop.add_reader(sys.stdin, on_stdin)
    async with library.serve(certificate, key, handle) as port:
        print(f"listening {port}", flush=True)
        await done.wait()


async def read_all(stream: Stream) -> bytes:
    received = bytearray()
    while chunk := await stream.read():
        received += chunk
    return bytes(received)


async def echoes(session: Session, data: bytes) -> bool:
    """A bidirectional stream comes back. Also how a check knows that what it sent before has arrived."""
    stream = await session.open_bi()
    await stream.write(data)
    await stream.finish()
    return await read_all(stream) == data


async def half_open(session: Session) -> Stream:
    """A bidirectional stream that both sides know and neither has finished."""
    stream = await session.open_bi()
    await stream.write(b"x")
    if session.path == "/echo":
        assert await stream.read() == b"x"
    return stream


async def bidi(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", []) as session:
        return await echoes(session, PAYLOAD)


async def uni(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", []) as session:
        stream = await session.open_uni()
        await stream.write(PAYLOAD)
        await stream.finish()
        return await read_all(await session.accept_uni()) == PAYLOAD


async def datagram(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", []) as session:
        for size in (1, 1000):
            await session.send_datagram(b"d" * size)
            if await session.receive_datagram() != b"d" * size:
                return False
        return True


async def reset(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", []) as session:
        stream = await half_open(session)
        await stream.reset(RESET)
        return await echoes(session, b"sync")


async def stop(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", []) as session:
        stream = await half_open(session)
        await stream.stop(STOP)
        await stream.write(b"y")  # a server learns of the stop when it answers this, if not before
        return await echoes(session, b"sync")


async def close(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", []) as session:
        await echoes(session, b"sync")
        await session.close(*CLOSE)
        return True


async def reset_by_server(library: Library, url: str) -> object:
    async with library.connect(f"{url}/reset", []) as session:
        stream = await half_open(session)
        try:
            return f"read {await stream.read()!r}"
        except StreamEnded as ended:
            return [ended.kind, ended.code]


async def stop_by_server(library: Library, url: str) -> object:
    async with library.connect(f"{url}/reset", []) as session:
        stream = await half_open(session)
        try:
            while True:
                await stream.write(b"y")
                await asyncio.sleep(0.02)  # until the server's answer is here
        except StreamEnded as ended:
            return [ended.kind, ended.code]


async def close_by_server(library: Library, url: str) -> object:
    async with library.connect(f"{url}/close", []) as session:
        await half_open(session)
        return await session.wait_closed()


async def reject(library: Library, url: str) -> object:
    try:
        async with library.connect(f"{url}/reject", []):
            return "accepted"
    except Rejected as rejected:
        return ["rejected", rejected.status]


async def drain(library: Library, url: str) -> object:
    """A session goes on after the server has asked for its end."""
    async with library.connect(f"{url}/drain", []) as session:
        stream = await session.open_bi()
        await stream.write(b"x")
        await stream.read()
        return await echoes(session, b"sync")


async def subprotocol(library: Library, url: str) -> object:
    async with library.connect(f"{url}/echo", ["a", SUBPROTOCOL]) as session:
        return session.subprotocol


async def sessions(library: Library, url: str) -> object:
    """Several sessions, one after the other."""
    for number in range(3):
        async with library.connect(f"{url}/echo", []) as session:
            if not await echoes(session, b"%d" % number):
                return False
    return True


async def pool(library: Library, url: str) -> object:
    """Several sessions at a time on one connection."""
    async with library.pool(f"{url}/echo", 3) as pooled:
        return all([await echoes(session, b"%d" % number) for number, session in enumerate(pooled)])


async def transfer(library: Library, url: str) -> object:
    """16 MiB there and back."""
    sent, received, size = hashlib.sha256(), hashlib.sha256(), 0
    async with library.connect(f"{url}/echo", []) as session:
        stream = await session.open_bi()

        async def send() -> None:
            for _ in range(TRANSFER // 65536):
                block = os.urandom(65536)
                sent.update(block)
                await stream.write(block)
                await asyncio.sleep(0)  # a library whose write never waits would keep what it receives
            await stream.finish()

        sending = asyncio.create_task(send())
        while chunk := await stream.read():
            received.update(chunk)
            size += len(chunk)
        await sending
    return size == TRANSFER and sent.digest() == received.digest()


CHECKS = (bidi, uni, datagram, reset, stop, close, reset_by_server, stop_by_server, close_by_server, reject)
CHECKS += (drain, subprotocol, sessions, pool, transfer)


async def connect(library: Library, url: str, names: list[str]) -> dict[str, object]:
    results: dict[str, object] = {}
    for check in CHECKS:
        if names and check.__name__ not in names:
            continue
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                results[check.__name__] = await check(library, url)
        except NotOfferedError:
            results[check.__name__] = None
        except Exception as error:
            results[check.__name__] = f"{type(error).__name__}: {error}"
    return results


def run(library: Library) -> None:
    parser = argparse.ArgumentParser(description=f"interop peer {type(library).__module__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="an echo server")
    command.add_argument("--cert", type=Path, required=True, help="the certificate, PEM")
    command.add_argument("--key", type=Path, required=True, help="its PKCS#8 key, PEM")
    command = commands.add_parser("connect", help="check an echo server")
    command.add_argument("url", help="https://HOST:PORT")
    command.add_argument("check", nargs="*", help=" ".join(check.__name__ for check in CHECKS) + " (all)")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        asyncio.run(serve(library, arguments.cert, arguments.key))
    else:
        print(json.dumps(asyncio.run(connect(library, arguments.url, arguments.check))))
