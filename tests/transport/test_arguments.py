"""Arguments of the wrong kind: a TypeError, ValueError or OverflowError that names the one that is wrong, and nothing else is harmed."""

import asyncio
import math

import pytest
import web_transport
from web_transport import Client, Headers, Server, SessionRejected, StreamClosedByPeer

LISTS = {
    "certificate_chain": Server,
    "client_ca_certificates": Server,
    "ca_certificates": Client,
    "server_certificate_hashes": Client,
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("value", "told"),
    [("a.pem", "not str"), (b"der", "not one of them"), (["a.pem"], "not of str"), ([None], "not of NoneType"), (3, "not int")],
)
def test_lists_of_bytes(certificate, name, value, told):
    """Paths, hexadecimal digits and a certificate by itself are what is given by mistake."""
    options = {"certificate_chain": [certificate[0]], "private_key": certificate[1], "bind": "127.0.0.1:0"} if LISTS[name] is Server else {}
    with pytest.raises(TypeError, match=f"^{name} must be a list of bytes, {told}"):
        LISTS[name](**{**options, name: value})


def test_pem_is_not_der(certificate):
    """What was read from a file is told from what was decoded, too."""
    pem = b"-----BEGIN PRIVATE KEY-----\n"
    with pytest.raises(ValueError, match="^private key is PEM, not DER$"):
        Server(certificate_chain=[certificate[0]], private_key=pem, bind="127.0.0.1:0")
    with pytest.raises(ValueError, match="^certificate chain is PEM, not DER$"):
        Server(certificate_chain=[pem], private_key=certificate[1], bind="127.0.0.1:0")


@pytest.mark.parametrize("name", ["allowed_origins", "dialects"])
def test_lists_of_str(make_server, name):
    """A str is a sequence of them, which nobody means."""
    for value in ("draft-02", 3, [3]):
        with pytest.raises(TypeError, match=f"^{name} must be a"):
            make_server(**{name: value})


def test_an_http_handler_can_be_called(make_server):
    """Told at once, not by answers of 500."""
    with pytest.raises(TypeError, match="http_handler must be callable"):
        make_server(http_handler="index.html")


def test_seconds_are_numbers(make_client):
    """As for other options, the error names the one that is none."""
    for value in ("1", None, []):
        with pytest.raises(TypeError, match="connection_attempt_delay must be a number of seconds"):
            make_client(connection_attempt_delay=value)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 2**64, 1e-300])
def test_a_validity_is_a_number_of_seconds(seconds):
    """And it is more than none, and not for ever."""
    with pytest.raises(ValueError, match=rf"^validity must be .*{seconds:.0f}" if seconds == 0 else "^validity must be "):
        web_transport.generate_self_signed(["localhost"], validity=seconds)


@pytest.mark.parametrize(
    "fields", [None, 3, "a", b"a", ["ab c"], [("a",)], [("a", "b", "c")], {1: "a"}, {"secret": 3}, {"a": None}, {"a": bytearray(b"x")}]
)
async def test_headers_are_pairs(client, url, fields):
    """Wherever they go, the error is one and the same, and shows no value."""
    with pytest.raises(TypeError, match="^headers must be a mapping or pairs") as wrong:
        Headers(fields)
    assert "3" not in str(wrong.value)
    with pytest.raises(TypeError, match="^headers must be a mapping or pairs"):
        await client.connect(url, headers=fields)


@pytest.mark.parametrize("url", [None, 3, b"https://localhost/", ["https://localhost/"]])
async def test_a_url_is_a_str(client, url):
    """Bytes are none, even with a URL in them."""
    with pytest.raises(TypeError, match="^url must be a str"):
        await client.connect(url)


@pytest.mark.parametrize("host", ["a b", "a\0.example", "a%20b", "a|b", "<a>"])
async def test_a_host_is_a_name(client, host):
    """WHATWG URL §3.1: a resolver may take what is no name, and cut it off at a NUL."""
    with pytest.raises(ValueError, match="URL"):
        await client.connect(f"https://{host}/")


async def test_a_path_is_text(client):
    """Lone surrogates are none."""
    with pytest.raises(ValueError, match="not a URL"):
        await client.connect("https://localhost/\udcff")


async def test_subprotocols_are_a_list(client, url):
    """A str by itself would offer its letters."""
    with pytest.raises(TypeError, match="subprotocols must be a list of str, not one by itself: 'chat'"):
        await client.connect(url, subprotocols="chat")


async def test_codes_and_reasons(pair, client):
    """A wrong argument of close closes nothing."""
    for closes in (pair.client, client):
        for code in (None, "1", 1.5):
            with pytest.raises(TypeError, match="integer"):
                closes.close(code)
        for reason in (None, b"bye", 3):
            with pytest.raises(TypeError, match="reason must be a str"):
                closes.close(0, reason)
    assert pair.client.close_reason is None
    pair.client.close(0, "half a pair: \ud800")
    await pair.server.wait_closed()
    assert pair.server.close_reason.reason == "half a pair: ?"


