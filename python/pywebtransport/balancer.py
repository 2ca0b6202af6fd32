"""Load balancers: sessions with one of several servers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from .client import WebTransportClient
from .exceptions import ClientError, HandshakeError, WebTransportError
from .session import WebTransportSession
from .types import Headers

__all__ = ["LoadBalancer"]

Strategy: TypeAlias = Literal["round_robin", "weighted", "least_latency"]

_STRATEGIES = ("round_robin", "weighted", "least_latency")
_NEW = 0.25  # how much of an average of latencies the last one makes


@dataclass
class _Target:
    url: str
    weight: float
    turn: float = 0  # who has most is next
    latency: float | None = None  # seconds, an average in which the last ones count most
    failure: WebTransportError | None = None  # since it answered last
    sessions: int = 0  # that were opened
    failures: int = 0


class LoadBalancer:
    """Opens sessions with one of several servers: leaving ``async with`` ends its health checks, while sessions go on.

    A target that does not answer is out until a health check, or a session, succeeds with it; then the next one is tried. While all are
    out, all are tried. Checks begin with the first session, or with ``async with``: each opens a session with every target, and closes it.

    Args:
        targets: The URLs of the servers; a mapping has their weights.
        client: What connects; closing it is left to its maker.
        strategy: Who is next. "round_robin": one after the other. "weighted": each as often as its weight says, well mixed.
            "least_latency": the one last seen to answer soonest; one that was never asked goes first.
        headers: Header fields of every request, over those of the client.
        health_check_interval: Seconds between checks.
        health_check_timeout: Seconds that a target has to answer one.
        clock: What tells the time, in seconds.
        sleep: What waits for some seconds.
    Raises:
        ValueError: There are no targets, one has no weight above 0, or there is no such strategy.
    """

    def __init__(
        self,
        targets: Sequence[str] | Mapping[str, float],
        client: WebTransportClient,
        *,
        strategy: Strategy = "round_robin",
        headers: Headers | None = None,
        health_check_interval: float = 30.0,
        health_check_timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if isinstance(targets, str) or not targets:
            raise ValueError(f"targets are several URLs: {targets!r}")
        if strategy not in _STRATEGIES:
            raise ValueError(f"strategy must be one of {', '.join(map(repr, _STRATEGIES))}: {strategy!r}")
        for name, seconds in {"health_check_interval": health_check_interval, "health_check_timeout": health_check_timeout}.items():
            if not seconds > 0:
                raise ValueError(f"{name} must be more than 0 seconds: {seconds!r}")
        weights = targets if isinstance(targets, Mapping) else dict.fromkeys(targets, 1.0)
        self._targets = {url: _Target(url, _positive(weight)) for url, weight in weights.items()}
        self._client = client
        self._strategy = strategy
        self._headers = headers
        self._interval, self._timeout = health_check_interval, health_check_timeout
        self._clock, self._sleep = clock, sleep
        self._checking: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def targets(self) -> list[str]:
        """The URLs of the servers."""
        return list(self._targets)

    @property
    def strategy(self) -> Strategy:
        """Who is next."""
        return self._strategy

    async def get_session(self, timeout: float | None = None) -> WebTransportSession:
        """Open a session with the target whose turn it is, or the next that answers; closing it is left to the caller.

        Args:
            timeout: Seconds that each target has to answer; None: `ClientConfig.connect_timeout`.
        Raises:
            HandshakeError: A target answered, and refused for good; others are not asked then.
            ConnectionError: None answered; this is why the last one did not.
            TimeoutError: The same.
            ClientError: This or its client is closed.
        """
        self._check_on()
        failure: WebTransportError | None = None
        for target in self._order():
            try:
                session = await self._connect(target, timeout)
            except WebTransportError as error:
                if not error.is_retriable:
                    raise
                failure = error
            else:
                target.sessions += 1
                return session
        assert failure is not None
        raise failure

    def update_target_weight(self, target: str, weight: float) -> None:
        """Give a target another weight.

        Raises:
            ValueError: It is none of the targets, or the weight is not above 0.
        """
        if target not in self._targets:
            raise ValueError(f"{target!r} is none of the targets: {', '.join(self._targets)}")
        self._targets[target].weight = _positive(weight)

    def get_target_stats(self) -> dict[str, dict[str, Any]]:
        """By target: ``is_healthy``, ``weight``, ``latency`` in seconds, and how many ``sessions`` and ``failures`` there were."""
        return {
            target.url: {
                "is_healthy": target.failure is None,
                "weight": target.weight,
                "latency": target.latency,
                "sessions": target.sessions,
                "failures": target.failures,
            }
            for target in self._targets.values()
        }

    async def check_health(self) -> None:
        """Ask all targets now, at once, and wait for their answers. It never raises: `get_target_stats` tells."""
        await asyncio.gather(*(self._check(target) for target in self._targets.values()))

    async def close(self) -> None:
        """Check no more; sessions go on. Closing again does nothing, and it never raises."""
        self._closed = True
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.wait([self._checking])

    async def __aenter__(self) -> Self:
        self._check_on()
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def _order(self) -> list[_Target]:
        """Whom to try, one after the other."""
        healthy = [target for target in self._targets.values() if target.failure is None]
        if self._strategy == "least_latency":
            healthy.sort(key=lambda target: target.latency or 0)
        elif healthy:
            for target in healthy:  # each gains its weight, and the one with most pays for all: so turns are mixed well
                target.turn += self._weight(target)
            healthy.sort(key=lambda target: target.turn, reverse=True)
            healthy[0].turn -= sum(map(self._weight, healthy))
        return healthy + [target for target in self._targets.values() if target.failure is not None]

    def _weight(self, target: _Target) -> float:
        return target.weight if self._strategy == "weighted" else 1

    async def _connect(self, target: _Target, timeout: float | None) -> WebTransportSession:
        began = self._clock()
        try:
            session = await self._client.connect(target.url, headers=self._headers, timeout=timeout)
        except WebTransportError as error:
            if error.is_retriable:
                target.failure = error
                target.failures += 1
            elif isinstance(error, HandshakeError):  # an answer too
                target.failure = None
            raise
        took = self._clock() - began
        target.latency = took if target.latency is None else target.latency + _NEW * (took - target.latency)
        target.failure = None
        return session

    async def _check(self, target: _Target) -> None:
        with suppress(WebTransportError, ValueError):  # noted; and callers who want a session hear of a URL that is wrong
            await (await self._connect(target, self._timeout)).close()

    def _check_on(self) -> None:
        if self._closed:
            raise ClientError("the load balancer is closed")
        if self._checking is None:
            self._checking = asyncio.get_running_loop().create_task(self._check_forever())

    async def _check_forever(self) -> None:
        while True:
            await self._sleep(self._interval)
            await self.check_health()


def _positive(weight: float) -> float:
    if not weight > 0:
        raise ValueError(f"a weight must be above 0: {weight!r}")
    return weight
