"""Messages: objects over streams and datagrams of a real session, and what a peer that breaks the format gets."""

import asyncio
import struct
from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from pywebtransport import DatagramError, SerializationError, StreamError, StructuredDatagramTransport, StructuredStream
from pywebtransport.serializer import JSONSerializer, MsgPackSerializer, ProtobufSerializer


@dataclass
class Hello:
    name: str


@dataclass
class Data:
    data: bytes


REGISTRY = {1: Hello, 0xFFFF: Data}


def message(number: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">HI", number, len(body) if length is None else length) + body


@pytest.mark.parametrize("serializer", [JSONSerializer(), MsgPackSerializer()], ids=["json", "msgpack"])
async def test_objects_go_both_ways_in_order(ends, serializer):
    """Types are told apart by their numbers, and the end of the stream ends the iteration."""
    client, server = (StructuredStream(stream, serializer, REGISTRY) for stream in await ends.bi())
    sent = [Hello("ä"), Data(b"\x00" * 100_000), Hello("")]
    for obj in sent:
        await client.send_obj(obj)
    await client.stream.write(b"", end_stream=True)
    received = []
    async for obj in server:
        received.append(obj)
        await server.send_obj(obj)
    assert received == sent
    assert [await client.receive_obj() for _ in sent] == sent
    with pytest.raises(StreamError, match="there are no more messages"):
        await server.receive_obj()


async def test_messages_of_protocol_buffers_need_no_class_but_the_registry(ends):
    """The number says which class it is."""
    client, server = (StructuredStream(stream, ProtobufSerializer(), {1: StringValue, 2: Int64Value}) for stream in await ends.bi())
    for obj in (Int64Value(value=7), StringValue(value="a"), Int64Value()):
        await client.send_obj(obj)
        assert await server.receive_obj() == obj


async def test_the_header_is_big_endian(ends):
    """Two bytes of type, four of length: what other implementations expect."""
    client, server = await ends.bi()
    await StructuredStream(client, JSONSerializer(), REGISTRY).send_obj(Hello("a"))
    await client.write(b"", end_stream=True)
    assert await server.read_all() == b'\x00\x01\x00\x00\x00\x0c{"name":"a"}'


async def test_malformed_and_unknown_messages_are_passed_over(ends):
    """Each is an error, and the next call gets the next message."""
    client, stream = await ends.bi()
    server = StructuredStream(stream, JSONSerializer(), REGISTRY, max_message_size=100)
    for number, body in [(2, b"{}"), (1, b"{"), (1, b""), (1, b'{"name":1}'), (0xFFFF, b'{"data":"!"}')]:
        await client.write(message(number, body))
    await client.write(message(1, b'{"name":"after"}'))
    for _ in range(5):
        with pytest.raises(SerializationError):
            await server.receive_obj()
    assert await server.receive_obj() == Hello("after")


async def test_a_message_that_is_too_long_ends_the_stream(ends):
    """It is not read, the peer learns it, and every later call says the same."""
    client, stream = await ends.bi()
    server = StructuredStream(stream, JSONSerializer(), REGISTRY, max_message_size=100)
    await client.write(message(1, b"", length=101))
    for _ in range(2):
        with pytest.raises(SerializationError, match="101 bytes is too long: 100 are allowed"):
            await server.receive_obj()
    with pytest.raises(StreamError) as caught:
        while True:
            await client.write(b"x" * 65536)
    assert caught.value.error_code == 0x1006
    await server.send_obj(Hello("still"))
    assert await StructuredStream(client, JSONSerializer(), REGISTRY).receive_obj() == Hello("still")


@pytest.mark.parametrize("part", [message(1, b'{"name":"a"}')[:size] for size in (1, 5, 6, 17)], ids=len)
async def test_a_message_that_breaks_off_is_an_error(ends, part):
    """It is no clean end, neither for a call nor for an iteration."""
    client, stream = await ends.bi()
    await client.write_all(message(1, b'{"name":"a"}') + part)
    server = StructuredStream(stream, JSONSerializer(), REGISTRY)
    assert await server.receive_obj() == Hello("a")
    for _ in range(2):
        with pytest.raises(SerializationError, match="in the middle of a message"):
            await anext(server)


async def test_a_reset_is_no_malformed_message(ends):
    """The peer's code comes through."""
    client, stream = await ends.bi()
    await client.write(message(1, b"", length=10))
    await client.reset(9)
    with pytest.raises(StreamError) as caught:
        await StructuredStream(stream, JSONSerializer(), REGISTRY).receive_obj()
    assert caught.value.error_code == 9


