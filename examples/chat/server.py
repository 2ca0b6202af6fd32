"""A chat: run it, open in some browsers what it prints, or give URL and hash to client.py; ``server.py [PORT]``."""

import asyncio
import sys
from collections import defaultdict

from pywebtransport import ServerApp, StreamError, WebTransportSession

app = ServerApp()
rooms: dict[str, set[asyncio.Queue[str]]] = defaultdict(set)  # what each member of a room has yet to hear


def tell(room: str, line: str) -> None:
    """Say a line to all in a room; a member who listens too slowly misses it, and holds up nobody."""
    shown = "".join(filter(str.isprintable, line))  # one line, and nothing that a terminal would obey
    for unheard in [each for each in rooms[room] if not each.full()]:
        unheard.put_nowait(shown)


@app.route("/chat/{room}/{name}")
async def chat(session: WebTransportSession, room: str, name: str) -> None:
    """Serve a member: what it says goes to all in its room, line by line."""

    async def pass_on() -> None:
        while True:
            await stream.write(f"{await unheard.get()}\n".encode())

    rooms[room].add(unheard := asyncio.Queue[str](maxsize=100))
    tell(room, f"{name} is here")
    try:
        async with await session.create_bidirectional_stream() as stream, asyncio.TaskGroup() as tasks:
            passing = tasks.create_task(pass_on())
            while line := await stream.readline(limit=1000):
                tell(room, f"{name}: {line.decode(errors='replace')}")
            passing.cancel()
    except* StreamError:
        pass  # it broke off in the middle of a line, or said a very long one
    finally:
        rooms[room].remove(unheard)
        tell(room, f"{name} has left")
        if not rooms[room]:
            del rooms[room]


app.run(port=int(sys.argv[1]) if sys.argv[1:] else None, dev=f"{sys.path[0]}/page.html")
