# SPDX-License-Identifier: Apache-2.0
"""What becomes of the rows of an array's field on their way into a batch.

A step that is called on a tensor gives what torch gives. The engine gives the same bits, rounded
after each operation in the tensor's dtype, and reads no Python.
"""

import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import torch
from penstock.datasets.dtypes import dtype_name

__all__ = ["Divide", "Normalize", "OneHot", "Reshape", "Scale", "Step", "ToDtype"]

# The kinds of <penstock/array.h>.
_TO_DTYPE, _SCALE, _DIVIDE, _SHIFT, _NORMALIZE, _RESHAPE, _ONE_HOT = range(1, 8)
_Packed = tuple[int, str | None, float, bytes, int, tuple[int, ...], int]


def _packed(
    kind: int,
    *,
    dtype: torch.dtype | None = None,
    number: float = 0,
    numbers: Sequence[float] = (),
    dim: int = 0,
    shape: tuple[int, ...] = (),
    classes: int = 0,
) -> _Packed:
    name = None if dtype is None else dtype_name(dtype)
    return kind, name, number, array("d", numbers).tobytes(), dim, shape, classes


def _check_floats(row: torch.Tensor, step: Any) -> None:
    if not row.is_floating_point():
        raise TypeError(f"{step} of integers: put a ToDtype of floats in front of it")


@dataclass(frozen=True, slots=True)
class ToDtype:
    """row.to(dtype). A float that is out of an integer's range is what torch calls undefined."""

    dtype: torch.dtype

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        return row.to(self.dtype)

    def _steps(self) -> list[_Packed]:
        return [_packed(_TO_DTYPE, dtype=self.dtype)]


@dataclass(frozen=True, slots=True)
class Scale:
    """row * factor, and then + bias where there is one. Of floats."""

    factor: float
    bias: float | None = field(default=None, kw_only=True)

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        _check_floats(row, self)
        scaled = row * self.factor
        return scaled if self.bias is None else scaled + self.bias

    def _steps(self) -> list[_Packed]:
        steps = [_packed(_SCALE, number=self.factor)]
        return steps if self.bias is None else [*steps, _packed(_SHIFT, number=self.bias)]


@dataclass(frozen=True, slots=True)
class Divide:
    """row / divisor, which is not row * (1 / divisor). Of floats."""

    divisor: float

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        _check_floats(row, self)
        return row / self.divisor

    def _steps(self) -> list[_Packed]:
        return [_packed(_DIVIDE, number=self.divisor)]


def _numbers(numbers: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(map(float, numbers)) if isinstance(numbers, Sequence) else (float(numbers),)


@dataclass(frozen=True, slots=True)
class Normalize:
    """(row - mean) / std, both in the row's dtype, and either one number or one for each place of
    dimension dim. Of floats."""

    mean: float | Sequence[float]
    std: float | Sequence[float]
    dim: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):  # a caller's list may be written to
            if isinstance(getattr(self, name), Sequence):
                object.__setattr__(self, name, _numbers(getattr(self, name)))
        if len(_numbers(self.mean)) != len(_numbers(self.std)):
            raise ValueError(f"mean and std should be as many, got {self.mean} and {self.std}")

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        _check_floats(row, self)
        sides = [1] * row.dim()
        sides[self.dim] = -1
        mean, std = (
            torch.tensor(_numbers(numbers), dtype=row.dtype).view(sides)
            for numbers in (self.mean, self.std)
        )
        return (row - mean) / std

    def _steps(self) -> list[_Packed]:
        numbers = (*_numbers(self.mean), *_numbers(self.std))
        return [_packed(_NORMALIZE, numbers=numbers, dim=self.dim)]


@dataclass(frozen=True, slots=True, init=False)
class Reshape:
    """row.reshape(shape), of which one size may be -1."""

    shape: tuple[int, ...]

    def __init__(self, *shape: SupportsIndex) -> None:
        object.__setattr__(self, "shape", tuple(map(operator.index, shape)))

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        return row.reshape(self.shape)

    def __repr__(self) -> str:
        return f"Reshape({', '.join(map(str, self.shape))})"

    def _steps(self) -> list[_Packed]:
        return [_packed(_RESHAPE, shape=self.shape)]


@dataclass(frozen=True, slots=True)
class OneHot:
    """one_hot(row, classes).to(dtype), of integers of any dtype. A class that is out of range is a
    DecodeError that names file, row, value and bound."""

    classes: int
    dtype: torch.dtype = field(default=torch.int64, kw_only=True)

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        numbers = row.to(torch.int64)
        return torch.nn.functional.one_hot(numbers, self.classes).to(self.dtype)

    def _steps(self) -> list[_Packed]:
        return [_packed(_ONE_HOT, dtype=self.dtype, classes=operator.index(self.classes))]


Step = ToDtype | Scale | Divide | Normalize | Reshape | OneHot


def packed(steps: Sequence[Step]) -> tuple[_Packed, ...]:
    """As the engine takes them."""
    found: list[_Packed] = []
    for step in steps:
        if type(step) not in Step.__args__:
            raise TypeError(f"a step should be one of penstock.datasets.row_steps, got {step!r}")
        found += step._steps()
    return tuple(found)
