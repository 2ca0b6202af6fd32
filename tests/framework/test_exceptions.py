"""Errors: one tree, every one a value, and the transport's errors are told in its words."""

import builtins
import copy
import pickle

import pytest
import web_transport
from pywebtransport import exceptions

KINDS = [kind for name in exceptions.__all__ if isinstance(kind := getattr(exceptions, name), type)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_is_a_value(kind):
    """Errors are pickled and copied with all that they say, those too that are builtins with arguments of their own."""
    error = kind("it failed", 7, {"a": 1}) if kind is not exceptions.ConfigurationError else kind("it failed", "port", -1)
    assert isinstance(error, exceptions.WebTransportError)
    assert str(error) == error.message == "it failed"
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(same) is kind
        assert same.to_dict() == error.to_dict()
        assert str(same) == "it failed"
        assert same.args == error.args
    plain = error.to_dict()
    assert plain["type"] == kind.__name__
    assert plain["message"] == "it failed"
    assert set(plain) == {"type", "category", "message", "error_code", "details", "is_fatal", "is_retriable"}
    assert kind().error_code is None


def test_categories_tell_the_errors_apart():
    """Each class has a word of its own, but those that refine another's."""
    assert len({kind.category for kind in KINDS}) >= len(KINDS) - 1  # SessionClosedError is about a session


def test_builtins_catch_what_is_called_like_them():
    """``except ConnectionError`` and ``except TimeoutError`` mean ours, whichever is in scope."""
    assert issubclass(exceptions.ConnectionError, builtins.ConnectionError)
    assert issubclass(exceptions.TimeoutError, builtins.TimeoutError)
    assert issubclass(exceptions.ConfigurationError, ValueError)


TRANSLATIONS = [
    (web_transport.ConnectError("cannot connect to a.test: refused"), exceptions.ConnectionError, None, {}),
    (web_transport.SessionRejected(404), exceptions.HandshakeError, None, {"status_code": 404}),
    (web_transport.SessionRejected(401), exceptions.AuthenticationError, None, {"status_code": 401}),
    (web_transport.SessionClosedByPeer("session", 7, "bye"), exceptions.SessionClosedError, 7, {"source": "peer", "reason": "bye"}),
    (web_transport.SessionClosedByPeer("application", 8, "x"), exceptions.ConnectionError, 8, {"source": "application", "reason": "x"}),
    (web_transport.SessionClosedByPeer("connection-reset"), exceptions.ConnectionError, None, {"source": "connection-reset"}),
    (web_transport.SessionClosedLocally(), exceptions.SessionClosedError, None, {"source": "local"}),
    (web_transport.SessionTimeout(), exceptions.ConnectionError, None, {"source": "timeout"}),
    (web_transport.ProtocolError("who"), exceptions.ProtocolError, None, {}),
    (web_transport.SessionError("already accepted"), exceptions.SessionError, None, {}),
    (web_transport.StreamClosedByPeer("reset", 9), exceptions.StreamError, 9, {"kind": "reset"}),
    (web_transport.StreamClosedLocally(), exceptions.StreamError, None, {}),
    (web_transport.StreamTooLongError(5), exceptions.StreamError, None, {"limit": 5}),
    (web_transport.StreamIncompleteReadError(4, b"ab"), exceptions.StreamError, None, {"expected": 4, "partial": b"ab"}),
    (web_transport.DatagramTooLargeError(), exceptions.DatagramError, None, {}),
    (web_transport.DatagramNotSupportedError(), exceptions.DatagramError, None, {}),
    (web_transport.WebTransportError("?"), exceptions.WebTransportError, None, {}),
]


@pytest.mark.parametrize(("error", "kind", "code", "details"), TRANSLATIONS, ids=lambda value: type(value).__name__)
def test_the_transport_is_translated_with_all_it_says(error, kind, code, details):
    """The text, codes, reasons, statuses and bytes of the transport's error are in ours, and the error itself is the cause."""
    with pytest.raises(kind) as caught, exceptions.translating:
        raise error
    assert type(caught.value) is kind
    assert caught.value.__cause__ is error
    assert str(caught.value) == str(error)
    assert caught.value.error_code == code
    assert caught.value.details.items() >= details.items()


def test_every_error_of_the_transport_has_a_translation():
    """A class that is added to the transport gets a row above."""
    named = {name for name in web_transport.__all__ if isinstance(getattr(web_transport, name), type)}
    leaves = {name for name in named if issubclass(getattr(web_transport, name), web_transport.WebTransportError)}
    abstract = {"StreamError", "StreamClosed", "SessionClosed", "DatagramError"}
    assert {type(row[0]).__name__ for row in TRANSLATIONS} == leaves - abstract


def test_what_is_not_the_transports_passes():
    """Only errors of the transport are translated."""
    with pytest.raises(KeyError), exceptions.translating:
        raise KeyError


def test_a_rejection_says_whether_to_try_again():
    """A status that passes is worth another attempt, another is not."""
    for status, retriable in ((503, True), (429, True), (404, False), (302, False)):
        error = exceptions.translated(web_transport.SessionRejected(status))
        assert isinstance(error, exceptions.HandshakeError)
        assert (error.status_code, error.is_retriable) == (status, retriable)
        assert pickle.loads(pickle.dumps(error)).is_retriable == retriable


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_may_be_made_of_another(kind):
    """What was caught is given for a message as often as its text is: an error that cannot be told would hide both."""
    error = kind(OSError("the disk is full"))
    assert (str(error), error.message) == ("the disk is full", "the disk is full")
    assert pickle.loads(pickle.dumps(error)).to_dict() == error.to_dict()
