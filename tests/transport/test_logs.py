"""Logs for those who look into connections: TLS's secrets, and qlog."""

import json
import shutil
import stat
import sys

import pytest
from web_transport import Client

SECRETS = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}


async def talk(connect, client, server):
    """A session with something to record, to its end and that of both endpoints."""
    pair = await connect(client, server)
    send, recv = await pair.uni()
    async with send:
        await send.write(bytes(100_000))
    assert await recv.read() == bytes(100_000)
    pair.client.close()
    await pair.client.wait_closed()
    for endpoint in (client, server):
        endpoint.close()
        await endpoint.wait_closed()


def secrets(path):
    """The secrets of a key log, by label and client random."""
    return {(label, random): secret for label, random, secret in map(str.split, path.read_text().splitlines())}


async def test_key_logs_hold_the_secrets_of_both_sides(tmp_path, make_server, make_client, connect):
    """What one side logs, the other does, for they are the same; each handshake adds its own, for its owner's eyes only."""
    ours, theirs = tmp_path / "client.txt", tmp_path / "server.txt"
    server = make_server(keylog=str(theirs))
    for connections in (1, 2):
        await connect(make_client(keylog=ours), server)
        assert secrets(ours).items() <= secrets(theirs).items()
        assert {label for label, _ in secrets(ours)} >= SECRETS
        assert len({random for _, random in secrets(ours)}) == connections
    if sys.platform != "win32":
        assert stat.S_IMODE(ours.stat().st_mode) == 0o600


async def test_the_environment_chooses_only_if_asked(tmp_path, monkeypatch, make_server, make_client, connect):
    """SSLKEYLOGFILE means nothing unless `keylog` is True, and True means nothing without it."""
    path = tmp_path / "keys.txt"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    await connect(make_client(keylog=False), make_server())
    assert not path.exists()
    await connect(make_client(keylog=True), make_server())
    assert secrets(path)
    monkeypatch.delenv("SSLKEYLOGFILE")
    await connect(make_client(keylog=True), make_server())


async def test_a_reloaded_certificate_is_logged_too(tmp_path, certificate, make_server, make_client, connect):
    """`reload_certificates` goes on with the same key log."""
    path = tmp_path / "keys.txt"
    server = make_server(keylog=path)
    server.reload_certificates([certificate[0]], certificate[1])
    await connect(make_client(), server)
    assert secrets(path)


@pytest.mark.parametrize("options", [{"keylog": "nothing/keys.txt"}, {"qlog_dir": "file/qlog"}, {"qlog_dir": "file"}])
def test_what_cannot_be_opened_is_an_error_at_once(tmp_path, make_server, options):
    """An OSError that names the file, and nothing is bound."""
    (tmp_path / "file").touch()
    [(name, path)] = options.items()
    for make in (make_server, Client):
        with pytest.raises(OSError, match=path) as caught:
            make(**{name: tmp_path / path})
        assert caught.value.errno


async def test_every_connection_has_a_qlog(tmp_path, make_server, make_client, connect):
    """Both sides' files have the name of the connection, and hold what qvis wants: a header, and events with times and packets."""
    for _ in range(2):
        await talk(connect, make_client(qlog_dir=tmp_path / "deep/client"), make_server(qlog_dir=str(tmp_path / "server")))
    client, server = sorted((tmp_path / "deep/client").iterdir()), sorted((tmp_path / "server").iterdir())
    assert [path.name.removesuffix("_client.sqlog") for path in client] == [path.name.removesuffix("_server.sqlog") for path in server]
    assert len(client) == 2
    for path in client + server:
        text = path.read_text()
        assert text.startswith("\x1e")  # RFC 7464: JSON text sequences
        header, *events = [json.loads(record) for record in text.split("\x1e")[1:]]
        assert header["qlog_format"] == "JSON-SEQ"
        assert header["title"] == path.stem
        assert {"transport:packet_sent", "transport:packet_received", "recovery:metrics_updated"} <= {event["name"] for event in events}
        times = [event["time"] for event in events]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1]


async def test_a_qlog_that_cannot_be_written_harms_nobody(tmp_path, make_server, make_client, connect):
    """The directory goes away: connections go on without a log."""
    server = make_server(qlog_dir=tmp_path / "qlog")
    shutil.rmtree(tmp_path / "qlog")
    await talk(connect, make_client(), server)
