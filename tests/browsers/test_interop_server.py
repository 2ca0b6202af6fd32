"""Pages in both browsers against ``webtransport interop``: the echo, and a game of Devious Baton from the first baton to the last."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pywebtransport.utils import certificate_hash, generate_self_signed_cert

from tests.browsers.browser import Browser
from tests.browsers.meeting import visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.deadline(60)]

# A client of Devious Baton: every message that comes goes back, one higher, on the next kind of stream.
PLAY = """async (connect, query) => {
    const transport = await connect("/webtransport/devious-baton?" + query);
    const seen = [];
    let active = Number(new URLSearchParams(query).get("count") ?? 1);
    const decode = (message) => {
        const size = 1 << (message[0] >> 6);
        let padding = message[0] & 0x3f;
        for (let i = 1; i < size; i++) padding = padding * 256 + message[i];
        if (message.length !== size + padding + 1) throw new Error(`no message: ${message}`);
        return message.at(-1);
    };
    const encode = (baton) => new Uint8Array([0, baton]);
    const pass = async (baton, leg, stream) => {
        seen.push([baton, leg]);
        if (baton % 7 === 1) await datagrams.write(encode(baton));
        if (baton === 0) {
            if (--active === 0) transport.close();
            return;
        }
        const next = (baton + 1) % 256;
        if (leg === "uni") {
            const own = await transport.createBidirectionalStream();
            await send(own.writable, encode(next));
            if (next) await pass(decode(await receive(own.readable)), "own");
        } else if (leg === "own") {
            await send(await transport.createUnidirectionalStream(), encode(next));
        } else {
            await send(stream.writable, encode(next));
        }
    };
    const datagrams = datagramWriter(transport);
    const each = async (streams, work) => {
        const reader = streams.getReader();
        while (true) {
            const {value, done} = await reader.read();
            if (done) return;
            work(value).catch((error) => seen.push(String(error)));
        }
    };
    each(transport.incomingUnidirectionalStreams, async (stream) => pass(decode(await receive(stream)), "uni")).catch(() => {});
    each(transport.incomingBidirectionalStreams, async (stream) => pass(decode(await receive(stream.readable)), "bidi", stream))
        .catch(() => {});
    const {closeCode} = await transport.closed;
    return {seen, closeCode};
}"""

ECHO = """async (connect) => {
    const transport = await connect("/echo");
    const stream = await transport.createBidirectionalStream();
    const bidi = receiveText(stream.readable);
    await send(stream.writable, "both ways");
    await send(await transport.createUnidirectionalStream(), "one way");
    const uni = await receiveText(await first(transport.incomingUnidirectionalStreams));
    const reader = transport.datagrams.readable.getReader();
    await datagramWriter(transport).write(new Uint8Array([1, 2, 3]));
    const {value} = await reader.read();
    const answer = {bidi: await bidi, uni, datagram: [...value]};
    transport.close();
    return answer;
}"""

Run = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def run(browser: Browser, site: str, tmp_path: Path) -> AsyncIterator[Run]:
    """Runs a function in a fresh page against a fresh ``webtransport interop``."""
    certfile, keyfile = generate_self_signed_cert("localhost", tmp_path)
    options = ("--host", "127.0.0.1", "--port", "0", "--certfile", certfile, "--keyfile", keyfile)
    server = await asyncio.create_subprocess_exec(sys.executable, "-u", "-m", "pywebtransport", "interop", *options, stdout=PIPE)
    try:
        assert server.stdout
        port = int((await server.stdout.readline()).rpartition(b":")[2])
        async with browser.page(site) as page:
            origin, digest = f"https://127.0.0.1:{port}", certificate_hash(certfile)
            yield lambda function, *parameters: visit(page, origin, digest, function, *parameters)
        server.terminate()
        assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def test_a_page_gets_its_echo(run: Run) -> None:
    assert await run(ECHO) == {"bidi": "both ways", "uni": "one way", "datagram": [1, 2, 3]}


@pytest.mark.parametrize("baton", [1, 254])
async def test_a_page_plays_a_game_to_its_end(run: Run, baton: int) -> None:
    """Every other value arrives in the page, the legs in their order, and at last the session ends with code 0."""
    game = await run(PLAY, f"baton={baton}")
    assert game["closeCode"] == 0
    values = [value % 256 for value in range(baton, 257, 2)]
    legs = ["uni", "own", "bidi"]
    assert game["seen"] == [[value, legs[index % 3]] for index, value in enumerate(values)]


async def test_a_page_plays_with_several_batons(run: Run) -> None:
    game = await run(PLAY, "count=7&baton=200")
    assert game["closeCode"] == 0
    assert sorted(value for value, _ in game["seen"]) == sorted([value % 256 for value in range(200, 257, 2)] * 7)
