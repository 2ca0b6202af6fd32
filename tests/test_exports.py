"""The public names are those of the contract, and each of them is documented."""

import inspect
from importlib.metadata import version

import pytest
import pywebtransport
import web_transport

NAMES = """
    Headers HttpRequest HttpResponse
    Server SessionRequest Client Session SendStream RecvStream SendGroup generate_self_signed certificate_hash
    load_certificates load_private_key init_tracing
    WebTransportError SessionError ConnectError SessionRejected SessionClosed SessionClosedByPeer SessionClosedLocally
    SessionTimeout ProtocolError StreamError StreamClosed StreamClosedByPeer StreamClosedLocally StreamTooLongError
    SendStreamStats RecvStreamStats SessionStats DatagramStats EndpointStats Datagrams
    StreamIncompleteReadError DatagramError DatagramTooLargeError DatagramNotSupportedError
""".split()


def test_all_is_exactly_the_contract():
    """A name is public because the contract has it, and for no other reason."""
    assert sorted(web_transport.__all__) == sorted(NAMES)
    assert len(set(web_transport.__all__)) == len(web_transport.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name):
    """Every public class, function, method and property says what it does."""
    public = getattr(web_transport, name)
    assert inspect.getdoc(public)
    for member, value in vars(public).items() if inspect.isclass(public) else ():
        if not member.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


def test_inherited_methods_are_public_too():
    """What server and client have in common is documented where it is written."""
    for endpoint in (web_transport.Server, web_transport.Client):
        for member in ("close", "wait_closed"):
            assert inspect.getdoc(getattr(endpoint, member))


def test_signatures_are_those_of_the_contract():
    """Names, kinds and defaults of arguments are what users rely on."""
    options = "congestion_control='default', max_idle_timeout=30, keep_alive_interval=None"
    expected = {
        "Server": f"*, certificate_chain, private_key, bind='[::]:4433', {options}",
        "Client": f"*, server_certificate_hashes=None, no_cert_verification=False, {options}",
        "Server.close": "self, code=0, reason=''",
        "Client.close": "self, code=0, reason=''",
        "Client.connect": "self, url, *, headers=(), subprotocols=(), require_subprotocol=False, timeout=None, pool=False",
        "Server.reload_certificates": "self, certificate_chain, private_key",
        "SessionRequest.accept": "self, *, status_code=200, subprotocol=None, headers=()",
        "SessionRequest.reject": "self, status_code=404, *, headers=(), body=b''",
        "Session.close": "self, code=0, reason=''",
        "SendStream.reset": "self, error_code=0",
        "RecvStream.read": "self, n=-1, *, limit=None",
        "RecvStream.stop": "self, error_code=0",
        "generate_self_signed": "subject_alt_names, *, validity=None",
        "certificate_hash": "certificate_der",
    }
    for name, signature in expected.items():
        owner, _, method = name.partition(".")
        function = getattr(web_transport, owner)
        found = inspect.signature(getattr(function, method) if method else function)
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
        if owner == name and owner in ("Server", "Client"):  # more keyword arguments may follow
            assert str(inspect.Signature(bare)).startswith(f"({signature}, "), name
        else:
            assert str(inspect.Signature(bare)) == f"({signature})", name


def test_the_framework_has_the_version_of_the_distribution():
    """There is one version, and it is that of the distribution."""
    assert pywebtransport.__version__ == version("webtransport-python")


@pytest.mark.parametrize("name", ["Session", "SendStream", "RecvStream", "SessionRequest"])
def test_what_the_library_makes_users_cannot(name):
    """Sessions, streams and requests come from calls, not from constructors."""
    with pytest.raises(TypeError):
        getattr(web_transport, name)()
