# SPDX-License-Identifier: Apache-2.0
"""torch's CPU generator, as far as the engine has to imitate it.

The engine draws from the raw words of the generator. What is taken for granted about them (where
the state lies in torch's bytes, what torch makes of a word) is proven once per process against the
installed torch; where the proof fails, nothing runs on the native lane.
"""

import math
import struct
import sys
from collections.abc import Callable
from functools import lru_cache

import torch
from penstock import _core

WORDS = 624
# Words that a generator can be given: it takes no state with a whole block left.
MOST_AHEAD = WORDS - 1
_LEFT = 8  # offset in the bytes of a state: words left before the next block, then
_NEXT = 16  # the place of the next word
_STATE = 24  # the words, in 8 bytes each
_STATE_END = _STATE + 8 * WORDS
_NORMAL = 5024  # the normal that is kept for the next call, and whether there is one
_HAS_NORMAL = 5040
_SIZE = 5056
_MOST_BLOCKS = 1 << 14  # that a sample draws


def _normal_in(state: bytes | bytearray) -> float | None:
    if not state[_HAS_NORMAL]:
        return None
    return float(struct.unpack_from("=d", state, _NORMAL)[0])


def kept_normal(generator: torch.Generator) -> float | None:
    """What a generator keeps for the next call of normal_() of few elements."""
    return _normal_in(generator.get_state().numpy().tobytes())


def _put_normal(state: bytearray, normal: float | None) -> None:
    struct.pack_into("=d", state, _NORMAL, normal or 0.0)
    struct.pack_into("=i", state, _HAS_NORMAL, normal is not None)


def keep_normal(generator: torch.Generator, normal: float | None) -> None:
    state = bytearray(generator.get_state().numpy().tobytes())
    _put_normal(state, normal)
    generator.set_state(torch.frombuffer(state, dtype=torch.uint8))


class StateReader:
    """Reads a generator's words into a buffer that the engine can take, and the normal it keeps."""

    def __init__(self) -> None:
        self.words = bytearray(4 * WORDS)
        self.normal: float | None = None  # that is kept for the next call
        self._words = torch.frombuffer(self.words, dtype=torch.int32)
        self._bytes = bytearray(_SIZE)
        self._state = torch.frombuffer(self._bytes, dtype=torch.uint8)
        # Each word lies in the low half of 8 bytes.
        self._low_halves = self._state[_STATE:_STATE_END].view(torch.int32)[::2]

    def read(self, generator: torch.Generator) -> int:
        """Fills `words`; returns how many of them were given out already (1 to 624)."""
        state = generator.get_state()
        if state.numel() != _SIZE:
            raise RuntimeError(f"a generator's state has {state.numel()} bytes, not {_SIZE}")
        self._state.copy_(state)
        self._words.copy_(self._low_halves)
        self.normal = _normal_in(self._bytes)
        return WORDS + 1 - int.from_bytes(self._bytes[_LEFT : _LEFT + 4], sys.byteorder)


def advance(generator: torch.Generator, n_words: int) -> None:
    """Takes n words from a generator. A normal that it keeps for later stays."""
    if n_words > 0:
        torch.empty(n_words, dtype=torch.int32, device="cpu").random_(generator=generator)


def skip(generator: torch.Generator, n_words: int) -> None:
    """The same for any number of them, in little memory."""
    while n_words > 0:
        some = min(n_words, 1 << 20)
        advance(generator, some)
        n_words -= some


def exp_in_place(values: memoryview) -> None:
    """torch's own exp over float32: its rounding is that of no other library."""
    with torch._C.DisableTorchFunction():
        block = torch.frombuffer(values, dtype=torch.float32)
        torch.exp(block, out=block)


