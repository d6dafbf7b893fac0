# SPDX-License-Identifier: Apache-2.0
"""Whether torch's default collate does to tensors and numbers what it is known for."""

import sys
from operator import is_
from typing import Any

import torch
from penstock.refusal import refuse
from torch.utils.data._utils import collate

_FUNCTIONS = (collate.default_collate, collate.collate, collate.collate_tensor_fn)


def _known_keys() -> set[Any]:
    keys: set[Any] = {torch.Tensor, float, int, str, bytes}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        keys |= {numpy.ndarray, (numpy.bool_, numpy.number, numpy.object_)}
    return keys


def _is_of_others(key: Any) -> bool:
    """Whether an entry that somebody added (tensordict does) is asked about none of our samples:
    torch looks for a sample's own class first, and then for one that it is an instance of."""
    samples: tuple[Any, ...] = ((), [], {})
    return not any(type(sample) is key or isinstance(sample, key) for sample in samples)


_seen: dict[Any, Any] = {}


def check() -> None:
    """Raises Refusal."""
    if not all(
        map(is_, (collate.default_collate, collate.collate, collate.collate_tensor_fn), _FUNCTIONS)
    ):
        refuse("collate", "a function of torch's collate was replaced")
    table = collate.default_collate_fn_map
    if table == _seen:
        return
    if (
        table.get(torch.Tensor) is not collate.collate_tensor_fn
        or table.get(int) is not collate.collate_int_fn
        or not all(map(_is_of_others, table.keys() - _known_keys()))
    ):
        refuse("collate", "default_collate_fn_map was changed")
    _seen.clear()
    _seen.update(table)
