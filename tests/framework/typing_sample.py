"""The framework as its users write it: never run, but checked by mypy in its strict mode."""

import asyncio
import ssl

from pywebtransport import (
    ClientConfig,
    ClientFleet,
    ConnectionError,
    ConnectionManager,
    ErrorCodes,
    Event,
    EventEmitter,
    EventHandler,
    EventType,
    HandshakeError,
    LoadBalancer,
    MiddlewareManager,
    MiddlewareRejected,
    RateLimiter,
    ReconnectingClient,
    RequestRouter,
    ServerApp,
    ServerCluster,
    ServerConfig,
    SessionError,
    SessionManager,
    SessionPool,
    SessionState,
    StreamError,
    StreamId,
    StructuredDatagramTransport,
    StructuredStream,
    WebTransportBidirectionalStream,
    WebTransportClient,
    WebTransportConnection,
    WebTransportDatagrams,
    WebTransportReceiveStream,
    WebTransportSendStream,
    WebTransportServer,
    WebTransportSession,
    WebTransportStream,
)
from pywebtransport.diagnostics import ClientStats, ServerStats, SessionDiagnostics, StreamDiagnostics
from pywebtransport.middleware import (
    create_auth_middleware,
    create_cors_middleware,
    create_logging_middleware,
    create_rate_limit_middleware,
)
from pywebtransport.serializer import JSONSerializer, MsgPackSerializer, MsgspecSerializer, ProtobufSerializer, Serializer
from pywebtransport.types import Address, Buffer, Headers, SessionId, SessionProtocol
from pywebtransport.utils import certificate_hash, generate_self_signed_cert, init_tracing


async def use_client() -> None:
    config: ClientConfig = ClientConfig.create(verify_mode=ssl.CERT_NONE).update(max_idle_timeout=5).copy()
    config = ClientConfig.from_dict(config.to_dict())
    async with WebTransportClient.create(config=config) as client:
        client.set_default_headers({"x-a": "b"})
        try:
            session: WebTransportSession = await client.connect("https://localhost/", headers={"x": "y"}, timeout=5)
        except HandshakeError as error:
            status: int | None = error.status_code
            answer: Headers = error.headers
            print(status, answer, error.to_dict(), error.category, error.is_fatal, error.is_retriable)
            return
        async with session:
            await use_session(session)
        await session.connection.close()
        another: WebTransportSession = await client.connect(url="https://localhost/")
        await another.close(error_code=ErrorCodes.APP_NO_ERROR, reason="done")
        stats: ClientStats = client.diagnostics().stats
        awaited: ClientStats = (await client.diagnostics()).stats
        rate: float = stats.success_rate + awaited.success_rate
        print(rate, client.is_closed, client.config.connect_timeout)


async def use_session(session: WebTransportSession) -> None:
    stream: WebTransportStream = await session.create_bidirectional_stream()
    await stream.write_all(b"Hello", end_stream=True)
    everything: bytes = await stream.read_all()
    send: WebTransportSendStream = await session.create_unidirectional_stream()
    async with send:
        await send.write(data=memoryview(everything), end_stream=False)
    await session.send_datagram(data=b"datagram")
    await session.datagrams.send(b"datagram")
    datagrams: WebTransportDatagrams = await session.datagrams
    data: bytes = await datagrams.receive()
    maybe: bytes | None = await datagrams.try_receive()
    size: int = datagrams.max_size + datagrams.dropped_incoming + datagrams.dropped_outgoing + len(data + (maybe or b""))
    async for either in session.incoming_streams():
        if isinstance(either, WebTransportStream):
            await either.write(b"x")
        one: bytes = await either.read(max_bytes=size)
        print(one)
    async for both in session.incoming_bidirectional_streams():
        await use_stream(both)
    async for recv in session.incoming_unidirectional_streams():
        incoming: WebTransportReceiveStream = recv
        async for chunk in incoming:
            print(len(chunk))
    accepted: WebTransportBidirectionalStream = await session.accept_bidirectional_stream()
    uni: WebTransportReceiveStream = await session.accept_unidirectional_stream()
    key: bytes = await session.export_keying_material(label="x", context=b"", length=32)
    code: int | None = session.close_code
    reason: str | None = session.close_reason
    state: SessionState = session.state
    address: Address = session.remote_address
    identity: SessionId = session.session_id
    figures: SessionDiagnostics = session.diagnostics()
    figures = await session.diagnostics()
    print(accepted, uni, key, code, reason, state, address, identity, figures, session.path, session.headers.get("x"), session.wt_protocol)
    await session.wait_closed()


