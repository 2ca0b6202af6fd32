"""A player that goes round in circles: client.py URL HASH [--ticks N], the first two as the server prints them."""

import argparse
import asyncio
import json
import math
import sys

from web_transport import Client, Session, WebTransportError


async def play(session: Session, ticks: int) -> None:
    """Go round until so many ticks have been seen."""
    session.datagrams.incoming_max_buffered = 1  # the newest state is the only one that counts
    me = str(json.loads(await (await session.accept_uni()).read(limit=1024))["you"])
    newest, number = -1, 0
    async for data in session.datagrams:
        state = json.loads(data)
        if state["tick"] <= newest:
            continue
        newest = state["tick"]
        number += 1
        session.send_datagram(json.dumps({"number": number, "go": (math.cos(number / 10), math.sin(number / 10))}).encode())
        if number % 10 == 1:
            print(f"tick {newest}: I am at {state['players'].get(me)}, one of {len(state['players'])}", flush=True)
        if number >= ticks:
            return


async def main() -> None:
    """Connect, and play."""
    parser = argparse.ArgumentParser(description="Play on server.py.")
    parser.add_argument("url")
    parser.add_argument("hash", type=bytes.fromhex)
    parser.add_argument("--ticks", type=int, default=300)
    options = parser.parse_args()
    async with Client(server_certificate_hashes=[options.hash]) as client, await client.connect(options.url) as session:
        await play(session, options.ticks)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except WebTransportError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass  # enough
