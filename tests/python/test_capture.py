# SPDX-License-Identifier: Apache-2.0
"""What the native lane takes, and each reason for which it does not. Whatever is refused runs on
torch's own loader, with equal results."""

import collections
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
from penstock import prepare, sources, tables
from penstock.capture import Reading, Refusal, read_dataset, read_loader
from penstock.options import Output
from PIL import Image
from torch import nn
from torch.utils.data._utils import collate
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode, v2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def reason(root: Path, transform: Any, **options: Any) -> str:
    """Why torch's own loader does it; it must then be the one that does."""
    dataset = kit.folder_of(root, transform)
    loader = kit.OURS(dataset, **options)
    explanation = loader.explain()
    assert explanation.lane == "python"
    assert not kit.is_native(loader._get_iterator())
    return explanation.reason


class Flip(transforms.RandomHorizontalFlip):
    pass


class Tensored(v2.ToImage):
    def transform(self, inpt: Any, params: Any) -> Any:
        return super().transform(inpt, params)


def to_tensor(*before: Any) -> Any:
    return transforms.Compose([*before, transforms.ToTensor()])


def after_tensor(*after: Any) -> Any:
    return transforms.Compose([transforms.ToTensor(), *after])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: None, "there is no transform"),
        (lambda: lambda image: image, "has no native counterpart"),
        (lambda: transforms.Resize(8), "nothing makes a tensor"),
        (
            lambda: to_tensor(transforms.ElasticTransform()),
            "ElasticTransform has no native counter",
        ),
        (lambda: to_tensor(transforms.FiveCrop(1)), "ToTensor comes behind crops"),
        (lambda: to_tensor(Flip()), "is a subclass of torchvision.transforms"),
        (lambda: Tensored(), "is a subclass of torchvision.transforms"),
        (lambda: after_tensor(transforms.Resize(8)), "Resize works on a tensor"),
        (lambda: after_tensor(transforms.RandomRotation(9)), "RandomRotation works on a tensor"),
        (lambda: after_tensor(transforms.RandomResizedCrop(8)), "works on a tensor"),
        (lambda: after_tensor(transforms.ToTensor()), "comes after the image is a tensor"),
        (lambda: to_tensor(transforms.Normalize([0.0], [1.0])), "before the image is a tensor"),
        (lambda: v2.Compose([v2.ToDtype(torch.float32), v2.ToImage()]), "before the image"),
        (lambda: after_tensor(transforms.ConvertImageDtype(torch.float64)), "torch.float64"),
        (lambda: v2.Compose([v2.ToImage(), v2.ToDtype(torch.float16, scale=True)]), "float16"),
        (lambda: v2.Compose([v2.ToImage(), v2.ToDtype({"others": None})]), "dtype is"),
        (
            lambda: transforms.Compose(
                [transforms.PILToTensor(), transforms.Normalize([1.0], [1.0])]
            ),
            "the transforms raise TypeError",
        ),
        (lambda: after_tensor(transforms.Normalize([0.0], [0.0])), "raise ValueError"),
        (lambda: after_tensor(transforms.Normalize([0.0] * 2, [1.0] * 2)), "not three numbers"),
        (lambda: after_tensor(transforms.Normalize(0.0, 1.0)), "not three numbers"),
        (
            lambda: after_tensor(transforms.Normalize([float("nan")] * 3, [1.0] * 3)),
            "not a finite number",
        ),
        (lambda: to_tensor(transforms.Resize(8, max_size=8)), "is not above size"),
        (lambda: to_tensor(transforms.Resize((8, 8), max_size=9)), "max_size beside a pair"),
        (lambda: to_tensor(transforms.Resize(0)), "not an int from 1"),
        (lambda: to_tensor(transforms.Resize(70000)), "not an int from 1"),
        (lambda: to_tensor(v2.Resize(None, max_size=9)), "size is None"),
        (lambda: to_tensor(transforms.CenterCrop((4.0, 4))), "not an int from 1"),
        (lambda: to_tensor(transforms.Resize(8, "bilinear")), "interpolation is 'bilinear'"),
        (lambda: to_tensor(v2.Resize(8, "cubic")), "interpolation is 'cubic'"),
        (lambda: to_tensor(transforms.RandomResizedCrop(8, scale=(-1.0, 1.0))), "scale is"),
        (lambda: to_tensor(transforms.RandomResizedCrop(8, scale=(0.5, 0.1))), "scale is"),
        (lambda: to_tensor(transforms.RandomResizedCrop(8, ratio=(2.0, 1.0))), "ratio is"),
        (lambda: to_tensor(transforms.RandomResizedCrop(8, scale=(0.1, 0.2, 0.3))), "not a pair"),
        (lambda: to_tensor(transforms.RandomHorizontalFlip(torch.tensor(0.5))), "p is"),
        (lambda: to_tensor(transforms.RandomHorizontalFlip(float("nan"))), "p is nan"),
        (
            lambda: transforms.RandomApply([transforms.ToTensor()], p=1.0),
            "ToTensor is in RandomApply: it may be left out",
        ),
        (lambda: to_tensor(transforms.RandomApply(transforms.CenterCrop(5))), "not a list"),
        (lambda: to_tensor(*[transforms.RandomHorizontalFlip()] * 70), "the engine does not do it"),
    ],
)
@pytest.mark.filterwarnings("ignore:Scale and ratio")
def test_transforms_that_are_not_native(root: Path, make: Callable[[], Any], said: str) -> None:
    assert said in reason(root, make())