async def use_stream(stream: WebTransportStream) -> None:
    number: StreamId = stream.stream_id
    session: SessionProtocol = stream.session
    line: bytes = await stream.readline() + await stream.readuntil(separator=b";", limit=10) + await stream.readexactly(n=3)
    buffer: Buffer = bytearray(line)
    try:
        await stream.write(buffer)
    except (StreamError, SessionError, ConnectionError) as error:
        print(error.error_code, error.details)
    figures: StreamDiagnostics = await stream.diagnostics()
    print(number, session.session_id, stream.can_read, stream.can_write, stream.is_closed, stream.direction, stream.state, figures)
    await stream.reset(error_code=1)
    await stream.stop_receiving(error_code=1)
    await stream.close()


async def use_events(session: WebTransportSession) -> None:
    async def on_datagram(event: Event) -> None:
        if isinstance(event.data, dict) and (data := event.data.get("data")):
            await session.send_datagram(data=b"ECHO: " + data)

    def on_any(event: Event) -> None:
        print(event.type, event.source, event.timestamp)

    handler: EventHandler = on_datagram
    events: EventEmitter = session.events
    events.on(event_type=EventType.DATAGRAM_RECEIVED, handler=handler)
    events.once(event_type=EventType.SESSION_CLOSED, handler=on_any)
    events.on_any(on_any)
    event: Event = await events.wait_for(event_type=[EventType.SESSION_CLOSED, "mine"], condition=lambda event: bool(event.data), timeout=1)
    await events.emit("mine", data={"a": 1})
    events.emit_nowait("mine")
    events.off(event_type=EventType.DATAGRAM_RECEIVED, handler=handler)
    events.off_any(on_any)
    print(event, events.listeners("mine"))
    await events.close()


async def use_server() -> None:
    init_tracing()
    certfile, keyfile = generate_self_signed_cert(hostname="localhost", output_dir=".", validity_days=13)
    print(certificate_hash(certfile).hex())
    config = ServerConfig(certfile=certfile, keyfile=keyfile, bind_host="127.0.0.1", bind_port=0)
    async with WebTransportServer(config=config) as server, asyncio.TaskGroup() as tasks:
        await server.listen(host="127.0.0.1", port=0)
        addresses: list[Address] = server.local_addresses
        tasks.create_task(server.serve_forever())
        async for connection in server.incoming_connections():
            tasks.create_task(use_connection(connection))
        stats: ServerStats = server.diagnostics().stats
        print(addresses, server.is_serving, stats.connections_accepted)
        connections: ConnectionManager = server.connection_manager
        sessions: SessionManager = server.session_manager
        print(await connections.get_stats(), await sessions.get_sessions_by_state(SessionState.CONNECTED))


async def use_connection(connection: WebTransportConnection) -> None:
    async for session in connection.incoming_sessions():
        if session.path == "/":
            await session.accept(wt_protocol=session.wt_available_protocols[0], headers={"x": "y"})
        else:
            await session.reject(status_code=404, headers={"x": "y"})
    other: WebTransportSession = await connection.create_session(path="/other", headers={"x": "y"})
    print(other, connection.sessions, connection.state, connection.remote_address, connection.is_client, connection.diagnostics().closed_at)
    await connection.close_gracefully()
    await connection.close(error_code=0, reason="")


app = ServerApp(config=ServerConfig(certfile="localhost.crt", keyfile="localhost.key"))


@app.route(path="/chat/{room}", protocols=["chat-1"])
async def chat(session: WebTransportSession, room: str) -> None:
    await session.send_datagram(data=room.encode())


@app.pattern_route(pattern=r"/n/(?P<number>[0-9]+)")
async def numbers(session: WebTransportSession, number: str) -> None:
    await chat(session, room=number)


