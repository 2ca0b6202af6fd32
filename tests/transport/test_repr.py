"""What a debugger or a log shows of an object: what it is, where, and how it is, at any time of its life."""

import asyncio


async def test_endpoints_show_where_they_are_and_whether_they_are_open(make_server, make_client):
    """As an address is written that one binds to."""
    server, client = make_server(), make_client()
    port = server.local_addr[1]
    assert repr(server) == f"<Server 127.0.0.1:{port} open>"
    assert repr(client).startswith("<Client [::]:")
    for endpoint in (server, client):
        endpoint.close()
        await endpoint.wait_closed()
        assert repr(endpoint).endswith(" closed>")


async def test_requests_show_what_became_of_them(server, client, url):
    """Until its end, and also where its client has gone."""
    connecting = asyncio.create_task(client.connect(f"{url}chat"))
    request = await server.accept()
    assert repr(request) == f"<SessionRequest {url}chat unanswered>"
    await request.accept()
    assert repr(request) == f"<SessionRequest {url}chat accepted>"
    await connecting
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    await request.reject()
    assert repr(request) == f"<SessionRequest {url} rejected>"
    await asyncio.wait([connecting])


async def test_sessions_show_their_url_and_state(pair, url):
    """The same words on both sides."""
    assert repr(pair.client) == repr(pair.server) == f"<Session {url} open>"
    pair.server.drain()
    await pair.client.draining
    assert repr(pair.client) == f"<Session {url} draining>"
    pair.client.close()
    assert repr(pair.client) == f"<Session {url} closed>"


async def test_streams_show_their_numbers(pair):
    """Those of both halves are the same, and stay when the session has ended."""
    send, recv = await pair.client.open_bi()
    group = pair.client.create_send_group()
    pair.client.close()
    await pair.client.wait_closed()
    assert repr(send) == f"<SendStream {send.stream_id}>"
    assert repr(recv) == f"<RecvStream {send.stream_id}>"
    assert repr(group) == "<SendGroup 1>"
