# SPDX-License-Identifier: Apache-2.0
"""torchvision's datasets of images in an array beside torch's own loader: batches, generators,
errors, and what becomes of an array that its owner changes."""

import bz2
import copy
import gc
import hashlib
import pickle
import struct
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import _core, sources, tables
from torch.utils.data import ConcatDataset, Sampler, Subset
from torchvision import datasets, transforms
from torchvision.transforms import v2

N = 37


def pixels(*shape: int, seed: int = 0) -> numpy.ndarray[Any, Any]:
    return numpy.random.RandomState(seed).randint(0, 256, shape, dtype=numpy.uint8)


def labels(seed: int = 1) -> list[int]:
    return numpy.random.RandomState(seed).randint(0, 10, N).tolist()


# How each class holds its images, by its constructor.
def cifar10(transform: Any = None) -> Any:
    data = pixels(N, 3, 32, 32).transpose(0, 2, 3, 1)
    return kit.bare(datasets.CIFAR10, transform, data=data, targets=labels())


def mnist(transform: Any = None) -> Any:
    data, targets = torch.from_numpy(pixels(N, 28, 28)), torch.tensor(labels())
    return kit.bare(datasets.MNIST, transform, data=data, targets=targets)


def svhn(transform: Any = None) -> Any:
    data = numpy.asfortranarray(pixels(32, 32, 3, N)).transpose(3, 2, 0, 1)
    return kit.bare(datasets.SVHN, transform, data=data, labels=numpy.array(labels()))


def stl10(transform: Any = None) -> Any:
    data = pixels(N, 3, 96, 96).transpose(0, 1, 3, 2)
    marks = numpy.array(labels(), dtype=numpy.uint8)
    return kit.bare(datasets.STL10, transform, data=data, labels=marks)


def qmnist(transform: Any = None) -> Any:
    targets = torch.tensor(labels()).reshape(-1, 1).expand(-1, 8).clone()
    data = torch.from_numpy(pixels(N, 28, 28))
    return kit.bare(datasets.QMNIST, transform, data=data, targets=targets, compat=True)


def usps(transform: Any = None) -> Any:
    return kit.bare(datasets.USPS, transform, data=pixels(N, 16, 16), targets=labels())


def semeion(transform: Any = None) -> Any:
    marks = numpy.array(labels())
    return kit.bare(datasets.SEMEION, transform, data=pixels(N, 16, 16), labels=marks)


def packed(transform: Any = None) -> Any:
    """Pixels of another layout than the constructor's, labels of another kind."""
    dataset = cifar10(transform)
    dataset.data = numpy.ascontiguousarray(dataset.data)
    dataset.targets = numpy.array(dataset.targets)
    return dataset


def mirrored(transform: Any = None) -> Any:
    dataset = cifar10(transform)
    dataset.data = dataset.data[:, ::-1, 3:27:2]
    return dataset


def grey_cifar(transform: Any = None) -> Any:
    return kit.bare(datasets.CIFAR100, transform, data=pixels(N, 19, 23), targets=labels())


MAKERS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        cifar10,
        mnist,
        svhn,
        stl10,
        qmnist,
        usps,
        semeion,
        packed,
        mirrored,
        grey_cifar,
    )
}

PIPELINES: dict[str, Callable[[], Any]] = {
    "plain_v1": transforms.ToTensor,
    "flip_v1": lambda: transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(0.3),
            transforms.ToTensor(),
            transforms.Normalize((0.4914,), (0.2023,)),
        ]
    ),
    "train_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(24, scale=(0.2, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    ),
    "crop_v2": lambda: v2.Compose(
        [
            v2.CenterCrop((34, 14)),
            v2.RandomHorizontalFlip(0.6),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5], [0.25]),
        ]
    ),
    "resize_v2": lambda: v2.Compose(
        [v2.Resize(40, interpolation="bicubic"), v2.CenterCrop(36), v2.PILToTensor()]
    ),
    "pad_crop_v1": lambda: transforms.Compose(
        [
            transforms.RandomCrop(16, padding=4, pad_if_needed=True),
            transforms.Pad((1, 3), padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    ),
    "erase_v2": lambda: v2.Compose(
        [
            v2.RandomCrop((14, 20), padding=6, fill=77, pad_if_needed=True),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.4], [0.3]),
            v2.RandomErasing(0.7),
        ]
    ),
    "nearest_v1": lambda: transforms.Compose(
        [
            transforms.Resize((41, 9), transforms.InterpolationMode.NEAREST),
            transforms.RandomApply([transforms.RandomVerticalFlip(0.5)], 0.5),
            transforms.PILToTensor(),
        ]
    ),
}


