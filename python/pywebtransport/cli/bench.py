"""``webtransport bench``: throughput to an echo server."""

import argparse
import asyncio
import sys
import time

from pywebtransport.exceptions import StreamError
from pywebtransport.session import WebTransportSession

from .arguments import CommandError, Commands, add_command, add_target, connected, number, run_async

__all__ = ["add"]

_MIB = 1 << 20
_BLOCK = bytes(256 * 1024)
_REDRAW = 0.1  # seconds
_WIDTH = 40  # characters of the whole bar


def add(commands: Commands) -> None:
    """Add the command."""
    description = (
        "Measure throughput to an echo server.\n\n"
        "Sends bytes on bidirectional streams, and counts what comes back. Both directions are busy at once: the figure\n"
        "is what each of them carries."
    )
    parser = add_command(commands, "bench", _run, description)
    add_target(parser)
    parser.add_argument("--size", metavar="MIB", type=number(float, 0), default=64.0, help="there and back, of all streams (default: 64)")
    parser.add_argument("--streams", type=number(int, 1), default=1, help="at once (default: 1)")


def _run(arguments: argparse.Namespace) -> int:
    return run_async(_bench(arguments))


async def _bench(arguments: argparse.Namespace) -> int:
    each = int(arguments.size * _MIB / arguments.streams)
    async with connected(arguments) as session:
        progress = _Progress(each * arguments.streams)
        drawing = asyncio.create_task(progress.draw())
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(arguments.streams):
                tasks.create_task(_stream(session, each, progress))
        seconds = time.perf_counter() - began
        drawing.cancel()
        progress.clear()
        diagnostics = session.diagnostics()
    mib = progress.done / _MIB
    streams = "one stream" if arguments.streams == 1 else f"{arguments.streams} streams"
    print(f"{mib:.1f} MiB there and back on {streams} in {seconds:.2f} s: {mib / seconds:.1f} MiB/s each way")
    print(f"{diagnostics.dialect}, round trip {1000 * (diagnostics.rtt or 0):.1f} ms, {diagnostics.packets_lost} packets lost")
    return 0


async def _stream(session: WebTransportSession, size: int, progress: "_Progress") -> None:
    stream = await session.create_bidirectional_stream()

    async def send() -> None:
        left = memoryview(_BLOCK)
        for offset in range(0, size, len(_BLOCK)):
            await stream.write(left[: size - offset])
        await stream.write_all(b"")

    sending = asyncio.create_task(send())
    came = 0
    try:
        async for chunk in stream:
            came += len(chunk)
            progress.done += len(chunk)
        await sending
    except StreamError as error:
        raise CommandError(f"the server does not echo: {error}", 1) from error
    finally:
        sending.cancel()
    if came != size:
        raise CommandError(f"the server does not echo: of {size} bytes {came} came back", 1)


class _Progress:
    """How much has come back, and a bar that shows it, on a terminal."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    async def draw(self) -> None:
        while sys.stderr.isatty():
            part = self.done / self.total if self.total else 1.0
            bar = "#" * int(_WIDTH * part)
            print(f"\r[{bar:{_WIDTH}}] {100 * part:3.0f} %", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(_REDRAW)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
