"""A process of a benchmark, which runs in the library's own virtual environment: its server or its client.

It speaks JSON lines with the driver, which the Rust programs do too:

- ``ADAPTER serve CERTIFICATE KEY`` prints ``{"port": N}``; each line that comes in is answered with what the process has used so far.
- ``ADAPTER client PORT`` gets ``{"scenario": ..., "seconds": ...}``. It says ``{"phase": "ready"}`` when it has warmed up and
  ``{"phase": "done"}`` when it has measured, and waits for a line each time, so that the driver can ask the server too; in the end
  ``{"result": ...}`` or ``{"failed": ...}``.

Either ends at the end of its standard input.
"""

import argparse
import asyncio
import importlib
import json
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import cast

from benchmarks import serving
from benchmarks.extremes import EXTREMES
from benchmarks.library import Library
from benchmarks.scenarios import SCENARIOS, Bench
from benchmarks.usage import usage


def say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def answer_usage() -> None:
    """A thread, so that a busy event loop does not hold up the answer. Closing may take a library seconds, so nothing is closed."""
    for _ in sys.stdin:
        say(usage=usage())
    os._exit(0)


async def serve(library: Library, certificate: Path, key: Path) -> None:
    async with library.serve(certificate, key, partial(serving.serve, library.OVER)) as port:
        say(port=port)
        threading.Thread(target=answer_usage, daemon=True).start()
        await asyncio.Event().wait()


async def client(library: Library, port: int) -> None:
    async def phase(name: str) -> None:
        say(phase=name)
        await asyncio.to_thread(sys.stdin.readline)

    async with library.client(port) as connect:
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            try:
                say(result=await (SCENARIOS | EXTREMES)[asked["scenario"]](Bench(connect, asked["seconds"], phase)))
            except Exception as error:  # the run goes on: the table says what failed, and why
                said = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                say(failed=f"{type(said).__name__}: {said}")
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop")
    parser.add_argument("adapter", help="a module of benchmarks.adapters")
    roles = parser.add_subparsers(dest="role", required=True)
    role = roles.add_parser("serve")
    role.add_argument("certificate", type=Path, help="PEM")
    role.add_argument("key", type=Path, help="PEM, PKCS#8")
    role = roles.add_parser("client")
    role.add_argument("port", type=int)
    arguments = parser.parse_args()
    library = cast("Library", importlib.import_module(f"benchmarks.adapters.{arguments.adapter}"))
    factory = importlib.import_module("uvloop").new_event_loop if arguments.uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        if arguments.role == "serve":
            runner.run(serve(library, arguments.certificate, arguments.key))
        else:
            runner.run(client(library, arguments.port))


if __name__ == "__main__":
    main()
