"""What the two sides say to each other: dataclasses, and their numbers on the wire."""

from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID, uuid4


class Side(Enum):
    """What an order wants."""

    BUY = "buy"
    SELL = "sell"


@dataclass
class Order:
    """Somebody wants to buy or to sell."""

    side: Side
    amount: int
    price: int
    """In cents."""
    order_id: UUID = field(default_factory=uuid4)


@dataclass
class Filled:
    """An order found its counterpart, in whole or in part."""

    order_id: UUID
    amount: int
    price: int


@dataclass
class Refused:
    """An order that makes no sense."""

    order_id: UUID
    why: str


REGISTRY: dict[int, type] = {1: Order, 2: Filled, 3: Refused}
