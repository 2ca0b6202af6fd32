"""Certificates made here are what browsers accept for pinning, and hashes are those that browsers compute."""

import hashlib
import ssl
import time

import pytest
import web_transport

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


@pytest.mark.parametrize("call", [web_transport.certificate_hash, web_transport.generate_self_signed])
def test_text_is_a_type_error(call):
    """Bytes and lists are not guessed from a str."""
    with pytest.raises(TypeError):
        call("localhost")
