"""Servers: listening, taking connections, and an end that waits for nobody too long."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import web_transport
from pywebtransport import (
    ConfigurationError,
    ConnectionError,
    ConnectionState,
    EventType,
    HandshakeError,
    ServerConfig,
    ServerError,
    SessionState,
    WebTransportServer,
)
from pywebtransport.testing import expecting
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

from tests.framework.meeting import join, requested, url_of

# Listening


async def test_port_0_takes_a_free_port(serve):
    """The port that was taken is known right after listening."""
    first, second = await serve(), await serve()
    ports = {server.local_addresses[0][1] for server in (first, second)}
    assert len(ports) == 2
    assert 0 not in ports
    assert first.local_addresses == [("127.0.0.1", first.local_addresses[0][1])]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "::"])
async def test_hosts_are_addresses_and_names(pem, host, request):
    """IPv4, IPv6 and names can be listened on; arguments go before the configuration."""
    if ":" in host:
        request.getfixturevalue("ipv6")
    server = WebTransportServer(ServerConfig(certfile=pem[0], keyfile=pem[1], bind_host="203.0.113.1", bind_port=1))
    async with server:
        assert (server.is_serving, server.local_addresses) == (False, [])
        await server.listen(host=host, port=0)
        assert server.is_serving
        assert server.local_addresses[0][0] in ("127.0.0.1", "::1", "::")
    assert not server.is_serving


@pytest.mark.deadline(120)  # a resolver that nobody answers takes its time to say so
async def test_what_cannot_be_listened_on(serve, pem):
    """A port that is taken, a name that is none, a server that listens already or is closed."""
    server = await serve()
    with pytest.raises(ServerError, match="listens already"):
        await server.listen()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        other = WebTransportServer(ServerConfig(certfile=pem[0], keyfile=pem[1]))
        with pytest.raises(ServerError, match=rf"cannot bind 127\.0\.0\.1:{taken.getsockname()[1]}"):
            await other.listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ServerError, match=r"cannot listen on 'no\.such\.invalid'"):
        await other.listen("no.such.invalid", 0)
    with pytest.raises(ServerError, match="does not listen yet"):
        await other.serve_forever()
    await server.close()
    with pytest.raises(ServerError, match="is closed"):
        await server.listen()


async def test_a_server_needs_a_certificate(pem, tmp_path):
    """Without one, or with one that does not fit its key, there is no server; the error names the field or the file."""
    with pytest.raises(ConfigurationError, match="a server needs a certificate"):
        await WebTransportServer().listen(port=0)
    for field, fields in {
        "certfile": {"certfile": pem[1], "keyfile": pem[1]},
        "keyfile": {"certfile": pem[0], "keyfile": str(tmp_path / "missing.key")},
        "ca_certs": {"certfile": pem[0], "keyfile": pem[1], "verify_mode": ssl.CERT_REQUIRED},
    }.items():
        with pytest.raises(ConfigurationError, match=f"{field} must be") as caught:
            await WebTransportServer(ServerConfig(**fields)).listen("127.0.0.1", 0)
        assert caught.value.config_key == field


async def test_clients_can_be_asked_for_certificates(serve, make_client, pem, tmp_path):
    """With CERT_REQUIRED a client without a certificate gets nowhere, and one with a certificate of the roots does."""
    from tests.transport.authority import Authority

    authority = Authority()
    chain, key = authority.issue("client", client=True)
    (tmp_path / "client.crt").write_text(ssl.DER_cert_to_PEM_cert(chain))
    (tmp_path / "client.key").write_text(ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "PRIVATE KEY"))
    (tmp_path / "roots.pem").write_text(ssl.DER_cert_to_PEM_cert(authority.root))
    server = await serve(verify_mode=ssl.CERT_REQUIRED, ca_certs=tmp_path / "roots.pem")
    known = make_client(certfile=tmp_path / "client.crt", keyfile=tmp_path / "client.key")
    await join(known, server)
    with pytest.raises(ConnectionError, match="certificate"):
        await make_client().connect(url_of(server))


# Serving


async def test_serve_forever_can_be_cancelled(serve, parked):
    """Cancelling is never swallowed, and the end of the server is the end of serving."""
    server = await serve()
    serving = await parked(server.serve_forever())
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert server.is_serving
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.01):
            await server.serve_forever()
    serving = await parked(server.serve_forever())
    await server.close()
    await serving


async def test_places_are_free_at_once_after_a_clean_close(serve, make_client):
    """Where there is room for one connection, one after the other fits in."""
    server, client = await serve(max_connections=1), make_client()
    for _ in range(5):
        ends = await join(client, server)
        assert (len(server.connection_manager), len(server.session_manager)) == (1, 1)
        await ends.client.close()
        await ends.server.wait_closed()
        assert (len(server.connection_manager), len(server.session_manager)) == (0, 0)


async def test_too_many_connections_are_refused(serve, make_client):
    """There are no more than the configuration allows, and who is refused learns it."""
    server, client = await serve(max_connections=1), make_client()
    await join(client, server)
    with pytest.raises((ConnectionError, HandshakeError)):
        await make_client().connect(url_of(server))
    stats = server.diagnostics().stats
    assert (stats.connections_accepted, stats.connections_rejected) == (1, 1)


async def test_requests_come_as_events_to_who_listens(serve, make_client):
    """While somebody listens to requests, these come as events, with the session to answer."""
    server, client = await serve(), make_client()

    async def answer(event):
        await event.data["session"].accept()

    server.events.on(EventType.SESSION_REQUEST, answer)
    session = await client.connect(url_of(server))
    assert session.state is SessionState.CONNECTED
    server.events.off(EventType.SESSION_REQUEST, answer)
    connecting = asyncio.create_task(client.connect(url_of(server)))
    await (await requested(server)).accept()
    await connecting


async def test_sessions_on_one_connection_come_together(serve):
    """A client's sessions on one connection are those of one connection here, and others of another."""
    server = await serve()
    sessions, seen = [], asyncio.Queue()

    async def take(connection):
        async for session in connection.incoming_sessions():
            await session.accept()
            await seen.put(session)

    async def iterate(tasks):
        async for connection in server.incoming_connections():
            tasks.create_task(take(connection))

    async with web_transport.Client(no_cert_verification=True) as client, asyncio.TaskGroup() as tasks:
        iterating = tasks.create_task(iterate(tasks))
        for number in range(3):
            sessions.append(await client.connect(url_of(server, f"/{number}"), pool=True))
        sessions.append(await client.connect(url_of(server, "/3")))
        theirs = sorted([await seen.get() for _ in sessions], key=lambda session: session.path)
        assert len({session.connection for session in theirs[:3]}) == 1
        assert theirs[3].connection is not theirs[0].connection
        assert server.diagnostics().connection_states == {"connected": 2}
        assert server.diagnostics().session_states == {"connected": 4}
        assert server.diagnostics().stats.connections_accepted == 2
        client.close()
        iterating.cancel()


