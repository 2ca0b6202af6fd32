"""Waiting for the transport: in the framework's words, and no longer than allowed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import web_transport

from .exceptions import TimeoutError as FrameworkTimeoutError
from .exceptions import translated, translating

_T = TypeVar("_T")


async def within(seconds: float | None, what: str, call: Coroutine[Any, Any, _T]) -> _T:
    """What *call* returns; after *seconds*, or never if that is None, it is cancelled, and *what* is in the error.

    The calls of the transport lose nothing when they are cancelled, so what times out may be tried again.
    """
    if seconds is None:
        try:
            return await call
        except web_transport.WebTransportError as error:  # `translating` would cost every read and write
            raise translated(error) from error
    try:
        async with asyncio.timeout(seconds) as limit:
            with translating:
                return await call
    except TimeoutError as error:
        if not limit.expired():  # another's: the peer's silence, or a limit around this one
            raise
        raise FrameworkTimeoutError(f"{what} took longer than {seconds:g} s") from error


class Bell:
    """What many may wait for and few do: whoever waits looks again when it rings.

    Until somebody waits it keeps nothing, where an `asyncio.Event` keeps 700 bytes for the queue of those who do.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] | None = None

    async def wait(self) -> None:
        """Wait until it rings."""
        future = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(future)
        try:
            await future
        finally:
            if self._waiting is not None and future in self._waiting:  # cancelled
                self._waiting.remove(future)

    def ring(self) -> None:
        """Wake all who wait."""
        waiting, self._waiting = self._waiting, None
        for future in waiting or ():
            if not future.done():
                future.set_result(None)


def at_once(call: Coroutine[Any, Any, _T]) -> tuple[_T] | None:
    """What *call* returns if it need not wait for it; None, and it is given up, if it would."""
    try:
        call.send(None)
    except StopIteration as returned:
        return (returned.value,)
    finally:
        call.close()
    return None
