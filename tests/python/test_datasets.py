# SPDX-License-Identifier: Apache-2.0
"""Each class of torchvision that the registry knows, beside torch's own loader, bit for bit; and
the reasons for which one is not known."""

import operator
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
import trees
from torchvision import datasets
from torchvision.transforms import v2


def lives(dataset: Any, **options: Any) -> None:
    """Two epochs of both loaders, with the states of all generators."""
    generator = torch.Generator()

    def make(cls: type) -> Any:
        generator.manual_seed(9)
        return cls(dataset, shuffle=True, generator=generator, **options), (generator,)

    stock = kit.run(lambda: make(kit.STOCK))
    kit.assert_same(stock, kit.run(lambda: make(kit.OURS), native=True))


def made(name: str, root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    options.setdefault("transform", kit.train_v1(12))
    return trees.TREES[name](root, patch, **options)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", list(trees.TREES))
def test_batches(
    name: str, num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made(name, tmp_path, monkeypatch)
    assert len(dataset) == trees.N
    lives(dataset, batch_size=3, num_workers=num_workers)
    explanation = kit.OURS(dataset).explain()
    assert type(dataset).__name__ in next(s.why for s in explanation.stages if s.name == "dataset")


def paths_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix in (".jpg", ".ppm", ".JPEG"))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["pets", "flowers102", "food101", "gtsrb", "imagenet"])
def test_errors_have_stocks_words(
    name: str, num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that are str or Path, opened by torchvision or by Pillow: each shows in the message."""
    dataset = made(name, tmp_path, monkeypatch, transform=kit.eval_v1())
    paths = paths_of(tmp_path)
    paths[1].unlink()
    paths[3].write_bytes(b"this is not an image")
    paths[5].write_bytes(paths[5].read_bytes()[:-60])
    paths[7].write_bytes(b"P6 40 40 255 too short")
    for options in ({}, {"batch_sampler": [[0], [99, 1], [2, -40], [slice(0, 2)], [[1]], [4]]}):
        life = {"num_workers": num_workers, **options}
        stock = kit.run(lambda o=life: (kit.STOCK(dataset, **o), ()))
        assert sum(step[0] == "error" for step in stock) >= 8
        kit.assert_same(stock, kit.run(lambda o=life: (kit.OURS(dataset, **o), ()), native=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_relative_paths(num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("food101", "pets"):
        Path(name).mkdir()
        dataset = made(name, Path(name), monkeypatch)
        paths_of(Path(name))[2].unlink()
        lives(dataset, batch_size=2, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["flowers102", "places365", "stanford_cars"])
def test_a_dataset_that_changes(
    name: str, num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made(name, tmp_path, monkeypatch)
    attribute = {"flowers102": "_labels", "places365": "imgs", "stanford_cars": "_samples"}[name]
    before = list(getattr(dataset, attribute))

    def life(cls: type) -> list[Any]:
        kit.seed_all(2)
        rows = getattr(dataset, attribute)
        rows[:] = before
        loader = cls(dataset, 2, num_workers=num_workers)
        seen = []
        for epoch in range(3):
            for number, batch in enumerate(loader):
                seen.append(kit.visible(batch))
                if number == 1 and epoch == 0:
                    rows[9] = rows[2]
            rows.reverse()
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


def test_labels_may_turn_into_equal_ones_of_another_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made("image_folder", tmp_path, monkeypatch)
    for num_workers in (0, 1):
        loader = kit.OURS(dataset, 3, num_workers=num_workers)
        assert next(iter(loader))[1].dtype == torch.int64
        plain = list(dataset.samples)
        for i, (path, label) in enumerate(plain):
            dataset.samples[i] = path, float(label)
        assert next(iter(loader))[1].dtype == torch.float64
        dataset.samples = plain
        assert next(iter(loader))[1].dtype == torch.int64


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "uint16"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_labels_that_are_numpys(
    dtype: str, num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy

    dataset = made("image_folder", tmp_path, monkeypatch)
    make = getattr(numpy, dtype)
    dataset.samples = [(path, make(200 + label)) for path, label in dataset.samples]
    lives(dataset, batch_size=4, num_workers=num_workers)


# --- target transforms

TABLE = {0: 7, 1: -3, 2: 2**40}
TARGETS: dict[str, Any] = {
    "dict": TABLE.__getitem__,
    "get": TABLE.get,
    "list": [5, 4, 3].__getitem__,
    "index": [2, 0, 1].index,
    "int": int,
    "neg": operator.neg,
    "tensor": torch.tensor,
    "as_tensor": torch.as_tensor,
}


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("target", list(TARGETS))
def test_target_transforms(
    target: str, num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made("image_folder", tmp_path, monkeypatch, target_transform=TARGETS[target])
    lives(dataset, batch_size=4, num_workers=num_workers)


@pytest.mark.parametrize("name", ["pets", "places365", "flowers102"])
def test_target_transforms_of_other_classes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = list(range(50, 0, -1)).__getitem__
    dataset = made(name, tmp_path, monkeypatch, target_transform=target)
    for num_workers in (0, 1):
        lives(dataset, batch_size=4, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_table_of_labels_that_changes(
    num_workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table: dict[int, int] = {}
    dataset = made("image_folder", tmp_path, monkeypatch, target_transform=table.__getitem__)

    def life(cls: type) -> list[Any]:
        table.update({0: 1, 1: 2, 2: 3})
        loader = cls(dataset, 2, num_workers=num_workers)
        seen = []
        for _ in range(3):
            for number, (_, labels) in enumerate(loader):
                seen.append(kit.visible(labels))
                if number == 3:
                    table[0] += 10
        return seen

    assert life(kit.OURS) == life(kit.STOCK)


class Table(dict[int, int]):
    pass


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (lambda label: label, "target_transform is"),
        (float, "target_transform is float"),
        (Table(TABLE).__getitem__, "target_transform is"),
        (TABLE.setdefault, "target_transform is"),
        (TABLE.pop, "target_transform is"),
        ({0: 1.5, 1: 2, 2: 3}.__getitem__, "of more than int"),
        ({0: True, 1: 2, 2: 3}.__getitem__, "of more than int"),
        ({0: 1}.__getitem__, "target_transform raises KeyError"),
        ({0: 1}.get, "its labels are not all int: NoneType, int"),
        ([1].__getitem__, "target_transform raises IndexError"),
        (str, "target_transform is str"),
        (torch.LongTensor, "target_transform is"),
    ],
)
def test_target_transforms_that_are_not_known(
    target: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made("image_folder", tmp_path, monkeypatch, target_transform=target)
    loader = kit.OURS(dataset)
    assert said in loader.explain().reason
    assert not kit.is_native(iter(loader))


# --- refusals


def celeba(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "celeba"
    names = [f"{number:06}.jpg" for number in range(4)]
    for number, name in enumerate(names):
        (base / "img_align_celeba").mkdir(parents=True, exist_ok=True)
        kit.picture("RGB", 40, 50, number).save(base / "img_align_celeba" / name)
    for file, columns, header in (
        ("list_eval_partition", "0", None),
        ("identity_CelebA", "5", None),
        ("list_bbox_celeba", "1 2 3 4", "image_id x_1 y_1 width height"),
        ("list_landmarks_align_celeba", "1 2", "lefteye_x lefteye_y"),
        ("list_attr_celeba", "1 -1", "Bald Young"),
    ):
        lines = [f"{name} {columns}" for name in names]
        if header is not None:
            lines = [str(len(names)), header, *lines]
        (base / f"{file}.txt").write_text("\n".join(lines) + "\n")
    patch.setattr(datasets.celeba, "check_integrity", lambda *_, **__: True)
    return datasets.CelebA(str(root), **options)


def test_classes_that_do_not_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = celeba(tmp_path, monkeypatch, target_type="identity", transform=kit.eval_v1())
    loader = kit.OURS(dataset)
    assert "CelebA opens images without converting them to RGB" in loader.explain().reason
    stock = kit.run(lambda: (kit.STOCK(dataset), ()))
    kit.assert_same(stock, kit.run(lambda: (kit.OURS(dataset), ()), native=False))


def own_loader(path: str) -> Any:
    return datasets.folder.pil_loader(path)


def reason(dataset: Any) -> str:
    explanation = kit.OURS(dataset).explain()
    assert explanation.lane == "python"
    return explanation.reason


def test_loaders_and_targets_that_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, options, said in (
        ("flowers102", {"loader": own_loader}, "own_loader"),
        ("country211", {"loader": own_loader}, "own_loader"),
        ("lfw_people", {"loader": own_loader}, "own_loader"),
        ("places365", {"loader": own_loader}, "own_loader"),
        ("pets", {"target_types": ["category", "binary-category"]}, "target_types"),
        ("pets", {"target_types": "segmentation"}, "target_types"),
        ("pets", {"target_types": []}, "target_types"),
        ("pets", {"transform": None}, "no transform"),
        ("dtd", {"transform": None}, "no transform"),
        ("pets", {"transform": None, "transforms": v2.ToImage()}, "image and target together"),
        ("gtsrb", {"target_transform": lambda t: t}, "target_transform is"),
    ):
        root = tmp_path / f"{name}{len(os.listdir(tmp_path))}"
        root.mkdir()
        assert said in reason(made(name, root, monkeypatch, **options)), (name, options)


def test_lists_that_are_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = made("food101", tmp_path, monkeypatch)
    whole = dataset._image_files
    for files, said in (
        (tuple(whole), "in a tuple, not a list"),
        (whole[:-1], "not as many labels"),
        ([*whole[:-1], 5], "not all str or Path"),
        ([*whole[:-1], b"x"], "not all str or Path"),
    ):
        dataset._image_files = files
        assert said in reason(dataset)
    dataset._image_files = whole
    dataset._labels[3] = None
    assert "not all int" in reason(dataset)
    dataset._labels[3] = 2**70
    assert "not all int64" in reason(dataset)
    del dataset._labels
    assert "could not be examined" in reason(dataset)


def other_getitem(self: Any, idx: int) -> Any:
    return self._image_files[idx], 0


@pytest.mark.parametrize("name", ["food101", "gtsrb", "pets"])
def test_methods_that_were_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made(name, tmp_path, monkeypatch)
    assert kit.OURS(dataset).explain().lane == "native"
    cls = type(dataset)
    with monkeypatch.context() as patch:
        patch.setattr(cls, "__getitem__", other_getitem)
        assert "__getitem__ was replaced" in reason(dataset)
    assert kit.OURS(dataset).explain().lane == "native"
    # Another version of torchvision, whose method does something else.
    names: dict[str, Any] = {}
    code = "def __getitem__(self, i):\n    return self.transform(self.read(i)), self._labels[i]\n"
    exec(code, vars(__import__(cls.__module__, fromlist=["x"])), names)
    with monkeypatch.context() as patch:
        patch.setattr(cls, "__getitem__", names["__getitem__"])
        assert "in another way" in reason(dataset)


def test_subclasses_and_impostors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = made("food101", tmp_path, monkeypatch)

    class Food101(datasets.Food101):
        pass

    dataset.__class__ = Food101
    assert "is a subclass of torchvision.datasets.food101.Food101" in reason(dataset)
    Food101.__module__ = datasets.Food101.__module__
    Food101.__qualname__ = "Food101"
    assert "is a subclass of torchvision.datasets.food101.Food101" in reason(dataset)


def test_joint_transforms_that_were_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = made("places365", tmp_path, monkeypatch)
    # Stock reads them from `transforms`; `transform` is a copy for those who look.
    dataset.transform = kit.eval_v1()
    lives(dataset, batch_size=3)
    dataset.transforms.transform = kit.eval_v1()
    lives(dataset, batch_size=3)
    monkeypatch.setattr(type(dataset.transforms), "__call__", lambda self, *both: both)
    assert "StandardTransform.__call__ was replaced" in reason(dataset)


def test_verify_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = made("flowers102", tmp_path, monkeypatch)
    real: Callable[[Any], Any] = penstock.reference.pixels

    def wrong(image: Any) -> Any:
        data, width, height = real(image)
        return bytes(byte ^ 1 for byte in data), width, height

    for num_workers in (0, 2):
        loader = kit.OURS(dataset, 3, num_workers=num_workers)
        assert penstock.verify(loader, batches=None).ok
        with monkeypatch.context() as patch:
            patch.setattr(penstock.reference, "pixels", wrong)
            difference = penstock.verify(loader, batches=None).difference
        assert difference is not None
        assert difference.index is not None
        assert difference.path == str(dataset._image_files[difference.index])
