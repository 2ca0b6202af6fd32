"""``webtransport connect``: a session for people and for pipes."""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

from pywebtransport.exceptions import ConnectionError as FrameworkConnectionError
from pywebtransport.exceptions import SessionError, StreamError
from pywebtransport.session import WebTransportSession
from pywebtransport.stream import WebTransportReceiveStream, WebTransportSendStream, WebTransportStream

from .arguments import CommandError, Commands, add_command, add_target, connected, number, run_async

__all__ = ["add"]

_CHUNK = 65536  # bytes that are read at once, and after which a line is shown as it is
_PAUSE = 0.1  # seconds after which the beginning of a line is shown without the rest


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Open a session, send lines and show what comes.\n\n"
        "Lines of standard input go out on one bidirectional stream, or, with --as, each on a unidirectional stream or as\n"
        "a datagram. What comes is printed with the stream that it came on. At the end of the input the stream is\n"
        "finished, and when the answer has ended the session is closed."
    )
    parser = add_command(commands, "connect", _run, description)
    add_target(parser)
    parser.add_argument(
        "--as", dest="kind", choices=["stream", "uni", "datagram"], default="stream", help="how lines go out (default: stream)"
    )
    parser.add_argument(
        "--linger",
        metavar="SECONDS",
        type=number(float, 0),
        default=1.0,
        help="how long to listen after the last line, where no stream ends that answers (default: 1)",
    )


def _run(arguments: argparse.Namespace) -> int:
    return run_async(_connect(arguments))


async def _connect(arguments: argparse.Namespace) -> int:
    async with connected(arguments) as session:
        spoken = f", subprotocol {session.wt_protocol}" if session.wt_protocol else ""
        _say(f"connected to {session.url} ({session.diagnostics().dialect}{spoken})")
        showing = [asyncio.create_task(_show_streams(session)), asyncio.create_task(_show_datagrams(session))]
        sending = asyncio.create_task(_send(session, arguments.kind, arguments.linger))
        closed = asyncio.create_task(session.wait_closed())
        await asyncio.wait([sending, closed], return_when=asyncio.FIRST_COMPLETED)
        by_peer = closed.done()
        for task in (*showing, sending, closed):
            task.cancel()
        results = await asyncio.gather(*showing, sending, closed, return_exceptions=True)
        for failure in results:
            if isinstance(failure, Exception) and not isinstance(failure, SessionError | FrameworkConnectionError):
                raise failure
    if not by_peer:
        return 0
    if session.close_code is None:
        raise CommandError(f"the session is lost: {session.close_reason}", 1)
    _say(f"closed by the peer: code {session.close_code}{f', {session.close_reason}' if session.close_reason else ''}")
    return 0


async def _send(session: WebTransportSession, kind: str, linger: float) -> None:
    if kind == "stream":
        stream = await session.create_bidirectional_stream()
        answer = asyncio.create_task(_show(f"stream {stream.stream_id}", stream))
        try:
            async for line in _input():
                await stream.write(line)
            await stream.write_all(b"")
        except StreamError as error:  # the peer does not want it; what it answers is shown all the same
            _say(str(error))
        await answer
        return
    async for line in _input():
        if kind == "datagram":
            await session.send_datagram(line.rstrip(b"\n"))
        else:
            await _send_alone(await session.create_unidirectional_stream(), line)
    await asyncio.sleep(linger)


async def _send_alone(stream: WebTransportSendStream, line: bytes) -> None:
    try:
        await stream.write_all(line)
    except StreamError as error:
        _say(str(error))


async def _show_streams(session: WebTransportSession) -> None:
    async with asyncio.TaskGroup() as tasks:
        with suppress(SessionError, FrameworkConnectionError):  # which is told once, for the session
            async for stream in session.incoming_streams():
                kind = "stream" if isinstance(stream, WebTransportStream) else "uni"
                tasks.create_task(_show(f"{kind} {stream.stream_id}", stream))


async def _show(label: str, stream: WebTransportStream | WebTransportReceiveStream) -> None:
    with suppress(SessionError, FrameworkConnectionError):
        try:
            async for line in _lines(stream):
                print(f"[{label}] {line.decode(errors='backslashreplace')}", flush=True)
        except StreamError as error:
            _say(f"[{label}] {error}")


async def _show_datagrams(session: WebTransportSession) -> None:
    while True:
        data = await session.read_datagram()
        print(f"[datagram] {data.decode(errors='backslashreplace')}", flush=True)


async def _lines(stream: WebTransportStream | WebTransportReceiveStream) -> AsyncIterator[bytes]:
    """What comes, by lines; the beginning of one is not kept back if the rest takes its time."""
    tail = b""
    while True:
        try:
            async with asyncio.timeout(_PAUSE if tail else None):
                chunk = await stream.read(_CHUNK)
        except TimeoutError:
            yield tail
            tail = b""
            continue
        *whole, tail = (tail + chunk).split(b"\n")
        for line in whole:
            yield line
        if tail and (not chunk or len(tail) > _CHUNK):
            yield tail
            tail = b""
        if not chunk:
            return


async def _input() -> AsyncIterator[bytes]:
    """The lines of standard input, which may be anything: a terminal, a pipe, a file. So a thread reads it, one chunk ahead."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants it any more
            while True:
                chunk = os.read(sys.stdin.fileno(), _CHUNK)  # not sys.stdin: a thread inside of it must not be left at the exit
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
                if not chunk:
                    return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    tail = b""
    while chunk := await chunks.get():
        *whole, tail = (tail + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(tail) > _CHUNK:
            yield tail
            tail = b""
    if tail:
        yield tail


def _say(text: str) -> None:
    """What is not the peer's, where it does not get into the way of pipes."""
    print(text, file=sys.stderr, flush=True)
