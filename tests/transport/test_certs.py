"""Certificates made here are what browsers accept for pinning, and hashes are those that browsers compute."""

import asyncio
import hashlib
import ssl
import time

import pytest
import web_transport
from cryptography.hazmat.primitives import serialization

from .authority import Authority

DAY = 24 * 60 * 60


@pytest.fixture
def decode(tmp_path):
    """Reads a certificate the way the standard library does."""

    def decode(certificate):
        path = tmp_path / "certificate.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(certificate))
        return ssl._ssl._test_decode_cert(str(path))

    return decode


def test_certificate_and_key_belong_together(tmp_path):
    """The key is PKCS#8 and fits the certificate; OpenSSL checks it."""
    certificate, key = web_transport.generate_self_signed(["localhost"])
    pem = ssl.DER_cert_to_PEM_cert(certificate) + ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "PRIVATE KEY")
    path = tmp_path / "both.pem"
    path.write_text(pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


@pytest.mark.parametrize("days", [1, 13, 400])
def test_validity_is_what_was_asked_for(decode, days):
    """Who pins nothing may want a certificate for longer, or for less."""
    found = decode(web_transport.generate_self_signed(["localhost"], validity=days * DAY)[0])
    assert ssl.cert_time_to_seconds(found["notAfter"]) - ssl.cert_time_to_seconds(found["notBefore"]) == days * DAY
    assert ssl.cert_time_to_seconds(found["notBefore"]) < time.time()


@pytest.mark.parametrize("validity", [0, -1, float("nan"), float("inf"), 101 * 365 * DAY])
def test_validity_that_is_none(validity):
    """It is a number of seconds that dates can express."""
    with pytest.raises(ValueError, match="validity must be"):
        web_transport.generate_self_signed(["localhost"], validity=validity)


def test_validity_is_at_most_14_days(decode):
    """W3C: a pinned certificate is valid for no more than two weeks; it is valid now, even if clocks differ a little."""
    found = decode(web_transport.generate_self_signed(["localhost"])[0])
    start, end = (ssl.cert_time_to_seconds(found[key]) for key in ("notBefore", "notAfter"))
    assert 13 * DAY < end - start <= 14 * DAY
    assert start <= time.time() < end


def test_names_are_addresses_where_they_parse(decode):
    """An entry that is an IP address is one in the certificate too; all others are DNS names."""
    found = decode(web_transport.generate_self_signed(["example.com", "127.0.0.1", "::1"])[0])
    assert found["subjectAltName"] == (
        ("DNS", "example.com"),
        ("IP Address", "127.0.0.1"),
        ("IP Address", "0:0:0:0:0:0:0:1"),
    )


def test_serials_are_random(decode):
    """Two certificates of the same name never share a serial number."""
    serials = {decode(web_transport.generate_self_signed(["localhost"])[0])["serialNumber"] for _ in range(10)}
    assert len(serials) == 10


def test_no_name_is_an_error():
    """A certificate for nobody is good for nothing."""
    with pytest.raises(ValueError, match="must not be empty"):
        web_transport.generate_self_signed([])


@pytest.mark.parametrize("name", ["not a name\N{SNOWMAN}", "b\u00fccher"])
def test_what_is_neither_address_nor_name_is_an_error(name):
    """DNS names in certificates are ASCII (RFC 5280 §4.2.1.6)."""
    with pytest.raises(ValueError, match="name"):
        web_transport.generate_self_signed([name])


def test_hash_is_sha256_of_the_der():
    """What browsers call a certificate hash."""
    certificate, _ = web_transport.generate_self_signed(["localhost"])
    assert web_transport.certificate_hash(certificate) == hashlib.sha256(certificate).digest()


def test_text_is_a_type_error():
    """Bytes and lists are not guessed from a str."""
    with pytest.raises(TypeError):
        web_transport.certificate_hash("localhost")
    with pytest.raises(TypeError, match="^subject_alt_names must be a list of str, not one by itself: 'localhost'$"):
        web_transport.generate_self_signed("localhost")


def pem(label, der):
    """A section as OpenSSL writes it."""
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", label)


def test_certificates_are_loaded_in_order(tmp_path):
    """A chain comes as it is in the file; keys and words between are passed over (RFC 7468 §2)."""
    certificates = [web_transport.generate_self_signed([name])[0] for name in ("one.test", "two.test")]
    key = web_transport.generate_self_signed(["localhost"])[1]
    path = tmp_path / "chain.pem"
    path.write_text("subject=one\n" + pem("CERTIFICATE", certificates[0]) + pem("PRIVATE KEY", key) + pem("CERTIFICATE", certificates[1]))
    assert web_transport.load_certificates(path) == web_transport.load_certificates(str(path)) == certificates
    assert web_transport.load_private_key(path) == key


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("kind", ["p256", "rsa"])
async def test_what_is_loaded_serves(tmp_path, make_server, form, kind):
    """PKCS#8, PKCS#1 and SEC 1 files, as other tools write them, make servers."""
    authority = Authority()
    certificate, key = authority.issue(kind=kind)
    (tmp_path / "certificate.pem").write_text(pem("CERTIFICATE", certificate))
    private = serialization.load_der_private_key(key, None)
    encoding = (serialization.Encoding.PEM, form, serialization.NoEncryption())
    (tmp_path / "key.pem").write_bytes(private.private_bytes(*encoding))
    server = make_server(
        certificate_chain=web_transport.load_certificates(tmp_path / "certificate.pem"),
        private_key=web_transport.load_private_key(tmp_path / "key.pem"),
    )
    async with web_transport.Client(ca_certificates=[authority.root]) as client:
        connecting = asyncio.create_task(client.connect(f"https://localhost:{server.local_addr[1]}/"))
        request = await server.accept()
        await request.accept()
        await connecting


def test_errors_name_the_file_and_what_is_in_it(tmp_path, certificate):
    """Whoever mixes up two files learns which, and why."""
    path = tmp_path / "file.pem"
    encrypted = serialization.BestAvailableEncryption(b"password")
    private = serialization.load_der_private_key(certificate[1], None)
    encodings = [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL]
    key = pem("PRIVATE KEY", certificate[1])
    for load, text, expected in [
        (web_transport.load_certificates, key, "no certificate in it, but PRIVATE KEY"),
        (web_transport.load_certificates, "words", "no certificate in it, but nothing in PEM at all"),
        (web_transport.load_certificates, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "cannot be read"),
        (web_transport.load_private_key, pem("CERTIFICATE", certificate[0]), "no private key in it, but CERTIFICATE"),
        (web_transport.load_private_key, pem("OPENSSH PRIVATE KEY", b"x"), "but OPENSSH PRIVATE KEY"),
        (web_transport.load_private_key, key + key, "more than one private key"),
        *[
            (web_transport.load_private_key, private.private_bytes(serialization.Encoding.PEM, e, encrypted).decode(), "encrypted")
            for e in encodings
        ],
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=expected) as caught:
            load(path)
        assert str(path) in str(caught.value)
    for load in (web_transport.load_certificates, web_transport.load_private_key):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "nothing.pem")
