"""The interop server does on each of its paths what others expect of it."""

import json
import ssl

import pytest
from aioquic.asyncio.client import connect
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from pywebtransport import HandshakeError, SessionState, StreamError, WebTransportClient, __version__
from pywebtransport.interop.server import to_json

from tests.transport.test_http import Browser


async def test_bytes_come_back_as_they_come(client: WebTransportClient, origin: str) -> None:
    """A chunk is answered before the next one is sent, and a FIN with a FIN."""
    async with await client.connect(f"{origin}/echo") as session:
        stream = await session.create_bidirectional_stream()
        for chunk in (b"first", b"second"):
            await stream.write(chunk)
            assert await stream.readexactly(len(chunk)) == chunk
        await stream.write_all(b"")
        assert await stream.read_all() == b""


async def test_a_unidirectional_stream_comes_back_on_another(client: WebTransportClient, origin: str) -> None:
    async with await client.connect(f"{origin}/echo") as session:
        await (await session.create_unidirectional_stream()).write_all(b"one way" * 10_000)
        assert await (await session.accept_unidirectional_stream()).read_all() == b"one way" * 10_000


async def test_datagrams_come_back_unchanged(client: WebTransportClient, origin: str) -> None:
    async with await client.connect(f"{origin}/echo") as session:
        for data in (b"", b"\0", b"d" * session.datagrams.max_size):
            await session.send_datagram(data)
            assert await session.read_datagram() == data


async def test_what_is_reset_comes_back_as_a_reset(client: WebTransportClient, origin: str) -> None:
    async with await client.connect(f"{origin}/echo") as session:
        stream = await session.create_bidirectional_stream()
        await stream.write(b"x")
        assert await stream.readexactly(1) == b"x"
        await stream.reset(5)
        with pytest.raises(StreamError) as caught:
            await stream.read()
        assert caught.value.error_code == 5


async def test_stats_are_those_of_the_session(client: WebTransportClient, origin: str) -> None:
    """One JSON object per stream, after the stream has been read to its end."""
    async with await client.connect(f"{origin}/stats", headers={"x-who": "me"}) as session:
        for opened in (1, 2):
            stream = await session.create_bidirectional_stream()
            await stream.write_all(b"whatever" * 1000)
            stats = json.loads(await stream.read_all())
            assert (stats["path"], stats["state"], stats["is_client"]) == ("/stats", "connected", False)
            assert (stats["peer_streams_bidi_opened"], stats["headers"]["x-who"]) == (opened, "me")


async def test_status_is_that_of_the_server(client: WebTransportClient, origin: str) -> None:
    async with await client.connect(f"{origin}/status") as session, await client.connect(f"{origin}/echo"):
        stream = await session.create_bidirectional_stream()
        await stream.write_all(b"")
        status = json.loads(await stream.read_all())
    assert (status["is_serving"], status["stats"]["connections_accepted"]) == (True, 2)
    assert status["session_states"] == {"connected": 2}


async def test_other_paths_are_refused(client: WebTransportClient, origin: str) -> None:
    with pytest.raises(HandshakeError) as caught:
        await client.connect(f"{origin}/else")
    assert caught.value.status_code == 405


async def test_a_plain_request_tells_the_version(origin: str) -> None:
    """On the same port: whoever opens it with HTTP/3 sees that it is alive."""
    port = int(origin.rpartition(":")[2])
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Browser) as browser:
        assert isinstance(browser, Browser)
        status, headers, body = await browser.ask("GET", "/status.json")
        assert (status, headers["content-type"], json.loads(body)) == (200, "application/json", {"version": __version__})
        assert (await browser.ask("GET", "/"))[0] == 404


def test_json_has_no_types_of_pythons() -> None:
    """Bytes as base64, enumerations by value, collections as arrays."""
    value = {"bytes": b"\0\1", "state": SessionState.CLOSED, "set": {1}, "by": {SessionState.CLOSED: 1}}
    assert json.loads(to_json(value)) == {"bytes": "AAE=", "state": "closed", "set": [1], "by": {"closed": 1}}
