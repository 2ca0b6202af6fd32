"""What configurations mean to the transport."""

import os
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import web_transport

from .config import ClientConfig, ServerConfig
from .exceptions import ClientError, ConfigurationError, ServerError

_Endpoint = TypeVar("_Endpoint", web_transport.Client, web_transport.Server)

_CONGESTION_CONTROL = {"bbr": "low_latency", "cubic": "default", "reno": "default"}


def client(config: ClientConfig) -> web_transport.Client:
    """The transport's client."""
    options = _common(config) | {"connection_attempt_delay": config.connection_attempt_delay}
    pinned = config.server_certificate_hashes is not None
    if config.verify_mode == ssl.CERT_NONE and not pinned:
        options["no_cert_verification"] = True
    elif pinned:
        options["server_certificate_hashes"] = list(config.server_certificate_hashes or ())
    elif config.ca_certs is not None:
        options["ca_certificates"] = _certificates("ca_certs", config.ca_certs)
    return _made(web_transport.Client, {**options, **_identity(config)})


def server(config: ServerConfig, bind: str, http_handler: Callable[..., Any] | None = None) -> web_transport.Server:
    """The transport's server; it listens from now on."""
    if config.certfile is None:
        message = "certfile must be the path of a PEM file: a server needs a certificate; run(dev=True) makes one"
        raise ConfigurationError(message, "certfile", None)
    options = _common(config) | _identity(config)
    options |= {"max_connections": config.max_connections, "max_sessions": config.max_sessions, "allowed_origins": config.allowed_origins}
    if config.verify_mode != ssl.CERT_NONE:
        if config.ca_certs is None:
            raise ConfigurationError("ca_certs must be the path of a PEM file: there is nothing to verify clients with", "ca_certs", None)
        options["client_ca_certificates"] = _certificates("ca_certs", config.ca_certs)
        options["require_client_certificate"] = config.verify_mode == ssl.CERT_REQUIRED
    return _made(web_transport.Server, {"bind": bind, "http_handler": http_handler, **options})


def reload(transport: web_transport.Server, config: ServerConfig) -> None:
    """Have a server use the certificate of a configuration for new connections."""
    try:
        transport.reload_certificates(**_identity(config))
    except ValueError as error:
        raise ConfigurationError(f"certfile and keyfile must fit each other: {error}", "certfile", config.certfile) from error


def _common(config: ClientConfig | ServerConfig) -> dict[str, Any]:
    return {
        "congestion_control": _CONGESTION_CONTROL[config.congestion_control_algorithm],
        "max_idle_timeout": config.max_idle_timeout,
        "keep_alive_interval": config.keep_alive_interval,
        "stream_receive_window": config.stream_receive_window,
        "session_receive_window": config.initial_max_data,
        "receive_window": config.connection_receive_window,
        "send_window": config.connection_send_window,
        "max_streams": max(config.max_streams_bidi, config.max_streams_uni),
        "max_header_bytes": config.max_field_section_size,
        "max_pending_streams": config.max_pending_streams,
        "max_pending_datagrams": config.max_pending_datagrams,
        "pending_timeout": config.pending_event_ttl,
    }


def _identity(config: ClientConfig | ServerConfig) -> dict[str, Any]:
    if config.certfile is None or config.keyfile is None:
        return {}
    chain = _certificates("certfile", config.certfile)
    try:
        return {"certificate_chain": chain, "private_key": web_transport.load_private_key(config.keyfile)}
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"keyfile must be the path of a PEM file with one private key: {error}", "keyfile", config.keyfile
        ) from error


def _certificates(field: str, path: "str | os.PathLike[str]") -> list[bytes]:
    try:
        return web_transport.load_certificates(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{field} must be the path of a PEM file with certificates: {error}", field, path) from error


def _made(kind: type[_Endpoint], options: dict[str, Any]) -> _Endpoint:
    """The transport's endpoint; the fields have been checked, so what is wrong is their files, or the address."""
    try:
        return kind(**options)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) or str(error).startswith("cannot bind"):
            raise (ServerError if kind is web_transport.Server else ClientError)(str(error)) from error
        raise ConfigurationError(str(error)) from error
