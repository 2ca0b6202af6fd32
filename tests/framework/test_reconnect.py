"""Clients that come back: what is lost is replaced, with the pauses that were promised, and what is refused for good is not."""

import asyncio
from collections import Counter

import pytest
from pywebtransport import (
    AuthenticationError,
    ClientError,
    ConnectionError,
    EventType,
    HandshakeError,
    MiddlewareRejected,
    ReconnectingClient,
    SessionError,
    StreamError,
    TimeoutError,
)

from tests.framework.meeting import call, url_of

LOST = (ConnectionError, SessionError, StreamError)


class Clock:
    """A clock that only goes on while somebody sleeps, and knows how long each has slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    """At 0."""
    return Clock()


@pytest.fixture
def heard():
    """Gathers the events of a client."""

    def gather(client):
        events = []
        client.events.on_any(events.append)
        return events

    return gather


async def test_20_restarts_lose_no_call(serve_echo, make_client, heard):
    """Who asks for the session again when a call fails gets every answer, however often the server was away."""
    app = await serve_echo()
    url, port = url_of(app.server), app.server.local_addresses[0][1]
    answers = []
    brisk = {"max_retries": None, "retry_delay": 0.01, "max_retry_delay": 0.05}
    async with ReconnectingClient(url, make_client(connect_timeout=0.3), **brisk) as client:
        events = heard(client)
        stop = asyncio.Event()

        async def use() -> None:
            while not stop.is_set():
                try:
                    answers.append(await call(await client.get_session(wait_timeout=20), b"%d" % len(answers)))
                except LOST:
                    continue

        using = asyncio.create_task(use())
        for restart in range(20):
            before = len(answers)
            while len(answers) < before + 3 or not client.is_connected:
                await asyncio.sleep(0)
            if restart % 2:
                await app.shutdown()  # sessions are closed with a code
            else:
                await app.server.close()  # connections are
            app = await serve_echo(bind_port=port)
        before = len(answers)
        while len(answers) < before + 3:
            await asyncio.sleep(0)
        stop.set()
        await using
    assert answers == [b"%d" % number for number in range(len(answers))]
    told = Counter(event.type for event in events)
    assert told[EventType.CONNECTION_LOST] == told[EventType.CONNECTION_ESTABLISHED] - 1 >= 20
    assert EventType.CONNECTION_FAILED not in told


@pytest.mark.parametrize(("chance", "part"), [(0.0, 1.0), (1.0, 0.5)])
async def test_pauses_grow_to_a_limit_and_then_it_gives_up(make_client, deaf, clock, heard, chance, part):
    """Without options 3 retries after 1, 2 and 4 seconds, never more than 30, shortened by up to half; then it begins anew."""
    connector = make_client(connect_timeout=0.01)
    fakes = {"clock": clock, "sleep": clock.sleep, "chance": lambda: chance}
    async with ReconnectingClient(deaf, connector, **fakes) as client:
        events = heard(client)
        with pytest.raises(TimeoutError, match=r"connecting to .* took longer than 0.01 s"):
            await client.get_session()
        assert clock.slept == [1 * part, 2 * part, 4 * part]
        assert [(event.type, event.data["attempts"]) for event in events] == [(EventType.CONNECTION_FAILED, 4)]
        with pytest.raises(TimeoutError, match="took longer"):
            await client.get_session()
        assert clock.slept == [1 * part, 2 * part, 4 * part] * 2
        assert not client.is_connected
    clock.slept.clear()
    async with ReconnectingClient(deaf, connector, max_retries=7, **fakes) as client:
        with pytest.raises(TimeoutError, match="took longer"):
            await client.get_session(wait_timeout=None)
    assert clock.slept == [seconds * part for seconds in (1, 2, 4, 8, 16, 30, 30)]


async def test_refusals_that_pass_are_retried_and_others_are_not(serve_echo, make_client, clock):
    """503 is worth another try, 403 is not (RFC 9110 §15)."""
    app = await serve_echo()
    statuses = [503, 429, 403, 403]

    @app.middleware
    async def refuse(session):
        if statuses:
            raise MiddlewareRejected(statuses.pop(0))

    async with ReconnectingClient(url_of(app.server), make_client(), clock=clock, sleep=clock.sleep, chance=lambda: 0) as client:
        with pytest.raises(AuthenticationError) as refused:
            await client.get_session()
        assert (refused.value.status_code, clock.slept, statuses) == (403, [1, 2], [403])
        with pytest.raises(HandshakeError):
            await client.get_session()
        assert await call(await client.get_session()) == b"hello"


async def test_a_session_that_does_not_last_is_followed_by_a_pause(serve_echo, make_client, clock):
    """A server that closes what it accepts is not asked in a tight loop; a session that lasted makes up for it."""
    app = await serve_echo()
    lasting = iter([0, 0, 0, 1, 0])  # seconds
    stay = asyncio.Event()
    answered = 0

    @app.route("/short")
    async def handler(session):
        nonlocal answered
        answered += 1
        if answered > 5:
            await stay.wait()

    def pass_time(event) -> None:
        clock.now += next(lasting, 0)

    fakes = {"clock": clock, "sleep": clock.sleep, "chance": lambda: 0}
    async with ReconnectingClient(url_of(app.server, "/short"), make_client(), **fakes) as client:
        client.events.on(EventType.CONNECTION_ESTABLISHED, pass_time)
        for _ in range(5):
            await client.events.wait_for(EventType.CONNECTION_LOST)
        await client.events.wait_for(EventType.CONNECTION_ESTABLISHED)
        stay.set()
    assert clock.slept == [1, 2, 4, 1]


async def test_a_session_that_this_side_closes_is_replaced_when_the_next_is_asked_for(serve_echo, make_client, heard):
    """It is not lost, so nobody hears of a loss, and no session is opened that nobody wants."""
    app = await serve_echo()
    async with ReconnectingClient(url_of(app.server), make_client()) as client:
        events = heard(client)
        async with await client.get_session() as first:
            assert await client.get_session() is first
        await app.server.connection_manager.shutdown()
        assert not client.is_connected
        assert [event.type for event in events] == [EventType.CONNECTION_ESTABLISHED]
        second = await client.get_session()
        assert second is not first
        assert await call(second) == b"hello"
        assert app.server.diagnostics().stats.connections_accepted == 2
    assert second.is_closed
    assert EventType.CONNECTION_LOST not in {event.type for event in events}


async def test_waiting_ends_in_time_and_says_what_failed(make_client, deaf, parked):
    """Attempts go on meanwhile, and a call that is cancelled harms none of them; closing ends all."""
    async with ReconnectingClient(deaf, make_client(connect_timeout=0.01), max_retries=None, retry_delay=0.01) as client:
        with pytest.raises(TimeoutError, match=r"no session with https://.* within 1 s: connecting to .* took longer"):
            await client.get_session(wait_timeout=1)
        cancelled, waiting = await parked(client.get_session(None)), await parked(client.get_session(None))
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await client.close()
        with pytest.raises(ClientError, match="the client is closed"):
            await waiting
        with pytest.raises(ClientError, match="the client is closed"):
            await client.get_session()
        assert client.is_closed


async def test_what_can_never_connect_is_an_error_at_once(make_client, clock):
    """A URL that is none, and a client that is closed."""
    async with ReconnectingClient("http://localhost/", make_client(), sleep=clock.sleep) as client:
        with pytest.raises(ValueError, match="not a URL"):
            await client.get_session()
    connector = make_client()
    await connector.close()
    async with ReconnectingClient("https://localhost/", connector, sleep=clock.sleep) as client:
        with pytest.raises(ClientError, match="is closed"):
            await client.get_session()
    assert clock.slept == []
