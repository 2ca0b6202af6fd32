"""Serializers: objects come back as they went, and what is malformed is an error of one kind."""

import datetime
import math
import uuid
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NewType

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import StringValue
from pywebtransport import SerializationError
from pywebtransport.serializer import JSONSerializer, MsgPackSerializer, MsgspecSerializer, ProtobufSerializer, Serializer

BOTH = pytest.mark.parametrize("serializer", [JSONSerializer(), MsgPackSerializer()], ids=["json", "msgpack"])


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    y: float = 0.5


@dataclass
class Tree:
    name: str
    children: "list[Tree]" = field(default_factory=list)
    mark: "Point | Circle | None" = None


@dataclass(frozen=True)
class Circle:
    radius: int


Name = NewType("Name", str)


@BOTH
@pytest.mark.parametrize(
    ("obj", "kind"),
    [
        (None, None),
        ({"a": [1, -2.5, "ü", True, None]}, None),
        ({"a": [1]}, Any),
        (Point(1), Point),
        (Tree("a", [Tree("b", mark=Circle(2)), Tree("c", mark=Point(3))]), Tree),
        (Colour.RED, Colour),
        (Level.HIGH, Level),
        (uuid.UUID(int=7), uuid.UUID),
        (b"\x00\xff", bytes),
        (bytearray(b"ab"), bytearray),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC), datetime.datetime),
        (datetime.date(2026, 1, 2), datetime.date),
        (datetime.time(1, 2), datetime.time),
        (Decimal("1.10"), Decimal),
        ({1: Point(2), 0: Point(0), -20: Point(1)}, dict[int, Point]),
        ({Colour.RED: {1, 2}}, dict[Colour, set[int]]),
        ((1, "a"), tuple[int, str]),
        ((1, 2, 3), tuple[int, ...]),
        (frozenset([b"a"]), frozenset[bytes]),
        (deque([1, 2]), deque[int]),
        ([1, None, "x"], list[int | str | None]),
        (uuid.UUID(int=7), uuid.UUID | str),
        ("seven", uuid.UUID | str),
        ("b", Literal["a", "b"]),
        (Name("n"), Annotated[Name, "a name"]),
        (1, float),
    ],
    ids=lambda value: str(value)[:40],
)
def test_objects_come_back(serializer, obj, kind):
    """What was written is read as what it was, if the type is asked for."""
    again = serializer.deserialize(memoryview(serializer.serialize(obj)), kind)
    assert again == obj
    assert kind in (None, Any, float) or type(again) is type(obj)


@BOTH
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", int),
        (1, str),
        (True, int),
        (1, bool),
        (1.0, int),
        ("x", Colour),
        ([1], Colour),
        ("x", uuid.UUID),
        ("not base64!", bytes),
        ("yesterday", datetime.datetime),
        ("x", Decimal),
        ({}, Point),
        ({"x": 1, "z": 1}, Point),
        ({"x": "1"}, Point),
        ([], Point),
        ({"a": 1}, list[int]),
        ([1], dict[str, int]),
        ([1], tuple[int, int]),
        ([[1]], set[list[int]]),
        ({"x": 1}, dict[int, int]),
        ({" 1": 1}, dict[int, int]),
        ({"1_0": 1}, dict[int, int]),
        ({"01": 1}, dict[int, int]),
        ("c", Literal["a", "b"]),
        (None, int | str),
        (1, Literal[True]),
        (1, Serializer),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(serializer, value, kind):
    """Nothing is coerced, and nothing but a SerializationError comes out."""
    with pytest.raises(SerializationError):
        serializer.deserialize(serializer.serialize(value), kind)


@BOTH
@pytest.mark.parametrize("obj", [object(), Point, {1.5: 1}, {(1,): 1}, 1j, lambda: 1], ids=lambda obj: type(obj).__name__)
def test_what_cannot_be_written_is_an_error(serializer, obj):
    """The error says what it is."""
    with pytest.raises(SerializationError):
        serializer.serialize([obj])


