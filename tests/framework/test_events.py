"""Event emitters: who asked hears of it, once or always, and nobody suffers from another's handler."""

import asyncio
import logging

import pytest
from pywebtransport import Event, EventEmitter, EventType, TimeoutError, WebTransportError


@pytest.fixture
def emitter():
    return EventEmitter()


async def test_handlers_are_called_with_the_event(emitter):
    """Functions and coroutine functions are handlers, and get what, more about it, where and when."""
    seen = []

    async def later(event):
        await asyncio.sleep(0)
        seen.append(event)

    emitter.on(EventType.STREAM_OPENED, seen.append)
    emitter.on("stream_opened", later)  # a string enum: the word is the same
    await emitter.emit(EventType.STREAM_OPENED, data={"stream_id": 4}, source="here")
    assert len(seen) == 2
    assert seen[0] is seen[1]
    event = seen[0]
    assert isinstance(event, Event)
    assert (event.type, event.data, event.source) == (EventType.STREAM_OPENED, {"stream_id": 4}, "here")
    assert event.timestamp > 0


async def test_once_and_off(emitter):
    """A handler for once hears one event, and one that is taken back hears none."""
    seen = []
    emitter.once("a", seen.append)
    emitter.on("a", print)
    emitter.off("a", print)
    emitter.off("a", print)
    emitter.off("b", print)
    assert emitter.listeners("a") == [seen.append]
    emitter.emit_nowait("a", data=1)
    emitter.emit_nowait("a", data=2)
    assert [event.data for event in seen] == [1]
    emitter.once("a", seen.append)
    emitter.off("a", seen.append)
    assert emitter.listeners("a") == []


async def test_any_hears_everything(emitter):
    """A handler of any event hears what others ask for, and what nobody does."""
    seen = []
    emitter.on_any(seen.append)
    assert emitter.wants("a")
    await emitter.emit("a")
    await emitter.emit("b")
    emitter.off_any(seen.append)
    emitter.off_any(seen.append)
    await emitter.emit("c")
    assert [event.type for event in seen] == ["a", "b"]
    assert not emitter.wants("a")


async def test_a_handler_that_raises_harms_no_other(emitter, caplog):
    """It is logged with its traceback; the others are called, and who emits goes on."""
    seen = []

    def bad(event):
        raise KeyError("now")

    async def worse(event):
        raise KeyError("later")

    for handler in (bad, worse, seen.append):
        emitter.on("a", handler)
    with caplog.at_level(logging.ERROR):
        await emitter.emit("a")
        emitter.emit_nowait("a")
        await asyncio.sleep(0)
    assert len(seen) == 2
    assert [record.exc_info[0] for record in caplog.records] == [KeyError] * 4


async def test_wait_for_a_type_with_a_condition(emitter, parked):
    """What is waited for is an event to come, of one of the types, that fulfils the condition."""
    emitter.emit_nowait("a", data=0)
    waiting = await parked(emitter.wait_for(["a", "b"], condition=lambda event: event.data > 1))
    for kind, data in (("a", 1), ("c", 5), ("b", 2), ("a", 3)):
        emitter.emit_nowait(kind, data=data)
    assert (await waiting).data == 2
    assert emitter.listeners("a") == emitter.listeners("b") == []


async def test_wait_for_ends_in_time(emitter, parked):
    """A time-out is the framework's TimeoutError; it and a cancelled wait leave no handler."""
    with pytest.raises(TimeoutError, match=r"no event a or b within 0\.01 s"):
        await emitter.wait_for(["a", "b"], timeout=0.01)
    waiting = await parked(emitter.wait_for("a"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert emitter.listeners("a") == []


async def test_interest_is_told_between_the_first_and_the_last_handler():
    """Who emits costly events learns when there is somebody to hear them; handlers of any event do not count."""
    told = []
    emitter = EventEmitter(lambda kind, wanted: told.append((kind, wanted)))
    emitter.on_any(print)
    assert told == []
    emitter.on("a", print)
    emitter.on("a", repr)
    emitter.off("a", print)
    assert told == [("a", True)]
    emitter.off("a", repr)
    assert told == [("a", True), ("a", False)]
    emitter.once("b", repr)
    emitter.emit_nowait("b")
    assert told[2:] == [("b", True), ("b", False)]


async def test_close_ends_waiting_and_running(emitter, parked):
    """After it nobody waits in vain: handlers that run are cancelled, those who wait get an error, and so do later ones."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(event):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    emitter.on("a", endless)
    emitter.emit_nowait("a")
    await started.wait()
    waiting = await parked(emitter.wait_for("b"))
    await emitter.close()
    assert cancelled.is_set()
    for wait in (waiting, emitter.wait_for("a")):
        with pytest.raises(WebTransportError, match="closed"):
            await wait
    assert emitter.listeners("a") == []


async def test_room_waits_for_handlers(emitter, parked):
    """Handlers that do not end hold back who asks for room, so that events do not pile up as tasks."""
    gate = asyncio.Event()

    async def slow(event):
        await gate.wait()

    emitter.on("a", slow)
    await emitter.room()
    for _ in range(256):
        emitter.emit_nowait("a")
    waiting = await parked(emitter.room())
    gate.set()
    await waiting