def compare(
    maker: Callable[..., Any], pipeline: Callable[[], Any], native: bool = True, **options: Any
) -> None:
    options = {"batch_size": 5, "shuffle": True} | options
    stock = kit.run(lambda: (kit.STOCK(maker(pipeline()), **options), ()))
    assert sum(step[0] == "batch" for step in stock) > 2
    ours = kit.run(lambda: (kit.OURS(maker(pipeline()), **options), ()), native=native)
    kit.assert_same(stock, ours)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("maker", MAKERS)
def test_every_class_and_pipeline(maker: str, pipeline: str) -> None:
    compare(MAKERS[maker], PIPELINES[pipeline], num_workers=0)


# Stock's workers take their time to start: each class and each pipeline once.
@pytest.mark.parametrize(("maker", "pipeline"), list(zip(MAKERS, [*PIPELINES] * 2, strict=False)))
def test_workers(maker: str, pipeline: str) -> None:
    compare(MAKERS[maker], PIPELINES[pipeline], num_workers=2)


@pytest.mark.parametrize("maker", ["cifar10", "mnist"])
def test_runs_in_large_batches(maker: str) -> None:
    """Batches that threads take in runs, of more samples than the array has."""

    def many(transform: Any) -> Any:
        dataset = MAKERS[maker](transform)
        again = numpy.arange(900) % N
        dataset.data = dataset.data[again]
        if isinstance(dataset.targets, list):
            dataset.targets = [dataset.targets[i] for i in again]
        else:
            dataset.targets = dataset.targets[again]
        return dataset

    for num_workers, name in ((0, "flip_v1"), (0, "train_v1"), (3, "train_v1")):
        options = {"batch_size": 250, "shuffle": True, "num_workers": num_workers}
        stock = kit.run(lambda n=name, o=options: (kit.STOCK(many(PIPELINES[n]()), **o), ()))
        for threads in (1, 5):
            own = options | {"threads": threads}
            ours = kit.run(
                lambda n=name, o=own: (kit.OURS(many(PIPELINES[n]()), **o), ()), native=True
            )
            kit.assert_same(stock, ours)


# --- the classes' own constructors


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def _cifar_files(root: Path, cls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base = root / cls.base_folder
    base.mkdir()
    key = "labels" if cls is datasets.CIFAR10 else "fine_labels"
    for number, (name, _) in enumerate(cls.train_list + cls.test_list):
        entry = {"data": pixels(9, 3072, seed=number), key: labels(number)[:9]}
        (base / name).write_bytes(pickle.dumps(entry))
    (base / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: ["a", "b"]}))
    for attribute in ("train_list", "test_list"):
        sums = [[name, _md5(base / name)] for name, _ in getattr(cls, attribute)]
        monkeypatch.setattr(cls, attribute, sums)
    monkeypatch.setitem(cls.meta, "md5", _md5(base / cls.meta["filename"]))


def _idx(path: Path, array: numpy.ndarray[Any, Any]) -> None:
    kinds = {"uint8": 8, "int32": 12}
    head = struct.pack(
        f">BBBB{array.ndim}I", 0, 0, kinds[array.dtype.name], array.ndim, *array.shape
    )
    path.write_bytes(head + array.astype(array.dtype.newbyteorder(">")).tobytes())


def _mnist_files(root: Path, cls: Any) -> None:
    raw = root / cls.__name__ / "raw"
    raw.mkdir(parents=True)
    prefixes = ("train", "t10k")
    if cls is datasets.EMNIST:
        prefixes = ("emnist-letters-train", "emnist-letters-test")
    for seed, prefix in enumerate(prefixes):
        _idx(raw / f"{prefix}-images-idx3-ubyte", pixels(N, 28, 28, seed=seed))
        _idx(raw / f"{prefix}-labels-idx1-ubyte", numpy.array(labels(seed), dtype=numpy.uint8))


def _same(dataset: Any) -> None:
    dataset.transform = PIPELINES["flip_v1"]()
    compare(lambda _: dataset, PIPELINES["flip_v1"], num_workers=0)


