"""Devious Baton: what a message is, what both sides of a game do, and that each check of a server finds who breaks its rule."""

import asyncio
import random
import ssl
from contextlib import suppress
from typing import Any

import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamReset
from pywebtransport import HandshakeError, ServerApp, ServerConfig, SessionError, StreamError, WebTransportClient, WebTransportSession
from pywebtransport.interop import CHECKS, Game, Leg, Move, Terms, run_checks
from pywebtransport.interop.baton import MAX_COUNT, PATH, MalformedError, SessionCode, StreamCode, decoded, encoded

BY_NAME = {check.name: check for check in CHECKS}


@pytest.mark.parametrize("padding", [0, 1, 63, 64, 16383, 16384])
def test_a_message_reads_as_it_was_written(padding: int) -> None:
    """Padding is counted by a QUIC integer, of each of its sizes (RFC 9000 §16)."""
    assert decoded(encoded(200, padding)) == 200


@pytest.mark.parametrize("message", [b"", b"\0", b"\x01\0", b"\x02\0", b"\0\x05\x05", b"\x40", b"\xc0\0\0\0\0\0\0", encoded(5, 100)[:-1]])
def test_what_is_too_short_or_too_long_is_no_message(message: bytes) -> None:
    with pytest.raises(MalformedError):
        decoded(message)


def test_terms_have_defaults() -> None:
    """All parameters are optional, and those that are not known do not count."""
    assert Terms.parse("") == Terms(count=1, baton=None)
    assert Terms.parse("version=0&count=3&baton=255&else=1") == Terms(count=3, baton=255)
    assert Terms.parse(Terms(count=2, baton=9).query) == Terms(count=2, baton=9)
    assert 1 <= Terms().first() <= 255


@pytest.mark.parametrize(
    "query",
    [
        "version=1",
        "version=",
        "version=x",
        "version=-0",
        "baton=0",
        "baton=256",
        "baton=",
        "count=0",
        f"count={MAX_COUNT + 1}",
        "count=1&count=2",
    ],
)
async def test_terms_that_cannot_be_are_refused(client: WebTransportClient, origin: str, query: str) -> None:
    """The answer is a status that says whose fault it is."""
    with pytest.raises(HandshakeError) as caught:
        await client.connect(f"{origin}{PATH}?{query}")
    assert caught.value.status_code == 400


@pytest.mark.parametrize("terms", [Terms(1, 1), Terms(1, 254), Terms(5, 100), Terms(MAX_COUNT, 200)], ids=str)
async def test_a_game_ends_with_code_0(client: WebTransportClient, origin: str, terms: Terms) -> None:
    """Every value up to 255, and at last 0, arrives on one side or the other, for every baton."""
    moves: list[Move] = []
    async with await client.connect(f"{origin}{PATH}?{terms.query}") as session:
        await Game(session, terms, strict=True, report=moves.append).play()
        assert session.close_code == 0
    seen = sorted(move.baton for move in moves if move.leg is not Leg.DATAGRAM)
    assert terms.baton is not None
    ours = [value % 256 for value in range(terms.baton, 257, 2)]  # what the server sends: the first, and every other
    assert seen == sorted(ours * terms.count)
    datagrams = {move.baton for move in moves if move.leg is Leg.DATAGRAM}
    assert datagrams <= {value + 1 for value in ours if (value + 1) % 7 == 0} | {0}


async def test_the_legs_follow_each_other(client: WebTransportClient, origin: str) -> None:
    """The server's unidirectional stream, its answer on ours, its bidirectional stream, and so on."""
    moves: list[Move] = []
    async with await client.connect(f"{origin}{PATH}?baton=250") as session:
        await Game(session, Terms(1, 250), strict=True, report=moves.append).play()
    assert [move for move in moves if move.leg is not Leg.DATAGRAM] == [
        Move(250, Leg.UNI), Move(252, Leg.OWN), Move(254, Leg.BIDI), Move(0, Leg.UNI)
    ]  # fmt: skip


async def test_a_lost_baton_is_missed_no_more(client: WebTransportClient, origin: str) -> None:
    """Of two batons one is reset on its way: the game ends with the other."""
    async with await client.connect(f"{origin}{PATH}?count=2&baton=251") as session:
        first, second = [await session.accept_unidirectional_stream() for _ in range(2)]
        stream = await session.create_bidirectional_stream()
        await stream.write(b"\0")
        await stream.reset(StreamCode.I_LIED)
        with pytest.raises(StreamError) as caught:
            await stream.read()
        assert caught.value.error_code == StreamCode.WHATEVER
        assert decoded(await first.read_all()) == decoded(await second.read_all()) == 251
        last = await session.create_bidirectional_stream()
        await last.write_all(encoded(252))
        assert decoded(await last.read_all()) == 253
        await (await session.create_unidirectional_stream()).write_all(encoded(254))
        end = await session.accept_bidirectional_stream()
        assert decoded(await end.read_all()) == 255
        await end.write_all(encoded(0))
        await session.wait_closed()
        assert session.close_code == 0


async def test_who_waits_too_long_is_bored(client: WebTransportClient, start: Any) -> None:
    class Impatient(Game):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "patience": 0.05})

    async with start(Impatient) as origin, await client.connect(f"{origin}{PATH}") as session:
        await session.wait_closed()
        assert session.close_code == SessionCode.BORED


