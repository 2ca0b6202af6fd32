"""A server that makes text, word by word, and stops when nobody wants more; and a page to ask it from.

A prompt comes as a line on a stream of its own, and the words go back on it as they are made. Whoever wants no more resets its half of the
stream, or stops ours: either ends the work at once.
"""

import argparse
import asyncio
import itertools
from pathlib import Path

from model import Model
from pywebtransport import ConnectionError, ServerApp, SessionError, StreamError, WebTransportSession, WebTransportStream

PACE = 0.03  # seconds that a word takes, as on a larger machine a larger model would
LONGEST = 2000  # words

app = ServerApp()
model = Model(Path(__file__).with_name("text.txt").read_text(encoding="utf-8"))


@app.route("/generate")
async def generate(session: WebTransportSession) -> None:
    """Answer every stream of a client, several at a time."""
    async with asyncio.TaskGroup() as group:
        async for stream in session.incoming_bidirectional_streams():
            group.create_task(answer(stream))


async def answer(stream: WebTransportStream) -> None:
    """Make words until there are enough, or until the client gives up its half of the stream."""
    made = 0
    try:
        async with stream, asyncio.TaskGroup() as group:
            prompt = (await stream.readline(limit=4096)).decode(errors="replace")
            listening = group.create_task(stream.read_all(max_bytes=0))  # nothing more comes but perhaps a reset, which ends the group
            for word in itertools.islice(model.continuation(prompt), LONGEST):
                await asyncio.sleep(PACE)
                await stream.write(f" {word}".encode())
                made += 1
            listening.cancel()
        print(f"made {made} words", flush=True)
    except* (StreamError, SessionError, ConnectionError) as errors:
        print(f"stopped after {made} words: {errors.exceptions[0]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make text over streams.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    app.run(port=parser.parse_args().port, dev=Path(__file__).with_name("index.html"))