@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar_from_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = getattr(datasets, name)
    _cifar_files(tmp_path, cls, monkeypatch)
    for train in (True, False):
        _same(cls(tmp_path, train=train))


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST", "EMNIST"])
def test_mnist_from_files(name: str, tmp_path: Path) -> None:
    cls = getattr(datasets, name)
    _mnist_files(tmp_path, cls)
    options = {"split": "letters"} if name == "EMNIST" else {}
    for train in (True, False):
        _same(cls(tmp_path, train=train, **options))


def test_qmnist_from_files(tmp_path: Path) -> None:
    raw = tmp_path / "QMNIST" / "raw"
    raw.mkdir(parents=True)
    _idx(raw / "qmnist-train-images-idx3-ubyte", pixels(N, 28, 28))
    marks = numpy.random.RandomState(3).randint(0, 10, (N, 8)).astype(numpy.int32)
    _idx(raw / "qmnist-train-labels-idx2-int", marks)
    dataset = datasets.QMNIST(tmp_path, what="train")
    _same(dataset)
    dataset.compat = False
    compare(lambda _: dataset, PIPELINES["flip_v1"], native=False, num_workers=0)


def test_stl10_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / datasets.STL10.base_folder
    base.mkdir()
    for name, seed in (("train_X.bin", 0), ("unlabeled_X.bin", 1), ("test_X.bin", 2)):
        (base / name).write_bytes(pixels(9, 3, 96, 96, seed=seed).tobytes())
    for name in ("train_y.bin", "test_y.bin"):
        (base / name).write_bytes(bytes(i % 10 + 1 for i in range(9)))
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda _: True)
    for split in ("train", "test", "unlabeled", "train+unlabeled"):
        dataset = datasets.STL10(tmp_path, split=split)
        dataset.transform = PIPELINES["flip_v1"]()
        compare(lambda _, d=dataset: d, PIPELINES["flip_v1"], num_workers=0, batch_size=2)
    dataset.labels = None
    assert penstock.explain(kit.OURS(dataset)).lane == "python"


def test_svhn_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    marks = (numpy.arange(N) % 10 + 1).reshape(-1, 1).astype(numpy.uint8)
    scipy_io.savemat(tmp_path / "train_32x32.mat", {"X": pixels(32, 32, 3, N), "y": marks})
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda _: True)
    _same(datasets.SVHN(tmp_path))


def test_usps_from_files(tmp_path: Path) -> None:
    state = numpy.random.RandomState(0)
    lines = [
        " ".join([str(i % 10 + 1), *(f"{k + 1}:{v:.4f}" for k, v in enumerate(row))])
        for i, row in enumerate(state.uniform(-1, 1, (N, 256)))
    ]
    with bz2.open(tmp_path / "usps.bz2", "wt") as file:
        file.write("\n".join(lines) + "\n")
    _same(datasets.USPS(tmp_path))


# --- parts and targets


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("maker", ["cifar10", "mnist"])
def test_subsets(maker: str, num_workers: int) -> None:
    def part(transform: Any) -> Any:
        dataset = MAKERS[maker](transform)
        return Subset(Subset(dataset, list(range(30, 2, -1))), numpy.array([1, 5, 7, 2, 0, 11, 9]))

    compare(part, PIPELINES["train_v1"], num_workers=num_workers, batch_size=2)


@pytest.mark.parametrize("maker", ["cifar10", "mnist", "svhn"])
def test_target_transforms(maker: str) -> None:
    def shifted(transform: Any) -> Any:
        dataset = MAKERS[maker](transform)
        dataset.target_transform = {i: 100 - i for i in range(10)}.__getitem__
        return dataset

    for num_workers in (0, 2):
        compare(shifted, PIPELINES["plain_v1"], num_workers=num_workers)


def test_parts_that_are_refused() -> None:
    plain = PIPELINES["plain_v1"]()
    both = ConcatDataset([cifar10(plain), cifar10(plain)])
    mixed = ConcatDataset([cifar10(plain), mnist(plain)])
    part = Subset(cifar10(plain), [1, 2])
    for dataset, options in ((both, {}), (mixed, {}), (part, {"rng": "sample"})):
        assert penstock.explain(kit.OURS(dataset, **options)).lane == "python"


# --- odd indices


