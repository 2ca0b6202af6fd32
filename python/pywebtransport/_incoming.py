"""The peer's streams, of whatever kind, as they come."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from .exceptions import ConnectionError as FrameworkConnectionError
from .exceptions import SessionClosedError

_T = TypeVar("_T")
_K = TypeVar("_K")

Accept: TypeAlias = Callable[[], Coroutine[Any, Any, _T]]
"""What waits for the next stream of a kind. Cancelled, it has taken none."""


class Incoming(Generic[_T]):
    """Streams of several kinds, for those who want any, while others may accept one kind by itself.

    A task accepts each kind, also between two calls, since making one for each costs more than all else. What it took meanwhile is for
    whoever asks next.

    Args:
        accepts: What accepts them, one for each kind.
    """

    __slots__ = ("_accepts", "_asked", "_tasks")

    def __init__(self, *accepts: Accept[_T]) -> None:
        self._accepts = accepts
        self._asked = 0  # calls of `next` that wait
        self._tasks: dict[Accept[Any], asyncio.Task[Any]] = {}

    def take(self, accept: Accept[_K]) -> _K | None:
        """What was accepted for nobody; if there is none, whoever asks now is not overtaken by a task that nobody waits for."""
        task = self._tasks.get(accept)
        if task is None or (self._asked and not task.done()):
            return None
        del self._tasks[accept]
        if task.cancel() or task.cancelled() or task.exception() is not None:
            return None
        stream: _K = task.result()
        return stream

    async def next(self) -> _T:
        """Wait for the next of any kind; none waits for another kind. Cancelling is harmless.

        Raises:
            WebTransportError: There will be none; the class says why.
        """
        self._accepts = (*self._accepts[1:], self._accepts[0])
        over: dict[Accept[Any], BaseException] = {}  # there may still be streams of another kind
        while len(over) < len(self._accepts):
            for accept in self._accepts:
                task = self._tasks.get(accept)
                if task is None and accept not in over:
                    task = self._tasks[accept] = asyncio.get_running_loop().create_task(accept())
                    task.add_done_callback(_seen)
                elif task is not None and task.done():
                    if (taken := self.take(accept)) is not None:
                        return taken
                    if not task.cancelled() and (error := task.exception()) is not None:
                        over[accept] = error
            if self._tasks:
                self._asked += 1
                try:
                    await asyncio.wait(self._tasks.values(), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    self._asked -= 1
        raise over[self._accepts[0]]


def _seen(task: asyncio.Task[Any]) -> None:
    """What it raised is raised anew, for whoever asks."""
    if not task.cancelled():
        task.exception()


async def unless_closed(accept: Accept[_T]) -> _T | None:
    """What is accepted, or None if one side closed the session or the connection, which is no failure."""
    try:
        return await accept()
    except SessionClosedError:
        return None
    except FrameworkConnectionError as error:
        if error.details.get("source") == "application":
            return None
        raise
