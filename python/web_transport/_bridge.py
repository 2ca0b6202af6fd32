"""asyncio and the mailbox: the only file that knows the event loop.

The native side never calls Python. What cannot finish yet parks a number, its token; once it is worth trying again the token
lies in the loop's mailbox, whose bell the loop watches. A wake says "look again" and nothing else, so every operation has
one shape, in which a cancelled task loses nothing and a wake too many does no harm::

    while (chunk := self._native.read(n, token)) is None:  # None: nothing yet, and the token is parked
        await bridge.woken(token)
"""

import asyncio
import contextvars
import itertools
import os
import socket
from asyncio import get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from ._web_transport import Mailbox, after_fork_in_child

if hasattr(os, "register_at_fork"):  # a forked child has no reactor threads: there its endpoints are closed
    os.register_at_fork(after_in_child=after_fork_in_child)

# The first of eight numbers for an object to wait under, one for each of its operations
tokens = itertools.count(0, 8).__next__


async def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """The addresses of *host*, the best first (RFC 6724); OSError if there are none."""
    found = await get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys((str(address[0]), port) for *_, address in found))


def time_limit(seconds: float | None) -> asyncio.Timeout:
    """An ``async with`` that is left with TimeoutError after so many seconds; None: never."""
    return asyncio.timeout(seconds)


class _Wait(asyncio.Future[None]):
    """What one task waits for. Once it is over the task can go on there and then: a round of the loop costs as much as the wait."""

    __slots__ = ("_bridge", "_context", "_step", "_token")
    _context: contextvars.Context
    _step: Callable[["_Wait"], object] | None

    def __init__(self, bridge: "Bridge", token: int) -> None:
        super().__init__(loop=get_running_loop())
        self._bridge, self._token = bridge, token
        self._step = None  # and so it stays if the coroutine was begun by hand, without a task, and given up

    def is_awaited(self) -> bool:
        """Whether a task is to go on when it is over."""
        return self._step is not None

    def over(self) -> None:
        """End it from outside of all tasks, and run its task until that waits again."""
        if not self.done():
            self.set_result(None)
            if self._step is not None:
                self._context.run(self._step, self)

    def over_soon(self) -> None:
        """End it; its task runs in the loop's next round."""
        if not self.done():
            self.set_result(None)
            self._step_soon()

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._bridge.forget(self, self._token)
            self._step_soon()
        return cancelled

    def add_done_callback(self, step: Callable[[Any], object], /, *, context: contextvars.Context | None = None) -> None:
        """By the task, before anybody can end the wait."""
        self._step, self._context = step, contextvars.copy_context() if context is None else context

    def _step_soon(self) -> None:
        if self._step is not None:
            self.get_loop().call_soon(self._step, self, context=self._context)


class _Over:
    """A wait that was over before it began."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


OVER = _Over()


class Bridge:
    """One event loop's mailbox, and who waits for which token."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.mailbox = Mailbox()
        self._waiting: dict[int, list[_Wait]] = {}
        self._lone = True  # the loop woke no more than one of us, and has not sent what that one wrote
        self._in_place = not loop.get_debug()  # a lone task goes on in `_drain`; debug mode could not tell its name there
        try:
            loop.add_reader(self.mailbox.fileno(), self._drain)
        except NotImplementedError:  # Windows' Proactor loop
            self._in_place = False  # there it is a task that drains
            loop.create_task(self._listen(loop))  # the loop's pending receive keeps the task alive

    def woken(self, token: int) -> Awaitable[None]:
        """To be awaited at once: done when *token* has come. Any number of tasks may wait for one token."""
        return OVER if token in self.flush() else self._wait(token)

    async def woken_within(self, token: int, seconds: float) -> None:
        """Return once *token* has come, or after so many *seconds*."""
        if token not in self.flush():
            wait = self._wait(token)
            timer = get_running_loop().call_later(seconds, wait.over)
            try:
                await wait
            finally:
                timer.cancel()
                self.forget(wait, token)

    def call_when_woken(self, token: int, callback: Callable[[], None]) -> None:
        """Call once *token* has come: for those who wait without a task."""
        self._wait(token).add_done_callback(lambda _: callback())

    def _wait(self, token: int) -> _Wait:
        wait = _Wait(self, token)
        if (waiting := self._waiting.get(token)) is None:
            self._waiting[token] = [wait]
        else:
            waiting[:] = [other for other in waiting if other.is_awaited()]
            waiting.append(wait)
        return wait

    def forget(self, wait: _Wait, token: int) -> None:
        """Nobody waits there any more."""
        if (waiting := self._waiting.get(token)) is not None and wait in waiting:
            waiting.remove(wait)
            if not waiting:
                del self._waiting[token]

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of its own for *coroutine*; the caller keeps it."""
        return get_running_loop().create_task(coroutine)

    def flush(self) -> Sequence[int]:
        """Send what was written, if nobody else will write in this round of the loop; else it leaves at the end of it.

        Returns:
            Tokens that have come meanwhile.
        """
        if not self._lone or (tokens := self.mailbox.flush()) is None:
            return ()
        self._lone = False
        for token in tokens:
            for wait in self._waiting.pop(token, ()):
                wait.over_soon()
        return tokens

    def _drain(self) -> None:
        waits = [wait for token in self.mailbox.drain() for wait in self._waiting.pop(token, ())]
        if len(waits) == 1 and self._in_place:
            self._lone = False  # what it writes leaves at the end, and no bell need ring for it
            self.mailbox.attend()
            try:
                waits[0].over()
            finally:
                self._lone = True
                self.flush()
        else:
            self._lone = len(waits) <= 1
            for wait in waits:
                wait.over_soon()

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        bell = socket.socket(fileno=self.mailbox.fileno())
        bell.setblocking(False)
        try:
            while await loop.sock_recv(bell, 1):
                self._drain()
        finally:
            bell.detach()  # it is the mailbox's


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
    """What one direction of a stream is: a fair lock. First come, first served, a whole call each.

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
        home = self._home
        bridge = home._bridge if get_running_loop() is home._loop else home.enter()
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
