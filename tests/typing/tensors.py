# SPDX-License-Identifier: Apache-2.0
"""Types of tensors; checked by mypy and pyright, never run."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from typing import Any, assert_type

import numpy as np
import penstock
import torch
from numpy.typing import NDArray
from penstock import Generator, Tensor, from_dlpack, tensor

t = tensor(b"abc")
assert_type(t, Tensor)
assert_type(tensor(np.zeros(3), dtype="f32", copy=True), Tensor)
assert_type(from_dlpack(torch.zeros(3)), Tensor)
assert_type(t.shape, tuple[int, ...])
assert_type(t.strides, tuple[int, ...])
assert_type(t.dtype, str)
assert_type(t.readonly, bool)
assert_type(t[0], Tensor)
assert_type(t[0, ..., None, ::2], Tensor)
assert_type(t.view(1, -1), Tensor)
assert_type(t.view((1, -1)).reshape([3]).permute(0).expand(2, -1).transpose(0, 1), Tensor)
assert_type(t.T, Tensor)
assert_type(t.contiguous().clone().to("f16"), Tensor)
assert_type(t.equal(t), bool)
assert_type(t.numpy(), NDArray[Any])
assert_type(t.torch(), torch.Tensor)
assert_type(t.item(), int | float | bool)
assert_type(len(t), int)
assert_type(list(t), list[Tensor])
assert_type(memoryview(t), memoryview)
np.from_dlpack(t)
np.asarray(t)
assert_type(penstock.Generator(0).rand((2, 3), dtype="f64"), Tensor)
assert_type(Generator(0).randint(0, 9, 3), Tensor)

t["a"]  # type: ignore[index]
t + t  # type: ignore[operator]
bool(1 in t)  # type: ignore[operator]
t[0] = 1  # type: ignore[index]
tensor(b"", "f32")  # type: ignore[call-arg]
t.to(torch.float32)  # type: ignore[arg-type]
t.view("3")  # type: ignore[arg-type]
