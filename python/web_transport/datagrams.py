"""A session's datagrams: how to receive them one after the other, and the bounds of the queues in which they wait."""

import sys
from typing import Literal, Self, TypeAlias

from . import _web_transport as _native
from ._bridge import Home
from .errors import SessionClosedByPeer, SessionClosedLocally

DatagramPolicy: TypeAlias = Literal["drop-oldest", "drop-newest"]


class Datagrams:
    """The queues of `Session.datagrams`, one each way; iterating receives: ``async for data in session.datagrams``.

    Iteration ends when one side closes the session, and raises what else ends it. It and `Session.receive_datagram` take
    from the same queue.

    A queue is bounded in number and age, and by its number in bytes: 2 KiB for each datagram, or 1 KiB past the first
    mebibyte. New bounds apply at once, also to what waits; `Session.stats` counts what they cost.
    Source: W3C WebTransport, ``WebTransportDatagramDuplexStream``.
    """

    __slots__ = ("_home", "_native", "_token")

    def __init__(self, native: _native.Session, home: Home, token: int) -> None:
        self._native = native
        self._home = home
        self._token = token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        bridge = self._home.enter()
        try:
            while (data := self._native.receive_datagram(self._token)) is None:
                await bridge.woken(self._token)
        except SessionClosedLocally:
            raise StopAsyncIteration from None
        except SessionClosedByPeer as error:
            if error.source == "session":
                raise StopAsyncIteration from None
            raise
        return data

    @property
    def outgoing_max_age(self) -> float | None:
        """Seconds a datagram may wait to be sent, after which it is dropped instead; None, the default: any time.

        There is no timer: what is too old goes when the queue is looked at next. 0 means None, too. Setting a negative age
        or NaN is a ValueError.
        """
        return self._outgoing[0]

    @outgoing_max_age.setter
    def outgoing_max_age(self, seconds: float | None) -> None:
        self._native.limit_outgoing(_age(seconds), *self._outgoing[1:])

    @property
    def incoming_max_age(self) -> float | None:
        """Seconds a datagram may wait to be received, after which it is dropped instead; None, the default: any time.

        There is no timer: what is too old goes when the queue is looked at next. 0 means None, too. Setting a negative age
        or NaN is a ValueError.
        """
        return self._incoming[0]

    @incoming_max_age.setter
    def incoming_max_age(self, seconds: float | None) -> None:
        self._native.limit_incoming(_age(seconds), *self._incoming[1:])

    @property
    def outgoing_max_buffered(self) -> int:
        """Datagrams above which awaiting `Session.send_datagram` waits, 1024 by default; at twice as many one is dropped.

        Setting less than 1 sets 1.
        """
        return self._outgoing[1]

    @outgoing_max_buffered.setter
    def outgoing_max_buffered(self, datagrams: int) -> None:
        age, _, newest = self._outgoing
        self._native.limit_outgoing(age, _count(datagrams), newest)

    @property
    def incoming_max_buffered(self) -> int:
        """Datagrams that wait to be received, 1024 by default; past that one is dropped.

        Setting less than 1 sets 1.
        """
        return self._incoming[1]

    @incoming_max_buffered.setter
    def incoming_max_buffered(self, datagrams: int) -> None:
        age, _, newest = self._incoming
        self._native.limit_incoming(age, _count(datagrams), newest)

    @property
    def outgoing_policy(self) -> DatagramPolicy:
        """Which datagram goes where too many wait to be sent: "drop-oldest", the default, or "drop-newest", the one at hand."""
        return _policy(self._outgoing[2])

    @outgoing_policy.setter
    def outgoing_policy(self, policy: DatagramPolicy) -> None:
        self._native.limit_outgoing(*self._outgoing[:2], _is_newest(policy))

    @property
    def incoming_policy(self) -> DatagramPolicy:
        """Which datagram goes where too many wait to be received: "drop-oldest", the default, or "drop-newest"."""
        return _policy(self._incoming[2])

    @incoming_policy.setter
    def incoming_policy(self, policy: DatagramPolicy) -> None:
        self._native.limit_incoming(*self._incoming[:2], _is_newest(policy))

    @property
    def _outgoing(self) -> tuple[float | None, int, bool]:
        return self._native.datagram_limits[0]

    @property
    def _incoming(self) -> tuple[float | None, int, bool]:
        return self._native.datagram_limits[1]


def _age(seconds: float | None) -> float | None:
    if seconds is not None and not seconds >= 0:  # NaN compares to nothing
        raise ValueError(f"a datagram's age is a number of seconds that is not negative: {seconds}")
    return seconds or None


def _count(datagrams: int) -> int:
    return max(1, min(datagrams, sys.maxsize))


def _policy(drop_newest: bool) -> DatagramPolicy:
    return "drop-newest" if drop_newest else "drop-oldest"


def _is_newest(policy: str) -> bool:
    if policy not in ("drop-oldest", "drop-newest"):
        raise ValueError(f"unknown datagram policy: {policy!r}")
    return policy == "drop-newest"
