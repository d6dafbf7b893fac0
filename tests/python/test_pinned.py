# SPDX-License-Identifier: Apache-2.0
"""Batches that are written where they are pinned. There need be no accelerator: memory that can be
watched takes the place of torch's, and what is not written there is seen as a copy."""

import gc
import weakref
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import native, pinned
from torch.utils.data import TensorDataset
from torchvision import transforms
from torchvision.transforms import v2


class Pinning:
    """Stands in for torch: what is pinned is what lies in a block of `blocks`."""

    def __init__(self) -> None:
        self.blocks: list[weakref.ref[Any]] = []
        self.at: dict[int, weakref.ref[Any]] = {}
        self.copied: list[torch.Size] = []
        self.n_left: int | None = None  # blocks that can still be had

    def allocate(self, size: int) -> torch.Tensor | None:
        if self.n_left is not None:
            if self.n_left == 0:
                return None
            self.n_left -= 1
        block = numpy.full(size + 64, 0x5A, numpy.uint8)
        start = -block.ctypes.data % 64
        memory = torch.from_numpy(block[start : start + size])
        self.blocks.append(weakref.ref(block))
        self.at[memory.data_ptr()] = self.blocks[-1]
        return memory

    def live(self) -> int:
        return sum(ref() is not None for ref in self.blocks)

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        ref = self.at.get(tensor.untyped_storage().data_ptr())
        return ref is not None and ref() is not None

    def pin_memory(self, data: Any, device: Any) -> Any:
        assert device == "cuda"
        if isinstance(data, torch.Tensor):
            if self.is_pinned(data):
                return data
            self.copied.append(data.shape)
            return data.clone()
        if isinstance(data, dict):
            return {key: self.pin_memory(value, device) for key, value in data.items()}
        assert type(data) in (list, tuple)
        return type(data)(self.pin_memory(item, device) for item in data)


