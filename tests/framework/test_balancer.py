"""Load balancers: who is next, who is out, and who comes back."""

import asyncio
from collections import Counter

import pytest
from pywebtransport import AuthenticationError, ClientError, LoadBalancer, MiddlewareRejected, TimeoutError

from tests.framework.meeting import call, url_of


@pytest.fixture
async def targets(serve_echo):
    """Three echoing servers, by their URLs."""
    apps = [await serve_echo() for _ in range(3)]
    return {url_of(app.server): app for app in apps}


async def chosen(balancer: LoadBalancer, times: int) -> list[str]:
    """Whose sessions a balancer opens."""
    urls = []
    for _ in range(times):
        async with await balancer.get_session() as session:
            assert await call(session) == b"hello"
            urls.append(session.url)
    return urls


async def test_round_robin(targets, make_client):
    """One after the other."""
    a, b, c = targets
    async with LoadBalancer([a, b, c], make_client()) as balancer:
        assert await chosen(balancer, 6) == [a, b, c, a, b, c]
        assert (balancer.targets, balancer.strategy) == ([a, b, c], "round_robin")
        stats = balancer.get_target_stats()
    assert [stats[url]["sessions"] for url in targets] == [2, 2, 2]
    assert all(stats[url]["is_healthy"] and 0 < stats[url]["latency"] < 5 and stats[url]["failures"] == 0 for url in targets)


async def test_weights(targets, make_client):
    """Each as often as its weight says, and not all at once; weights can change."""
    a, b, c = targets
    async with LoadBalancer({a: 3, b: 1, c: 2}, make_client(), strategy="weighted") as balancer:
        urls = await chosen(balancer, 12)
        assert Counter(urls) == {a: 6, b: 2, c: 4}
        assert [a, a, a] != urls[:3]
        balancer.update_target_weight(b, 4)
        assert Counter(await chosen(balancer, 9)) == {a: 3, b: 4, c: 2}


async def test_least_latency(targets, make_client):
    """Each is asked once, and then the one that answers soonest."""
    a, b, c = targets
    now = 0.0

    def take(seconds: float):
        async def take_time(session) -> None:
            nonlocal now
            now += seconds

        return take_time

    for app, seconds in zip(targets.values(), (0.1, 0.2, 0.3), strict=True):
        app.add_middleware(take(seconds))

    async with LoadBalancer([c, a, b], make_client(), strategy="least_latency", clock=lambda: now) as balancer:
        assert await chosen(balancer, 6) == [c, a, b, a, a, a]
        latencies = {url: each["latency"] for url, each in balancer.get_target_stats().items()}
        assert latencies == pytest.approx({a: 0.1, b: 0.2, c: 0.3})


async def test_a_target_that_does_not_answer_is_out_until_a_check_succeeds(targets, make_client, deaf, serve_echo):
    """Its turn goes to the next; nobody waits for it again until then."""
    a, b, _ = targets
    port = targets[a].server.local_addresses[0][1]
    waiting: asyncio.Queue[float] = asyncio.Queue()
    go = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        waiting.put_nowait(seconds)
        await go.acquire()

    client = make_client(connect_timeout=1)  # for those who answer, that is a long time
    async with LoadBalancer([a, b], client, sleep=sleep, health_check_timeout=1) as balancer:
        assert await waiting.get() == 30, "seconds between checks, unless told otherwise"
        await targets[a].shutdown()
        assert await chosen(balancer, 3) == [b, b, b]
        failures = balancer.get_target_stats()[a]["failures"]
        assert (balancer.get_target_stats()[a]["is_healthy"], failures) == (False, 1)
        go.release()
        await waiting.get()
        assert balancer.get_target_stats()[a]["failures"] == 2
        again = await serve_echo(bind_port=port)
        go.release()
        await waiting.get()
        assert balancer.get_target_stats()[a]["is_healthy"]
        assert set(await chosen(balancer, 2)) == {a, b}
        assert again.server.diagnostics().stats.connections_accepted == 2, "a check, and a session"


async def test_while_all_are_out_all_are_tried(make_client, deaf, serve_echo):
    """The error is that of the last; one that comes back is found without a check."""
    app = await serve_echo()
    url, port = url_of(app.server), app.server.local_addresses[0][1]
    await app.shutdown()
    async with LoadBalancer([url, deaf], make_client(connect_timeout=1)) as balancer:
        with pytest.raises(TimeoutError, match=f"connecting to {deaf} took longer"):
            await balancer.get_session()
        await serve_echo(bind_port=port)
        assert await chosen(balancer, 2) == [url, url]


async def test_a_refusal_is_an_answer(targets, make_client):
    """Other targets would say the same, and this one is well."""
    a, b, _ = targets

    @targets[a].middleware
    async def refuse(session):
        raise MiddlewareRejected(401)

    async with LoadBalancer([a, b], make_client()) as balancer:
        with pytest.raises(AuthenticationError):
            await balancer.get_session()
        await balancer.check_health()
        assert balancer.get_target_stats()[a]["is_healthy"]
        assert balancer.get_target_stats()[b]["sessions"] == 0, "checks do not count"


async def test_a_check_has_its_own_time_out(make_client, deaf):
    """However long connecting may take."""
    async with LoadBalancer([deaf], make_client(connect_timeout=600), health_check_timeout=0.05) as balancer:
        await balancer.check_health()
        assert not balancer.get_target_stats()[deaf]["is_healthy"]


async def test_a_closed_balancer_opens_none(targets, make_client):
    """While the sessions that it opened go on."""
    balancer = LoadBalancer(list(targets), make_client())
    session = await balancer.get_session()
    await balancer.close()
    await balancer.close()
    with pytest.raises(ClientError, match="is closed"):
        await balancer.get_session()
    assert await call(session) == b"hello"


async def test_what_cannot_be_balanced(make_client):
    """No targets, one string for many, no weight, no strategy."""
    client = make_client()
    for targets, options, why in [
        ([], {}, "targets are several URLs"),
        ("https://a.example/", {}, "targets are several URLs"),
        ({"https://a.example/": 0}, {}, "a weight must be above 0"),
        (["https://a.example/"], {"strategy": "random"}, "strategy must be one of 'round_robin', 'weighted', 'least_latency'"),
    ]:
        with pytest.raises(ValueError, match=why):
            LoadBalancer(targets, client, **options)
    with pytest.raises(ValueError, match="is none of the targets"):
        LoadBalancer(["https://a.example/"], client).update_target_weight("https://b.example/", 1)
