"""Peers in processes of their own, which can be killed."""

import asyncio
import contextlib
import sys

SERVER = """
import asyncio, sys
from pathlib import Path
from web_transport import Server

async def main(port, certificate, key):
    server = Server(
        certificate_chain=[Path(certificate).read_bytes()], private_key=Path(key).read_bytes(), bind=f"127.0.0.1:{port}"
    )
    print(server.local_addr[1], flush=True)
    kept = [await request.accept() async for request in server]

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def process(script, *arguments):
    """A process that runs *script*; it is killed in the end if it has not been before."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, *map(str, arguments), stdout=asyncio.subprocess.PIPE)
    try:
        yield child
    finally:
        await kill(child)


async def kill(child):
    """End a process without letting it say anything more."""
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