@app.middleware
async def check(session: SessionProtocol) -> None:
    if session.headers.get("x") != "y":
        raise MiddlewareRejected(status_code=403, headers={"x": session.path})


async def allowed(headers: Headers) -> bool:
    return "authorization" in headers


@app.on_startup
async def begin() -> None:
    app.add_middleware(create_auth_middleware(auth_handler=allowed))
    app.add_middleware(create_cors_middleware(allowed_origins=["https://*.example"]))
    app.add_middleware(create_logging_middleware())


@app.on_shutdown
def end() -> None:
    print("ended")


async def use_app() -> None:
    app.add_middleware(middleware=create_rate_limit_middleware(max_requests=10, window_seconds=1, cleanup_interval=60, max_tracked_ips=100))
    app.add_middleware(RateLimiter(max_requests=10))
    router: RequestRouter = app.router
    router.add_route("/", chat, override=True)
    router.set_default_handler(numbers)
    manager: MiddlewareManager = app.middleware_manager
    print(router.get_all_routes(), router.get_route_stats(), manager.get_middleware_count())
    async with app:
        await app.serve(host="127.0.0.1", port=0)
    app.run(host="127.0.0.1", port=4433)
    app.run(dev=True)
    app.run(dev="page.html")


def use_serializers() -> None:
    serializers: list[Serializer] = [
        JSONSerializer(),
        MsgPackSerializer(),
        MsgspecSerializer(format="msgpack"),
        ProtobufSerializer(message_class=None),
    ]
    for serializer in serializers:
        data: bytes = serializer.serialize(obj={"a": 1})
        print(serializer.deserialize(data=memoryview(data), obj_type=dict))


async def use_messages(session: WebTransportSession, stream: WebTransportStream) -> None:
    structured = StructuredStream(stream=stream, serializer=JSONSerializer(), registry={1: dict}, max_message_size=1024)
    await structured.send_obj(obj={"a": 1})
    print(await structured.receive_obj(), structured.stream)
    async for obj in structured:
        print(obj)
    datagrams = StructuredDatagramTransport(session=session, serializer=MsgPackSerializer(), registry={1: dict})
    await datagrams.send_obj(obj={"a": 1})
    print(await datagrams.receive_obj())


async def use_comfort(url: str) -> None:
    async with WebTransportClient() as client:
        async with ReconnectingClient(url=url, client=client, max_retries=None, retry_delay=0.5) as reconnecting:
            reconnecting.events.on(EventType.CONNECTION_LOST, print)
            kept: WebTransportSession = await reconnecting.get_session(wait_timeout=5)
            print(kept, reconnecting.is_connected, reconnecting.is_closed, reconnecting.url)
        async with SessionPool(client, url, max_size=5, headers={"x": "y"}) as pool:
            async with pool.get(timeout=1) as lent:
                await lent.send_datagram(b"x")
            borrowed: WebTransportSession = await pool.acquire()
            await pool.release(borrowed)
            print(pool.idle + pool.lent + pool.max_size, pool.is_closed)
        async with LoadBalancer({url: 2.0, "https://b.example/": 1.0}, client, strategy="weighted") as balancer:
            async with await balancer.get_session(timeout=2) as session:
                error: Exception | None = session.close_error
            balancer.update_target_weight(url, 3)
            await balancer.check_health()
            print(error, balancer.get_target_stats()[url]["latency"], balancer.targets, balancer.strategy)
        await LoadBalancer([url], client).close()
    async with ClientFleet(clients=[WebTransportClient(), WebTransportClient()]) as fleet:
        sessions: list[WebTransportSession] = await fleet.connect_all(url=url)
        one: WebTransportClient = fleet.get_client()
        print(sessions, one, fleet.get_client_count(), fleet.clients)
        await fleet.close_all()


async def use_cluster(config: ServerConfig) -> None:
    cluster = ServerCluster(configs=[config])
    await cluster.start_all()
    added: WebTransportServer = await cluster.add_server(config=config.update(bind_port=0))
    print(await cluster.get_cluster_stats(), cluster.is_running, cluster.servers, await cluster.remove_server(added))
    await cluster.serve_forever()
    await cluster.stop_all()
