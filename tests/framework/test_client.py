"""Clients: connecting, and the reason where that fails."""

import asyncio
import ssl
import threading
from pathlib import Path

import pytest
import web_transport
from pywebtransport import (
    AuthenticationError,
    ClientConfig,
    ClientError,
    ConfigurationError,
    ConnectionError,
    EventType,
    HandshakeError,
    TimeoutError,
    WebTransportClient,
)
from pywebtransport.utils import certificate_hash

from tests.framework.meeting import join, requested, url_of

# Connecting


async def test_a_client_needs_no_event_loop_to_be_made():
    """It is made before the loop runs, and used in it."""
    made = []
    thread = threading.Thread(target=lambda: made.append(WebTransportClient.create(config=ClientConfig(verify_mode=ssl.CERT_NONE))))
    thread.start()
    thread.join()
    async with made[0] as client:
        assert client.config.verify_mode == ssl.CERT_NONE
        assert not client.is_closed
    assert client.is_closed


async def test_header_fields_override_and_never_repeat(serve, make_client):
    """A field of the call replaces the client's, whose default replaces the configuration's, whatever the case of their names."""
    server, client = await serve(), make_client(headers={"X-A": "config", "X-B": "config"}, user_agent="config")
    first = await join(client, server, headers={"x-a": "call"})
    assert {name: first.server.headers.get(name) for name in ("x-a", "x-b", "user-agent")} == {
        "x-a": "call",
        "x-b": "config",
        "user-agent": "config",
    }
    client.set_default_headers({"x-B": "default", "User-Agent": "default"})
    second = await join(client, server, headers={"USER-AGENT": "call"})
    assert second.server.headers.get("x-a") is None
    assert (second.server.headers["x-b"], second.server.headers["user-agent"]) == ("default", "call")
    assert second.client.headers.items() <= second.server.headers.items()


async def test_configured_protocols_are_offered(meet):
    """What the configuration offers is offered unless the call says otherwise."""
    ends = await meet(client={"wt_available_protocols": ("a", "b")})
    assert ends.server.wt_available_protocols == ["a", "b"] == ends.client.wt_available_protocols
    other = await join(ends.connector, ends.listener, wt_available_protocols=["c"])
    assert other.server.wt_available_protocols == ["c"]


async def test_a_pinned_certificate_is_verified(serve, make_client, pem):
    """A hash accepts its certificate and no other, even where nothing else would be verified."""
    server = await serve()
    pinned = make_client(verify_mode=ssl.CERT_REQUIRED, server_certificate_hashes=[certificate_hash(pem[0])])
    await join(pinned, server)
    for mode in (ssl.CERT_REQUIRED, ssl.CERT_NONE):
        with pytest.raises(ConnectionError):
            await make_client(verify_mode=mode, server_certificate_hashes=[bytes(32)]).connect(url_of(server))


async def test_roots_come_from_a_file(serve, make_client, tmp_path):
    """A server is verified against the roots of ca_certs, and the reason of a failure is that of TLS."""
    from tests.transport.authority import Authority

    authority = Authority()
    chain, key = authority.issue("localhost")
    certfile, keyfile, roots = tmp_path / "a.crt", tmp_path / "a.key", tmp_path / "roots.pem"
    certfile.write_text(ssl.DER_cert_to_PEM_cert(chain))
    roots.write_text(ssl.DER_cert_to_PEM_cert(authority.root))
    keyfile.write_text(ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "PRIVATE KEY"))
    server = await serve(certfile=certfile, keyfile=keyfile)
    client = make_client(verify_mode=ssl.CERT_REQUIRED, ca_certs=roots)
    connecting = asyncio.create_task(client.connect(url_of(server).replace("127.0.0.1", "localhost")))
    await (await requested(server)).accept()
    await connecting
    with pytest.raises(ConnectionError, match="not valid for|name") as caught:
        await client.connect(url_of(server))
    assert isinstance(caught.value.__cause__, web_transport.ConnectError)


# Failing


