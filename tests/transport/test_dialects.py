"""Versions of WebTransport: which is spoken, and what is told where there is none in common (WT §7.1)."""

import pytest
from web_transport import ConnectError

ALL = ["draft-02", "draft-07", "draft-14", "draft-16"]


@pytest.mark.parametrize("dialect", ALL)
async def test_every_version_carries_streams_and_datagrams(make_server, make_client, connect, dialect):
    """Whichever side leaves the others out, this one is spoken, and does what the newest does."""
    for ours, theirs in [([dialect], ALL), (ALL, [dialect])]:
        pair = await connect(make_client(dialects=ours), make_server(dialects=theirs))
        assert (pair.client.dialect, pair.server.dialect) == (dialect, dialect)
        send, recv = await pair.uni()
        await send.write(b"hello")
        await send.finish()
        assert await recv.read() == b"hello"
        await pair.server.send_datagram(b"datagram")
        assert await pair.client.receive_datagram() == b"datagram"
        pair.client.close(7, "bye")
        await pair.server.wait_closed()
        assert pair.server.close_reason.code == 7


async def test_the_default_is_the_newest_and_leaves_out_draft_14(make_server, make_client, connect):
    """Draft-14 is for those who ask for it: Safari would prefer it to draft-07."""
    pair = await connect(make_client(), make_server())
    assert pair.client.dialect == "draft-16"
    client = make_client(dialects=["draft-14"])
    server = make_server()
    with pytest.raises(ConnectError, match="it speaks draft-02, draft-07, draft-16, we offer draft-14"):
        await client.connect(f"https://127.0.0.1:{server.local_addr[1]}/")


@pytest.mark.parametrize("dialects", [[], ["draft-01"], ["draft-16", ""], ["DRAFT-16"]])
def test_unknown_versions_and_none_at_all_are_refused(make_server, make_client, dialects):
    """An endpoint that speaks nothing would never connect."""
    for make in (make_server, make_client):
        with pytest.raises(ValueError, match="dialects"):
            make(dialects=dialects)


@pytest.mark.parametrize("dialects", ["draft-16", None, 16, [16]])
def test_versions_are_a_sequence_of_words(make_client, dialects):
    """One word is not a sequence of words, although it is a sequence."""
    with pytest.raises(TypeError, match="dialects"):
        make_client(dialects=dialects)
