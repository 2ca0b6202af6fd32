"""The race among a host's addresses (RFC 8305): the first whose server is reached wins, and if none is, each has its cause."""

from collections import deque
from collections.abc import Callable
from itertools import chain, zip_longest
from typing import TypeAlias

from . import _web_transport as _native
from ._bridge import Bridge, tokens
from .errors import ConnectError, SessionRejected

Address: TypeAlias = tuple[str, int]


class Race:
    """Attempts at several addresses, in the order in which they are begun, each after a *delay* in seconds (RFC 8305 §5)."""

    def __init__(self, addresses: list[Address], begin: Callable[[Address], _native.Connecting], delay: float) -> None:
        self._untried = deque(interleaved(addresses))
        self._begin = begin
        self._delay = delay
        self._running: dict[Address, _native.Connecting] = {}
        self._failures: dict[Address, str] = {}

    async def run(self, bridge: Bridge) -> _native.Session:
        """The session of the first whose server is reached. It alone is asked, and has all the time to answer.

        Raises:
            SessionRejected: That answer is no.
            ConnectError: All have failed; `result` says how.
        """
        token = tokens()
        try:
            while self._untried or self._running:
                winner = self._winner(token)
                if winner is not None:
                    self._running = {winner: self._running[winner]}  # dropped, the others are cancelled
                elif self._untried:
                    self._try(self._untried.popleft())
                if (session := self._poll(token)) is not None:
                    return session
                if self._running:
                    if self._untried and winner is None:
                        await bridge.woken_within(token, self._delay)
                    else:
                        await bridge.woken(token)
        finally:
            self._failures |= dict.fromkeys(self._running, "no answer yet")
            self._running.clear()  # dropped, they are cancelled: now, not when the frame of a traceback goes
        raise ConnectError(self.result())

    def result(self) -> str:
        """What became of each address that was tried."""
        if len(self._failures) == 1:
            return next(iter(self._failures.values()))
        return "; ".join(f"{host}: {cause}" for (host, _), cause in self._failures.items()) or "the host has no address"

    def _winner(self, token: int) -> Address | None:
        """The first whose server was reached; one that has no rivals is not worth being woken for."""
        if len(self._running) + len(self._untried) == 1:
            return None
        return next((address for address, attempt in self._running.items() if attempt.asked(token)), None)

    def _try(self, address: Address) -> None:
        try:
            self._running[address] = self._begin(address)
        except ConnectError as error:
            self._failures[address] = str(error)

    def _poll(self, token: int) -> _native.Session | None:
        for address, attempt in list(self._running.items()):
            try:
                if (session := attempt.poll(token)) is not None:
                    return session
            except SessionRejected:
                raise
            except ConnectError as error:
                del self._running[address]
                self._failures[address] = str(error)
        return None


def interleaved(addresses: list[Address]) -> list[Address]:
    """The families by turns, that of the best address first: a family that is broken costs one turn (RFC 8305 §4)."""
    six = [":" in host for host, _ in addresses]
    first = [address for address, is_six in zip(addresses, six, strict=True) if is_six == six[0]]
    second = [address for address, is_six in zip(addresses, six, strict=True) if is_six != six[0]]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]
