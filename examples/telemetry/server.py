"""A server that tells how it is, twenty times a second, in datagrams; and a page that draws it.

What gets lost is not sent again, since the next sample is newer: that is what datagrams are for.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

from pywebtransport import ConnectionError, ServerApp, SessionError, WebTransportSession

INTERVAL = 0.05  # seconds between two samples

app = ServerApp()


async def samples() -> AsyncIterator[dict[str, float]]:
    """How this process is: the share of a CPU that it takes, in percent, and how late its event loop runs what is due, in ms."""
    due, spent = time.perf_counter(), time.process_time()
    for number in count():
        due += INTERVAL
        await asyncio.sleep(due - time.perf_counter())
        now = time.perf_counter()
        before, spent = spent, time.process_time()
        yield {"number": number, "cpu": 100 * (spent - before) / INTERVAL, "delay": 1000 * max(0.0, now - due)}


@app.route("/telemetry")
async def tell(session: WebTransportSession) -> None:
    """Send samples until the session is over."""
    with contextlib.suppress(SessionError, ConnectionError):
        async for sample in samples():
            await session.send_datagram(json.dumps(sample).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Tell how a server is, in datagrams.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    app.run(port=parser.parse_args().port, dev=Path(__file__).with_name("index.html"))
