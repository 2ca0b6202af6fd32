"""Pools: sessions are lent to one user at a time, replaced when they are over, and no place is ever lost."""

import asyncio
import random

import pytest
from pywebtransport import (
    ClientError,
    ConnectionError,
    HandshakeError,
    MiddlewareRejected,
    SessionError,
    SessionPool,
    SessionState,
    StreamError,
    TimeoutError,
)

from tests.framework.meeting import call, url_of

LOST = (ConnectionError, SessionError, StreamError)


@pytest.fixture
async def make_pool(serve_echo, make_client):
    """Makes pools of sessions with an echoing server: gives the application too."""
    pools = []

    async def make(max_size: int = 2):
        app = await serve_echo()
        pools.append(SessionPool(make_client(), url_of(app.server), max_size))
        return pools[-1], app

    yield make
    for pool in pools:
        await pool.close()


async def test_sessions_are_lent_again(make_pool):
    """One that came back is lent before another one is opened."""
    pool, app = await make_pool()
    async with pool.get() as first:
        assert (pool.lent, pool.idle) == (1, 0)
        assert await call(first) == b"hello"
    assert (pool.lent, pool.idle) == (0, 1)
    async with pool.get() as again, pool.get() as other:
        assert again is first
        assert other is not first
    async with pool.get() as last:
        assert last is first, "that which came back last"
    assert app.server.diagnostics().stats.connections_accepted == 2


async def test_users_wait_for_their_turn(make_pool, parked):
    """While all are lent, who comes first is served first; cancelling and timing out take no place away."""
    pool, _ = await make_pool(1)
    session = await pool.acquire()
    first, cancelled, last = [await parked(pool.acquire()) for _ in range(3)]
    with pytest.raises(TimeoutError, match=r"borrowing a session with https://.* took longer than 0.01 s"):
        await pool.acquire(timeout=0.01)
    cancelled.cancel()
    await pool.release(session)
    assert await first is session
    await asyncio.wait([cancelled])
    assert not last.done()
    await pool.release(session)
    assert await last is session
    await pool.release(session)
    assert (pool.lent, pool.idle) == (0, 1)


async def test_what_is_over_is_replaced(make_pool):
    """Whether its user closed it, or it ended while it waited, or the server wants it to end."""
    pool, app = await make_pool()
    async with pool.get() as first:
        await first.close()
    assert pool.idle == 0
    async with pool.get() as second:
        assert await call(second) == b"hello"
    assert pool.idle == 1
    [peer] = app.server.session_manager.sessions
    await peer.close(7)
    await second.wait_closed()
    async with pool.get() as third:
        assert await call(third) == b"hello"
    [peer] = app.server.session_manager.sessions
    draining = asyncio.create_task(third.events.wait_for("session_draining"))
    await asyncio.sleep(0)
    peer.drain()
    await draining
    async with pool.get() as fourth:
        assert fourth is not third
    assert third.is_closed
    assert pool.lent == 0


async def test_a_failed_connect_takes_no_place(make_pool):
    """Nor does one that the server refuses."""
    pool, app = await make_pool(1)

    refusing = True

    @app.middleware
    async def refuse(session):
        if refusing:
            raise MiddlewareRejected(503)

    for _ in range(3):
        with pytest.raises(HandshakeError):
            await pool.acquire()
    refusing = False
    async with pool.get() as session:
        assert await call(session) == b"hello"


async def test_closing_ends_all(make_pool, parked):
    """Those that are lent too; who waits hears of it, and so does who comes later."""
    pool, _ = await make_pool(1)
    session = await pool.acquire()
    waiting = [await parked(pool.acquire()) for _ in range(3)]
    await pool.close()
    assert session.is_closed
    for task in waiting:
        with pytest.raises(ClientError, match="the pool is closed"):
            await task
    await pool.release(session)
    with pytest.raises(ClientError, match="the pool is closed"):
        await pool.acquire()
    with pytest.raises(ValueError, match="is not lent by this pool"):
        await pool.release(session)
    await pool.close()
    assert pool.is_closed


def test_a_pool_has_room(make_client):
    """For one session at least."""
    with pytest.raises(ValueError, match="max_size must be at least 1"):
        SessionPool(make_client(), "https://localhost/", 0)


async def test_100_users_while_sessions_die(make_pool):
    """Who borrows again when a call fails gets its answer; there are never more sessions than there may be, and no place is lost."""
    pool, app = await make_pool(10)
    rng = random.Random(1)
    served = most = deaths = 0

    async def use(number: int) -> None:
        nonlocal served, most
        for turn in range(5):
            data = b"%d of %d" % (turn, number)
            while True:
                async with pool.get() as session:
                    await perhaps_kill()
                    most = max(most, len([each for each in app.server.session_manager.sessions if not each.is_closed]))
                    try:
                        assert await call(session, data) == data
                        break
                    except LOST:
                        assert session.close_error is not None, "only a session that died fails a call"
            served += 1

    async def perhaps_kill() -> None:
        nonlocal deaths
        alive = [each for each in app.server.session_manager.sessions if each.state is SessionState.CONNECTED]
        if alive and rng.random() < 0.1:
            deaths += 1
            await rng.choice(alive).close(7)

    async with asyncio.TaskGroup() as users:
        for number in range(100):
            users.create_task(use(number))
    assert served == 500
    assert pool.lent == 0
    taken = [await pool.acquire(timeout=5) for _ in range(10)]
    assert len(set(taken)) == 10
    for session in taken:
        await pool.release(session)
    assert deaths > 20
    assert 1 < most <= 10
