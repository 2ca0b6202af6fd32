"""One side of a game of Devious Baton: every baton that comes goes back, one higher, on the next kind of stream.

::

    server's uni ──▶ client's bidi ──▶ the same stream ──▶ client's uni ──▶ server's bidi ──▶ the same stream ──▶ server's uni …

Source: draft-frindell-webtrans-devious-baton, version 0.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from pywebtransport.events import Event
from pywebtransport.exceptions import ConnectionError as FrameworkConnectionError
from pywebtransport.exceptions import DatagramError, SessionError, StreamError
from pywebtransport.session import WebTransportSession
from pywebtransport.stream import WebTransportReceiveStream, WebTransportSendStream, WebTransportStream
from pywebtransport.types import EventType

from .baton import MalformedError, SessionCode, StreamCode, Terms, decoded, encoded, receive

__all__ = ["Game", "Leg", "Move"]

_CREDIT_WAIT = 2.0  # seconds for the peer to permit a stream: longer than its news of streams that have ended takes

_Stream = TypeVar("_Stream", WebTransportSendStream, WebTransportStream)


class Leg(Enum):
    """On what a baton comes."""

    UNI = "a unidirectional stream of the peer's"
    BIDI = "a bidirectional stream of the peer's"
    OWN = "a bidirectional stream of ours"
    DATAGRAM = "a datagram"


_NEXT = {Leg.UNI: Leg.OWN, Leg.BIDI: Leg.UNI, Leg.OWN: Leg.BIDI}  # where the baton comes back that was sent in answer


class Move(NamedTuple):
    """What the peer did."""

    baton: int
    leg: Leg


class Game:
    """One side of a game; `play` plays it. The methods that have no underscore are the rules, for those who want to break them.

    Args:
        session: An established session, of either side.
        terms: What the client asked for.
        strict: Whether a baton that was not due closes the session (SUS). It is due where an answer comes to a baton of ours. What
            comes on a unidirectional stream opens a round, and may be anything. Some servers send every other baton unchanged, so
            that clients better are not strict.
        patience: Seconds without a baton after which the session is closed (BORED).
        report: Called with every move of the peer's.
    """

    def __init__(
        self,
        session: WebTransportSession,
        terms: Terms,
        *,
        strict: bool,
        patience: float = 60,
        report: Callable[[Move], object] = lambda _: None,
    ) -> None:
        self.session = session
        self.terms = terms
        self._strict = strict
        self._patience = patience
        self._report = report
        self._active = terms.count
        self._due: dict[Leg, list[int | None]] = {leg: [] for leg in _NEXT}  # None: any value
        self._sent: WeakKeyDictionary[Any, tuple[Leg, int]] = WeakKeyDictionary()  # what each stream of ours makes due, and where
        self._kept: list[WebTransportStream] = []  # that carry nothing more: to let go of them would reset or stop them

    @property
    def active(self) -> int:
        """How many batons are neither back at 0 nor lost."""
        return self._active

    async def play(self) -> None:
        """Play until the session is over, whoever ends it and why: `WebTransportSession.close_code` tells, and nothing is raised."""
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(self._patience) as self._limit, asyncio.TaskGroup() as self._tasks:
                    self._tasks.create_task(_until_the_end(self._take_datagrams()))
                    self._tasks.create_task(_until_the_end(self.begin()))
                    async for stream in self.session.incoming_streams():
                        leg = Leg.BIDI if isinstance(stream, WebTransportStream) else Leg.UNI
                        self._tasks.create_task(_until_the_end(self._take(stream, leg)))
            except* (SessionError, FrameworkConnectionError):
                pass  # as it does where the connection breaks
            return
        await self.give_up(SessionCode.BORED)

    # The rules

    async def begin(self) -> None:
        """A server sends all batons, each on a stream of its own; a client waits for them.

        Raises:
            SessionError: The session is over, which ends the game.
        """
        if self.session.is_client:
            self._due[Leg.UNI] += [self.terms.baton] * self.terms.count
            return
        first = self.terms.first()
        for _ in range(self.terms.count):
            await self._send(await self._open(self.session.create_unidirectional_stream()), first, Leg.BIDI)

    async def answer(self, baton: int, leg: Leg, stream: WebTransportStream | WebTransportReceiveStream) -> None:
        """Send the next baton: a bidirectional stream after a unidirectional one, its other direction after that.

        Raises:
            SessionError: The session is over, which ends the game.
        """
        if leg is Leg.UNI:
            await self._send(await self._open(self.session.create_bidirectional_stream()), baton, Leg.OWN)
        elif leg is Leg.OWN:
            await self._send(await self._open(self.session.create_unidirectional_stream()), baton, Leg.BIDI)
        elif isinstance(stream, WebTransportStream):
            await self._send(stream, baton, Leg.UNI)

    async def notify(self, baton: int) -> None:
        """A client tells of a baton that leaves 1 when divided by 7, and a server of one that leaves 0: by datagram, in the same words.

        Raises:
            SessionError: The session is over, which ends the game.
        """
        if baton % 7 == (1 if self.session.is_client else 0):
            with suppress(DatagramError):  # too long for this path, or the peer takes none
                await self.session.send_datagram(encoded(baton, self.padding(baton)))

    def padding(self, baton: int) -> int:
        """How many bytes to hide a baton behind; testers want some where it divides by 5."""
        return 3 * baton if baton % 5 == 0 else 0

    async def finish(self) -> None:
        """All batons are back or lost. This never raises."""
        await self.session.close()

    async def give_up(self, code: SessionCode) -> None:
        """The peer does not play by the rules. This never raises."""
        await self.session.close(code, code.name)

    async def on_stop(self, stream: WebTransportSendStream | WebTransportStream) -> None:
        """The peer stopped or reset a stream on which we send: what was sent is taken back. This never raises."""
        with suppress(StreamError):  # it has all arrived
            await stream.reset(StreamCode.WHATEVER)

    async def on_reset(self, leg: Leg) -> None:
        """The peer reset a stream. If one of the batons was due on such a stream, it is lost. This never raises."""
        if self._due[leg]:
            self._due[leg].pop(0)
            await self._one_less()

    # What comes

    async def _take(self, stream: WebTransportStream | WebTransportReceiveStream, leg: Leg) -> None:
        if leg is Leg.BIDI and isinstance(stream, WebTransportStream):
            self._heed(stream)
        try:
            baton = await receive(stream)
        except MalformedError:
            await self.give_up(SessionCode.BRUH)
        except StreamError:
            if isinstance(stream, WebTransportStream):
                await self.on_stop(stream)
            await self.on_reset(leg)
        else:
            await self._received(baton, leg, stream)

    async def _received(self, baton: int, leg: Leg, stream: WebTransportStream | WebTransportReceiveStream) -> None:
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience)
        self._report(Move(baton, leg))
        was_due = self._settle(leg, baton)
        if self._strict and not was_due and leg is not Leg.UNI:
            await self.give_up(SessionCode.SUS)
            return
        await self.notify(baton)
        if baton:
            await self.answer((baton + 1) % 256, leg, stream)
            return
        if isinstance(stream, WebTransportStream):
            self._kept.append(stream)
        await self._one_less()

    async def _take_datagrams(self) -> None:
        while True:
            try:
                self._report(Move(decoded(await self.session.read_datagram()), Leg.DATAGRAM))
            except MalformedError:
                await self.give_up(SessionCode.BRUH)

    def _settle(self, leg: Leg, baton: int) -> bool:
        """Whether a baton was due, which it is no more."""
        for due in (baton, None):
            if due in self._due[leg]:
                self._due[leg].remove(due)
                return True
        return False

    async def _one_less(self) -> None:
        self._active -= 1
        if self._active <= 0:
            await self.finish()

    # What goes

    async def _open(self, opening: Coroutine[Any, Any, _Stream]) -> _Stream:
        try:
            async with asyncio.timeout(_CREDIT_WAIT):
                stream = await opening
        except TimeoutError as error:
            await self.give_up(SessionCode.DA_YAMN)
            raise SessionError("the peer permits too few streams") from error
        self._heed(stream)
        return stream

    async def _send(self, stream: WebTransportSendStream | WebTransportStream, baton: int, answer_on: Leg) -> None:
        """Send a baton, and take its answer if that comes on the same stream."""
        if baton:  # nothing comes back for 0
            self._sent[stream] = answer_on, (baton + 1) % 256
            self._due[answer_on].append((baton + 1) % 256)
        try:
            await stream.write_all(encoded(baton, self.padding(baton)))
        except StreamError:  # stopped, which `on_stop` answers
            await self._taken_back(stream)
            return
        if answer_on is Leg.OWN and isinstance(stream, WebTransportStream):
            if baton:
                await self._take(stream, Leg.OWN)
            else:
                self._kept.append(stream)

    def _heed(self, stream: WebTransportSendStream | WebTransportStream) -> None:
        async def stopped(_: Event) -> None:
            await self.on_stop(stream)
            await self._taken_back(stream)

        stream.events.once(EventType.STOP_SENDING_RECEIVED, stopped)

    async def _taken_back(self, stream: WebTransportSendStream | WebTransportStream) -> None:
        """What was sent on a stream that is reset is lost, unless its answer came already."""
        leg, due = self._sent.pop(stream, (Leg.UNI, None))
        if due is not None and self._settle(leg, due):
            await self._one_less()


async def _until_the_end(part: Coroutine[Any, Any, None]) -> None:
    """A part of a game is over with the session."""
    with suppress(SessionError, FrameworkConnectionError):
        await part