class Given(Sampler[Any]):
    def __init__(self, indices: list[Any]) -> None:
        self.indices = indices

    def __iter__(self) -> Any:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


ODD: dict[str, list[Any]] = {
    "negative": [0, -1, -N, 5],
    "numpy": [numpy.int64(3), numpy.int32(-2), numpy.uint8(7), 1],
    "tensors": [torch.tensor(4), torch.tensor(-1), 2, 3],
    "behind": [1, 2, N, 4, 5, 6],
    "before": [1, -N - 1, 3, 4],
    "float": [1, 2.0, 3, 4],
    "text": [1, "a", 3, 4],
    "bool": [1, True, 3, 4],
    "none": [1, None, 3, 4],
    "list": [1, [2], 3, 4],
}


NOT_ONE_SAMPLE = {("mnist", "list"), ("qmnist", "list"), ("qmnist", "bool"), ("qmnist", "none")}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("maker", ["cifar10", "mnist", "svhn", "qmnist"])
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_odd_indices(maker: str, odd: str) -> None:
    if (maker, odd) in NOT_ONE_SAMPLE:
        pytest.skip("stock transforms a strange image first; the native lane says TypeError")
    for num_workers in (0, 1):
        options = {"sampler": Given(ODD[odd]), "batch_size": 2, "num_workers": num_workers}

        def make(kind: Any, options: dict[str, Any] = options) -> Any:
            return kind(MAKERS[maker](PIPELINES["flip_v1"]()), **options), ()

        lives = [kit.run(lambda k=kind: make(k), epochs=1) for kind in (kit.STOCK, kit.OURS)]
        kit.assert_same(*lives)


# --- arrays that are changed


def _bump(dataset: Any, how: str) -> None:
    """Changes what a dataset holds, in place or by other objects."""
    marks = "targets" if hasattr(dataset, "targets") else "labels"
    if how == "pixels":
        dataset.data[...] = 255 - dataset.data
    elif how == "one pixel":
        dataset.data[N - 1, 0, 0] ^= 1
    elif how == "label":
        getattr(dataset, marks)[N - 1] += 1
    elif how == "array":
        dataset.data = copy.deepcopy(dataset.data)
        dataset.data[0] = 7
    elif how == "shorter":
        dataset.data = dataset.data[:-5]
        setattr(dataset, marks, getattr(dataset, marks)[:-5])
    elif how == "labels":
        setattr(dataset, marks, [3] * N)


CHANGES = ["pixels", "one pixel", "label", "array", "shorter", "labels"]


def _changing(kind: Any, maker: str, how: str, when: str, num_workers: int) -> list[Any]:
    """Three epochs; between two of them, or in the middle of one, the dataset changes."""
    kit.seed_all(4)
    dataset = MAKERS[maker](PIPELINES["flip_v1"]())
    loader = kit.OURS if kind is kit.OURS else kit.STOCK
    loader = loader(dataset, batch_size=4, num_workers=num_workers, prefetch_factor=None)
    seen: list[Any] = []
    for epoch in range(3):
        iterator = iter(loader)
        assert kind is kit.STOCK or kit.is_native(iterator)
        for number, batch in enumerate(iterator):
            seen.append(kit.visible(batch))
            if when == "within" and epoch == 1 and number == 2:
                _bump(dataset, how)
            if number == 6 and how == "shorter" and when == "within":
                break  # behind it stock's sampler asks for samples that are gone
        if when == "between" and epoch == 0:
            _bump(dataset, how)
    return seen


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("maker", ["cifar10", "mnist", "svhn"])
def test_changes_are_seen_as_stock_sees_them(maker: str, how: str) -> None:
    for when in ("between", "within"):
        for num_workers in (0, 2):
            args = maker, how, when, num_workers
            assert _changing(kit.OURS, *args) == _changing(kit.STOCK, *args), (when, num_workers)


def test_two_iterators_with_a_change_between() -> None:
    def run(kind: Any) -> list[Any]:
        dataset = cifar10(PIPELINES["plain_v1"]())
        loader = kind(dataset, batch_size=6, num_workers=2)
        first = iter(loader)
        seen = [kit.visible(next(first))]
        dataset.data[...] = 0
        second = iter(loader)
        for _ in range(5):
            seen += [kit.visible(next(first)), kit.visible(next(second))]
        return seen

    assert run(kit.OURS) == run(kit.STOCK)


