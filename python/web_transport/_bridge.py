"""asyncio and the mailbox: the only file that knows the event loop.

The native side never calls Python. What cannot finish yet parks a number, its token; once it is worth trying again the token
lies in the loop's mailbox, whose bell the loop watches. A wake says "look again" and nothing else, so every operation has
one shape, in which a cancelled task loses nothing and a wake too many does no harm::

    while (chunk := self._native.read(n, token)) is None:  # None: nothing yet, and the token is parked
        await bridge.woken(token)
"""

import asyncio
import itertools
import os
import socket
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable, Coroutine
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from ._web_transport import Mailbox, after_fork_in_child

if hasattr(os, "register_at_fork"):  # a forked child has no reactor threads: there its endpoints are closed
    os.register_at_fork(after_in_child=after_fork_in_child)

_blocks = itertools.count(0, 8)


def tokens() -> int:
    """The first of eight numbers for an object to wait under, one for each of its operations."""
    return next(_blocks)


async def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """The addresses of *host*, the best first (RFC 6724); OSError if there are none."""
    found = await get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys((str(address[0]), port) for *_, address in found))


def time_limit(seconds: float | None) -> asyncio.Timeout:
    """An ``async with`` that is left with TimeoutError after so many seconds; None: never."""
    return asyncio.timeout(seconds)


class Bridge:
    """One event loop's mailbox, and who waits for which token."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.mailbox = Mailbox()
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}
        self._lone = True  # the loop woke no more than one of us, and has not sent what that one wrote
        try:
            loop.add_reader(self.mailbox.fileno(), self._drain)
        except NotImplementedError:  # Windows' Proactor loop
            loop.create_task(self._listen(loop))  # the loop's pending receive keeps the task alive

    async def woken(self, token: int, timeout: float | None = None) -> None:
        """Return once *token* has come, or after *timeout* seconds; any number of tasks may wait for one token."""
        loop = get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if (waiting := self._waiting.get(token)) is None:
            waiting = self._waiting[token] = []
        waiting.append(future)
        timer = None if timeout is None else loop.call_later(timeout, _wake, future)
        self.flush()
        try:
            await future
        except BaseException:
            self._forget(token, future)
            raise
        if timer is not None:
            timer.cancel()
            self._forget(token, future)

    def flush(self) -> None:
        """Send what was written, if nobody else will write in this round of the loop; else it leaves at the end of it."""
        if self._lone and self.mailbox.asked:
            self._drain()
            self._lone = False

    def _forget(self, token: int, future: asyncio.Future[None]) -> None:
        if (waiting := self._waiting.get(token)) is not None and future in waiting:
            waiting.remove(future)
            if not waiting:
                del self._waiting[token]

    def call_when_woken(self, token: int, callback: Callable[[], None]) -> None:
        """Call once *token* has come: for those who wait without a task."""
        future: asyncio.Future[None] = get_running_loop().create_future()
        future.add_done_callback(lambda _: callback())
        self._waiting.setdefault(token, []).append(future)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of its own for *coroutine*; the caller keeps it."""
        return get_running_loop().create_task(coroutine)

    def _drain(self) -> None:
        tokens = self.mailbox.drain()
        for token in tokens:
            for future in self._waiting.pop(token, ()):
                if not future.done():
                    future.set_result(None)
        self._lone = len(tokens) <= 1

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        bell = socket.socket(fileno=self.mailbox.fileno())
        bell.setblocking(False)
        try:
            while await loop.sock_recv(bell, 1):
                self._drain()
        finally:
            bell.detach()  # it is the mailbox's


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# A loop's selector holds its bridge and the bridge does not hold the loop, so both go when the loop goes.
# No lock: a loop runs in one thread at a time, so no two threads ever look for the same key.
_bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, Bridge] = WeakKeyDictionary()


class Home:
    """The event loop of an endpoint, its sessions and streams: the first that awaits on one of them."""

    __slots__ = ("_attach", "_bridge", "_lock", "_loop")
    _bridge: Bridge

    def __init__(self, attach: Callable[[Mailbox], None]) -> None:
        self._attach = attach
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self) -> Bridge:
        """The running loop's bridge; RuntimeError if home is another loop that has not been closed."""
        loop = get_running_loop()
        if loop is not self._loop:
            self._settle(loop)
        return self._bridge

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        bridge = _bridges.get(loop)
        if bridge is None:
            bridge = _bridges[loop] = Bridge(loop)
        with self._lock:  # two loops may come at once, and one of them must lose
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("this endpoint, its sessions and its streams belong to another event loop")
            self._attach(bridge.mailbox)
            self._bridge, self._loop = bridge, loop


class Turn:
    """What one direction of a stream is: a fair lock. Who comes first is served first, a whole call each.

    To hold it, ``bridge = self._take_turn() or await self._await_turn()``, and ``self._give_turn()`` in the end.
    """

    __slots__ = ("_bridge", "_home", "_queue", "_taken")

    def __init__(self, home: Home) -> None:
        self._home = home
        self._bridge: Bridge | None = None
        self._queue: deque[asyncio.Future[None]] | None = None
        self._taken = False

    def _take_turn(self) -> Bridge | None:
        """Take the turn if it is free; what is returned is `Home.enter`'s."""
        bridge = self._home.enter()
        if bridge is not self._bridge:  # whoever held the turn or waited for it went with the loop before
            self._bridge, self._queue = bridge, None
        elif self._taken:
            return None
        self._taken = True
        return bridge

    async def _await_turn(self) -> Bridge:
        """Wait for the turn where it is taken."""
        bridge = self._home.enter()
        if self._queue is None:
            self._queue = deque()
        future = get_running_loop().create_future()
        self._queue.append(future)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():  # cancelled just when the turn had come: hand it on
                self._give_turn()
            elif self._queue and future in self._queue:
                self._queue.remove(future)
            raise
        return bridge

    def _give_turn(self) -> None:
        """Hand the turn on."""
        while self._queue:
            future = self._queue.popleft()
            if not future.done():  # it stays taken, so that nobody overtakes
                future.set_result(None)
                return
        self._taken = False
