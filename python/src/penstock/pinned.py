# SPDX-License-Identifier: Apache-2.0
"""Pinned memory for batches: of torch's own allocator, and the engine writes into it.

That allocator keeps a block from being used again until the copies that were queued from it are
done. It knows them by the block's own storage; so a batch's tensors are looks at that storage, and
who lets go of the last one gives the block back to torch.
"""

from typing import Any

import torch
from penstock import _core


def is_asked(loader: Any) -> bool:
    """Whether torch pins this loader's batches."""
    accelerator = torch.accelerator
    if not (loader.pin_memory and accelerator.is_available()):
        return False
    device = accelerator.current_accelerator()
    return device is None or device.type != "mps"


def allocate(size: int) -> torch.Tensor | None:
    """None where there is none: torch copies the batch then, and says what is wrong."""
    try:
        with torch._C.DisableTorchFunction():
            return torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=True)
    except Exception:
        return None


def supply(core: _core.Loader) -> None:
    """Memory to all batches that want it."""
    while True:
        wanted = core.wanted()
        if wanted is None:
            return
        ticket, size = wanted
        memory = allocate(size)
        if memory is None:
            core.supply(ticket)
        elif not core.supply(ticket, memory.data_ptr(), size, memory):
            return


def gather(core: _core.Loader, places: list[int]) -> tuple[_core.Tensor, ...]:
    """A batch of rows at once."""
    size = core.batch_bytes(len(places))
    memory = allocate(size) if size > 0 else None
    if memory is None:
        return core.gather(places)
    return core.gather(places, memory.data_ptr(), size, memory)


def over(tensor: _core.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A torch tensor over one of the engine's."""
    memory = _core.owner(tensor)
    if memory is None:
        return torch.frombuffer(tensor, dtype=dtype).view(tensor.shape)
    # Not a view: tensors of one batch must not share what autograd counts changes by.
    start = (tensor.data_ptr() - memory.data_ptr()) // dtype.itemsize
    strides = [stride // dtype.itemsize for stride in tensor.strides]
    made = torch.empty(0, dtype=dtype, device="cpu")
    return made.set_(memory.untyped_storage(), start, tensor.shape, strides)