def test_epochs_share_a_copy() -> None:
    loader = kit.OURS(cifar10(PIPELINES["flip_v1"]()), batch_size=8, num_workers=2)
    seen = []
    for _ in range(3):
        iterator = iter(loader)
        seen.append(iterator._spec.table)
        list(iterator)
    assert seen[0] is seen[1] is seen[2]
    assert not numpy.shares_memory(seen[0].leaves[0].view, loader.dataset.data)


def test_without_workers_nothing_is_copied() -> None:
    loader = kit.OURS(mnist(PIPELINES["flip_v1"]()), batch_size=8)
    iterator = iter(loader)
    assert numpy.shares_memory(iterator._spec.table.leaves[0].view, loader.dataset.data.numpy())


def test_memory_goes_with_the_loader() -> None:
    dataset = cifar10(PIPELINES["flip_v1"]())
    array = dataset.data
    loader = kit.OURS(dataset, batch_size=8, num_workers=2)
    kept = list(loader)
    table = weakref.ref(iter(loader)._spec.table)
    del loader
    gc.collect()
    assert table() is None
    assert [len(batch[0]) for batch in kept] == [8, 8, 8, 8, 5]  # batches are nobody else's
    live = kit.OURS(dataset, batch_size=8)
    iterator = iter(live)
    held = sys.getrefcount(array)
    del iterator, live
    gc.collect()
    assert sys.getrefcount(array) < held


def test_an_array_outlives_its_dataset() -> None:
    """A live iterator reads the user's array also when nobody else has it any more."""
    dataset = packed(PIPELINES["plain_v1"]())
    expected = [batch[0] for batch in kit.STOCK(dataset, batch_size=8)]
    iterator = iter(kit.OURS(dataset, batch_size=8))
    found = [next(iterator)[0]]
    del dataset
    gc.collect()
    found += [batch[0] for batch in iterator]
    assert all(map(torch.equal, found, expected))


# --- what is refused


def _with(maker: Callable[..., Any], **attributes: Any) -> Any:
    dataset = maker(PIPELINES["plain_v1"]())
    vars(dataset).update(attributes)
    return dataset


class Mine(datasets.CIFAR10):
    pass


class Array(numpy.ndarray[Any, Any]):
    pass