async def test_who_permits_no_streams_is_told(client: WebTransportClient, start: Any) -> None:
    """The client reads none of the streams that it permits, so that there is none left."""

    class Wordy(Game):
        def padding(self, baton: int) -> int:
            return 100_000  # more than waits outside of the stream

    client = WebTransportClient(client.config.update(max_streams_bidi=2, max_streams_uni=2))
    async with start(Wordy) as origin, client, await client.connect(f"{origin}{PATH}?count=9") as session:
        await session.wait_closed()
        assert session.close_code == SessionCode.DA_YAMN


@pytest.mark.parametrize("name", BY_NAME)
async def test_our_server_passes(client: WebTransportClient, origin: str, name: str) -> None:
    assert await run_checks(client, origin, checks=[BY_NAME[name]]) == {name: None}


class Stopper(QuicConnectionProtocol):
    """Opens a session with another library, and stops a stream of its own before the server has answered on it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._http = H3Connection(self._quic, enable_webtransport=True)
        self._established = asyncio.get_running_loop().create_future()
        self.reset: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamReset) and not self.reset.done():
            self.reset.set_result(event.error_code)
        for happened in self._http.handle_event(event):
            if isinstance(happened, HeadersReceived) and not self._established.done():
                self._established.set_result(dict(happened.headers)[b":status"])

    async def stop_a_stream(self, code: int) -> None:
        session = self._quic.get_next_available_stream_id()
        fields = {
            ":method": "CONNECT",
            ":scheme": "https",
            ":authority": "localhost",
            ":path": f"{PATH}?count=2",
            ":protocol": "webtransport",
        }
        self._http.send_headers(session, [(name.encode(), value.encode()) for name, value in fields.items()])
        self.transmit()
        assert await self._established == b"200"
        stream = self._http.create_webtransport_stream(session)
        self._quic.send_stream_data(stream, b"\0")  # the beginning of a message
        self._quic.stop_stream(stream, code)
        self.transmit()


async def test_a_stop_is_answered_with_whatever(origin: str) -> None:
    """The code is seen on the wire only: who has stopped a stream reads no more of it."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, max_datagram_frame_size=65536)
    async with connect("127.0.0.1", int(origin.rpartition(":")[2]), configuration=configuration, create_protocol=Stopper) as stopper:
        assert isinstance(stopper, Stopper)
        await stopper.stop_a_stream(_on_the_wire(StreamCode.IDC))
        assert await stopper.reset == _on_the_wire(StreamCode.WHATEVER)


def _on_the_wire(code: int) -> int:
    return 0x52E4A40FA8DB + code + code // 0x1E  # WT §4.4


class Broken(Game):
    """Breaks one rule, which its subclasses name."""


class OneBaton(Broken):
    async def begin(self) -> None:
        stream = await self.session.create_unidirectional_stream()
        await stream.write_all(encoded(self.terms.first()))


class Silent(Broken):
    async def answer(self, baton: int, leg: Leg, stream: Any) -> None:
        pass


class OneWay(Broken):
    """Answers on unidirectional streams only."""

    async def answer(self, baton: int, leg: Leg, stream: Any) -> None:
        await (await self.session.create_unidirectional_stream()).write_all(encoded(baton))


class Quiet(Broken):
    async def notify(self, baton: int) -> None:
        pass


class Bare(Broken):
    def padding(self, baton: int) -> int:
        return 0


class Rude(Broken):
    """Gives up, with a code of its own."""

    async def give_up(self, code: SessionCode) -> None:
        await self.session.close(99)


class Careless(Broken):
    async def on_stop(self, stream: Any) -> None:
        await stream.reset(77)


class Touchy(Broken):
    async def on_reset(self, leg: Leg) -> None:
        await self.session.close(0)


class Endless(Broken):
    async def finish(self) -> None:
        await self.session.close(1)


BROKEN = {
    "begin": OneBaton,
    "reply": Silent,
    "alternate": OneWay,
    "datagram": Quiet,
    "padding": Bare,
    "malformed": Rude,
    "unexpected": Rude,
    "abandoned": Careless,
    "lie": Touchy,
    "end": Endless,
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_check_finds_who_breaks_its_rule(client: WebTransportClient, start: Any, name: str) -> None:
    """One rule is broken, and the check of that rule says so."""
    async with start(BROKEN[name]) as origin:
        failure = (await run_checks(client, origin, checks=[BY_NAME[name]], patience=0.5))[name]
    assert failure is not None


@pytest.mark.parametrize("name", ["version", "count", "value"])
async def test_a_check_finds_who_accepts_everything(client: WebTransportClient, start: Any, pem: tuple[str, str], name: str) -> None:
    app = ServerApp(ServerConfig(certfile=pem[0], keyfile=pem[1], close_timeout=0.2))

    @app.route(PATH)
    async def accept(session: WebTransportSession) -> None:
        await session.wait_closed()

    async with start(app=app) as origin:
        assert "accepts" in str((await run_checks(client, origin, checks=[BY_NAME[name]]))[name])


async def test_noise_ends_a_game_and_not_the_server(client: WebTransportClient, origin: str) -> None:
    """Whatever comes on whatever stream, sooner or later it is not a message, or not the one that is due."""
    chance = random.Random(16)
    for _ in range(5):
        async with await client.connect(f"{origin}{PATH}?count=3") as session:
            with suppress(SessionError, StreamError):
                while True:
                    opening = chance.choice([session.create_bidirectional_stream, session.create_unidirectional_stream])
                    await (await opening()).write_all(chance.randbytes(chance.randint(0, 20)))
            await session.wait_closed()
            assert session.close_code in (0, SessionCode.BRUH, SessionCode.SUS)
    assert await run_checks(client, origin, checks=[BY_NAME["end"]]) == {"end": None}
