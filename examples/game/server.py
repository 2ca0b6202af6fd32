"""A game loop: the server moves everybody thirty times a second, and tells the state of the world in datagrams; the newest wins.

Players send which way they want to go, in datagrams too. Both are numbered, so that one that comes late is ignored, and queues hold one, so
that none waits behind an older one. What must not get lost, who one is, comes over a stream.
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import time
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from urllib.parse import urlencode

from web_transport import Server, Session, SessionRequest, WebTransportError, certificate_hash, generate_self_signed

TICK = 1 / 30  # seconds
SPEED = 300.0  # units of the board per second
WIDTH, HEIGHT = 1000.0, 600.0
SIZE = 22.0  # of a player, from the middle to the rim
MOST = 50  # players: their positions must fit into one datagram
NONSENSE = (ValueError, LookupError, TypeError, OverflowError, RecursionError)  # what comes of reading what makes none


@dataclass
class Player:
    """Somebody on the board."""

    session: Session
    x: float
    y: float
    go: tuple[float, float] = (0.0, 0.0)
    heard: int = -1
    """The number of the newest wish."""

    def move(self) -> None:
        """Go on for one tick, and stay on the board."""
        self.x = min(max(self.x + self.go[0] * SPEED * TICK, SIZE), WIDTH - SIZE)
        self.y = min(max(self.y + self.go[1] * SPEED * TICK, SIZE), HEIGHT - SIZE)

    async def listen(self) -> None:
        """Take the player's wishes until the session is over."""
        async for data in self.session.datagrams:
            wish = json.loads(data)
            if wish["number"] > self.heard:
                self.heard = wish["number"]
                x, y = (float(part) for part in wish["go"])
                length = math.hypot(x, y)
                if not math.isfinite(length):
                    raise ValueError(f"nobody goes to {x}, {y}")
                length = max(1.0, length)  # nobody is faster than the others
                self.go = x / length, y / length


class World:
    """Everybody on the board."""

    def __init__(self) -> None:
        self._players: dict[int, Player] = {}
        self._numbers = count(1)
        self._seats = asyncio.Semaphore(MOST)

    async def run(self) -> None:
        """Move everybody, tick by tick, and tell everybody."""
        due = time.monotonic()
        for tick in count():
            for player in self._players.values():
                player.move()
            state = {"tick": tick, "players": {number: (round(player.x), round(player.y)) for number, player in self._players.items()}}
            data = json.dumps(state, separators=(",", ":")).encode()
            for player in self._players.values():
                with contextlib.suppress(WebTransportError):  # it has gone, or takes no datagrams
                    player.session.send_datagram(data)
            due += TICK
            await asyncio.sleep(due - time.monotonic())

    async def play(self, request: SessionRequest) -> None:
        """Let somebody play until the session is over, or until it makes no sense."""
        with contextlib.suppress(WebTransportError, *NONSENSE):
            if self._seats.locked():
                await request.reject(503)
                return
            async with self._seats, await request.accept() as session:
                session.datagrams.incoming_max_buffered = 1  # a newer wish pushes out the one that waits
                session.datagrams.outgoing_max_age = 2 * TICK  # a state that could not leave by then is old
                number = next(self._numbers)
                async with await session.open_uni() as welcome:
                    await welcome.write(json.dumps({"you": number}).encode())
                self._players[number] = Player(session, random.uniform(SIZE, WIDTH - SIZE), random.uniform(SIZE, HEIGHT - SIZE))
                try:
                    await self._players[number].listen()
                finally:
                    del self._players[number]


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A game loop over datagrams.")
    parser.add_argument("--port", type=int, default=4433, help="the UDP port, 0 for a free one (default: %(default)s)")
    port = parser.parse_args().port
    certificate, key = generate_self_signed(["127.0.0.1"])
    world = World()
    async with Server(certificate_chain=[certificate], private_key=key, bind=f"127.0.0.1:{port}") as server:
        print(announcement(f"https://127.0.0.1:{server.local_addr[1]}/", certificate_hash(certificate).hex()), flush=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(world.run())
            async for request in server:
                group.create_task(world.play(request))


def announcement(url: str, pin: str) -> str:
    """Serve the page over HTTP, on localhost, where pages may use WebTransport; and say where everything is."""
    pages = partial(SimpleHTTPRequestHandler, directory=str(Path(__file__).parent))
    http = ThreadingHTTPServer(("127.0.0.1", 0), pages)
    Thread(target=http.serve_forever, daemon=True).start()
    return f"url: {url}\nhash: {pin}\npage: http://127.0.0.1:{http.server_port}/?{urlencode({'url': url, 'hash': pin})}"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