async def test_the_reason_of_tls_is_in_the_error(serve, make_client):
    """A certificate that nobody vouches for is named as what it is, not as a time-out."""
    server = await serve()
    client = make_client(verify_mode=ssl.CERT_REQUIRED)
    failed = asyncio.create_task(client.events.wait_for(EventType.CONNECTION_FAILED))
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError, match=r"certificate") as caught:
        await client.connect(url_of(server))
    assert isinstance(caught.value.__cause__, web_transport.ConnectError)
    assert str(caught.value.__cause__) == str(caught.value)
    event = await failed
    assert event.data["error"] is caught.value
    assert len(client.connection_manager) == 0


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (403, AuthenticationError), (404, HandshakeError)])
async def test_a_rejection_has_its_status(serve, make_client, status, kind):
    """Every status arrives as it was sent; it is an error of connecting under both names that older code catches."""
    server, client = await serve(), make_client()
    connecting = asyncio.create_task(client.connect(url_of(server)))
    await (await requested(server)).reject(status)
    with pytest.raises(kind) as caught:
        await connecting
    assert caught.value.status_code == status
    assert isinstance(caught.value, ClientError)
    assert isinstance(caught.value, ConnectionError)


async def test_connecting_times_out(make_client, deaf):
    """Where nobody answers, the call's time-out counts, or the configuration's."""
    for fields, timeout in (({}, 0.05), ({"connect_timeout": 0.05}, None)):
        client = make_client(**fields)
        with pytest.raises(TimeoutError, match=rf"connecting to {deaf} took longer than 0\.05 s"):
            await client.connect(deaf, timeout=timeout)
        assert len(client.connection_manager) == 0


@pytest.mark.parametrize("url", ["http://localhost/", "localhost:4433", "https://", "https://localhost/#part"])
async def test_what_is_no_url(make_client, url):
    """A mistake of the caller is a ValueError that shows the URL."""
    with pytest.raises(ValueError, match="not a URL to connect to"):
        await make_client().connect(url)


async def test_a_closed_client_connects_no_more(ends):
    """Closing ends the sessions with it, is idempotent, and later calls say so."""
    await ends.connector.close()
    await ends.connector.close()
    assert ends.client.is_closed
    with pytest.raises(ClientError, match="closed"):
        await ends.connector.connect("https://localhost/")


@pytest.mark.parametrize("field", ["ca_certs", "certfile"])
async def test_files_that_cannot_be_used(tmp_path, pem, field):
    """The error names the field and the file, and says what is wrong with it."""
    missing, wrong = str(tmp_path / "missing.pem"), tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for path in (missing, str(wrong)):
        fields = {"certfile": path, "keyfile": pem[1]} if field == "certfile" else {"ca_certs": path}
        with pytest.raises(ConfigurationError, match=Path(path).name) as caught:
            WebTransportClient(ClientConfig(**fields))
        assert (caught.value.config_key, caught.value.config_value) == (field, path)


# Figures


async def test_diagnostics_count_attempts(serve, make_client, deaf):
    """Attempts, successes, failures and their times."""
    server, client = await serve(), make_client()
    assert (client.diagnostics().stats.success_rate, client.diagnostics().stats.min_connect_time) == (1.0, None)
    with pytest.raises(TimeoutError):
        await client.connect(deaf, timeout=0.01)
    await join(client, server)
    ends = await join(client, server)
    figures = await client.diagnostics()
    assert figures.connection_states == {"connected": 2}
    stats = figures.stats
    assert (stats.connections_attempted, stats.connections_successful, stats.connections_failed) == (3, 2, 1)
    assert stats.success_rate == pytest.approx(2 / 3)
    assert 0 < stats.min_connect_time <= stats.avg_connect_time <= stats.max_connect_time
    await ends.client.close()
    assert client.diagnostics().connection_states == {"connected": 1}


async def test_events_tell_the_life_of_connections(serve, make_client):
    """Whoever listens to the client hears of each connection."""
    server, client = await serve(), make_client()
    told = []
    client.events.on_any(told.append)
    ends = await join(client, server)
    await ends.client.close(5, "done")
    assert [event.type for event in told] == [EventType.CONNECTION_ESTABLISHED, EventType.CONNECTION_CLOSED]
    assert {event.data["connection_id"] for event in told} == {ends.client.connection.connection_id}
    assert told[1].data["close_code"] == 5
