"""Header fields of HTTP messages."""

from collections.abc import Iterable, Mapping
from typing import Self, TypeAlias, overload

HeadersLike: TypeAlias = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]]
"""What a message of ours may be given: names with values; the case of names does not matter."""


class Headers(tuple[tuple[str, str], ...]):
    """The header fields of a message, read only: pairs in their order, names in lower case.

    Fields may repeat: `get_all` has every value of a name. Bytes that are not UTF-8 are surrogates, as in `os.fsdecode`.
    Source: RFC 9110 §5; RFC 9114 §4.2.
    """

    __slots__ = ()

    def __new__(cls, fields: HeadersLike = ()) -> Self:
        """From a mapping or from pairs; values may be bytes."""
        return super().__new__(cls, ((name, value.decode(errors="surrogateescape")) for name, value in encoded(fields)))

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of *name*, in whatever case, or *default*."""
        return next(iter(self.get_all(name)), default)

    def get_all(self, name: str) -> list[str]:
        """Every value of *name*, in whatever case."""
        name = name.lower()
        return [value for other, value in self if other == name]


def encoded(fields: HeadersLike) -> list[tuple[str, bytes]]:
    """The same as the native side takes it; a TypeError for anything else shows no value, which may be a secret."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    try:
        return [
            (str.lower(name), value if isinstance(value, bytes) else str.encode(value, errors="surrogateescape")) for name, value in pairs
        ]
    except UnicodeEncodeError:
        raise
    except (TypeError, ValueError) as error:
        raise TypeError(f"headers must be a mapping or pairs, of str with str or bytes: {error}") from None
