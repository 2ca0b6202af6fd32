"""Middleware: what rejects sessions, and what it remembers of them."""

import asyncio
import copy
import logging
import pickle
from dataclasses import dataclass, field

import pytest
from pywebtransport import MiddlewareManager, MiddlewareRejected, RateLimiter, ServerError
from pywebtransport.middleware import (
    create_auth_middleware,
    create_cors_middleware,
    create_logging_middleware,
)


@dataclass
class Asked:
    """As much of a session as middleware looks at."""

    ip: str = "192.0.2.1"
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/p"

    @property
    def remote_address(self):
        return self.ip, 1


async def status(middleware, session=None):
    """What a session is rejected with; None if it passes."""
    manager = MiddlewareManager()
    manager.add_middleware(middleware)
    try:
        await manager.process_request(session or Asked())
    except MiddlewareRejected as rejected:
        return rejected.status_code
    return None


async def test_sessions_pass_in_order_until_one_rejects():
    """The first that was added is the first to look, and who comes after a rejection sees nothing."""
    manager, seen = MiddlewareManager(), []

    def make(name, status_code=None):
        async def middleware(session):
            seen.append(name)
            if status_code:
                raise MiddlewareRejected(status_code, {"x": "y"})

        return middleware

    for middleware in (one := make("one"), two := make("two", 418), make("three")):
        manager.add_middleware(middleware)
    assert manager.get_middleware_count() == 3
    with pytest.raises(MiddlewareRejected) as caught:
        await manager.process_request(Asked())
    assert (caught.value.status_code, caught.value.headers) == (418, {"x": "y"})
    assert seen == ["one", "two"]
    assert manager.remove_middleware(two)
    assert not manager.remove_middleware(two)
    await manager.process_request(Asked())
    assert seen == ["one", "two", "one", "three"]
    assert manager.remove_middleware(one)


async def test_what_fails_rejects_with_500(caplog):
    """A failure lets nobody in, and is logged with its traceback."""

    async def broken(session):
        raise KeyError("lost")

    assert await status(broken) == 500
    assert "KeyError: 'lost'" in caplog.text


async def test_false_rejects_and_true_does_not():
    """Middleware that is written for older versions returns whether a session passes: no is never taken for yes."""

    async def says(session):
        return session.path == "/yes"

    assert await status(says, Asked(path="/yes")) is None
    assert await status(says, Asked(path="/no")) == 403


def test_rejections_can_be_copied():
    """As every error of the framework can."""
    error = MiddlewareRejected(429, {"retry-after": "1"})
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (again.status_code, again.headers, str(again)) == (429, {"retry-after": "1"}, "rejected with status 429")
    assert (MiddlewareRejected().status_code, MiddlewareRejected().headers) == (403, {})


async def test_stateful_middleware_is_entered_and_left():
    """In order, and backwards; if one cannot be entered, those before it are left."""
    seen = []

    class Stateful:
        def __init__(self, name, broken=False):
            self.name, self.broken = name, broken

        async def __call__(self, session):
            pass

        async def __aenter__(self):
            if self.broken:
                raise OSError("no database")
            seen.append(f"+{self.name}")

        async def __aexit__(self, *exc_info):
            seen.append(f"-{self.name}")

    manager = MiddlewareManager()
    manager.add_middleware(Stateful("a"))
    manager.add_middleware(Stateful("b"))
    async with manager:
        assert seen == ["+a", "+b"]
        with pytest.raises(ServerError, match="before the application starts"):
            manager.add_middleware(Stateful("c"))
        manager.add_middleware(create_logging_middleware())
    assert seen == ["+a", "+b", "-b", "-a"]
    manager.add_middleware(Stateful("d", broken=True))
    with pytest.raises(OSError, match="no database"):
        await manager.__aenter__()
    assert seen == ["+a", "+b", "-b", "-a"] * 2


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_authentication(asynchronous):
    """The handler gets the header fields; no is 401 with a challenge, and its failure is no yes."""

    def knows(headers):
        return headers["authorization"] == "Bearer abc"

    async def asks(headers):
        return knows(headers)

    middleware = create_auth_middleware(auth_handler=asks if asynchronous else knows)
    assert await status(middleware, Asked(headers={"authorization": "Bearer abc"})) is None
    assert await status(middleware, Asked()) == 500
    with pytest.raises(MiddlewareRejected) as caught:
        await middleware(session=Asked(headers={"authorization": "Bearer x"}))
    assert (caught.value.status_code, caught.value.headers) == (401, {"www-authenticate": "Bearer"})


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://a.example", None),
        ("HTTPS://A.example", None),
        ("https://a.example:8443", 403),
        ("https://x.b.example", None),
        ("https://b.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        (None, None),
    ],
)
async def test_origins(origin, expected):
    """Origins and patterns for them; who sends none is no browser."""
    middleware = create_cors_middleware(allowed_origins=["https://a.example", "https://*.b.example"])
    assert await status(middleware, Asked(headers={} if origin is None else {"origin": origin})) == expected
    assert await status(create_cors_middleware(["*"]), Asked(headers={"origin": "https://evil.example"})) is None


