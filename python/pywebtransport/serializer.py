"""Serializers: objects to bytes and back. What comes from a peer makes no objects but those of the types that are asked for."""

import base64
import dataclasses
import datetime
import functools
import json
import re
import types
import typing
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, Protocol

from .exceptions import SerializationError
from .types import Buffer

__all__ = ["JSONSerializer", "MsgPackSerializer", "MsgspecSerializer", "ProtobufSerializer", "Serializer"]

_DEEPEST = 64  # levels of containers in each other


class Serializer(Protocol):
    """Makes objects bytes, and bytes objects."""

    def serialize(self, obj: Any) -> bytes:
        """The bytes of an object; SerializationError: it has none."""

    def deserialize(self, data: Buffer, obj_type: Any = None) -> Any:
        """The object of *data*, of a type if one is given; SerializationError: there is none."""


class JSONSerializer:
    """JSON (RFC 8259).

    Dataclasses become objects, enumerations their values, sets, tuples and deques arrays, UUIDs, dates, times and decimals strings, and
    bytes base64. Reading, the type that is asked for says what they were: a dataclass has all its fields that have no default, and no
    others; in a union, the first that fits is taken. Without a type, what JSON has is what there is. Nothing is coerced, NaN is not
    accepted, and containers are in each other no deeper than 64 levels.
    """

    def serialize(self, obj: Any) -> bytes:
        """The JSON of an object, in UTF-8.

        Raises:
            SerializationError: It is, or has in it, what JSON cannot say, or too deep.
        """
        try:
            return json.dumps(_plain(obj, binary=False), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except ValueError as error:
            raise SerializationError(f"cannot write {type(obj).__name__} as JSON: {error}") from error

    def deserialize(self, data: Buffer, obj_type: Any = None) -> Any:
        """The object that JSON stands for.

        Args:
            data: JSON in UTF-8.
            obj_type: What it is to be: a class, or a type as in ``list[int | None]``; None: whatever it is.
        Raises:
            SerializationError: It is not JSON, or not of that type.
        """
        try:
            value = json.loads(bytes(data).decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise SerializationError(f"{memoryview(data).nbytes} bytes are not JSON: {error}") from error
        return value if obj_type is None else _typed(value, obj_type)


class MsgPackSerializer:
    """MessagePack: as `JSONSerializer`, but bytes stay bytes. It needs the extra ``webtransport-python[msgpack]``.

    Raises:
        ImportError: That is not installed.
    """

    def __init__(self) -> None:
        try:
            import msgpack  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError("MsgPackSerializer needs msgpack: pip install 'webtransport-python[msgpack]'") from error
        self._msgpack: Any = msgpack

    def serialize(self, obj: Any) -> bytes:
        """The MessagePack of an object.

        Raises:
            SerializationError: It is, or has in it, what MessagePack cannot say, or too deep.
        """
        try:
            packed: bytes = self._msgpack.packb(_plain(obj, binary=True))
        except (TypeError, ValueError, OverflowError) as error:
            raise SerializationError(f"cannot write {type(obj).__name__} as MessagePack: {error}") from error
        return packed

    def deserialize(self, data: Buffer, obj_type: Any = None) -> Any:
        """The object that MessagePack stands for; as in `JSONSerializer.deserialize`.

        Raises:
            SerializationError: It is not MessagePack, or not of that type.
        """
        try:
            value = self._msgpack.unpackb(data)
        except (TypeError, ValueError, self._msgpack.UnpackException) as error:
            reason = str(error) or type(error).__name__
            raise SerializationError(f"{memoryview(data).nbytes} bytes are not MessagePack: {reason}") from error
        return value if obj_type is None else _typed(value, obj_type)


class ProtobufSerializer:
    """Protocol Buffers: objects are messages of generated classes. It needs the extra ``webtransport-python[protobuf]``.

    Args:
        message_class: What to read where no type is asked for.
    Raises:
        ImportError: That is not installed.
    """

    def __init__(self, message_class: Any = None) -> None:
        try:
            from google.protobuf import message  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError("ProtobufSerializer needs protobuf: pip install 'webtransport-python[protobuf]'") from error
        self._message: Any = message
        self._message_class = message_class

    def serialize(self, obj: Any) -> bytes:
        """The bytes of a message.

        Raises:
            SerializationError: It is not a message, or lacks a field that is required.
        """
        if not isinstance(obj, self._message.Message):
            raise SerializationError(f"{type(obj).__name__} is not a message of Protocol Buffers")
        try:
            written: bytes = obj.SerializeToString()
        except self._message.EncodeError as error:
            raise SerializationError(f"cannot write {type(obj).__name__}: {error}") from error
        return written

    def deserialize(self, data: Buffer, obj_type: Any = None) -> Any:
        """The message of a class.

        Args:
            data: Its bytes.
            obj_type: Its class; None: the serializer's.
        Raises:
            SerializationError: It is not such a message, or there is no class.
        """
        kind = obj_type or self._message_class
        if not (isinstance(kind, type) and issubclass(kind, self._message.Message)):
            raise SerializationError(f"cannot read a message without its class: {kind!r}")
        read = kind()
        try:
            read.ParseFromString(bytes(data))
        except self._message.DecodeError as error:
            raise SerializationError(f"{memoryview(data).nbytes} bytes are not a {kind.__name__}: {error}") from error
        return read


class MsgspecSerializer:
    """JSON or MessagePack by msgspec, many times faster than the others. It needs the extra ``webtransport-python[msgspec]``.

    Its types are those of msgspec: its own ``Struct`` too, but no deques, and unions that it can tell apart, with one dataclass at
    most. It passes over fields that a dataclass does not have, and JSON's NaN becomes null.

    Args:
        format: "json" or "msgpack".
    Raises:
        ImportError: That is not installed.
        ValueError: There is no such format.
    """

    def __init__(self, format: Literal["json", "msgpack"] = "json") -> None:  # noqa: A002  # what it is
        try:
            import msgspec  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError("MsgspecSerializer needs msgspec: pip install 'webtransport-python[msgspec]'") from error
        if format not in ("json", "msgpack"):
            raise ValueError(f"format must be 'json' or 'msgpack': {format!r}")
        module: Any = getattr(msgspec, format)
        self._format = format
        self._encoder = module.Encoder()
        self._decoder: Callable[[Any], Any] = functools.lru_cache(maxsize=256)(module.Decoder)

    def serialize(self, obj: Any) -> bytes:
        """The bytes of an object.

        Raises:
            SerializationError: It is, or has in it, what cannot be said, or too deep.
        """
        try:
            written: bytes = self._encoder.encode(obj)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise SerializationError(f"cannot write {type(obj).__name__} as {self._format}: {error}") from error
        return written

    def deserialize(self, data: Buffer, obj_type: Any = None) -> Any:
        """The object that bytes stand for; as in `JSONSerializer.deserialize`.

        Raises:
            SerializationError: They are not well-formed, or not of that type.
        """
        try:
            return self._decoder(Any if obj_type is None else obj_type).decode(data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            kind = "" if obj_type is None else f" of {getattr(obj_type, '__name__', obj_type)}"
            raise SerializationError(f"{memoryview(data).nbytes} bytes are not {self._format}{kind}: {error}") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")  # RFC 8259 §6


# Objects as plain values: None, booleans, numbers, strings, bytes if there are any, lists, and dicts with strings for keys


def _plain(obj: Any, *, binary: bool, depth: int = 0) -> Any:
    if obj is None or type(obj) in (bool, int, float, str):
        return obj
    if depth > _DEEPEST:
        raise SerializationError(f"there are more than {_DEEPEST} levels, or it is in itself")
    into = functools.partial(_plain, binary=binary, depth=depth + 1)
    match obj:
        case Enum():
            return into(obj.value)
        case bool() | int() | float() | str():
            return obj
        case bytes() | bytearray() | memoryview():
            return bytes(obj) if binary else base64.b64encode(obj).decode()
        case uuid.UUID() | Decimal():
            return str(obj)
        case datetime.date() | datetime.time():
            return obj.isoformat()
        case Mapping():
            return {_key(into(key)): into(value) for key, value in obj.items()}
        case list() | tuple() | set() | frozenset() | deque():
            return [into(each) for each in obj]
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return {field.name: into(getattr(obj, field.name)) for field in dataclasses.fields(obj) if field.init}
    raise SerializationError(f"objects of type {type(obj).__name__} cannot be written")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if type(key) is int:
        return str(key)
    raise SerializationError(f"a key is a string or an integer: {repr(key)[:80]}")


# And back: what does not fit is a ValueError in here


def _exactly(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"it is not of type {kind.__name__}")
        return value

    return check


_string = _exactly(str)


def _float(value: Any) -> float:
    return float(value if type(value) is int else _exactly(float)(value))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(_string(value), validate=True)


_LEAVES: dict[Any, Callable[[Any], Any]] = {
    type(None): _exactly(type(None)),
    bool: _exactly(bool),
    int: _exactly(int),
    float: _float,
    str: _string,
    bytes: _bytes,
    bytearray: lambda value: bytearray(_bytes(value)),
    uuid.UUID: lambda value: uuid.UUID(_string(value)),
    Decimal: lambda value: Decimal(_string(value)),
    datetime.datetime: lambda value: datetime.datetime.fromisoformat(_string(value)),
    datetime.date: lambda value: datetime.date.fromisoformat(_string(value)),
    datetime.time: lambda value: datetime.time.fromisoformat(_string(value)),
}
_ARRAYS: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    deque: deque,
    Sequence: list,
}
_MAPS = (dict, Mapping)
_UNIONS = (typing.Union, types.UnionType)


def _typed(value: Any, kind: Any, depth: int = 0) -> Any:
    """A plain value as an object of a type, in time that is linear in the value: a union commits to what fits at first sight."""
    if depth > _DEEPEST:
        raise SerializationError(f"there are more than {_DEEPEST} levels")
    kind, origin, arguments = _parts(kind)
    if origin in _UNIONS:
        for member in arguments:
            if _fits(value, member):
                return _typed(value, member, depth)
        raise _misfit(value, kind)
    if not _fits(value, kind):
        raise _misfit(value, kind)
    if kind in (Any, object):
        return value
    if (leaf := _leaf(kind)) is not None:
        return leaf(value)
    try:
        if origin in _ARRAYS:
            inner = _inner(value, origin, arguments, kind)
            return _ARRAYS[origin](_typed(each, of, depth + 1) for each, of in zip(value, inner, strict=True))
        if origin in _MAPS:
            key_kind, value_kind = arguments or (Any, Any)
            return {_typed_key(key, key_kind): _typed(each, value_kind, depth + 1) for key, each in value.items()}
        fields = _fields(kind)
        return kind(**{name: _typed(each, fields[name][0], depth + 1) for name, each in value.items()})
    except (TypeError, ValueError) as error:  # what cannot be in a set, or a dataclass refuses
        raise _misfit(value, kind) from error


def _parts(kind: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """A type, what it is without its arguments, and these."""
    while isinstance(kind, typing.NewType) or typing.get_origin(kind) is typing.Annotated:
        kind = kind.__supertype__ if isinstance(kind, typing.NewType) else typing.get_args(kind)[0]
    kind = type(None) if kind is None else kind
    return kind, typing.get_origin(kind) or kind, typing.get_args(kind)


def _leaf(kind: Any) -> Callable[[Any], Any] | None:
    """What makes a value an object of a type that has nothing in it."""
    if typing.get_origin(kind) is typing.Literal:
        return functools.partial(_literal, typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _LEAVES.get(kind)


def _literal(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    raise ValueError("it is none of them")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type, as far as can be told without looking into what is in it."""
    kind, origin, _ = _parts(kind)
    if kind in (Any, object) or origin in _UNIONS:
        return True
    if (leaf := _leaf(kind)) is not None:
        try:
            leaf(value)
        except (ValueError, TypeError, ArithmeticError):
            return False
        return True
    if origin in _ARRAYS:
        return isinstance(value, list)
    if origin in _MAPS:
        return isinstance(value, dict)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise SerializationError(f"nothing can be read as a {kind!r}")
    fields = _fields(kind)
    return isinstance(value, dict) and value.keys() <= fields.keys() and all(name in value or not fields[name][1] for name in fields)


def _inner(value: list[Any], origin: Any, arguments: tuple[Any, ...], kind: Any) -> Sequence[Any]:
    """The types of what is in an array."""
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(arguments) != len(value):
            raise _misfit(value, kind)
        return arguments
    return [arguments[0] if arguments else Any] * len(value)


def _typed_key(key: Any, kind: Any) -> Any:
    if kind is int and isinstance(key, str) and re.fullmatch("0|-?[1-9][0-9]{0,19}", key):  # written as strings
        return int(key)
    return _typed(key, kind)


@functools.lru_cache(maxsize=1024)
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    """The fields of a dataclass: their types, and whether they must be there."""
    hints = typing.get_type_hints(kind, include_extras=True)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


def _misfit(value: Any, kind: Any) -> SerializationError:
    return SerializationError(f"{type(value).__name__} does not fit {getattr(kind, '__name__', kind)}: {repr(value)[:80]}")
