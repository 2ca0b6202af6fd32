"""Clusters: several servers that start and end together."""

import asyncio
import socket

import pytest
from pywebtransport import ServerCluster, ServerConfig, ServerError

from tests.framework.meeting import join, url_of


@pytest.fixture
def config(pem) -> ServerConfig:
    """A server on a free port of 127.0.0.1."""
    return ServerConfig(certfile=pem[0], keyfile=pem[1], bind_host="127.0.0.1", bind_port=0, close_timeout=0.1)


async def test_servers_start_serve_and_stop_together(config, make_client, parked):
    """Each serves on its own port, and the figures are those of all."""
    async with ServerCluster([config, config]) as cluster:
        assert cluster.is_running
        serving = await parked(cluster.serve_forever())
        client = make_client()
        ends = [await join(client, server) for server in cluster.servers]
        assert len({url_of(server) for server in cluster.servers}) == 2
        stats = await cluster.get_cluster_stats()
        assert (stats["servers"], stats["serving"], stats["connections"], stats["sessions"]) == (2, 2, 2, 2)
        assert (stats["connections_accepted"], stats["connections_rejected"], stats["protocol_errors"]) == (2, 0, 0)
    await serving
    for each in ends:
        await each.client.wait_closed()
    assert (await cluster.get_cluster_stats())["serving"] == 0
    assert not cluster.is_running
    await cluster.stop_all()
    await cluster.serve_forever()


async def test_servers_come_and_go(config, make_client):
    """One that is added to a running cluster listens at once; one that is removed is closed, and the others go on."""
    cluster = ServerCluster()
    early = await cluster.add_server(config)
    assert not early.is_serving
    await cluster.start_all()
    late = await cluster.add_server(config)
    assert (early.is_serving, late.is_serving, cluster.servers) == (True, True, [early, late])
    assert await cluster.remove_server(early)
    assert not await cluster.remove_server(early)
    assert (early.is_serving, cluster.servers) == (False, [late])
    await join(make_client(), late)
    await cluster.stop_all()
    assert not late.is_serving
    with pytest.raises(ServerError, match="was stopped"):
        await cluster.add_server(config)


async def test_a_start_that_fails_is_undone(config):
    """If one cannot listen, none does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        cluster = ServerCluster([config, config.update(bind_port=taken.getsockname()[1])])
        with pytest.raises(ServerError, match="cannot bind"):
            await cluster.start_all()
    assert [server.is_serving for server in cluster.servers] == [False, False]
    assert not cluster.is_running


async def test_a_cluster_starts_once(config, parked):
    """And is waited for only then; whoever waits can be cancelled without stopping it."""
    cluster = ServerCluster([config])
    with pytest.raises(ServerError, match="was not started yet"):
        await cluster.serve_forever()
    async with cluster:
        with pytest.raises(ServerError, match="was started before"):
            await cluster.start_all()
        serving = await parked(cluster.serve_forever())
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert [server.is_serving for server in cluster.servers] == [True]
    with pytest.raises(ServerError, match="was started before"):
        await cluster.start_all()