def deep(n: int) -> Any:
    inner: Any = transforms.ToTensor()
    for _ in range(n):
        inner = transforms.Compose([inner])
    return inner


def test_nesting_has_a_bound_and_may_not_be_endless(root: Path) -> None:
    assert "16 deep" in reason(root, deep(17))
    endless = transforms.Compose([])
    endless.transforms = [endless, transforms.ToTensor()]
    assert "16 deep" in reason(root, endless)
    assert kit.OURS(kit.folder_of(root, deep(15))).explain().lane == "native"


def test_a_list_that_is_no_list(root: Path) -> None:
    odd = transforms.Compose(collections.deque([v2.ToImage()]))
    assert "not a list" in reason(root, odd)


def with_hook(module: nn.Module) -> nn.Module:
    module.register_forward_pre_hook(lambda *_: None)
    return module


def with_attribute(thing: Any, name: str, value: Any) -> Any:
    thing.__dict__[name] = value
    return thing


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda: with_hook(transforms.Resize(8)), "Resize has hooks"),
        (
            lambda: with_attribute(transforms.Resize(8), "forward", lambda image: image),
            "Resize.forward is set on the instance",
        ),
        (
            lambda: with_attribute(v2.Resize(8), "transform", lambda image, params: image),
            "Resize.transform is set on the instance",
        ),
        (
            lambda: with_attribute(
                transforms.Resize(8), "_compiled_call_impl", lambda image: image
            ),
            "_compiled_call_impl is set",
        ),
        (
            lambda: with_attribute(v2.RandomResizedCrop(8), "_log_ratio", [0.0, 1.0]),
            "_log_ratio was replaced",
        ),
    ],
)
def test_instances_that_were_changed(root: Path, step: Callable[[], Any], said: str) -> None:
    assert said in reason(root, to_tensor(step()))


def test_a_class_whose_method_was_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms.Resize, "forward", lambda self, image: image)
    assert "Resize.forward was replaced" in reason(root, to_tensor(transforms.Resize(8)))


def test_a_name_of_torchvision_that_was_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(transforms.ToTensor):
        def __call__(self, pic: Any) -> Any:
            return super().__call__(pic) * 2

    monkeypatch.setattr(transforms.transforms, "ToTensor", Mine)
    monkeypatch.setattr(transforms, "Normalize", Mine)
    assert "Mine is a subclass" in reason(root, Mine())


def test_global_hooks(root: Path) -> None:
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert "global module hooks" in reason(root, kit.eval_v1())
    finally:
        handle.remove()


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def changed(owner: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value)
        yield


@contextlib.contextmanager
def collate_map(key: Any, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(collate.default_collate_fn_map, key, value)
        yield


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush denormals")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def sum_up(batch: Any, **_: Any) -> Any:
    return collate.collate_tensor_fn(batch) + 1


def test_a_collate_for_classes_of_others(root: Path) -> None:
    """tensordict adds some when it is imported: none of them is asked about our samples."""
    dataset = kit.folder_of(root, kit.eval_v1())
    with collate_map(type("TheirTensors", (), {}), len):
        assert kit.OURS(dataset).explain().lane == "native"
    with collate_map((int, list), len):
        assert kit.OURS(dataset).explain().lane == "python"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (lambda: default_dtype(torch.float64), "default dtype"),
        (flushed_denormals, "flushes denormals"),
        (lambda: torch.device("meta"), "mode"),
        (lambda: torch.overrides.BaseTorchFunctionMode(), "mode"),
        (lambda: collate_map(torch.Tensor, sum_up), "default_collate_fn_map"),
        (lambda: collate_map(tuple, sum_up), "default_collate_fn_map"),
        (lambda: changed(Image, "MAX_IMAGE_PIXELS", 1000), "MAX_IMAGE_PIXELS"),
        (lambda: changed(Image, "__version__", "9.5.0.post2"), "not plain Pillow"),
        (
            lambda: changed(datasets.folder, "pil_loader", lambda path: Image.new("RGB", (9, 9))),
            "pil_loader was replaced",
        ),
    ],
)
def test_settings_of_the_process(
    root: Path, setting: Callable[[], contextlib.AbstractContextManager[Any]], said: str
) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    assert kit.OURS(dataset).explain().lane == "native"
    with setting():
        assert said in kit.OURS(dataset).explain().reason
    assert kit.OURS(dataset).explain().lane == "native"