@pytest.fixture
def pinning(monkeypatch: pytest.MonkeyPatch) -> Pinning:
    found = Pinning()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(pinned, "allocate", found.allocate)
    monkeypatch.setattr(native, "pin_memory", found.pin_memory)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of one size and then four larger ones."""
    root = tmp_path_factory.mktemp("twins")
    (root / "a").mkdir()
    for i in range(16):
        side = 40 if i < 12 else 50
        (root / "a" / f"{i:02}.jpg").write_bytes(kit.jpeg(side, side, i))
    return root


def counts(loader: Any) -> tuple[int, int]:
    found = loader.stats().as_dict()["pinned"]
    return found["in_place"], found["copied"]


def take_all(loader: Any) -> None:
    for batch in loader:
        del batch


def stock_of(dataset: Any, **options: Any) -> list[Any]:
    torch.manual_seed(3)
    return [kit.visible(batch) for batch in kit.STOCK(dataset, **options)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_crops_that_nothing_stacks(pinning: Pinning, root: Path, num_workers: int) -> None:
    """All of a batch lie in one block."""
    options = {"batch_size": 4, "num_workers": num_workers}
    crops = v2.Compose([v2.Resize(24), v2.TenCrop(20), v2.ToImage()])
    dataset = kit.folder_of(root, crops)
    expected = stock_of(dataset, **options)
    loader = kit.OURS(dataset, pin_memory=True, **options)
    for batch, one in zip(loader, expected, strict=True):
        assert kit.visible(batch) == one
        assert all(map(pinning.is_pinned, batch[0]))
        assert len({image.untyped_storage().data_ptr() for image in batch[0]}) == 1
        versions = [image._version for image in batch[0][1:]]
        batch[0][0].zero_()
        assert [image._version for image in batch[0][1:]] == versions
    assert counts(loader) == (len(expected), 0)
    assert pinning.live() <= 2


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("pipeline", ["train_v1", "eval_v1", "uint8_v2", "simclr_v2"])
def test_batches_equal_stocks(
    pinning: Pinning, root: Path, pipeline: str, num_workers: int
) -> None:
    options = {"batch_size": 4, "shuffle": True, "num_workers": num_workers}
    dataset = kit.folder_of(root, kit.PIPELINES[pipeline]())
    expected = stock_of(dataset, **options)
    torch.manual_seed(3)
    loader = kit.OURS(dataset, pin_memory=True, threads=3, **options)
    found = []
    for images, labels in loader:
        assert pinning.is_pinned(images)
        assert not images._is_view()
        assert images.storage_offset() == 0
        assert labels.untyped_storage().data_ptr() != images.untyped_storage().data_ptr()
        found.append(kit.visible([images, labels]))
        del images, labels
    assert found == expected
    assert counts(loader) == (5, 0)
    assert {shape.numel() for shape in pinning.copied} == {4, 1}  # labels, which stay apart
    assert len(pinning.blocks) == 5
    assert pinning.live() == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_layouts_and_dtypes(pinning: Pinning, root: Path, num_workers: int) -> None:
    options = {
        "batch_size": 5,
        "num_workers": num_workers,
        "out_dtype": torch.bfloat16,
        "memory_format": torch.channels_last,
    }
    dataset = kit.folder_of(root, kit.eval_v1())
    expected = [kit.visible(batch) for batch in kit.OURS(dataset, **options)]
    found = []
    for batch in kit.OURS(dataset, pin_memory=True, **options):
        assert pinning.is_pinned(batch[0])
        found.append(kit.visible(batch))
    assert found == expected


def test_a_kept_batch_keeps_its_block_and_no_other(pinning: Pinning, root: Path) -> None:
    loader = kit.OURS(
        kit.folder_of(root, kit.eval_v1()), batch_size=3, num_workers=2, pin_memory=True
    )
    iterator = iter(loader)
    images, labels = next(iterator)
    part = images[1, 0]
    expected = part.clone()
    iterator._shutdown_workers()
    del iterator
    assert pinning.live() == 1
    assert images.untyped_storage().nbytes() == images.nbytes
    del images
    assert pinning.live() == 1
    assert torch.equal(part, expected)
    del part
    assert pinning.live() == 0
    assert labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_sizes_that_the_transforms_leave(pinning: Pinning, twins: Path, num_workers: int) -> None:
    """A batch is expected to be as the last one was."""
    dataset = kit.folder_of(twins, transforms.ToTensor())
    options = {"batch_size": 2, "num_workers": num_workers}
    expected = stock_of(dataset, **options)
    loader = kit.OURS(dataset, pin_memory=True, **options)
    found = []
    for batch in loader:
        assert pinning.is_pinned(batch[0]) or batch[0].shape in pinning.copied
        found.append(kit.visible(batch))
        del batch
    assert found == expected
    in_place, copied = counts(loader)
    assert in_place + copied == 8
    # Those of the look-ahead are asked for before the first one is there.
    assert copied == (2 if num_workers == 0 else pytest.approx(6, abs=2))
    assert pinning.live() == 0


def test_ragged_batches(pinning: Pinning, root: Path) -> None:
    dataset = kit.folder_of(root, transforms.ToTensor())
    loader = kit.OURS(dataset, batch_size=3, num_workers=2, pin_memory=True)
    with pytest.raises(RuntimeError, match="equal size"):
        list(loader)
    gc.collect()
    assert pinning.live() == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_there_is_no_pinned_memory(pinning: Pinning, root: Path, num_workers: int) -> None:
    """Some blocks, then none: the rest is copied as before."""
    pinning.n_left = 2
    dataset = kit.folder_of(root, kit.train_v1())
    options = {"batch_size": 4, "num_workers": num_workers}
    expected = stock_of(dataset, **options)
    torch.manual_seed(3)
    loader = kit.OURS(dataset, pin_memory=True, **options)
    assert [kit.visible(batch) for batch in loader] == expected
    assert counts(loader) == (2, 3)


def test_what_torch_says_where_there_is_none(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """allocate() fails in silence, so that the copy raises what torch's loader raises."""
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert pinned.allocate(64) is None
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), batch_size=4, pin_memory=True)
    with pytest.raises(RuntimeError) as found:
        next(iter(loader))
    with pytest.raises(type(found.value)) as expected:
        torch.empty(1).pin_memory()
    assert str(found.value).splitlines()[0] == str(expected.value).splitlines()[0]


