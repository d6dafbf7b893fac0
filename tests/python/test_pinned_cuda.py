# SPDX-License-Identifier: Apache-2.0
"""Pinned batches with an accelerator: they are pinned, and a copy to the device that is under way
keeps a batch's memory from the next one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kit
import pytest
import torch
from torch.utils.data import TensorDataset

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device, and there is none"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def tensors_of(batch: Any) -> list[torch.Tensor]:
    return [batch] if isinstance(batch, torch.Tensor) else list(batch)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_equal_stocks(root: Path, num_workers: int) -> None:
    rows = TensorDataset(torch.randn(300, 5000), torch.arange(300))
    few = TensorDataset(torch.randn(300, 3), torch.arange(300))
    for dataset in (kit.folder_of(root, kit.train_v1()), rows, few):
        found: list[list[Any]] = []
        for cls in (kit.STOCK, kit.OURS):
            torch.manual_seed(3)
            loader = cls(dataset, batch_size=32, num_workers=num_workers, pin_memory=True)
            found.append([])
            for batch in loader:
                assert all(tensor.is_pinned() for tensor in tensors_of(batch))
                assert all(tensor.pin_memory() is tensor for tensor in tensors_of(batch))
                found[-1].append(kit.visible(batch))
            if cls is kit.OURS:
                assert loader.stats().as_dict()["pinned"]["copied"] == 0
        assert found[0] == found[1]


def one_after_another(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


@pytest.mark.parametrize("num_workers", [0, 4])
def test_copies_under_way_keep_the_memory(num_workers: int) -> None:
    """The stream is kept busy, so that copies wait while their batches are long gone here."""
    n, width = 64 * 16, 1 << 15
    x = torch.arange(n * width, dtype=torch.int32).view(n, width)
    loader = kit.OURS(
        TensorDataset(x), batch_size=16, num_workers=num_workers, threads=2, pin_memory=True
    )
    busy = torch.randn(4096, 4096, device="cuda")
    arrived: list[torch.Tensor] = []
    for i, batch in enumerate(one_after_another(loader)):
        if i == 400:
            break
        if i % 8 == 0:
            for _ in range(4):
                busy = (busy @ busy).clamp_(-1, 1)
        arrived.append(batch[0].to("cuda", non_blocking=True))
        del batch
        if len(arrived) == 64:
            torch.cuda.synchronize()
            for k, there in enumerate(arrived):
                first = (i - 63 + k) % 64 * 16
                assert torch.equal(there.cpu(), x[first : first + 16]), i - 63 + k
            arrived.clear()
    assert loader.stats().as_dict()["pinned"] == {"in_place": 401, "copied": 0}


def test_blocks_come_round(root: Path) -> None:
    """What is pinned in the first epochs serves all others."""
    loader = kit.OURS(
        kit.folder_of(root, kit.train_v1()), batch_size=4, num_workers=2, pin_memory=True
    )
    for _ in range(5):
        list(loader)
    before = torch.cuda.host_memory_stats()["num_host_alloc"]
    for _ in range(20):
        for batch in loader:
            batch[0].to("cuda", non_blocking=True)
        torch.cuda.synchronize()
    assert torch.cuda.host_memory_stats()["num_host_alloc"] <= before + 2
