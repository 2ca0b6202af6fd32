"""What a debugger or a log shows of an object: what it is, where, and how it is, at any time of its life."""

from pywebtransport import ReconnectingClient, SessionPool, WebTransportServer
from pywebtransport.testing import connected

from tests.framework.meeting import url_of


async def test_servers_and_clients_show_whether_they_are_open():
    """Before they listen, while they do, and after."""
    assert repr(WebTransportServer()) == "<WebTransportServer not listening>"
    async with connected() as pair:
        assert repr(pair.listener) == f"<WebTransportServer {pair.listener.local_addresses[0]} serving>"
        assert repr(pair.connector) == "<WebTransportClient open, connections: 1>"
    assert repr(pair.listener).endswith(" closed>")
    assert repr(pair.connector) == "<WebTransportClient closed, connections: 0>"


async def test_who_opens_sessions_shows_with_whom(serve_echo, make_client):
    """A pool how many it has, a client that reconnects whether it has one."""
    client, url = make_client(), url_of((await serve_echo()).server)
    async with SessionPool(client, url) as pool, pool.get():
        assert repr(pool) == f"<SessionPool {url} open, idle: 0, lent: 1>"
    assert repr(pool) == f"<SessionPool {url} closed, idle: 0, lent: 0>"
    async with ReconnectingClient(url, client) as sessions:
        assert repr(sessions) == f"<ReconnectingClient {url} not connected>"
        await sessions.get_session()
        assert repr(sessions) == f"<ReconnectingClient {url} connected>"
    assert repr(sessions) == f"<ReconnectingClient {url} closed>"
