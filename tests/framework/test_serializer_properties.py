"""Serializers, with whatever comes: every value of every type they know comes back, and nothing a peer sends does worse than an error."""

import dataclasses
import datetime
import uuid
from collections import deque
from contextlib import suppress
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import given, settings
from hypothesis import strategies as st
from pywebtransport import SerializationError
from pywebtransport.serializer import JSONSerializer, MsgPackSerializer, MsgspecSerializer, ProtobufSerializer, Serializer


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    labels: "list[str] | None" = None


@dataclasses.dataclass(frozen=True)
class Node:
    value: Decimal
    children: "tuple[Node, ...]" = ()


class Typed(NamedTuple):
    """A type, and its values."""

    kind: Any
    values: st.SearchStrategy[Any]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # UTF-8 has no surrogates
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)

HASHABLE = [
    Typed(bool, st.booleans()),
    Typed(int, INTEGERS),
    Typed(float, FLOATS),
    Typed(str, TEXT),
    Typed(bytes, st.binary(max_size=20)),
    Typed(uuid.UUID, st.uuids()),
    Typed(datetime.datetime, st.datetimes(timezones=st.sampled_from([None, datetime.UTC]))),
    Typed(datetime.date, st.dates()),
    Typed(datetime.time, st.times()),
    Typed(Decimal, DECIMALS),
    Typed(Colour, st.sampled_from(Colour)),
    Typed(Level, st.sampled_from(Level)),
    Typed(Literal["a", "b"], st.sampled_from(["a", "b"])),
]
LEAVES = [
    *HASHABLE,
    Typed(None, st.none()),
    Typed(bytearray, st.binary(max_size=20).map(bytearray)),
    Typed(Point, st.builds(Point, INTEGERS, FLOATS, st.none() | st.lists(TEXT, max_size=3))),
    Typed(Node, st.recursive(st.builds(Node, DECIMALS), lambda inner: st.builds(Node, DECIMALS, st.lists(inner, max_size=3).map(tuple)))),
    Typed(int | str, INTEGERS | TEXT),
]
KEYS = [typed for typed in HASHABLE if typed.kind in (str, int, uuid.UUID, Colour)]


@st.composite
def types(draw: st.DrawFn, *, deques: bool, depth: int = 3) -> Typed:
    """Types that are made of others."""
    made = draw(st.sampled_from(["leaf", "leaf", "list", "tuple", "pair", "set", "frozenset", "dict", "optional", "class", "deque"]))
    if depth == 0 or made == "leaf":
        return draw(st.sampled_from(LEAVES))
    member, other = draw(types(deques=deques, depth=depth - 1)), draw(types(deques=deques, depth=depth - 1))
    single, key = draw(st.sampled_from(HASHABLE)), draw(st.sampled_from(KEYS))
    generic: Any
    match made:
        case "set" | "frozenset":
            generic, values = (set, st.sets) if made == "set" else (frozenset, st.frozensets)
            return Typed(generic[single.kind], values(single.values, max_size=4))
        case "list" | "tuple":
            generic, arguments = (list, member.kind) if made == "list" else (tuple, (member.kind, ...))
            return Typed(generic[arguments], st.lists(member.values, max_size=4).map(generic))
        case "deque" if deques:
            generic = deque
            return Typed(generic[member.kind], st.lists(member.values, max_size=4).map(deque))
        case "dict":
            generic = dict
            return Typed(generic[key.kind, member.kind], st.dictionaries(key.values, member.values, max_size=4))
        case "class":
            fields: list[Any] = [("first", member.kind), ("second", other.kind, dataclasses.field(default=None))]
            generic = dataclasses.make_dataclass("Made", fields)
            return Typed(generic, st.builds(generic, member.values, other.values))
        case "optional" if member.kind is not None:
            return Typed(member.kind | None, member.values | st.none())
    generic = tuple
    return Typed(generic[member.kind, other.kind], st.tuples(member.values, other.values))


SERIALIZERS = {
    "json": JSONSerializer(),
    "msgpack": MsgPackSerializer(),
    "msgspec json": MsgspecSerializer(),
    "msgspec msgpack": MsgspecSerializer("msgpack"),
}
EVERY = pytest.mark.parametrize("serializer", SERIALIZERS.values(), ids=SERIALIZERS)


def typed_values(serializer: Serializer) -> Any:
    """A type that a serializer knows, and a value of it."""
    deques = not isinstance(serializer, MsgspecSerializer)
    return types(deques=deques).flatmap(lambda typed: st.tuples(st.just(typed.kind), typed.values))


@EVERY
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_value_of_every_type_comes_back(serializer, data):
    """As what it was, and of the class that it was of."""
    kind, value = data.draw(typed_values(serializer))
    again = serializer.deserialize(serializer.serialize(value), kind)
    assert again == value
    assert type(again) is type(value)


@EVERY
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_broken_is_an_error_and_nothing_worse(serializer, data):
    """Bytes that are of another type, or changed on their way, are an object of the type, or a SerializationError."""
    kind, value = data.draw(typed_values(serializer))
    written = bytearray(serializer.serialize(value))
    for other in [typed.kind for typed in LEAVES]:
        with suppress(SerializationError):
            serializer.serialize(serializer.deserialize(written, data.draw(st.sampled_from([other, list[other]]))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(written)))
        written[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    with suppress(SerializationError):
        serializer.serialize(serializer.deserialize(written, kind))


@EVERY
@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=200), kind=st.sampled_from([typed.kind for typed in LEAVES] + [Any, list[int], dict[int, Point]]))
def test_noise_is_an_error_and_nothing_worse(serializer, noise, kind):
    """Whatever it is read as."""
    with suppress(SerializationError):
        serializer.deserialize(noise, kind)


@EVERY
@settings(max_examples=100, deadline=None)
@given(value=st.recursive(st.from_type(object), st.lists, max_leaves=5))
def test_what_cannot_be_written_is_an_error_and_nothing_worse(serializer, value):
    """Whatever it is."""
    with suppress(SerializationError):
        serializer.serialize(value)


def structs() -> st.SearchStrategy[dict[str, Any]]:
    """What a Struct can hold (google/protobuf/struct.proto)."""
    leaves = st.none() | st.booleans() | FLOATS | TEXT
    return st.dictionaries(TEXT, st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)))


@settings(max_examples=100, deadline=None)
@given(fields=structs(), data=st.binary(), noise=st.binary(max_size=100))
def test_messages_of_protocol_buffers(fields, data, noise):
    """Those that were written come back; noise is a message or an error."""
    serializer = ProtobufSerializer()
    struct = Struct()
    struct.update(fields)
    assert serializer.deserialize(serializer.serialize(struct), Struct) == struct
    assert serializer.deserialize(serializer.serialize(BytesValue(value=data)), BytesValue).value == data
    for kind in (Struct, BytesValue):
        with suppress(SerializationError):
            serializer.deserialize(noise, kind)