def test_a_dataset_that_is_not_known_is_named_before_pillow_is(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that such a dataset could do would make it native, an import of Pillow neither."""
    dataset = kit.folder_of(root, kit.eval_v1())
    monkeypatch.delitem(sys.modules, "PIL.Image")
    explanation = kit.OURS(list(range(5))).explain()
    assert "list is not a dataset that the engine knows" in explanation.reason
    assert {stage.name: stage.why for stage in explanation.stages}["decode"] == "goes with dataset"
    assert kit.OURS(dataset).explain().reason == "torch's own: Pillow is not loaded"


def test_tv_tensors_that_stay_what_they_are(root: Path) -> None:
    from torchvision import tv_tensors

    dataset = kit.folder_of(root, v2.Compose([v2.Resize((8, 8)), v2.ToImage()]))
    with tv_tensors.set_return_type("TVTensor"):
        assert "set_return_type" in kit.OURS(dataset).explain().reason
    assert kit.OURS(dataset).explain().lane == "native"


class Folder(datasets.ImageFolder):
    pass


def own_loader(path: str) -> Any:
    return Image.open(path).convert("L").convert("RGB")


def collate_own(batch: list[Any]) -> Any:
    return collate.default_collate(batch)


def init_worker(_: int) -> None:
    pass


def test_datasets_that_are_not_native(root: Path) -> None:
    path = str(root)
    transform = kit.eval_v1()
    for dataset, said in (
        (Folder(path, transform), "is a subclass of torchvision.datasets.folder.ImageFolder"),
        (datasets.ImageFolder(path, transform, loader=own_loader), "own_loader"),
        (datasets.ImageFolder(path, transform, target_transform=lambda t: t), "target_transform"),
        (list(range(5)), "list is not a dataset that the engine knows"),
    ):
        loader = kit.OURS(dataset)
        assert said in loader.explain().reason
        assert not kit.is_native(iter(loader))


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (("x.jpg", True), "labels"),
        (("x.jpg", 2**63), "labels"),
        (("x.jpg", 1.0), "labels"),
        ((b"x.jpg", 1), "paths"),
        (("x\0.jpg", 1), "NUL"),
        (("x\ud800.jpg", 1), "encoded"),
        (("x.jpg", 1, 2), "pairs"),
        (["x.jpg", 1], "pairs"),
    ],
)
def test_samples_that_are_not_native(root: Path, sample: Any, said: str) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    dataset.samples.append(sample)
    assert said in kit.OURS(dataset).explain().reason


def test_a_dataset_with_getitems_or_odd_samples(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    dataset.__getitems__ = lambda indices: [dataset[i] for i in indices]
    assert "__getitems__" in kit.OURS(dataset).explain().reason
    dataset = kit.folder_of(root, kit.eval_v1())
    dataset.samples = tuple(dataset.samples)
    assert "not a list" in kit.OURS(dataset).explain().reason
    dataset.samples = []
    loader = kit.OURS(dataset, sampler=[0])
    assert "empty" in loader.explain().reason
    del dataset.samples
    assert "could not be examined" in loader.explain().reason


def test_loaders_that_are_not_native(root: Path) -> None:
    for options, said in (
        ({"batch_size": None}, "batch_size=None"),
        ({"collate_fn": collate_own}, "collate_own"),
        ({"worker_init_fn": init_worker, "num_workers": 1}, "init_worker"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor"),
    ):
        loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), **options)
        with pytest.raises(Refusal, match=said):
            read_loader(loader)
        assert said in loader.explain().reason


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_is_refused_runs_on_torchs_loader_with_equal_results(
    root: Path, num_workers: int
) -> None:
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(12),
            transforms.ElasticTransform(),
            transforms.ToTensor(),
        ]
    )
    dataset = kit.folder_of(root, transform)
    options = {"batch_size": 4, "shuffle": True, "num_workers": num_workers}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()))
    kit.assert_same(stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), native=False))


def test_the_table_of_values_is_what_the_transforms_give(root: Path) -> None:
    for transform in (kit.eval_v1(), kit.train_v2(), kit.PIPELINES["nested"]()):
        reading = read_dataset(kit.folder_of(root, transform))
        dtype, lut = prepare._table_of_values(reading.tail, 3)
        assert dtype == "f32"
        assert lut is not None
        values = torch.frombuffer(bytearray(lut), dtype=torch.float32).view(3, 256)
        for value in range(0, 256, 17):
            image: Any = Image.new("RGB", (1, 1), (value, value, value))
            for step in reading.tail:
                image = step(image)
            assert image.reshape(3).tolist() == values[:, value].tolist()
    reading = read_dataset(kit.folder_of(root, v2.ToImage()))
    assert prepare._table_of_values(reading.tail, 3) == ("u8", None)


def test_readings_notice_changes(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    first = read_dataset(dataset)
    assert read_dataset(dataset, first) is first
    steps = dataset.transform.transforms

    def changes(change: Callable[[], None]) -> Reading:
        change()
        reading = read_dataset(dataset, first)
        assert reading is not first
        assert reading.key != first.key
        return reading

    changes(lambda: setattr(steps[0], "scale", (0.2, 0.3)))
    steps[0].scale = (0.08, 1.0)
    assert read_dataset(dataset, first) is first
    steps[3].mean = list(kit.MEAN)
    second = read_dataset(dataset, first)
    assert second.key == first.key
    steps[3].mean[1] = 0.0
    assert read_dataset(dataset, second) is not second
    changes(lambda: steps.pop(1))
    dataset.transform = kit.eval_v1()
    assert read_dataset(dataset, first).key != first.key


def test_equal_transforms_share_what_was_prepared(root: Path) -> None:
    def made(profile: str, output: Output) -> Any:
        reading = read_dataset(kit.folder_of(root, kit.train_v1()))
        return prepare.prepare(reading, profile, output)

    one = made("pillow-13", Output())
    assert made("pillow-13", Output()) is one
    assert made("pillow-9", Output()) is not one
    assert made("pillow-13", Output(layout=1)) is not one


def test_the_table_of_paths_follows_the_dataset(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())

    def table_of(dataset: Any) -> tables.Table:
        return tables.table_of(sources.read(dataset))

    table = table_of(dataset)
    assert table_of(dataset) is table
    dataset.samples = list(dataset.samples)
    assert table_of(dataset) is table
    dataset.samples[0] = dataset.samples[1]
    changed_table = table_of(dataset)
    assert changed_table is not table
    assert os.fsdecode(changed_table.dataset.name(0)) == dataset.samples[1][0]
    n_kept = len(tables._tables)
    del dataset, changed_table
    assert len(tables._tables) == n_kept - 1


def test_interpolations_have_pillows_numbers(root: Path) -> None:
    for mode in InterpolationMode:
        for make in (transforms.Resize, v2.Resize):
            reading = read_dataset(kit.folder_of(root, to_tensor(make(8, mode))))
            assert reading.key[0][2][1] == transforms.functional.pil_modes_mapping[mode]
        by_name = read_dataset(kit.folder_of(root, to_tensor(v2.Resize(8, mode.value))))
        assert by_name.key[0][2][1] == transforms.functional.pil_modes_mapping[mode]


def test_import_has_no_side_effects() -> None:
    code = """
import sys, signal, threading, torch, random
import torch.utils.data
before = (set(sys.modules), signal.getsignal(signal.SIGINT), torch.get_rng_state().tolist(),
          random.getstate(), torch.get_num_threads(), torch.utils.data.DataLoader.__dict__.copy())
import penstock
after = (before[0], signal.getsignal(signal.SIGINT), torch.get_rng_state().tolist(),
         random.getstate(), torch.get_num_threads(), torch.utils.data.DataLoader.__dict__.copy())
assert before == after
assert "torchvision" not in sys.modules and "PIL" not in sys.modules
assert threading.active_count() == 1
loader = penstock.DataLoader(list(range(6)), batch_size=2)
assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
assert "torchvision" not in sys.modules
print("fine", penstock.explain(loader).lane)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "fine python\n", done.stderr


def test_explain_of_a_stock_loader(root: Path) -> None:
    assert penstock.explain(kit.STOCK(kit.folder_of(root, kit.eval_v1()))).lane == "native"