@pytest.mark.parametrize("how", ["left", "closed", "raised", "interrupted", "damaged"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_blocks_of_an_epoch_that_does_not_end(
    pinning: Pinning, root: Path, tmp_path: Path, how: str, num_workers: int
) -> None:
    ends = {"raised": ValueError, "interrupted": KeyboardInterrupt}
    if how == "damaged":
        root = kit.make_folder(tmp_path)
        (root / "ant" / "a4.png").write_bytes(b"nothing")
        ends["damaged"] = OSError

    class Order(torch.utils.data.Sampler[int]):
        def __iter__(self) -> Any:
            yield from range(9 if how in ends else 17)
            if how in ends and how != "damaged":
                raise ends[how]("mine")
            yield from range(9, 17)

    loader = kit.OURS(
        kit.folder_of(root, kit.train_v1()),
        batch_size=2,
        sampler=Order(),
        num_workers=num_workers,
        prefetch_factor=3 if num_workers else None,
        pin_memory=True,
    )
    iterator = None
    if how in ends:
        with pytest.raises(ends[how]):
            take_all(loader)
    else:
        iterator = iter(loader)
        next(iterator)
        if how == "closed":
            iterator._shutdown_workers()
            assert pinning.live() == 0
        del iterator
    gc.collect()
    assert pinning.live() == 0
    assert len(pinning.blocks) > 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_mixed_batches(pinning: Pinning, root: Path, num_workers: int) -> None:
    """They are mixed where they are pinned, and stay a pair."""
    dataset = kit.folder_of(root, kit.train_v1())
    mixes = [v2.CutMix(num_classes=3), v2.MixUp(alpha=0.4, num_classes=3)]
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "num_workers": num_workers}
    options["collate_fn"] = penstock.collate_with(v2.RandomChoice(mixes))
    expected = stock_of(dataset, **options)
    torch.manual_seed(3)
    loader = kit.OURS(dataset, pin_memory=True, **options)
    found = []
    for batch in loader:
        assert pinning.is_pinned(batch[0])
        found.append(kit.visible(batch))
        del batch
    assert found == expected
    assert counts(loader) == (5, 0)
    assert pinning.live() == 0


def test_samples_that_are_left_out(pinning: Pinning, tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path)
    (root / "ant" / "a1.jpg").write_bytes(b"nothing")
    dataset = kit.folder_of(root, kit.train_v1())
    options = {"batch_size": 4, "num_workers": 2, "on_error": "skip"}
    torch.manual_seed(3)
    expected = [kit.visible(batch) for batch in kit.OURS(dataset, **options)]
    torch.manual_seed(3)
    loader = kit.OURS(dataset, pin_memory=True, **options)
    found = []
    for images, labels in loader:
        assert pinning.is_pinned(images)
        found.append(kit.visible([images, labels]))
        del images, labels
    assert found == expected
    assert found[0][1][0][2][0] == 3
    assert pinning.live() == 0


def test_persistent_workers(pinning: Pinning, root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    options = {"batch_size": 4, "num_workers": 2, "persistent_workers": True}
    expected = kit.run(lambda: (kit.STOCK(dataset, **options), ()), epochs=3)
    again = kit.run(
        lambda: (kit.OURS(dataset, pin_memory=True, **options), ()), epochs=3, native=True
    )
    kit.assert_same(expected, again)
    gc.collect()
    assert len(pinning.blocks) == 15
    assert pinning.live() == 0


def test_an_engine_serves_both(pinning: Pinning, root: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), batch_size=4, num_workers=2)
    for is_pinned in (False, True, False):
        loader.pin_memory = is_pinned
        assert [pinning.is_pinned(images) for images, _ in loader] == [is_pinned] * 5
    assert counts(loader) == (5, 0)


def test_the_budget_counts_them(pinning: Pinning, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for i in range(24):
        (tmp_path / "a" / f"{i}.jpg").write_bytes(kit.jpeg(300, 200, i))
    transform = transforms.Compose([transforms.RandomResizedCrop(224), transforms.ToTensor()])
    dataset = kit.folder_of(tmp_path, transform)
    size = 2 * 3 * 224 * 224 * 4
    budget = 4 * size
    expected = stock_of(dataset, batch_size=2, num_workers=4)
    torch.manual_seed(3)
    loader = kit.OURS(
        dataset, batch_size=2, num_workers=4, threads=2, memory_budget=budget, pin_memory=True
    )
    most, found = 0, []
    for batch in loader:
        most = max(most, pinning.live())
        found.append(kit.visible(batch))
        del batch
    assert found == expected
    memory = loader.stats().as_dict()["memory"]
    assert counts(loader) == (12, 0)
    assert size <= memory["slabs_peak"] <= budget
    assert memory["held_peak"] <= budget + 2**20
    assert most <= budget // size + 1  # and the one in hand
    assert loader.stats().as_dict()["slab_allocs"] == 0


def test_no_block_for_what_the_budget_refuses(pinning: Pinning, root: Path, tmp_path: Path) -> None:
    numpy.save(tmp_path / "x.npy", numpy.zeros((200, 5000)))
    rows = numpy.load(tmp_path / "x.npy", mmap_mode="r")
    for dataset in (kit.folder_of(root, kit.eval_v1()), rows):
        for num_workers in (0, 2):
            loader = kit.OURS(
                dataset,
                batch_size=8,
                num_workers=num_workers,
                drop_last=True,
                memory_budget=40_000,
                pin_memory=True,
            )
            with pytest.raises(penstock.LimitError, match="the memory budget is 40000"):
                next(iter(loader))
    assert len(pinning.blocks) == 0


def test_a_batch_that_torch_fetches(pinning: Pinning, root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    order: Any = [[0, 1], [numpy.int64(2), 3], [4, 5]]
    loader = kit.OURS(dataset, batch_sampler=order, pin_memory=True)
    found = [kit.visible(batch) for batch in loader]
    assert found == stock_of(dataset, batch_sampler=order)
    assert counts(loader) == (2, 1)


# --- rows


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("width", [3, 5000])  # batches at once, and on threads
def test_rows(pinning: Pinning, num_workers: int, width: int) -> None:
    x = torch.randn(100, width)
    y = torch.arange(100, dtype=torch.int16)
    empty = torch.zeros(100, 0, dtype=torch.int64)
    dataset = TensorDataset(x, y, empty)
    options = {"batch_size": 16, "shuffle": True, "num_workers": num_workers}
    expected = stock_of(dataset, **options)
    torch.manual_seed(3)
    loader = kit.OURS(dataset, pin_memory=True, **options)
    found = []
    for batch in loader:
        assert all(map(pinning.is_pinned, batch[:2]))
        assert len({tensor.untyped_storage().data_ptr() for tensor in batch[:2]}) == 1
        found.append(kit.visible(batch))
        del batch
    assert found == expected
    assert counts(loader) == (7, 0)
    assert {shape[1:] for shape in pinning.copied} == {(0,)}
    assert pinning.live() == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_rows_of_one_field_and_of_names(pinning: Pinning, tmp_path: Path, num_workers: int) -> None:
    path = tmp_path / "x.npy"
    numpy.save(path, numpy.random.default_rng(1).normal(size=(90, 999)))
    x = numpy.arange(90 * 4000, dtype=numpy.float32).reshape(90, 4000)
    with penstock.ArrayWriter(tmp_path / "both.pst") as writer:
        writer.write({"x": x, "y": numpy.arange(90, dtype=numpy.uint8)})
    both = penstock.datasets.Array(tmp_path / "both.pst")
    for dataset in (numpy.load(path, mmap_mode="r"), both):
        options = {"batch_size": 40, "num_workers": num_workers}
        expected = stock_of(dataset, **options)
        loader = kit.OURS(dataset, pin_memory=True, **options)
        found = []
        for batch in loader:
            for tensor in batch.values() if isinstance(batch, dict) else [batch]:
                assert pinning.is_pinned(tensor)
            found.append(kit.visible(batch))
        assert found == expected
        assert counts(loader) == (3, 0)


def test_fields_of_a_batch_are_changed_apart(pinning: Pinning) -> None:
    """Autograd counts changes: what is done to the labels is nothing to the images."""
    dataset = TensorDataset(torch.randn(40, 2000), torch.arange(40.0))
    x, y = next(iter(kit.OURS(dataset, batch_size=40, pin_memory=True)))
    weight = torch.ones(2000, requires_grad=True)
    out = (x * weight).sum()
    version = x._version
    y.mul_(2)
    assert x._version == version
    out.backward()
    assert torch.equal(weight.grad, x.sum(0))


def test_rows_that_are_left(pinning: Pinning) -> None:
    dataset = TensorDataset(torch.randn(4000, 999))
    loader = kit.OURS(dataset, batch_size=200, num_workers=4, pin_memory=True)
    iterator = iter(loader)
    (first,) = next(iterator)
    assert pinning.live() > 1
    del iterator
    assert pinning.live() == 1
    assert torch.equal(first, dataset.tensors[0][:200])
    del first
    assert pinning.live() == 0


def test_rows_persistently(pinning: Pinning) -> None:
    dataset = TensorDataset(torch.randn(300, 2000))
    loader = kit.OURS(
        dataset, batch_size=50, num_workers=2, persistent_workers=True, pin_memory=True
    )
    for _ in range(3):
        iterator = iter(loader)
        assert torch.equal(next(iterator)[0], dataset.tensors[0][:50])
    assert counts(loader) == (3, 0)
    iterator._shutdown_workers()
    assert pinning.live() == 0


# --- where it says so


def test_explained(pinning: Pinning, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def delivery(**options: Any) -> str:
        loader = kit.OURS(dataset, batch_size=4, **options)
        return loader.explain().stages[-1].why

    for dataset in (kit.folder_of(root, kit.eval_v1()), TensorDataset(torch.zeros(9, 9))):
        assert "in torch's pinned memory" in delivery(pin_memory=True)
        assert delivery() == "torch tensors over the engine's memory, no copy"
        with monkeypatch.context() as other:
            other.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
            assert "pinned" not in delivery(pin_memory=True)
            loader = kit.OURS(dataset, batch_size=4, pin_memory=True)
            with pytest.warns(UserWarning, match="not supported on MPS"):
                next(iter(loader))
        with monkeypatch.context() as other:
            other.setattr(torch.accelerator, "is_available", lambda: False)
            assert "pinned" not in delivery(pin_memory=True)
    assert len(pinning.blocks) == 0
