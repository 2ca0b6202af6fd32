"""Statistics of a benchmark's samples."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Summary(NamedTuple):
    median: float
    minimum: float
    maximum: float


def summary(values: Sequence[float]) -> Summary:
    return Summary(median(values), min(values), max(values))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that *share* of the samples, which are in order, do not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