@BOTH
def test_depth_is_bounded_both_ways(serializer):
    """Neither what is in itself nor what a peer nests costs more than an error."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SerializationError, match="more than 64 levels"):
        serializer.serialize(loop)
    deep = b"[" * 100_000 + b"]" * 100_000 if isinstance(serializer, JSONSerializer) else b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(SerializationError):
        serializer.deserialize(deep)
    nested: Any = {"name": "leaf"}
    for _ in range(60):
        nested = {"name": "a", "children": [nested]}
    import json

    with pytest.raises(SerializationError, match="more than 64 levels"):
        JSONSerializer().deserialize(json.dumps(nested).encode(), Tree)


def test_json_is_strict():
    """UTF-8, no NaN either way, nothing behind it."""
    serializer = JSONSerializer()
    assert serializer.serialize({"a": "ü"}) == '{"a":"ü"}'.encode()
    for data in (b"", b"{", b"\xff", b"NaN", b"[Infinity]", b"1 2", b"'a'", b"9" * 5000):
        with pytest.raises(SerializationError, match="bytes are not JSON"):
            serializer.deserialize(data)
    for number in (math.nan, math.inf):
        with pytest.raises(SerializationError, match="cannot write"):
            serializer.serialize(number)


def test_msgpack_is_strict():
    """Whole messages, whose keys are strings."""
    serializer = MsgPackSerializer()
    for data in (b"", b"\x92\x01", b"\x01\x01", b"\xc1", b"\xa1\xff", b"\x81\x01\x01"):
        with pytest.raises(SerializationError, match="not MessagePack"):
            serializer.deserialize(data)
    with pytest.raises(SerializationError, match="cannot write"):
        serializer.serialize(1 << 64)


def test_protobuf_messages_come_back():
    """The class is the serializer's, or the one that is asked for."""
    serializer = ProtobufSerializer(StringValue)
    message = StringValue(value="a")
    assert serializer.deserialize(serializer.serialize(message)) == message
    struct = Struct()
    struct["a"] = 1
    assert serializer.deserialize(memoryview(serializer.serialize(struct)), Struct) == struct
    for data in (b"\xff", b"\x0a\x05a"):
        with pytest.raises(SerializationError, match="bytes are not a StringValue"):
            serializer.deserialize(data)
    with pytest.raises(SerializationError, match="is not a message"):
        serializer.serialize("a")
    with pytest.raises(SerializationError, match="without its class"):
        ProtobufSerializer().deserialize(b"")


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_msgspec_is_strict_and_bounded(form):
    """Types are not coerced, what cannot be told apart is refused, and depth is an error."""
    serializer = MsgspecSerializer(form)
    written = serializer.serialize(Point(1))
    assert serializer.deserialize(memoryview(written), Point) == Point(1)
    assert serializer.deserialize(written) == {"x": 1, "y": 0.5}
    loop: list[Any] = []
    loop.append(loop)
    for value in (object(), 1j, loop):
        with pytest.raises(SerializationError, match=f"as {form}"):
            serializer.serialize(value)
    for kind in (list[int], int, Tree):
        with pytest.raises(SerializationError, match=f"bytes are not {form} of "):
            serializer.deserialize(written, kind)
    for data in (b"", written[:-1], written + written, b"[" * 100_000, b"\x91" * 100_000):
        with pytest.raises(SerializationError, match=f"bytes are not {form}"):
            serializer.deserialize(data)
    with pytest.raises(ValueError, match="format must be"):
        MsgspecSerializer("xml")


@pytest.mark.parametrize(
    ("kind", "module"), [(MsgPackSerializer, "msgpack"), (MsgspecSerializer, "msgspec"), (ProtobufSerializer, "google.protobuf")]
)
def test_a_missing_extra_is_named(kind, module, monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'webtransport-python\["):
        kind()
