# SPDX-License-Identifier: Apache-2.0
"""What is drawn for CutMix and MixUp, by the engine and by torch from the same state: the shares,
the rectangle, how many words, and the normal that the generator keeps for the next call."""

import struct
from typing import Any

import numpy as np
import parity_kit
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock import _core
from torchvision.transforms import v2

KINDS = {v2.CutMix: 1, v2.MixUp: 2}


def kept_normal() -> float | None:
    state = torch.get_rng_state().numpy().tobytes()
    return struct.unpack_from("=d", state, 5024)[0] if state[5040] else None


def torchs(mix: Any, h: int, w: int) -> tuple[int, float, tuple[int, int, int, int]]:
    params = mix.make_params([torch.empty(2, 3, h, w)])
    if type(mix) is v2.MixUp:
        return 2, params["lam"], (0, 0, 0, 0)
    x1, y1, x2, y2 = params["box"]
    return 1, params["lam_adjusted"], (x1, y1, x2 - x1, y2 - y1)


def engines(mix: Any, h: int, w: int) -> tuple[Any, ...]:
    words = parity_kit.words_ahead(600)
    return _core.mix_draw(
        (10, False, ((KINDS[type(mix)], mix.alpha, 0.0),)), h, w, words, kept_normal()
    )


def check(mix: Any, h: int, w: int) -> None:
    kind, own, box, normal, used = engines(mix, h, w)
    words = parity_kit.words_ahead(used + 1)
    assert torchs(mix, h, w) == (kind, own, box)
    assert kept_normal() == normal
    assert parity_kit.words_ahead(1)[0] == words[used]


alphas = st.floats(0.0625, 5.0) | st.sampled_from([1.0, 0.2, 0.4, 0.999, 1e-3, 50.0])
sides = st.integers(1, 300)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([v2.CutMix, v2.MixUp]), alphas, sides, sides, st.integers(0, 2**63 - 1))
def test_draws(cls: Any, alpha: float, h: int, w: int, seed: int) -> None:
    torch.manual_seed(seed)
    for _ in range(5):  # the normal that is left goes from one to the next
        check(cls(alpha=alpha, num_classes=10), h, w)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.4, 0.7, 0.9999, 1.0, 1.3, 2.0, 3.5, 5.0])
def test_many_shares(alpha: float) -> None:
    torch.manual_seed(int(alpha * 1000))
    beta = v2.MixUp(alpha=alpha, num_classes=10)._dist
    mix = (10, False, ((2, alpha, 0.0),))
    done, normal = 0, None
    while done < 30000:
        words, at = parity_kit.words_ahead(1 << 16), 0
        while at + 600 < len(words):
            _, own, _, normal, used = _core.mix_draw(mix, 8, 8, words[at:], normal)
            assert own == float(beta.sample(()))
            at += used
            done += 1
        assert kept_normal() == normal


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(0, 2**63 - 1))
def test_a_choice(p: list[float], seed: int) -> None:
    torch.manual_seed(seed)
    p = [value / sum(p) for value in p]
    # Which part it was shows in its alpha.
    parts = [v2.MixUp(alpha=0.5 + k, num_classes=10) for k in range(len(p))]
    mix = (10, True, tuple((2, part.alpha, one) for part, one in zip(parts, p, strict=True)))
    words = parity_kit.words_ahead(600)
    _, own, _, normal, used = _core.mix_draw(mix, 8, 8, words, kept_normal())
    part = parts[int(torch.multinomial(torch.tensor(p), 1))]
    assert torchs(part, 8, 8)[1] == own
    assert kept_normal() == normal
    assert parity_kit.words_ahead(1)[0] == words[used]


def test_refused() -> None:
    words = np.zeros(600, np.uint32)
    good: Any = (10, False, ((2, 1.0, 0.0),))
    for mix, error, why in [
        (10, TypeError, "must be a tuple"),
        ((10, False, ()), ValueError, "0 mixes"),
        ((10, False, (good[2][0],) * 9), ValueError, "9 mixes"),
        ((10, False, (1,)), TypeError, "a part of a mix must be a tuple"),
        ((10, False, ((2, 1.0),)), TypeError, "kind, alpha, p"),
        ((0, False, good[2]), ValueError, "0 classes"),
        ((10, False, ((2, -1.0, 0.0),)), ValueError, "alpha is -1"),
    ]:
        with pytest.raises(error, match=why):
            _core.mix_draw(mix, 8, 8, words, None)
    with pytest.raises(ValueError, match="words"):
        _core.mix_draw(good, 8, 8, words[:100], None)
    with pytest.raises(ValueError, match="aligned"):
        _core.mix_draw(good, 8, 8, memoryview(bytes(2401))[1:], None)
    with pytest.raises(TypeError):
        _core.mix_draw(good, 8, 8, words, "no number")
