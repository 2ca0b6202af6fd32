"""Events: what happened, told to whoever asked to hear of it."""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ._arguments import check_callable, check_seconds
from .exceptions import TimeoutError as EventTimeoutError
from .exceptions import WebTransportError
from .types import EventType

__all__ = ["Event", "EventEmitter", "EventHandler", "EventType"]

logger = logging.getLogger(__name__)

_MOST_RUNNING = 256  # handlers of one emitter that run at once before `room` waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    type: EventType | str
    """What."""

    data: Any = None
    """More about it: what the framework emits has a dict, whose keys are called as in the diagnostics."""

    source: Any = None
    """Where: the id of the session, stream or connection."""

    timestamp: float = field(default_factory=time.time)
    """When, in seconds since the epoch."""


EventHandler: TypeAlias = Callable[[Event], Awaitable[None] | None]
"""What is called with an event: a function, or a coroutine function."""


class EventEmitter:
    """Calls handlers when something happens. One that raises is logged, and harms no other.

    Args:
        on_interest: Called with a type of events when its first handler comes, and when its last one has gone: whoever emits events that
            cost something does so only in between. Handlers of any event (`on_any`) do not count.
    """

    def __init__(self, on_interest: "Callable[[EventType | str, bool], None] | None" = None) -> None:
        self._on_interest = on_interest
        self._handlers: dict[EventType | str, list[EventHandler]] = {}
        self._any: tuple[EventHandler, ...] = ()
        self._waiting: list[asyncio.Future[Event]] = []
        self._running: set[asyncio.Task[None]] | None = None  # made when it is needed, which it seldom is
        self._ended: Exception | None = None

    def on(self, event_type: EventType | str, handler: EventHandler) -> None:
        """Call *handler* with every event of a type."""
        check_callable("the handler of an event", handler)
        handlers = self._handlers.setdefault(event_type, [])
        handlers.append(handler)
        if len(handlers) == 1 and self._on_interest is not None:
            self._on_interest(event_type, True)

    def once(self, event_type: EventType | str, handler: EventHandler) -> None:
        """Call *handler* with the next event of a type, and never again. `off` takes it back."""
        check_callable("the handler of an event", handler)
        self.on(event_type, _Once(self, event_type, handler))

    def off(self, event_type: EventType | str, handler: EventHandler) -> None:
        """Call *handler* no more; where it is not one, nothing happens."""
        handlers = self._handlers.get(event_type, [])
        for index, known in enumerate(handlers):
            if known == handler or (isinstance(known, _Once) and known.handler == handler):
                del handlers[index]
                if not handlers:
                    del self._handlers[event_type]
                    if self._on_interest is not None:
                        self._on_interest(event_type, False)
                return

    def on_any(self, handler: EventHandler) -> None:
        """Call *handler* with every event that is emitted. It takes no datagrams away from `receive`: only who asks for them does."""
        check_callable("the handler of an event", handler)
        self._any += (handler,)

    def off_any(self, handler: EventHandler) -> None:
        """Call *handler* no more; where it is not one, nothing happens."""
        if handler in self._any:
            index = self._any.index(handler)
            self._any = self._any[:index] + self._any[index + 1 :]

    def listeners(self, event_type: EventType | str) -> list[EventHandler]:
        """The handlers of a type of events, in the order in which they are called."""
        return [known.handler if isinstance(known, _Once) else known for known in self._handlers.get(event_type, ())]

    @property
    def is_heard(self) -> bool:
        """Whether anybody hears of anything."""
        return bool(self._handlers) or bool(self._any)

    def wants(self, event_type: EventType | str) -> bool:
        """Whether anybody would hear of such an event."""
        return bool(self._any) or event_type in self._handlers

    async def emit(self, event_type: EventType | str, *, data: Any = None, source: Any = None) -> None:
        """Call the handlers one after the other, and wait for those that are coroutines; what they raise is logged."""
        event = Event(type=event_type, data=data, source=source)
        for handler in self._called(event_type):
            if (waiting := _call(handler, event)) is not None:
                await _finish(handler, waiting)

    def emit_nowait(self, event_type: EventType | str, *, data: Any = None, source: Any = None) -> None:
        """Call the handlers; those that are coroutines go on in tasks of their own."""
        event = Event(type=event_type, data=data, source=source)
        for handler in self._called(event_type):
            if (waiting := _call(handler, event)) is not None:
                task = asyncio.get_running_loop().create_task(_finish(handler, waiting))
                if self._running is None:
                    self._running = set()
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def room(self) -> None:
        """Wait while so many handlers run that another event should not be taken from where it waits. It never raises."""
        while self._running is not None and len(self._running) >= _MOST_RUNNING:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    async def wait_for(
        self,
        event_type: EventType | str | Iterable[EventType | str],
        *,
        condition: Callable[[Event], bool] | None = None,
        timeout: float | None = None,
    ) -> Event:
        """Wait for an event that is yet to come. Cancelling is harmless.

        Args:
            event_type: Its type, or several of which one is enough.
            condition: What else must be true of it; what it raises ends the wait.
            timeout: Seconds to wait at most; None waits on.
        Raises:
            TimeoutError: There was none in time.
            WebTransportError: No more events will come; the class says why.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        if self._ended is not None:
            raise self._ended
        types = [event_type] if isinstance(event_type, str) else list(event_type)
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

        def look(event: Event) -> None:
            if future.done():
                return
            try:
                if condition is not None and not condition(event):
                    return
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(event)
            stop()  # now: a datagram that comes before the task runs again is for whoever asks next

        def stop() -> None:
            for each in types:
                self.off(each, look)

        self._waiting.append(future)
        for each in types:
            self.on(each, look)
        try:
            async with asyncio.timeout(timeout) as limit:
                return await future
        except TimeoutError as error:
            if not limit.expired():  # the end of what emits, or the condition's
                raise
            raise EventTimeoutError(f"no event {' or '.join(types)} within {timeout} s") from error
        finally:
            self._waiting.remove(future)
            stop()

    def end(self, error: Exception) -> None:
        """No more events will come: whoever waits for one gets *error*. Handlers that run go on."""
        if self._ended is None:
            self._ended = error
            for future in self._waiting:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen, even if whoever waits is cancelled before

    async def close(self) -> None:
        """Forget all handlers, and cancel those that run. Events that are emitted later nobody hears of. It never raises."""
        self.end(WebTransportError("the event emitter was closed"))
        for event_type in list(self._handlers):
            del self._handlers[event_type]
            if self._on_interest is not None:
                self._on_interest(event_type, False)
        self._any = ()
        running = (self._running or set()) - {asyncio.current_task()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _called(self, event_type: EventType | str) -> list[EventHandler]:
        """Those to call: a copy, since they come and go while they are called."""
        return [*self._handlers.get(event_type, ()), *self._any]


class _Once:
    """A handler that goes before it is called."""

    __slots__ = ("_emitter", "_event_type", "handler")

    def __init__(self, emitter: EventEmitter, event_type: EventType | str, handler: EventHandler) -> None:
        self._emitter, self._event_type, self.handler = emitter, event_type, handler

    def __call__(self, event: Event) -> Awaitable[None] | None:
        self._emitter.off(self._event_type, self)
        return self.handler(event)


def _call(handler: EventHandler, event: Event) -> Awaitable[None] | None:
    try:
        waiting = handler(event)
    except Exception:
        logger.exception("a handler of %s raised", event.type)
        return None
    return waiting if inspect.isawaitable(waiting) else None


async def _finish(handler: EventHandler, waiting: Awaitable[None]) -> None:
    try:
        await waiting
    except Exception:
        logger.exception("a handler raised: %r", handler)