async def test_sessions_come_whatever_their_connections(serve, make_client):
    """One loop has the sessions of all connections, each once, until the server is closed."""
    server, client = await serve(), make_client()
    seen = []

    async def iterate():
        async for session in server.incoming_sessions():
            await session.accept()
            seen.append(session)

    iterating = asyncio.create_task(iterate())
    first = await client.connect(url_of(server, "/0"))
    await first.connection.create_session("/1")
    await client.connect(url_of(server, "/2"))
    assert [session.path for session in seen] == ["/0", "/1", "/2"]
    assert seen[0].connection is not seen[2].connection
    closed = seen[0].connection
    await client.close()
    await server.close()
    await iterating
    assert [session async for session in closed.incoming_sessions()] == []


async def test_full_managers_refuse(serve, make_client, ends):
    """An application that fills the server's manager leaves no place: clients are told so with 503."""
    server, client = await serve(max_connections=1), make_client()
    await server.connection_manager.add_connection(ends.client.connection)
    iterating = asyncio.create_task(requested(server))
    with pytest.raises(HandshakeError) as caught:
        await client.connect(url_of(server))
    assert (caught.value.status_code, caught.value.is_retriable) == (503, True)
    assert server.diagnostics().stats.connections_rejected == 1
    await server.connection_manager.remove_connection(ends.client.connection.connection_id)
    connecting = asyncio.create_task(client.connect(url_of(server)))
    await (await iterating).accept()
    await connecting


