# SPDX-License-Identifier: Apache-2.0
"""One pipeline on one image: read as the loader reads it, run by the engine, compared with what
torchvision gives: shape, every bit, and how far the random stream has moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from penstock import _core, capture, prepare, steps
from penstock.options import ERAS
from PIL import Image

ERA_NAMES = {number: name for name, number in ERAS.items()}


def words_ahead(n: int) -> np.ndarray:
    """The next n words of torch's default generator, read out of its state."""
    state = torch.get_rng_state().numpy()
    left = int(state[8:12].view(np.int32)[0])
    key = state[24 : 24 + 624 * 8].view(np.uint64).astype(np.uint32)
    generator = np.random.RandomState()
    generator.set_state(("MT19937", key, 625 - left))
    return generator.randint(0, 2**32, n, dtype=np.uint32)


def noise(w: int, h: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def as_numpy(array: _core.Tensor) -> np.ndarray:
    dtype = array.dtype.replace("u8", "uint8").replace("f32", "float32")
    return np.frombuffer(array, dtype).reshape(array.shape)


def native(pipeline: Any, era: int = 3) -> _core.Transform:
    return prepare.prepare(capture.read_transform(pipeline), ERA_NAMES[era]).transform


def exp_is_exact(ops: Any, words: np.ndarray) -> bool:
    """The engine's own exp is rounded from double, torch's is an approximation: about one value in
    a hundred differs. The loader has torch's."""
    for op in ops:
        low, high = np.float32(op[10]), np.float32(op[11])
        unit = (words & 0xFFFFFF).astype(np.float64) * 2.0**-24
        values = (unit * np.float64(high - low) + np.float64(low)).astype(np.float32)
        exact = np.exp(values.astype(np.float64)).astype(np.float32)
        if (torch.exp(torch.from_numpy(values)).numpy() != exact).any():
            return False
    return True


def check(pipeline: Any, pixels: np.ndarray, seed: int, fails: str | None = None) -> bool:
    """`fails`: where torchvision raises, the engine says this. False: exp spoiled it."""
    reading = capture.read_transform(pipeline)
    transform = prepare.prepare(reading, ERA_NAMES[3]).transform
    ops = [entry[2] for entry in reading.key if entry[0] in steps.OPS]
    h, w = pixels.shape[:2]
    torch.manual_seed(seed)
    words = words_ahead(transform.max_words + 2)
    try:
        expected = pipeline(Image.fromarray(pixels))
    except torch.linalg.LinAlgError:
        raise
    except (ValueError, RuntimeError, IndexError):
        assert fails is not None
        with pytest.raises(ValueError, match=fails):
            transform.apply(pixels, w, h, words)
        return True
    array, used = transform.apply(pixels, w, h, words)
    if not exp_is_exact([op for op in ops if op[10:12] != (0.0, 0.0)], words[:used]):
        return False
    result, reference = as_numpy(array), np.asarray(expected)
    assert result.dtype == reference.dtype
    assert result.shape == reference.shape
    assert result.tobytes() == reference.tobytes()
    assert list(words_ahead(2)) == list(words[used : used + 2])
    return True