async def test_a_wrong_rank_opens_no_stream(pair):
    """The peer would hear of a stream that nobody has, and of its end."""
    for wrong, error in (({"send_group": 3}, TypeError), ({"send_order": 2**63}, OverflowError), ({"send_order": 0.5}, TypeError)):
        for open_stream in (pair.client.open_uni, pair.client.open_bi):
            with pytest.raises(error, match="send.group|send.order|integer"):
                await open_stream(**wrong)
    with pytest.raises(ValueError, match="another session"):
        await pair.client.open_uni(send_group=pair.server.create_send_group())
    async with await pair.client.open_uni() as send:
        await send.write(b"the first")
    assert await (await pair.server.accept_uni()).read() == b"the first"


async def test_ranks_of_streams(pair):
    """What is refused changes nothing."""
    send = await pair.client.open_uni(send_order=7)
    for wrong, error in ((2**31, OverflowError), (-(2**31) - 1, OverflowError), ("1", TypeError), (math.nan, TypeError)):
        with pytest.raises(error, match="priority|integer"):
            send.priority = wrong
    with pytest.raises(TypeError, match="send group must be a SendGroup or None"):
        send.send_group = 1
    assert (send.send_group, send.send_order) == (None, 7)


async def test_sizes_of_reads(pair):
    """NaN is neither more nor less than anything, so that it would be no limit; what was refused leaves all bytes there."""
    send, recv = await pair.uni()
    async with send:
        await send.write(b"line\n")
    for limit in (-1, math.nan):
        for read in (recv.read, recv.readline, recv.readuntil):
            with pytest.raises(ValueError, match="limit must not be negative"):
                await read(limit=limit)
    for size in (-1, math.nan):
        with pytest.raises(ValueError, match="not negative"):
            await recv.readexactly(size)
    for wrong in ("1", None, 1.0):
        with pytest.raises(TypeError):
            await recv.read(wrong)
        with pytest.raises(TypeError):
            await recv.readexactly(wrong)
    assert await recv.read() == b"line\n"


async def test_what_is_no_buffer(pair):
    """A TypeError, or a BufferError where the bytes are not in one piece; the stream and the session go on."""
    send, recv = await pair.uni()
    for data in (None, "text", 3, 1.5, [1], object()):
        for take in (send.write, send.write_some, pair.client.send_datagram):
            with pytest.raises(TypeError, match="bytes-like"):
                await take(data)
    for take in (send.write, send.write_some, pair.client.send_datagram):
        with pytest.raises(BufferError, match="contiguous"):
            await take(memoryview(bytes(8))[::2])
    data = bytearray(b"before")
    await send.write(data)
    data[:] = b"after!"  # it was copied
    async with send:
        await send.write(memoryview(b"abcd").cast("B", (2, 2)))
    assert await recv.read() == b"beforeabcd"


async def test_a_code_that_does_not_fit_is_not_sent(pair):
    """The stream stays as it was: it can still be reset."""
    send, recv = await pair.uni()
    for code in (-1, 2**32):
        with pytest.raises(OverflowError, match=r"code must be at least 0 and below 2\*\*32"):
            send.reset(code)
        with pytest.raises(OverflowError, match=r"code must be at least 0 and below 2\*\*32"):
            recv.stop(code)
    send.reset(2**32 - 1)
    with pytest.raises(StreamClosedByPeer) as closed:
        await recv.read()
    assert closed.value.code == 2**32 - 1


async def test_a_server_takes_seconds(server):
    """As a client does, and a wrong number ends nothing."""
    for wrong, error in (("1", TypeError), (None, TypeError), (-1, ValueError), (math.nan, ValueError)):
        with pytest.raises(error, match="timeout must be a number of seconds"):
            await server.shutdown(timeout=wrong)
    accepting = asyncio.create_task(server.accept())
    await asyncio.sleep(0)
    assert not accepting.done()
    await server.shutdown(timeout=0)
    assert await accepting is None


async def test_bodies_are_bytes(client, server, url):
    """Text is told where it is given, and the request can still be answered."""
    connecting = asyncio.create_task(client.connect(url))
    request = await server.accept()
    for body, kind in (("sorry", "str"), (None, "NoneType"), ([1], "list")):
        with pytest.raises(TypeError, match=f"body must be bytes, not {kind}"):
            await request.reject(404, body=body)
    await request.reject(404, body=b"sorry")
    with pytest.raises(SessionRejected) as rejected:
        await connecting
    assert rejected.value.body == b"sorry"
