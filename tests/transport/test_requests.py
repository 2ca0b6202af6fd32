"""Requests and answers: their fields, subprotocols, rejections with a body, and who may ask."""

import asyncio
import pickle

import pytest
from web_transport import ConnectError, Headers, SessionError, SessionRejected

RESERVED = [":path", "WT-Protocol", "wt-available-protocols", "Sec-WebTransport-Http3-Draft02", "host", "content-length"]
FORBIDDEN = [("connection", "close"), ("te", "gzip"), ("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x", "a\0")]


@pytest.fixture
def ask(server, client, url):
    """Asks for a session: gives the task that connects, and the request."""

    async def ask(path="", **options):
        connecting = asyncio.create_task(client.connect(url + path, **options))
        accepting = asyncio.create_task(server.accept())
        await asyncio.wait([connecting, accepting], return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            accepting.cancel()
            await connecting  # raises
        return connecting, await accepting

    return ask


# ---- headers ----


def test_headers_are_pairs_with_a_lookup():
    """A sequence of pairs, read only; names have no case, and may repeat."""
    headers = Headers([("Accept", "a"), ("x", b"\xff"), ("ACCEPT", "b")])
    assert list(headers) == [("accept", "a"), ("x", "\udcff"), ("accept", "b")]
    assert (headers.get("accept"), headers.get("AcCept"), headers.get("y"), headers.get("y", "z")) == ("a", "a", None, "z")
    assert (headers.get_all("ACCEPT"), headers.get_all("y")) == (["a", "b"], [])
    assert Headers({"x": "y"}) == Headers([("X", "y")])
    assert pickle.loads(pickle.dumps(headers)) == headers
    with pytest.raises(TypeError):
        headers[0] = ("a", "b")


async def test_a_request_says_what_the_client_asks_for(ask, server):
    """Path, query, origin, fields and version reach the application as the client sent them."""
    origin = f"https://127.0.0.1:{server.local_addr[1]}"
    headers = [("Origin", origin), ("x-many", "1"), ("x-many", "2"), ("x-utf8", "\u00e9"), ("x-raw", b"\xff")]
    connecting, request = await ask("room/1?id=7&x", headers=headers)
    assert (request.path, request.query, request.origin) == ("/room/1", "id=7&x", origin)
    assert request.headers.get_all("X-Many") == ["1", "2"]
    assert (request.headers.get("x-utf8"), request.headers.get("x-raw")) == ("\u00e9", "\udcff")
    assert request.dialect == "draft-16"
    assert request.subprotocols == []
    session = await request.accept(status_code=204, headers={"X-Answer": "42"})
    client = await connecting
    assert client.url == session.url == request.url
    assert session.headers == request.headers
    assert client.headers == Headers(headers)
    assert client.response_headers.get("x-answer") == session.response_headers.get("x-answer") == "42"
    assert (client.subprotocol, session.subprotocol) == (None, None)


async def test_without_query_or_origin(ask):
    """A program sends no Origin; a URL need not have a query."""
    _, request = await ask()
    assert (request.path, request.query, request.origin) == ("/", "", None)


@pytest.mark.parametrize("field", [*((name, "x") for name in RESERVED), *FORBIDDEN])
async def test_fields_that_cannot_be_sent(ask, client, url, field):
    """What HTTP/3 forbids, and what is ours to say, is a ValueError before anything is sent."""
    with pytest.raises(ValueError, match="header field"):
        await client.connect(url, headers=[field])
    connecting, request = await ask()
    with pytest.raises(ValueError, match="header field"):
        await request.accept(headers=[field])
    with pytest.raises(ValueError, match="header field"):
        await request.reject(headers=[field])
    await request.accept()  # which is still possible
    await connecting


@pytest.mark.parametrize("status", [199, 300, 404, 0, -1])
async def test_only_2xx_accepts(ask, status):
    """Any other status would not accept (WT §3.2)."""
    _, request = await ask()
    with pytest.raises(ValueError, match="status"):
        await request.accept(status_code=status)


# ---- subprotocols ----


@pytest.mark.parametrize("chosen", ["chat v2", "chat", None])
async def test_the_server_picks_a_subprotocol(ask, chosen):
    """One of the offered ones, or none (WT §3.3)."""
    connecting, request = await ask(subprotocols=["chat v2", "chat"])
    assert request.subprotocols == ["chat v2", "chat"]
    session = await request.accept(subprotocol=chosen)
    assert (await connecting).subprotocol == session.subprotocol == chosen


async def test_a_subprotocol_that_was_not_offered_is_not_picked(ask):
    """The client would have to close the session (WT §3.3), so it is the caller's error."""
    connecting, request = await ask(subprotocols=["chat"])
    with pytest.raises(ValueError, match="not offered"):
        await request.accept(subprotocol="video")
    await request.accept(subprotocol="chat")
    assert (await connecting).subprotocol == "chat"


async def test_a_subprotocol_may_be_required(ask, connect):
    """Without one there is no session, on either side (WT §3.3)."""
    connecting, request = await ask(subprotocols=["chat"], require_subprotocol=True)
    session = await request.accept()
    with pytest.raises(ConnectError, match="WT_ALPN_ERROR"):
        await connecting
    await session.wait_closed()
    assert session.close_reason.code == 0x0817B3DD
    assert "WT_ALPN_ERROR" in str(session.close_reason)


@pytest.mark.parametrize("offer", [[""], ["a", "a"], ["\u00e9"], ["a\n"], ["x" * 513]])
async def test_offers_are_checked(client, url, offer):
    """As browsers check them: W3C WebTransport, `protocols`."""
    with pytest.raises(ValueError, match="subprotocol"):
        await client.connect(url, subprotocols=offer)


async def test_what_is_required_must_be_offered(client, url):
    """Nothing could be picked from nothing."""
    with pytest.raises(ValueError, match="subprotocol"):
        await client.connect(url, require_subprotocol=True)


# ---- rejections ----


async def test_a_rejection_brings_headers_and_body(ask, url):
    """Status, fields and the body's beginning are in the error, and the text says what they say."""
    connecting, request = await ask()
    await request.reject(503, headers={"Retry-After": "120"}, body=b"come back later")
    with pytest.raises(SessionRejected) as caught:
        await connecting
    error = caught.value
    assert (error.status_code, error.headers.get("retry-after"), error.body) == (503, "120", b"come back later")
    assert "503" in str(error)
    assert "come back later" in str(error)
    assert url in error.__notes__[0]


async def test_a_redirect_is_reported_and_not_followed(ask, server):
    """WT §3.2: a client must not follow it by itself."""
    connecting, request = await ask()
    await request.reject(302, headers={"location": f"https://127.0.0.1:{server.local_addr[1]}/other"})
    with pytest.raises(SessionRejected) as caught:
        await connecting
    assert caught.value.status_code == 302
    assert caught.value.headers.get("location").endswith("/other")


async def test_of_a_long_body_the_beginning_is_kept(ask):
    """An error must not hold whatever a server likes to send."""
    connecting, request = await ask()
    await request.reject(404, body=b"x" * 100_000)
    with pytest.raises(SessionRejected) as caught:
        await connecting
    assert caught.value.body == b"x" * 16 * 1024
    assert len(str(caught.value)) < 500


async def test_an_answer_is_given_once(ask):
    """Accepting what was rejected, or the other way round, is a SessionError."""
    connecting, request = await ask()
    await request.reject(403, body=b"no")
    with pytest.raises(SessionError, match="already rejected"):
        await request.accept()
    with pytest.raises(SessionRejected):
        await connecting


# ---- origins ----


@pytest.mark.parametrize(
    ("allowed", "origin", "accepted"),
    [
        (None, "https://127.0.0.1", True),
        (None, "http://localhost:8000", True),
        (None, "https://evil.example", False),
        (None, "null", False),
        (["https://a.example"], "https://a.example", True),
        (["https://a.example"], "https://a.example:8443", False),
        (["https://a.example"], "http://localhost", False),
        (["null"], "null", True),
        ([], "https://127.0.0.1", False),
        (["*"], "https://evil.example", True),
    ],
)
async def test_pages_of_other_origins_are_refused(make_server, client, allowed, origin, accepted):
    """The application is not bothered with pages that may not ask (WT §3.2)."""
    server = make_server(allowed_origins=allowed)
    url = f"https://127.0.0.1:{server.local_addr[1]}/"
    if accepted:
        connecting = asyncio.create_task(client.connect(url, headers={"origin": origin}))
        await (await server.accept()).accept()
        await connecting
    else:
        with pytest.raises(SessionRejected) as caught:
            await client.connect(url, headers={"origin": origin})
        assert caught.value.status_code == 403
        assert b"origin" in caught.value.body


@pytest.mark.parametrize("origins", [["a.example"], ["https://a.example/"], [""]])
def test_what_is_no_origin_cannot_be_allowed(make_server, origins):
    """A mistake there would lock everybody out without a word."""
    with pytest.raises(ValueError, match="origin"):
        make_server(allowed_origins=origins)


def test_one_string_is_no_list_of_origins(make_server):
    """It would be a list of its letters."""
    with pytest.raises(TypeError):
        make_server(allowed_origins="https://a.example")
