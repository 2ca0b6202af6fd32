"""The framework's public names: where they are, and how they are called, which is what users rely on."""

import inspect

import pytest
import pywebtransport
from pywebtransport import (
    app,
    balancer,
    client,
    cluster,
    config,
    connection,
    constants,
    datagrams,
    events,
    exceptions,
    fleet,
    manager,
    messaging,
    middleware,
    pool,
    reconnect,
    router,
    serializer,
    server,
    session,
    stream,
    types,
    utils,
)

BOTH_WAYS = """
    read(self, max_bytes=-1)
    read_all(self, max_bytes=None)
    readexactly(self, n)
    readline(self, limit=65536)
    readuntil(self, separator=b'\\n', limit=65536)
    stop_receiving(self, error_code=0)
    can_read
    __aiter__(self)
    __anext__(self)
"""
TO_THE_PEER = """
    write(self, data, end_stream=False)
    write_all(self, data, end_stream=True)
    reset(self, error_code=0)
    can_write
"""
ANY_STREAM = """
    close(self, error_code=None)
    diagnostics(self)
    direction
    events
    is_closed
    is_peer_initiated
    session
    state
    stream_id
    __aenter__(self)
    __aexit__(self, exc_type, exc, traceback)
"""

# The members of each class: a name alone is a property or a value
CLASSES = {
    app.ServerApp: """
        (config=None, *, http_handler=None)
        route(self, path, *, protocols=None)
        pattern_route(self, pattern, *, protocols=None)
        middleware(self, middleware)
        add_middleware(self, middleware)
        on_startup(self, handler)
        on_shutdown(self, handler)
        run(self, host=None, port=None, *, dev=False)
        serve(self, host=None, port=None)
        startup(self)
        shutdown(self)
        middleware_manager
        router
        server
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    router.RequestRouter: """
        add_route(self, path, handler, *, protocols=None, override=False)
        add_pattern_route(self, pattern, handler, *, protocols=None, override=False)
        remove_route(self, path)
        remove_pattern_route(self, pattern)
        set_default_handler(self, handler)
        get_all_routes(self)
        get_route_stats(self)
        route_request(self, session)
    """,
    middleware.MiddlewareManager: """
        add_middleware(self, middleware)
        remove_middleware(self, middleware)
        get_middleware_count(self)
        process_request(self, session)
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    middleware.MiddlewareRejected: """
        (status_code=403, headers=None)
    """,
    messaging.StructuredStream: """
        (stream, serializer, registry, max_message_size=1048576)
        send_obj(self, obj)
        receive_obj(self)
        stream
        __aiter__(self)
        __anext__(self)
    """,
    messaging.StructuredDatagramTransport: """
        (session, serializer, registry)
        send_obj(self, obj)
        receive_obj(self)
    """,
    serializer.JSONSerializer: """
        serialize(self, obj)
        deserialize(self, data, obj_type=None)
    """,
    serializer.MsgPackSerializer: """
        serialize(self, obj)
        deserialize(self, data, obj_type=None)
    """,
    serializer.MsgspecSerializer: """
        (format='json')
        serialize(self, obj)
        deserialize(self, data, obj_type=None)
    """,
    serializer.ProtobufSerializer: """
        (message_class=None)
        serialize(self, obj)
        deserialize(self, data, obj_type=None)
    """,
    middleware.RateLimiter: """
        cleanup(self)
        tracked_ips
        __call__(self, session)
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    client.WebTransportClient: """
        (config=None)
        create(config=None)
        connect(self, url, *, headers=None, wt_available_protocols=None, timeout=None)
        close(self)
        config
        connection_manager
        diagnostics(self)
        events
        is_closed
        set_default_headers(self, headers)
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    reconnect.ReconnectingClient: """
        get_session(self, wait_timeout=5.0)
        close(self)
        events
        is_closed
        is_connected
        url
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    fleet.ClientFleet: """
        (clients)
        connect_all(self, url, *, headers=None, timeout=None)
        get_client(self)
        get_client_count(self)
        close_all(self)
        clients
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    pool.SessionPool: """
        (client, url, max_size=10, *, headers=None)
        acquire(self, timeout=None)
        release(self, session)
        get(self, timeout=None)
        close(self)
        idle
        is_closed
        lent
        max_size
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    balancer.LoadBalancer: """
        get_session(self, timeout=None)
        check_health(self)
        close(self)
        get_target_stats(self)
        update_target_weight(self, target, weight)
        strategy
        targets
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    cluster.ServerCluster: """
        (configs=())
        start_all(self)
        stop_all(self)
        serve_forever(self)
        add_server(self, config)
        remove_server(self, server)
        get_cluster_stats(self)
        is_running
        servers
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    server.WebTransportServer: """
        (config=None, *, http_handler=None)
        listen(self, host=None, port=None)
        serve_forever(self)
        incoming_connections(self)
        allow_origin(self, origin)
        use_certificate(self, certfile, keyfile)
        close(self)
        config
        connection_manager
        diagnostics(self)
        events
        is_serving
        local_addresses
        session_manager
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    connection.WebTransportConnection: """
        create_session(self, path='/', *, headers=None, wt_available_protocols=None, timeout=None)
        incoming_sessions(self)
        close(self, error_code=0, reason=None)
        close_gracefully(self, timeout=None)
        wait_closed(self)
        connection_id
        diagnostics(self)
        events
        is_client
        is_closed
        remote_address
        sessions
        state
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    session.WebTransportSession: """
        accept(self, *, wt_protocol=None, headers=None)
        reject(self, status_code=403, *, headers=None, body=b'')
        create_bidirectional_stream(self)
        create_unidirectional_stream(self)
        accept_bidirectional_stream(self)
        accept_unidirectional_stream(self)
        incoming_streams(self)
        incoming_bidirectional_streams(self)
        incoming_unidirectional_streams(self)
        send_datagram(self, data)
        read_datagram(self)
        datagrams
        drain(self)
        close(self, error_code=0, reason=None)
        wait_closed(self)
        export_keying_material(self, label, context=b'', length=32)
        close_code
        close_error
        close_reason
        connection
        diagnostics(self)
        events
        headers
        is_client
        is_closed
        path
        query
        remote_address
        session_id
        state
        url
        wt_available_protocols
        wt_protocol
        __aenter__(self)
        __aexit__(self, exc_type, exc, traceback)
    """,
    datagrams.WebTransportDatagrams: """
        send(self, data)
        receive(self)
        try_receive(self)
        max_size
        dropped_incoming
        dropped_outgoing
        __await__(self)
    """,
    stream.WebTransportStream: ANY_STREAM + BOTH_WAYS + TO_THE_PEER,
    stream.WebTransportReceiveStream: ANY_STREAM + BOTH_WAYS,
    stream.WebTransportSendStream: ANY_STREAM + TO_THE_PEER,
    manager.ConnectionManager: """
        (max_connections=65536)
        add_connection(self, connection)
        remove_connection(self, connection_id)
        get_connection(self, connection_id)
        get_stats(self)
        shutdown(self)
        connections
    """,
    manager.SessionManager: """
        (max_sessions=65536)
        add_session(self, session)
        remove_session(self, session_id)
        get_session(self, session_id)
        get_sessions_by_state(self, state)
        get_stats(self)
        shutdown(self)
        sessions
    """,
    events.Event: "(*, type, data=None, source=None, timestamp=<factory>)",
    events.EventEmitter: """
        (on_interest=None)
        on(self, event_type, handler)
        once(self, event_type, handler)
        off(self, event_type, handler)
        on_any(self, handler)
        off_any(self, handler)
        emit(self, event_type, *, data=None, source=None)
        emit_nowait(self, event_type, *, data=None, source=None)
        wait_for(self, event_type, *, condition=None, timeout=None)
        listeners(self, event_type)
        close(self)
    """,
    config.ClientConfig: """
        create(**values)
        copy(self)
        update(self, **values)
        from_dict(values)
        to_dict(self)
    """,
    config.ServerConfig: """
        create(**values)
        copy(self)
        update(self, **values)
        from_dict(values)
        to_dict(self)
    """,
    exceptions.WebTransportError: """
        (message='', error_code=None, details=None)
        category
        is_fatal
        is_retriable
        to_dict(self)
    """,
}

FUNCTIONS = {
    middleware.create_auth_middleware: "(auth_handler, *, challenge='Bearer')",
    middleware.create_cors_middleware: "(allowed_origins)",
    middleware.create_rate_limit_middleware: "(max_requests=100, window_seconds=60, cleanup_interval=300, max_tracked_ips=10000)",
    utils.generate_self_signed_cert: "(hostname, output_dir='.', validity_days=13)",
    utils.certificate_hash: "(certificate)",
    utils.init_tracing: "()",
}

EVENT_TYPES = """
    connection_established connection_closed connection_lost connection_failed session_request session_ready session_closed session_draining
    datagram_received stream_opened stream_closed stream_reset_received stop_sending_received session_data_blocked
    session_streams_blocked session_max_data_updated session_max_streams_bidi_updated session_max_streams_uni_updated
"""

EXCEPTIONS = """
    AuthenticationError CertificateError ClientError ConfigurationError ConnectionError DatagramError FlowControlError HandshakeError
    ProtocolError SerializationError ServerError SessionClosedError SessionError StreamError TimeoutError WebTransportError
"""

TYPES = "Address Buffer Headers SessionId StreamId ConnectionState SessionState StreamState StreamDirection EventType SessionProtocol"

TOP_LEVEL = """
    ReconnectingClient ClientFleet SessionPool LoadBalancer ServerCluster
    ClientConfig ConnectionManager ErrorCodes Event EventEmitter EventHandler EventType ServerConfig SessionManager StreamId SessionId
    WebTransportBidirectionalStream WebTransportClient WebTransportConnection WebTransportReceiveStream WebTransportSendStream
    WebTransportServer WebTransportSession WebTransportStream StreamState __version__ ServerApp
"""

SESSION_DIAGNOSTICS = """
    active_streams blocked_streams close_code close_reason closed_at created_at datagram_bytes_received datagram_bytes_sent
    datagrams_received datagrams_sent flow_control_negotiated headers is_client local_data_consumed local_data_received local_data_sent
    local_max_data local_max_streams_bidi local_max_streams_uni local_streams_bidi_opened local_streams_uni_opened path peer_max_data
    peer_max_streams_bidi peer_max_streams_uni peer_streams_bidi_closed peer_streams_bidi_opened peer_streams_uni_closed
    peer_streams_uni_opened ready_at session_id state wt_available_protocols wt_protocol dialect
"""

STREAM_DIAGNOSTICS = """
    bytes_received bytes_sent close_code close_reason closed_at created_at direction is_peer_initiated read_buffer_size session_id state
    stream_id write_buffer_size
"""


# What is set rather than called often: the names and the defaults count, and all are keywords
OPTIONS = {
    reconnect.ReconnectingClient: {"headers": None, "max_retries": 3, "retry_delay": 1, "retry_backoff": 2, "max_retry_delay": 30},
    balancer.LoadBalancer: {"strategy": "round_robin", "headers": None, "health_check_interval": 30, "health_check_timeout": 5},
}


def bare(function) -> str:
    """A signature without its annotations."""
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(function).parameters.values()]
    return str(inspect.Signature(parameters))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_members_are_those_of_the_table(kind):
    """Names, kinds and defaults of arguments are what users rely on; every member says what it does."""
    for line in filter(str.strip, CLASSES[kind].splitlines()):
        name, bracket, _ = (member := line.strip()).partition("(")
        if not name:
            assert bare(kind) == member
        elif bracket:
            assert name + bare(getattr(kind, name)) == member
        else:
            inspect.getattr_static(kind, name)
        if name and not name.startswith("__") and (bracket or isinstance(inspect.getattr_static(kind, name), property)):
            assert inspect.getdoc(getattr(kind, name)), name


def test_functions_are_called_as_in_the_table():
    """The same of functions."""
    for function, signature in FUNCTIONS.items():
        assert bare(function) == signature
        assert inspect.getdoc(function)


@pytest.mark.parametrize(("kind", "first"), [(reconnect.ReconnectingClient, "url client"), (balancer.LoadBalancer, "targets client")])
def test_options_have_the_defaults_of_the_contract(kind, first):
    """Two arguments say what it is about; whatever else there is has a default."""
    parameters = inspect.signature(kind).parameters
    assert [name for name, each in parameters.items() if each.kind is not inspect.Parameter.KEYWORD_ONLY] == first.split()
    assert OPTIONS[kind].items() <= {name: each.default for name, each in parameters.items()}.items()


def test_words_are_those_of_the_contract():
    """Events, exceptions and types have the names that the contract gives them."""
    assert {str(each) for each in types.EventType} == set(EVENT_TYPES.split())
    assert {name for name in exceptions.__all__ if inspect.isclass(getattr(exceptions, name))} == set(EXCEPTIONS.split())
    for name in TYPES.split():
        assert name in types.__all__
    for name in TOP_LEVEL.split():
        assert name in pywebtransport.__all__
    for name in pywebtransport.__all__:
        assert getattr(pywebtransport, name)


def test_diagnostics_have_the_figures_of_the_contract():
    """A figure may be None, but it has its field."""
    from pywebtransport import diagnostics

    assert set(SESSION_DIAGNOSTICS.split()) <= set(diagnostics.SessionDiagnostics.__dataclass_fields__)
    assert set(STREAM_DIAGNOSTICS.split()) == set(diagnostics.StreamDiagnostics.__dataclass_fields__)
    server = {"connection_states", "is_serving", "max_connections", "session_states", "stats"}
    assert set(diagnostics.ServerDiagnostics.__dataclass_fields__) == server
    stats = {"connection_errors", "connections_accepted", "connections_rejected", "protocol_errors", "start_time"}
    assert set(diagnostics.ServerStats.__dataclass_fields__) == stats


def test_error_codes_are_those_of_the_registries():
    """RFC 9114 §8.1, RFC 9204 §6, RFC 9297 §5.2, WebTransport's own, and a proposal for applications."""
    codes = constants.ErrorCodes
    assert (codes.APP_NO_ERROR, codes.APP_GENERIC_ERROR) == (0, 0x1001)
    assert (codes.H3_NO_ERROR, codes.H3_VERSION_FALLBACK, codes.QPACK_DECOMPRESSION_FAILED) == (0x100, 0x110, 0x200)
    assert (codes.WT_SESSION_GONE, codes.WT_BUFFERED_STREAM_REJECTED) == (0x170D7B68, 0x3994BD84)
    assert len(codes) == len(codes.__members__), "each name has a number of its own"