def test_one_string_is_not_several_origins():
    """It would be taken for a list of letters, with "*" among them."""
    with pytest.raises(ValueError, match="not one"):
        create_cors_middleware("https://*.example")


async def test_requests_are_logged(caplog):
    """Who asks, for what."""
    caplog.set_level(logging.INFO)
    assert await status(create_logging_middleware()) is None
    assert "192.0.2.1 asks for a session of /p" in caplog.text


class Clock:
    """A time that is what it is set to."""

    now = 1000.0

    def __call__(self):
        return self.now


async def test_too_many_requests_are_429_until_the_window_has_passed():
    """Each address has a count of its own, and the answer says how long to wait."""
    clock = Clock()
    limiter = RateLimiter(max_requests=2, window_seconds=10, clock=clock)
    assert [await status(limiter) for _ in range(2)] == [None, None]
    clock.now += 3.5
    with pytest.raises(MiddlewareRejected) as caught:
        await limiter(session=Asked())
    assert (caught.value.status_code, caught.value.headers) == (429, {"retry-after": "7"})
    assert await status(limiter, Asked("192.0.2.2")) is None
    clock.now += 6.5
    assert [await status(limiter) for _ in range(3)] == [None, None, 429]


async def test_a_customer_counts_as_one_address():
    """Another address of the same 64 bits, or the same one of IPv4 in IPv6, is no other client."""
    limiter = RateLimiter(max_requests=1)
    for one, same, other in [
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("fe80::1%eth0", "fe80::2%eth0", "fe80:0:0:1::1"),
    ]:
        assert [await status(limiter, Asked(ip)) for ip in (one, same, other)] == [None, 429, None]


async def test_memory_of_addresses_is_bounded():
    """Of too many, the ones are forgotten that asked least recently; and in time, all are."""
    clock = Clock()
    limiter = RateLimiter(max_requests=1, window_seconds=10, max_tracked_ips=3, clock=clock)
    for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        assert await status(limiter, Asked(ip)) is None
    assert await status(limiter, Asked("192.0.2.1")) == 429
    for number in range(2):
        assert await status(limiter, Asked(f"198.51.100.{number}")) is None
    assert limiter.tracked_ips == 3
    assert await status(limiter, Asked("192.0.2.1")) == 429, "it asked more recently than those that were forgotten"
    clock.now += 5
    await status(limiter, Asked("203.0.113.1"))
    clock.now += 5
    limiter.cleanup()
    assert limiter.tracked_ips == 1


async def test_addresses_are_forgotten_while_the_application_runs():
    """Cleaning goes on from entering to leaving."""
    clock = Clock()
    limiter = RateLimiter(max_requests=1, window_seconds=1, cleanup_interval=0.001, clock=clock)
    async with limiter:
        await status(limiter)
        assert limiter.tracked_ips == 1
        clock.now += 1
        while limiter.tracked_ips:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("name", ["max_requests", "window_seconds", "cleanup_interval", "max_tracked_ips"])
def test_limits_are_positive(name):
    """The error names the argument."""
    with pytest.raises(ValueError, match=f"{name} must be more than 0"):
        RateLimiter(**{name: 0})