def mix(seed: int, epoch: int) -> int:
    """A 64-bit key from a seed and an epoch (the finaliser of splitmix64 over both)."""
    mask = 2**64 - 1
    z = (seed + (epoch + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def _threshold(p: float, happens: Callable[[torch.Tensor], bool]) -> int:
    """How many of the 2^24 values that torch.rand can give, from 0 on, something happens for; torch
    itself says what a comparison of a float32 with a Python number means."""
    # Rounding of p to float32 moves the border by less than one of these steps.
    word = min(max(int(p * 2**24) - 3, 0), 2**24)
    while word < 2**24 and happens(torch.tensor([word / 2**24], dtype=torch.float32, device="cpu")):
        word += 1
    return word


@lru_cache(maxsize=256)
def flip_threshold(p: float, v2: bool) -> int:
    """v1 acts where rand < p, v2 where not rand >= p."""
    return _threshold(p, lambda rand: not bool(rand >= p) if v2 else bool(rand < p))


@lru_cache(maxsize=256)
def apply_threshold(p: float, v2: bool) -> int:
    """RandomApply of v1 returns early where p < rand, that of v2 where rand >= p."""
    return _threshold(p, lambda rand: not bool(rand >= p) if v2 else not bool(p < rand))


@lru_cache(maxsize=256)
def item_threshold(p: float) -> int:
    """Steps of v1 that compare rand(1).item() < p, in double."""
    return _threshold(p, lambda rand: rand.item() < p)


@lru_cache(maxsize=256)
def most_threshold(p: float) -> int:
    """AutoAugment changes an image where rand <= p."""
    return _threshold(p, lambda rand: bool(rand <= p))


@lru_cache(maxsize=256)
def log_ratio(ratio: tuple[float, float]) -> tuple[float, float]:
    """As RandomResizedCrop computes it."""
    low, high = torch.log(torch.tensor(ratio, device="cpu")).tolist()
    return low, high


def _temper(word: int) -> int:
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C5680
    word ^= (word << 15) & 0xEFC60000
    return word ^ (word >> 18)


def _untemper(word: int) -> int:
    word ^= word >> 18
    word ^= (word << 15) & 0xEFC60000
    raw = word
    for _ in range(4):  # each round sets 7 more bits
        raw = word ^ ((raw << 7) & 0x9D2C5680)
    return raw ^ (raw >> 11) ^ (raw >> 22)


def words_of(seed: int, n: int) -> bytes:
    """The first n words of a generator with this seed, for proofs; n is even."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    pairs = torch.empty(n // 2, dtype=torch.int64, device="cpu")
    pairs.random_(-(2**63), None, generator=generator)  # 64 bits, the first word on top
    values = [value % 2**64 for value in pairs.tolist()]
    halves = (half for value in values for half in (value >> 32, value & 0xFFFFFFFF))
    return struct.pack(f"={n}I", *halves)


class WordsAhead:
    """Within it torch's generator of the CPU gives these words and keeps this normal, and is as
    before after it."""

    def __init__(self, words: bytes, normal: float | None = None) -> None:
        self._normal = normal
        self._values = struct.unpack(f"={len(words) // 4}I", words)
        if len(self._values) > MOST_AHEAD:
            raise RuntimeError(f"{len(self._values)} words ahead, at most {MOST_AHEAD}")
        self._before: torch.Tensor | None = None

    def __enter__(self) -> "WordsAhead":
        self._before = torch.default_generator.get_state()
        n = len(self._values)
        state = bytearray(self._before.numel())
        torch.frombuffer(state, dtype=torch.uint8).copy_(self._before)
        struct.pack_into("=i", state, _LEFT, n + 1)
        struct.pack_into("=Q", state, _NEXT, WORDS - n)
        raw = [_untemper(word) for word in self._values]
        struct.pack_into(f"={n}Q", state, _STATE_END - 8 * n, *raw)
        _put_normal(state, self._normal)
        torch.default_generator.set_state(torch.frombuffer(state, dtype=torch.uint8))
        return self

    def taken(self) -> int:
        """How many were drawn so far."""
        state = torch.default_generator.get_state()
        left = int.from_bytes(bytes(state[_LEFT : _LEFT + 4].tolist()), sys.byteorder)
        taken = len(self._values) + 1 - left
        if not 0 <= taken <= len(self._values):
            raise RuntimeError("more words were drawn than the engine's transform can draw")
        return taken

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            torch.default_generator.set_state(self._before)


class StateAhead:
    """Within it torch's generator of the CPU goes on from this state and keeps this normal, and is
    as before after it."""

    def __init__(self, words: bytes, position: int, normal: float | None = None) -> None:
        self._words, self._position, self._normal = words, position, normal
        self._before: torch.Tensor | None = None

    def _state(self, like: torch.Tensor) -> torch.Tensor:
        state = bytearray(like.numel())
        torch.frombuffer(state, dtype=torch.uint8).copy_(like)
        struct.pack_into("=i", state, _LEFT, WORDS + 1 - self._position)
        struct.pack_into("=Q", state, _NEXT, self._position)
        words = struct.unpack(f"={WORDS}I", self._words)
        struct.pack_into(f"={WORDS}Q", state, _STATE, *words)
        return torch.frombuffer(state, dtype=torch.uint8)

    def __enter__(self) -> "StateAhead":
        self._before = torch.default_generator.get_state()
        torch.default_generator.set_state(self._state(self._before))
        keep_normal(torch.default_generator, self._normal)
        return self

    def taken(self) -> int:
        """How many words were drawn so far."""
        generator, reader = torch.Generator(device="cpu"), StateReader()
        now = torch.default_generator.get_state()
        place = reader.read(torch.default_generator)
        generator.set_state(self._state(now))
        n = (place - self._position) % WORDS
        advance(generator, n)
        for _ in range(_MOST_BLOCKS):
            if torch.equal(generator.get_state(), now):
                return n
            advance(generator, WORDS)
            n += WORDS
        raise RuntimeError("the transform left a generator with no state that follows its own")

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            torch.default_generator.set_state(self._before)


def _float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


class _Proof:
    """Words of a private generator, predicted from its state, beside what torch makes of them."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator(device="cpu")
        self.generator.manual_seed(seed)
        self.reader = StateReader()
        self.fresh_position = self.reader.read(self.generator)
        self.fresh_words = struct.unpack(f"<{WORDS}I", self.reader.words)
        advance(self.generator, 1)  # the first draw makes a new block
        self.position = self.reader.read(self.generator)
        words = struct.unpack(f"<{WORDS}I", self.reader.words)
        self._next = iter([_temper(word) for word in words[self.position :]])

    def word(self) -> int:
        return next(self._next)

    def uniform(self, low: float, high: float) -> float:
        u24 = (self.word() & 0xFFFFFF) / 2**24
        low, high = _float32(low), _float32(high)
        return _float32(u24 * _float32(high - low) + low)


def _check_state(proof: _Proof, seed: int) -> None:
    first = seed & 0xFFFFFFFF
    second = (1812433253 * (first ^ (first >> 30)) + 1) & 0xFFFFFFFF
    _expect(proof.fresh_position == WORDS and proof.position == 1, "the place in the block")
    _expect(proof.fresh_words[:2] == (first, second), "the seeding")


def _check_draws(proof: _Proof) -> None:
    generator = proof.generator
    drawn = torch.empty(20, dtype=torch.int32, device="cpu").random_(generator=generator).tolist()
    _expect(drawn == [proof.word() & 0x7FFFFFFF for _ in drawn], "random_ of int32")
    for _ in range(8):
        value = torch.rand(1, generator=generator, device="cpu").item()
        _expect(value == (proof.word() & 0xFFFFFF) / 2**24, "rand")
    for low, high in ((0.08, 1.0), (-0.28768208622932434, 0.28768208622932434), (0.3, 0.3)):
        for _ in range(8):
            empty = torch.empty(1, device="cpu")
            value = empty.uniform_(low, high, generator=generator).item()
            _expect(value == proof.uniform(low, high), "uniform_")
    for n in (1, 2, 255, 1000003):
        value = torch.randint(0, n, size=(1,), generator=generator, device="cpu").item()
        _expect(value == proof.word() % n, "randint")
    ahead = struct.pack("=3I", *(word := (0x12345678, 0xFFFFFFFF, 7)))
    with WordsAhead(ahead) as generator_ahead:
        drawn = torch.empty(2, dtype=torch.int32, device="cpu").random_().tolist()
        _expect(drawn == [one & 0x7FFFFFFF for one in word[:2]], "words put into a state")
        _expect(generator_ahead.taken() == 2, "the words that were taken")
    before = proof.reader.read(generator)
    advance(generator, 17)
    _expect(proof.reader.read(generator) == before + 17, "the advance")


def _check_normal() -> None:
    plain, advanced = torch.Generator(device="cpu"), torch.Generator(device="cpu")
    values = []
    for generator, n_words in ((plain, 0), (advanced, 5)):
        generator.manual_seed(7)
        torch.empty(1, device="cpu").normal_(generator=generator)
        advance(generator, n_words)
        kept = kept_normal(generator)
        _expect(kept is not None, "where a normal is kept")
        values.append(torch.empty(1, device="cpu").normal_(generator=generator).item())
        _expect(_float32(kept or 0.0) == values[-1], "the normal that is kept")
        _expect(kept_normal(generator) is None, "a normal that was taken")
    _expect(values[0] == values[1], "the normal that a generator keeps")
    keep_normal(plain, 0.5)
    _expect(torch.empty(1, device="cpu").normal_(generator=plain).item() == 0.5, "a normal put in")


def _check_exp() -> None:
    values = torch.linspace(-1.5, 1.5, 97, dtype=torch.float32, device="cpu")
    buffer = bytearray(4 * len(values))
    torch.frombuffer(buffer, dtype=torch.float32).copy_(values)
    exp_in_place(memoryview(buffer))
    alone = [torch.exp(value.reshape(1)).item() for value in values]
    _expect(torch.frombuffer(buffer, dtype=torch.float32).tolist() == alone, "exp of a block")


def _uniform53(proof: _Proof) -> float:
    high = proof.word()
    return ((high << 32 | proof.word()) & (2**53 - 1)) / 2**53


def _choice(proof: _Proof, p: list[float]) -> int:
    ratios = [_float32(value / _float32(-math.log1p(-_uniform53(proof)))) for value in p]
    return ratios.index(max(ratios))


@lru_cache(maxsize=1)
def choice_refusal() -> str | None:
    """Why multinomial(p, 1) of the installed torch cannot be imitated, or None."""
    try:
        for n in (1, 2, 3, 8, 17, 40) * 2:
            proof = _Proof(n)
            drawn = torch.empty(8, device="cpu").exponential_(generator=proof.generator).tolist()
            expected = [_float32(-math.log1p(-_uniform53(proof))) for _ in drawn]
            _expect(drawn == expected, "exponential_")
            p = torch.tensor([1 / (k + 1) for k in range(n)], device="cpu")
            for _ in range(4):
                choice = int(torch.multinomial(p, 1, generator=proof.generator))
                _expect(choice == _choice(proof, p.tolist()), "multinomial")
            value = torch.rand(1, generator=proof.generator, device="cpu").item()
            _expect(value == (proof.word() & 0xFFFFFF) / 2**24, "what multinomial draws")
    except Exception as error:
        return f"multinomial of torch {torch.__version__} is not the known one: {error}"
    return None


@lru_cache(maxsize=1)
def normal_refusal() -> str | None:
    """Why normal_() of the installed torch, as it runs on this CPU, cannot be imitated, or None."""
    try:
        for n in (16, 17, 31, 32, 33, 48, 1000, 99 * 16 + 7, 1 << 15):
            proof = _Proof(n)
            n_words = n + 16 if n % 16 else n
            ahead = torch.Generator(device="cpu")
            ahead.set_state(proof.generator.get_state())
            words = torch.empty(n_words, dtype=torch.int32, device="cpu")
            words.random_(generator=ahead)  # without the highest bit, which is not looked at
            drawn = torch.empty(n, device="cpu").normal_(generator=proof.generator)
            expected = _core.normals(struct.pack(f"={n_words}i", *words.tolist()), n)
            same = torch.frombuffer(bytearray(expected), dtype=torch.int32)
            _expect(torch.equal(drawn.view(torch.int32), same), "the values")
            _expect(
                torch.equal(ahead.get_state(), proof.generator.get_state()), "the words it draws"
            )
    except Exception as error:
        how = torch.backends.cpu.get_cpu_capability()
        return f"normal_ of torch {torch.__version__} ({how}) is not the known one: {error}"
    return None


def _check_one_by_one(seed: int, h: int, w: int, kept: float | None) -> None:
    generator, ahead = (torch.Generator(device="cpu").manual_seed(seed) for _ in range(2))
    keep_normal(generator, kept)
    drawn = torch.empty(h, w, 3, device="cpu").permute(2, 0, 1).normal_(generator=generator)
    values = drawn.permute(1, 2, 0).reshape(-1)
    if kept is not None:
        _expect(values[0].item() == _float32(kept), "the normal that was kept")
        values = values[1:]
    n = len(values)
    even = n + n % 2
    expected = bytearray(_core.normal_pairs(words_of(seed, 2 * even), even))
    same = torch.frombuffer(expected, dtype=torch.int32)
    _expect(torch.equal(values.view(torch.int32), same[:n]), "the values")
    last = kept_normal(generator)
    _expect((last is None) == (n % 2 == 0), "whether one is kept")
    if last is not None:
        _expect(_float32(last) == same.view(torch.float32)[n].item(), "the one that is kept")
    advance(ahead, 2 * even)
    keep_normal(ahead, last)
    keep_normal(generator, last)
    _expect(torch.equal(ahead.get_state(), generator.get_state()), "the words it draws")


@lru_cache(maxsize=1)
def pairs_refusal() -> str | None:
    """The same of a tensor whose pixels lie together, which it fills one by one."""
    try:
        for seed, (h, w) in enumerate(((1, 6), (5, 5), (9, 4), (97, 101))):
            _check_one_by_one(seed, h, w, None)
            _check_one_by_one(seed + 10, h, w, -0.3 / (seed + 1))
    except Exception as error:
        return f"normal_ of torch {torch.__version__}, one by one, is not the known one: {error}"
    return None


@lru_cache(maxsize=16)
def exp_refusal(low: float, high: float) -> str | None:
    """Why a rectangle's sides cannot be told without torch's exp, or None: in a range the
    exponentials are near the exact ones. One argument in 16 is tried, and what draw.c takes for
    possible is four times what may be found."""
    low, high = _float32(low), _float32(high)
    units = torch.arange(0, 1 << 24, 16, dtype=torch.float64, device="cpu") / 2**24
    arguments = (units * _float32(high - low) + low).to(torch.float32)
    exact = torch.exp(arguments.to(torch.float64))
    error = (torch.exp(arguments).to(torch.float64) / exact - 1).abs().max().item()
    if not error <= 2.0**-23:
        return f"exp of torch {torch.__version__} is off by {error:g}"
    return None


@lru_cache(maxsize=1)
def refusal() -> str | None:
    """Why the installed torch's generator cannot be imitated, or None. Global state stays as it is.

    Must not be called under a torch function mode, which would reach into the proof.
    """
    try:
        for seed in (20, 2**40 + 5489):
            proof = _Proof(seed)
            _check_state(proof, seed)
            _check_draws(proof)
        _check_normal()
        _check_exp()
    except Exception as error:
        return f"the generator of torch {torch.__version__} is not the known one: {error}"
    return None