def _as(cls: type, dataset: Any) -> Any:
    dataset.__class__ = cls
    return dataset


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "subclass": (lambda: _as(Mine, cifar10(transforms.ToTensor())), "Mine"),
    "target_transform": (lambda: _with(cifar10, target_transform=str), "target_transform"),
    "float pixels": (lambda: _with(cifar10, data=numpy.zeros((N, 4, 4, 3))), "not uint8"),
    "four channels": (lambda: _with(cifar10, data=pixels(N, 4, 4, 4)), "shape"),
    "two channels": (lambda: _with(svhn, data=pixels(N, 2, 4, 4)), "shape"),
    "no pixels": (lambda: _with(mnist, data=torch.zeros(N, 0, 4, dtype=torch.uint8)), "shape"),
    "list of images": (lambda: _with(cifar10, data=list(pixels(N, 4, 4, 3))), "not an array"),
    "array in MNIST": (lambda: _with(mnist, data=pixels(N, 4, 4)), "not a tensor"),
    "subclass of array": (lambda: _with(cifar10, data=cifar10().data.view(Array)), "not an array"),
    "fewer labels": (lambda: _with(cifar10, targets=labels()[:-1]), "labels"),
    "float labels": (lambda: _with(cifar10, targets=[1.0] * N), "not all int"),
    "large labels": (lambda: _with(cifar10, targets=[2**63] * N), "int64"),
    "tensor labels": (lambda: _with(cifar10, targets=torch.tensor(labels())), "not known"),
    "small scalars": (lambda: _with(cifar10, targets=numpy.array(labels(), "int32")), "not known"),
    "float tensor": (lambda: _with(mnist, targets=torch.zeros(N)), "not known"),
    "shared": (lambda: _with(mnist, data=mnist().data.share_memory_()), "share"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_refusals(name: str, num_workers: int) -> None:
    make, words = REFUSED[name]
    loader = kit.OURS(make(), batch_size=4, num_workers=num_workers)
    if "not all" in words or words == "int64":
        with pytest.raises(penstock.lanes.Refusal, match=words):
            tables.table_of(sources.read(loader.dataset))
    else:
        explanation = penstock.explain(loader)
        assert explanation.lane == "python"
        assert words in explanation.reason
    assert penstock.lanes.iterator_for(loader) is None


def test_a_copy_that_the_budget_does_not_have() -> None:
    dataset = cifar10(PIPELINES["flip_v1"]())
    small = kit.OURS(dataset, num_workers=2, memory_budget=dataset.data.nbytes - 1)
    assert not kit.is_native(iter(small))
    assert "memory_budget" in penstock.explain(small).reason
    live = kit.OURS(dataset, num_workers=0, memory_budget=dataset.data.nbytes - 1)
    assert kit.is_native(iter(live))


def test_replaced_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image
    from torchvision.datasets import cifar
    from torchvision.datasets import mnist as mnist_module

    def lane(maker: Callable[..., Any]) -> str:
        return penstock.explain(kit.OURS(maker(PIPELINES["plain_v1"]()))).lane

    assert lane(cifar10) == lane(mnist) == "native"
    with monkeypatch.context() as patch:
        patch.setattr(Image, "fromarray", lambda *_: None)
        assert lane(cifar10) == "python"
    with monkeypatch.context() as patch:
        patch.setattr(mnist_module, "_Image_fromarray", lambda *_, **__: None)
        assert lane(mnist) == "python"
    with monkeypatch.context() as patch:
        patch.setattr(cifar.CIFAR10, "__getitem__", lambda *_: None)
        assert lane(cifar10) == "python"
    assert lane(cifar10) == lane(mnist) == "native"


def test_a_transform_for_colours_refuses_grey_images() -> None:
    three = transforms.Compose([transforms.ToTensor(), transforms.Normalize(kit.MEAN, kit.STD)])
    assert "[1, 1, 256]" in penstock.explain(kit.OURS(mnist(three))).reason


# --- the rest of the loader


def test_keyed_draws_do_not_depend_on_workers() -> None:
    lives = []
    for num_workers, threads in ((0, 1), (2, 3), (5, 2)):
        torch.manual_seed(6)
        loader = kit.OURS(
            cifar10(PIPELINES["train_v1"]()),
            batch_size=7,
            num_workers=num_workers,
            threads=threads,
            rng="sample",
        )
        lives.append([kit.visible(batch) for _ in range(2) for batch in loader])
    assert lives[0] == lives[1] == lives[2]
    assert lives[0][0] != lives[0][6]


@pytest.mark.parametrize("maker", ["cifar10", "mnist", "stl10"])
def test_verify_and_explain(maker: str) -> None:
    for num_workers in (0, 2):
        loader = kit.OURS(
            MAKERS[maker](PIPELINES["train_v1"]()), batch_size=4, num_workers=num_workers
        )
        verification = penstock.verify(loader)
        assert verification.ok
        assert verification.lane == "native"
        text = str(penstock.explain(loader))
        assert "37 images in memory" in text
        assert "nothing to decode" in text


def test_persistent_workers_keep_the_copy() -> None:
    def run(kind: Any) -> list[Any]:
        dataset = cifar10(PIPELINES["plain_v1"]())
        loader = kind(dataset, batch_size=6, num_workers=2, persistent_workers=True)
        seen = []
        for _ in range(2):
            seen += [kit.visible(batch) for batch in loader]
            dataset.data[...] = 9
        return seen

    assert run(kit.OURS) == run(kit.STOCK)


def test_core_checks_its_arguments() -> None:
    marks = numpy.zeros(4, dtype=numpy.int64)
    good: Any = pixels(4, 5, 6, 3)
    assert len(_core.pixels(good, 3, marks)) == 4
    assert _core.pixels(good[::-1, :, ::2], 3, marks).label(2) == 0
    wrong: list[tuple[Any, int, Any]] = [
        (good, -1, marks),
        (good, 2, marks),
        (good, 1, marks),
        (good[..., :2], 3, marks),
        (good.astype(numpy.int8), 3, marks),
        (good.astype(numpy.uint16), 3, marks),
        (good, 3, marks[:3]),
        (good[:, :0], 3, marks),
    ]
    for array, axis, given in wrong:
        with pytest.raises((ValueError, _core.Error)):
            _core.pixels(array, axis, given)
    with pytest.raises((TypeError, BufferError)):
        _core.pixels([1, 2], 3, marks)  # type: ignore[arg-type]
