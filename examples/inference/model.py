"""A very small language model: which word follows which two, counted in a text."""

import random
from collections import defaultdict
from collections.abc import Iterator


class Model:
    """What was read, as chains of words.

    Args:
        text: What to learn from.
        seed: Makes it say the same each time.
    """

    def __init__(self, text: str, seed: int = 0) -> None:
        words = text.split()
        self._next: dict[tuple[str, str], list[str]] = defaultdict(list)
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            self._next[first, second].append(third)
        self._random = random.Random(seed)

    def continuation(self, prompt: str) -> Iterator[str]:
        """Words that may follow, one after the other, without an end."""
        pairs = list(self._next)
        first, second = ["", "", *prompt.split()][-2:]
        state = first, second
        while True:
            if state not in self._next:
                state = self._random.choice(pairs)
                yield from state
            word = self._random.choice(self._next[state])
            yield word
            state = state[1], word