async def test_iteration_ends_with_the_server(serve, make_client):
    """Connections come one after the other, and no more after the end."""
    server = await serve()
    seen = []

    async def iterate():
        async for connection in server.incoming_connections():
            seen.append(connection)
            async for session in connection.incoming_sessions():
                await session.accept()

    iterating = asyncio.create_task(iterate())
    session = await make_client().connect(url_of(server))
    assert len(seen) == 1
    assert seen[0].state is ConnectionState.CONNECTED
    await session.close()
    await server.close()
    await iterating
    assert seen[0].state is ConnectionState.CLOSED


# The end


async def test_closing_drains_then_closes(meet):
    """Sessions are asked to end, get their time, and are closed with a code when it is over."""
    ends = await meet(server={"close_timeout": 0.1})
    async with expecting(ends.client.events, EventType.SESSION_DRAINING):
        await ends.listener.close()
    await ends.client.wait_closed()
    assert (ends.client.close_code, ends.server.state) == (0, SessionState.CLOSED)
    await ends.listener.close()


async def test_closing_waits_for_sessions_that_end_by_themselves(meet):
    """Who ends in time is not cut off: what was written arrives."""
    ends = await meet(server={"close_timeout": 20})
    ours, theirs = await ends.bi()
    closing = asyncio.create_task(ends.listener.close())
    await ours.write_all(b"last words")
    assert await theirs.read_all() == b"last words"
    await theirs.write_all(b"heard")
    assert await ours.read_all() == b"heard"
    await ends.client.close(1)
    await closing
    assert ends.server.close_code == 1


async def test_closing_can_be_cancelled(meet, parked):
    """Then it closes at once: the port is free."""
    ends = await meet(server={"close_timeout": 20})
    closing = await parked(ends.listener.close())
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await ends.client.wait_closed()
    assert ends.client.is_closed


# Figures


async def test_diagnostics_show_what_there_is(serve, make_client):
    """States and counts of connections and sessions."""
    server = await serve(max_connections=9)
    assert server.diagnostics().connection_states == {}
    ends = await join(make_client(), server)
    figures = await server.diagnostics()
    assert (figures.is_serving, figures.max_connections) == (True, 9)
    assert figures.connection_states == figures.session_states == {"connected": 1}
    assert figures.stats.start_time > 0
    assert figures.stats.protocol_errors == 0
    assert figures.to_dict()["stats"]["connections_accepted"] == 1
    await ends.client.close()
    await ends.server.wait_closed()
    assert server.diagnostics().session_states == {}


def test_paths_may_be_of_any_kind(pem):
    """Files are named by strings and by paths."""
    assert ServerConfig(certfile=Path(pem[0]), keyfile=Path(pem[1])).certfile == Path(pem[0])


async def test_certificates_can_be_replaced(serve, make_client, tmp_path, pem):
    """New connections get the new one, and old ones go on; one that cannot be used changes nothing."""
    server = await serve()
    old = await join(make_client(), server)
    certfile, keyfile = generate_self_signed_cert("localhost", tmp_path)
    for files in ((tmp_path / "none.crt", keyfile), (certfile, pem[1])):
        with pytest.raises(ConfigurationError, match="certfile"):
            server.use_certificate(*files)
    server.use_certificate(certfile, keyfile)
    assert (server.config.certfile, server.config.keyfile) == (certfile, keyfile)
    pinned = {"verify_mode": ssl.CERT_REQUIRED, "server_certificate_hashes": [certificate_hash(certfile)]}
    await join(make_client(**pinned), server)
    assert not old.client.is_closed


async def test_origins_can_be_added_before_it_listens(serve, pem):
    """To those that are configured; later it is too late."""
    config = ServerConfig(allowed_origins=["https://a.example"])
    server = WebTransportServer(config)
    server.allow_origin("https://b.example")
    assert server.config.allowed_origins == ["https://a.example", "https://b.example"]
    assert config.allowed_origins == ["https://a.example"]
    listening = await serve()
    with pytest.raises(ServerError, match="not later"):
        listening.allow_origin("https://b.example")
    assert listening.config.allowed_origins is None
