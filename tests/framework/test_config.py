"""Configurations: every field is checked by its row, values never change, and every way to make one gives the same."""

import copy
import dataclasses
import pickle
import ssl

import pytest
from pywebtransport import ClientConfig, ConfigurationError, ServerConfig

BOTH = pytest.mark.parametrize("kind", [ClientConfig, ServerConfig])

# A value that each field must refuse: there is a row for every one
WRONG = {
    "allowed_origins": "https://a.example",
    "bind_host": 1,
    "bind_port": 65536,
    "ca_certs": 1,
    "certfile": b"a.crt",
    "close_timeout": -1,
    "congestion_control_algorithm": "vegas",
    "connect_timeout": None,
    "connection_attempt_delay": float("nan"),
    "connection_receive_window": 0,
    "connection_send_window": 1 << 62,
    "headers": {"x": 1},
    "initial_max_data": 1.5,
    "initial_max_streams_bidi": -1,
    "initial_max_streams_uni": True,
    "keep_alive_interval": -0.1,
    "keyfile": 2,
    "max_capsule_size": 0,
    "max_connections": 0,
    "max_field_section_size": 1023,
    "max_idle_timeout": float("inf"),
    "max_pending_datagrams": -1,
    "max_pending_streams": "32",
    "max_sessions": 0,
    "max_streams_bidi": 0,
    "max_streams_uni": None,
    "max_udp_payload_size": 1199,
    "max_write_buffer_size": 0,
    "pending_event_ttl": 0,
    "read_timeout": -1,
    "server_certificate_hashes": [b"short"],
    "stream_create_timeout": False,
    "stream_receive_window": -1,
    "user_agent": b"x",
    "verify_mode": 7,
    "write_timeout": "1",
    "wt_available_protocols": "chat",
}


@BOTH
def test_defaults_are_those_of_the_contract(kind):
    """A configuration without arguments has the defaults that the contract names."""
    config = kind()
    expected = {
        "close_timeout": 5.0,
        "congestion_control_algorithm": "cubic",
        "connection_receive_window": 16 * 1024 * 1024,
        "connection_send_window": 16 * 1024 * 1024,
        "initial_max_data": 16 * 1024 * 1024,
        "keep_alive_interval": 30.0,
        "max_capsule_size": 65536,
        "max_field_section_size": 65536,
        "max_idle_timeout": 60.0,
        "max_streams_bidi": 100,
        "max_streams_uni": 100,
        "max_udp_payload_size": 1472,
        "max_write_buffer_size": 1024 * 1024,
        "pending_event_ttl": 5.0,
        "read_timeout": None,
        "stream_create_timeout": 10.0,
        "stream_receive_window": 8 * 1024 * 1024,
        "verify_mode": ssl.CERT_REQUIRED if kind is ClientConfig else ssl.CERT_NONE,
    }
    assert {name: getattr(config, name) for name in expected} == expected


@BOTH
def test_every_field_has_a_check(kind):
    """A bad value is an error that names the field and what is allowed, and there is a bad value for every field."""
    for each in dataclasses.fields(kind):
        with pytest.raises(ConfigurationError, match=f"^{each.name} must be ") as caught:
            kind(**{each.name: WRONG[each.name]})
        assert caught.value.config_key == each.name
        assert caught.value.config_value is WRONG[each.name]
        assert isinstance(caught.value, ValueError)


@BOTH
def test_an_unknown_field_is_an_error_that_names_the_known(kind):
    """A misspelt field is told like a bad value."""
    for make in (kind.create, kind().update, lambda **values: kind.from_dict(values)):
        with pytest.raises(ConfigurationError, match="has no field 'idle_timeout': it has .*max_idle_timeout") as caught:
            make(idle_timeout=5)
        assert caught.value.config_key == "idle_timeout"


@BOTH
def test_a_certificate_needs_its_key(kind):
    """One without the other is of no use, and the error says which is missing."""
    with pytest.raises(ConfigurationError, match="keyfile must be given too"):
        kind(certfile="a.crt")
    with pytest.raises(ConfigurationError, match="certfile must be given too"):
        kind(keyfile="a.key")
    assert kind(certfile="a.crt", keyfile="a.key").certfile == "a.crt"


@BOTH
def test_copies_are_equal_and_updates_are_new(kind):
    """There is no way to change a configuration, and many to make another."""
    config = kind.create(max_idle_timeout=7)
    assert config == kind(max_idle_timeout=7) != kind()
    for same in (
        config.copy(),
        copy.copy(config),
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        kind.from_dict(config.to_dict()),
    ):
        assert same == config
        assert same is not config
    assert config.update(max_idle_timeout=8).max_idle_timeout == dataclasses.replace(config, max_idle_timeout=8).max_idle_timeout == 8
    assert config.max_idle_timeout == 7
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_idle_timeout = 9
    with pytest.raises(ConfigurationError, match="max_idle_timeout must be a number of seconds from 0 on, or None: -1"):
        config.update(max_idle_timeout=-1)
    with pytest.raises(ConfigurationError):
        dataclasses.replace(config, max_idle_timeout=-1)