async def test_a_cancelled_receive_loses_nothing(ends, parked):
    """Not even when the header was there already."""
    client, stream = await ends.bi()
    server = StructuredStream(stream, JSONSerializer(), REGISTRY)
    whole = message(1, b'{"name":"a"}')
    for part in (whole[:3], whole[3:10]):
        receiving = await parked(server.receive_obj())
        await client.write(part)
        receiving.cancel()
        await asyncio.wait([receiving])
    await client.write(whole[10:])
    assert await server.receive_obj() == Hello("a")


async def test_a_cancelled_send_resets_the_stream(ends, parked):
    """Half a message would be taken for the beginning of the next."""
    client, stream = await ends.bi()
    sender = StructuredStream(client, MsgPackSerializer(), REGISTRY, max_message_size=1 << 28)
    sending = await parked(sender.send_obj(Data(bytes(1 << 25))))
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    with pytest.raises(StreamError):
        await sender.send_obj(Hello("a"))
    with pytest.raises(StreamError) as caught:
        await stream.read_all()
    assert caught.value.error_code == 0x1001


async def test_tasks_that_send_at_once_do_not_mix(ends):
    """Messages stay whole."""
    client, stream = await ends.bi()
    sender, receiver = (StructuredStream(each, MsgPackSerializer(), REGISTRY) for each in (client, stream))
    objs = [Data(bytes([number]) * 100_000) for number in range(20)]
    sending = asyncio.gather(*map(sender.send_obj, objs))
    received = await asyncio.gather(*(receiver.receive_obj() for _ in objs))
    await sending
    assert received == objs


async def test_what_cannot_be_sent_sends_nothing(ends):
    """A type without a number, one that is too long; the stream is as before."""
    client, stream = await ends.bi()
    sender = StructuredStream(client, JSONSerializer(), REGISTRY, max_message_size=20)
    for obj, reason in [("text", "str has no number"), (Hello("a" * 20), "31 bytes is too long"), (Hello(object()), "cannot be written")]:
        with pytest.raises(SerializationError, match=reason):
            await sender.send_obj(obj)
    await sender.send_obj(Hello("b"))
    assert await StructuredStream(stream, JSONSerializer(), REGISTRY).receive_obj() == Hello("b")


async def test_streams_of_one_direction_have_one(ends):
    """The other is an error that names the stream."""
    send = await ends.client.create_unidirectional_stream()
    sender = StructuredStream(send, JSONSerializer(), REGISTRY)
    await sender.send_obj(Hello("a"))
    receiver = StructuredStream(await ends.server.accept_unidirectional_stream(), JSONSerializer(), REGISTRY)
    assert await receiver.receive_obj() == Hello("a")
    with pytest.raises(StreamError, match="only sends"):
        await sender.receive_obj()
    with pytest.raises(StreamError, match="only receives"):
        await receiver.send_obj(Hello("a"))


async def test_objects_over_datagrams(ends):
    """One that is malformed costs no other."""
    client, server = (StructuredDatagramTransport(each, MsgPackSerializer(), REGISTRY) for each in (ends.client, ends.server))
    await client.send_obj(Hello("a"))
    assert await server.receive_obj() == Hello("a")
    for data in (b"", b"\x00", b"\x00\x02\x80", b"\x00\x01\x80", b"\x00\x01\xc1"):
        await ends.client.send_datagram(data)
        with pytest.raises(SerializationError):
            await server.receive_obj()
    await client.send_obj(Data(b"\x00"))
    assert await server.receive_obj() == Data(b"\x00")
    with pytest.raises(SerializationError, match="int has no number"):
        await client.send_obj(1)
    with pytest.raises(DatagramError):
        await client.send_obj(Data(bytes(100_000)))


async def test_registries_are_checked(ends):
    """Numbers fit in their bytes, and a type has one."""
    client, _ = await ends.bi()
    for registry in ({-1: Hello}, {65536: Hello}, {1: Hello, 2: Hello}):
        with pytest.raises(ValueError, match="number"):
            StructuredStream(client, JSONSerializer(), registry)
        with pytest.raises(ValueError, match="number"):
            StructuredDatagramTransport(ends.client, JSONSerializer(), registry)
    with pytest.raises(ValueError, match="max_message_size"):
        StructuredStream(client, JSONSerializer(), REGISTRY, max_message_size=1 << 32)
