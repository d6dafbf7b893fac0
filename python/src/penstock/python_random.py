# SPDX-License-Identifier: Apache-2.0
"""Python's random, as far as the engine has to imitate it: what its functions make of a word is
proven once per process against this interpreter's, on private generators."""

import random
import struct
import sys
from functools import lru_cache
from itertools import accumulate
from typing import Any

WORDS = 624
_AT_ONCE = 1 << 12  # words


def state_of(generator: Any) -> tuple[bytes, int]:
    """The words of a generator (the module, or a Random), and how many are given out."""
    _, words, _ = generator.getstate()
    return struct.pack(f"={WORDS}I", *words[:-1]), words[-1]


def advance(generator: Any, n: int) -> None:
    """Draws n words."""
    while n > 0:
        generator.getrandbits(32 * min(n, _AT_ONCE))
        n -= _AT_ONCE


class StateAhead:
    """Within it random goes on from this state, and is as before after it."""

    def __init__(self, words: bytes, position: int) -> None:
        self._words, self._position = struct.unpack(f"={WORDS}I", words), position
        self._before: Any = None

    def __enter__(self) -> "StateAhead":
        self._before = random.getstate()
        random.setstate((self._before[0], (*self._words, self._position), self._before[2]))
        return self

    def taken(self) -> int:
        """How many words were drawn so far."""
        version, now, kept = random.getstate()
        again = random.Random()
        again.setstate((version, (*self._words, self._position), kept))
        for n in range(1 << 16):
            if again.getstate()[1] == now:
                return n
            again.getrandbits(32)
        raise RuntimeError("the transform left random with no state that follows the one it had")

    def __exit__(self, *_: object) -> None:
        random.setstate(self._before)


def replaced() -> str | None:
    """Whether the functions that torchvision calls were put in the place of Python's."""
    home = sys.modules.get("torchvision.transforms.transforms")
    own = getattr(random, "_inst", None)
    if getattr(home, "random", None) is not random:
        return "random is another module in torchvision"
    for name in ("choices", "shuffle", "random", "getrandbits"):
        if type(own) is not random.Random or getattr(random, name) != getattr(own, name):
            return f"random.{name} was replaced"
    return None


def _unit(bits: Any) -> float:
    high, low = bits(32) >> 5, bits(32) >> 6
    return float((high * 67108864.0 + low) / 2**53)


def _below(bits: Any, n: int) -> int:
    value: int = bits(32) >> (32 - n.bit_length())
    while value >= n:
        value = bits(32) >> (32 - n.bit_length())
    return value


def _choice(bits: Any, sums: list[float]) -> int:
    place = _unit(bits) * sums[-1]
    return next((k for k, total in enumerate(sums[:-1]) if total > place), len(sums) - 1)


def _order(bits: Any, n: int) -> list[int]:
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        k = _below(bits, i + 1)
        order[i], order[k] = order[k], order[i]
    return order


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _seeded(seed: int) -> list[int]:
    """init_by_array() of the words of a seed."""
    key = [seed & 0xFFFFFFFF, seed >> 32] if seed >> 32 else [seed]
    words = [19650218]
    for i in range(1, WORDS):
        words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + i) & 0xFFFFFFFF)
    i = 1
    for k in range(2 * WORDS - 1):
        mixed = words[i - 1] ^ words[i - 1] >> 30
        if k < WORDS:
            j = k % len(key)
            words[i] = (words[i] ^ mixed * 1664525) + key[j] + j & 0xFFFFFFFF
        else:
            words[i] = (words[i] ^ mixed * 1566083941) - i & 0xFFFFFFFF
        i += 1
        if i == WORDS:
            words[0], i = words[-1], 1
    words[0] = 0x80000000
    return words


def _prove(seed: int) -> None:
    theirs, ours = random.Random(seed), random.Random(seed)
    version, words, _ = theirs.getstate()
    _expect(version == 3 and words == (*_seeded(seed), WORDS), "the seeding")
    bits = ours.getrandbits
    for n in (1, 2, 3, 4, 7, 8, 9, 31, 33, 64):
        weights = [k % 5 + 0.25 for k in range(n)]
        for _ in range(8):
            order = list(range(n))
            theirs.shuffle(order)
            _expect(order == _order(bits, n), "shuffle")
            (k,) = theirs.choices(range(n))
            _expect(k == int(_unit(bits) * n), "choices")
            (k,) = theirs.choices(range(n), weights=weights)
            _expect(k == _choice(bits, list(accumulate(weights))), "choices with weights")
    advance(ours, 5000)
    for _ in range(5000):
        theirs.getrandbits(32)
    _expect(theirs.getstate() == ours.getstate(), "the words that are drawn")


@lru_cache(maxsize=1)
def refusal() -> str | None:
    """Why this interpreter's random cannot be imitated, or None."""
    try:
        for seed in (0, 7, 2**32 - 1, 2**32, 2**63 + 12345):
            _prove(seed)
    except Exception as error:
        return f"random of Python {sys.version.split()[0]} is not the known one: {error}"
    return None
