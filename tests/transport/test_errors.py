"""The error tree: its shape, its attributes and its texts, however an error was made and wherever it travels."""

import copy
import pickle

import pytest
import web_transport
from web_transport import errors

PARENTS = {
    "SessionError": "WebTransportError",
    "ConnectError": "SessionError",
    "SessionRejected": "ConnectError",
    "SessionClosed": "SessionError",
    "SessionClosedByPeer": "SessionClosed",
    "SessionClosedLocally": "SessionClosed",
    "SessionTimeout": "SessionError",
    "ProtocolError": "SessionError",
    "StreamError": "WebTransportError",
    "StreamClosed": "StreamError",
    "StreamClosedByPeer": "StreamClosed",
    "StreamClosedLocally": "StreamClosed",
    "StreamTooLongError": "StreamError",
    "StreamIncompleteReadError": "StreamError",
    "DatagramError": "WebTransportError",
    "DatagramTooLargeError": "DatagramError",
    "DatagramNotSupportedError": "DatagramError",
}
ATTRIBUTES = {
    "SessionRejected": ["status_code", "headers", "body"],
    "SessionClosedByPeer": ["source", "code", "reason"],
    "StreamClosedByPeer": ["kind", "code"],
    "StreamTooLongError": ["limit"],
    "StreamIncompleteReadError": ["expected", "partial"],
    "DatagramNotSupportedError": ["reason"],
}
FILLED = [
    errors.SessionRejected(403),
    errors.SessionRejected(503, [("retry-after", "120")], b"later"),
    errors.SessionClosedByPeer("application", 7, "bye"),
    errors.SessionClosedByPeer(source="connection-reset", code=None, reason=""),
    errors.StreamClosedByPeer("stop", 9),
    errors.StreamClosedByPeer(kind="reset", code=None),
    errors.StreamTooLongError(limit=10),
    errors.StreamIncompleteReadError(5, b"ab"),
    errors.StreamIncompleteReadError(None, b"ab"),
    errors.DatagramNotSupportedError("disabled_locally"),
    errors.ConnectError("cannot connect to here: no"),
    errors.SessionTimeout(),
]


@pytest.mark.parametrize(("name", "parent"), PARENTS.items())
def test_tree(name, parent):
    """Catching a class catches what hangs below it."""
    assert getattr(web_transport, name).__bases__ == (getattr(web_transport, parent),)


def test_root_is_an_exception():
    """Errors are exceptions, and not operating system errors or time-outs of the standard library."""
    assert web_transport.WebTransportError.__bases__ == (Exception,)


@pytest.mark.parametrize("name", [*PARENTS, "WebTransportError"])
def test_attributes_and_text_exist_however_an_error_was_made(name):
    """Made empty, with a text, or without its constructor: attributes can be read, and there is a text."""
    cls = getattr(web_transport, name)
    for error in (cls(), cls("text"), cls.__new__(cls)):
        for attribute in ATTRIBUTES.get(name, []):
            getattr(error, attribute)
        assert str(error)


@pytest.mark.parametrize("error", FILLED, ids=repr)
@pytest.mark.parametrize("travel", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_errors_pickle(error, travel):
    """An error that crosses a process boundary is the same on the other side."""
    other = travel(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.SessionRejected(403), "server rejected the session: status 403"),
        (errors.SessionRejected(503, {"retry-after": "1"}, b"later"), "server rejected the session: status 503, body b'later'"),
        (errors.SessionClosedByPeer("session", 7, "bye"), "session closed by peer: session, code 7, reason 'bye'"),
        (errors.SessionClosedLocally(), "session closed locally"),
        (errors.StreamClosedByPeer("stop", 9), "peer closed the stream: stop, code 9"),
        (errors.StreamIncompleteReadError(5, b"ab"), "peer finished the stream early: 2 bytes of 5 expected"),
        (errors.StreamIncompleteReadError(None, b"ab"), "peer finished the stream early: 2 bytes and no separator"),
        (errors.ConnectError("cannot connect: why"), "cannot connect: why"),
    ],
)
def test_texts_say_who_what_and_which_code(error, text):
    """Who did what, and with which code; a sentence in lower case without a full stop."""
    assert str(error) == text
