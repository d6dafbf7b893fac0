# SPDX-License-Identifier: Apache-2.0
"""Loaders whose collate_fn calls CutMix or MixUp, against torch's: batches, generators and errors;
which functions are known, and that all others are torch's own."""

import functools
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kit
import numpy as np
import penstock
import pytest
import torch
import torch.utils.data
from penstock import mixing
from torch.utils.data import Subset, default_collate
from torch.utils.data._utils import collate
from torchvision import datasets, transforms
from torchvision.transforms import v2

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

CLASSES = 3
MIXES: dict[str, Callable[[], Any]] = {
    "cut": lambda: v2.CutMix(num_classes=CLASSES),
    "up": lambda: v2.MixUp(alpha=0.2, num_classes=5),
    "wide": lambda: v2.CutMix(alpha=4.0, num_classes=CLASSES),
    "choice": lambda: v2.RandomChoice(
        [v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)]
    ),
    "weights": lambda: v2.RandomChoice(
        (
            v2.MixUp(alpha=0.8, num_classes=CLASSES),
            v2.CutMix(alpha=0.3, num_classes=CLASSES),
            v2.MixUp(alpha=3.0, num_classes=CLASSES),
        ),
        p=[2.0, 1.0, 0.5],
    ),
    "alone": lambda: v2.RandomChoice([v2.MixUp(num_classes=CLASSES)]),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def function_of(mix: Any) -> Any:
    def collate_fn(batch: list[Any]) -> Any:
        return mix(*default_collate(batch))

    return collate_fn


def compare(
    make: Callable[[type], Any], *, native: bool, epochs: int = 2, most: int = 1000
) -> None:
    def run(cls: type, is_native: bool) -> list[tuple[Any, ...]]:
        return kit.run(lambda: (make(cls), ()), epochs=epochs, most=most, native=is_native)

    kit.assert_same(run(kit.STOCK, False), run(kit.OURS, native))


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("name", MIXES)
def test_batches(root: Path, name: str, workers: int) -> None:
    dataset = kit.folder_of(root, kit.train_v1())

    def make(cls: type) -> Any:
        return cls(
            dataset, 4, shuffle=True, num_workers=workers, collate_fn=function_of(MIXES[name]())
        )

    compare(make, native=True, epochs=3)


@pytest.mark.parametrize("pipeline", ["eval_v1", "uint8_v2", "erasing_v2", "grey_v1", "augment_v2"])
@pytest.mark.parametrize("workers", [0, 2])
def test_pipelines(root: Path, pipeline: str, workers: int) -> None:
    dataset = kit.folder_of(root, kit.PIPELINES[pipeline]())
    name = "cut" if pipeline == "uint8_v2" else "choice"

    def make(cls: type) -> Any:
        return cls(dataset, 5, num_workers=workers, collate_fn=function_of(MIXES[name]()))

    compare(make, native=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_beside_draws_of_pythons(root: Path, workers: int) -> None:
    flips = [transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(0.3)]
    pipeline = transforms.Compose([transforms.RandomChoice(flips), kit.train_v1()])
    dataset = kit.folder_of(root, pipeline)

    def make(cls: type) -> Any:
        mix = MIXES["choice"]()
        return cls(dataset, 3, num_workers=workers, shuffle=True, collate_fn=function_of(mix))

    compare(make, native=True, epochs=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_behind_normals(root: Path, workers: int) -> None:
    """Samples that draw normals leave the one alone that a mix has left in the generator."""
    erasing = transforms.RandomErasing(0.7, value="random")
    pipeline = transforms.Compose([*kit.train_v1().transforms, erasing])
    dataset = kit.folder_of(root, pipeline)

    def make(cls: type) -> Any:
        mix = MIXES["choice"]()
        return cls(dataset, 3, num_workers=workers, shuffle=True, collate_fn=function_of(mix))

    compare(make, native=True, epochs=4)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"batch_size": 17},
        {"batch_size": 6, "drop_last": True},
        {"batch_size": 2, "num_workers": 3, "persistent_workers": True, "shuffle": True},
        {"batch_size": 3, "num_workers": 2, "prefetch_factor": 1},
        {"batch_sampler": [[0], [3, 3, 3], [5, 1], [2, 2, 16, 9, 8, 7]], "num_workers": 2},
    ],
)
def test_batch_sizes_and_workers(root: Path, options: dict[str, Any]) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    mix = MIXES["weights"]()
    compare(lambda cls: cls(dataset, **options, collate_fn=function_of(mix)), native=True, epochs=3)
    if "num_workers" in options:
        compare(
            lambda cls: cls(dataset, **options, collate_fn=function_of(mix)), native=True, most=2
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_images_in_an_array(workers: int) -> None:
    generator = np.random.default_rng(0)
    dataset = kit.bare(
        datasets.CIFAR10,
        kit.PIPELINES["cifar_v1"](),
        data=generator.integers(0, 256, (67, 32, 32, 3), dtype=np.uint8),
        targets=generator.integers(0, CLASSES, 67).tolist(),
        train=True,
    )

    def make(cls: type) -> Any:
        mix = MIXES["choice"]()
        return cls(dataset, 16, shuffle=True, num_workers=workers, collate_fn=function_of(mix))

    compare(make, native=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_many_epochs_with_large_images(tmp_path: Path, workers: int) -> None:
    """Samples of many pieces, and enough batches for each of the draws."""
    for i in range(12):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        kit.picture("RGB", 150, 130, i).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    dataset = kit.folder_of(tmp_path, kit.train_v1(112))

    def make(cls: type) -> Any:
        mix = MIXES["choice"]()
        return cls(dataset, 5, shuffle=True, num_workers=workers, collate_fn=function_of(mix))

    compare(make, native=True, epochs=6)


# --- errors


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pipeline", ["train_v1", "eval_v1"])
def test_a_sample_that_cannot_be_had(tmp_path: Path, workers: int, pipeline: str) -> None:
    """Nothing is mixed of its batch; the batches after it draw what stock's do."""
    for i in range(20):
        (tmp_path / "abc"[i % 3]).mkdir(exist_ok=True)
        data = kit.jpeg(50, 40, i)
        (tmp_path / "abc"[i % 3] / f"{i:02}.jpg").write_bytes(
            data[: -400 if i in (4, 13) else None]
        )
    dataset = kit.folder_of(tmp_path, kit.PIPELINES[pipeline]())

    def make(cls: type) -> Any:
        mix = MIXES["choice"]()
        return cls(dataset, 3, num_workers=workers, collate_fn=function_of(mix))

    compare(make, native=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_that_are_left_out(tmp_path: Path, workers: int) -> None:
    """A batch is mixed as if it had been without them."""
    good = []
    for i in range(18):
        (tmp_path / "abc"[i % 3]).mkdir(exist_ok=True)
        data = kit.jpeg(50, 40, i)
        is_bad = i in (4, 6, 11)
        (tmp_path / "abc"[i % 3] / f"{i:02}.jpg").write_bytes(data[: -400 if is_bad else None])
    dataset = kit.folder_of(tmp_path, kit.eval_v1())
    good = [
        i
        for i, (path, _) in enumerate(dataset.samples)
        if Path(path).stem not in ("04", "06", "11")
    ]
    batches = [
        good_batch
        for start in range(0, 18, 3)
        if (good_batch := [i for i in range(start, start + 3) if i in good])
    ]
    mix = function_of(MIXES["choice"]())

    def digest(loader: Any) -> Any:
        kit.seed_all(3)
        return [kit.visible(batch) for batch in loader]

    stock = kit.STOCK(dataset, batch_sampler=batches, num_workers=workers, collate_fn=mix)
    ours = kit.OURS(dataset, 3, num_workers=workers, collate_fn=mix, on_error="skip")
    assert digest(ours) == digest(stock)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_that_cannot_be_stacked(root: Path, workers: int) -> None:
    dataset = kit.folder_of(root, transforms.ToTensor())
    mix = MIXES["cut"]()
    compare(
        lambda cls: cls(dataset, 2, num_workers=workers, collate_fn=function_of(mix)), native=True
    )


def wrong() -> Iterator[tuple[str, Any, str]]:
    yield "few classes", v2.CutMix(num_classes=2), "the labels are 0 to 2"
    yield "no classes", v2.CutMix(), "num_classes=None"
    yield "alpha is an int", v2.MixUp(alpha=1, num_classes=3), "alpha is not a float"
    yield "a getter", v2.MixUp(num_classes=3, labels_getter=lambda pair: pair[1]), "labels_getter"


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("mix", "said"), [one[1:] for one in wrong()], ids=[one[0] for one in wrong()]
)
def test_what_stock_decides(root: Path, mix: Any, said: str, workers: int) -> None:
    dataset = kit.folder_of(root, kit.train_v1())

    def make(cls: type) -> Any:
        return cls(dataset, 4, num_workers=workers, collate_fn=function_of(mix))

    compare(make, native=False)
    assert said in make(kit.OURS).explain().reason


def test_mixup_of_bytes(root: Path) -> None:
    dataset = kit.folder_of(root, kit.PIPELINES["uint8_v2"]())

    def make(cls: type) -> Any:
        return cls(dataset, 4, collate_fn=function_of(MIXES["up"]()))

    compare(make, native=False)
    assert "MixUp of torch.uint8 images" in make(kit.OURS).explain().reason


# --- which functions are known

MIX = v2.CutMix(num_classes=CLASSES)


def plain_function(batch):
    return MIX(*default_collate(batch))


def with_dots(samples):
    """The docstring is a constant."""
    return MIX(*torch.utils.data.default_collate(samples))


def known() -> Iterator[tuple[str, Any]]:
    mix, gather, zebra = MIX, default_collate, MIX
    yield "a function of the module", plain_function
    yield "with dots", with_dots
    yield "a nested function", function_of(MIX)
    yield "a lambda", lambda batch: MIX(*default_collate(batch))
    yield "a lambda over a variable", lambda batch: mix(*default_collate(batch))
    yield "both are variables", lambda batch: mix(*gather(batch))
    yield "variables in another order", lambda batch: zebra(*gather(batch))
    yield "the gathering is a variable", lambda batch: MIX(*gather(batch))
    yield (
        "a module of torch",
        lambda batch: mix(*torch.utils.data.dataloader.default_collate(batch)),
    )
    yield "collate_with", penstock.collate_with(MIX)


@pytest.mark.parametrize("collate_fn", [one[1] for one in known()], ids=[one[0] for one in known()])
def test_known_functions(root: Path, collate_fn: Any) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    compare(lambda cls: cls(dataset, 6, collate_fn=collate_fn), native=True, epochs=1)
    assert mixing.read(collate_fn) == mixing.Mix(CLASSES, False, ((mixing.CUT, 1.0, 0.0),))


class Mine(v2.CutMix):
    pass


def other_collate(batch: list[Any]) -> Any:
    return default_collate(batch[::-1])


def hooked() -> Any:
    mix = v2.CutMix(num_classes=CLASSES)
    mix.register_forward_hook(lambda *_: None)
    return mix


def patched(**attributes: Any) -> Any:
    mix = v2.CutMix(num_classes=CLASSES)
    vars(mix).update(attributes)
    return mix


def beta(first: float, second: float) -> Any:
    return torch.distributions.Beta(torch.tensor([first]), torch.tensor([second]))


def unknown() -> Iterator[tuple[str, Any, str]]:
    mix, gather = MIX, other_collate
    yield "a list", lambda batch: [*mix(*default_collate(batch))], "collate_fn is"
    yield "no star", lambda batch: mix(default_collate(batch)), "collate_fn is"
    yield "another collate", lambda batch: mix(*gather(batch)), "collate_fn is"
    yield "its own collate", lambda batch: mix(*other_collate(batch)), "collate_fn is"
    yield "twice", lambda batch: mix(*mix(*default_collate(batch))), "collate_fn is"
    yield "more arguments", lambda batch, n=1: mix(*default_collate(batch)), "collate_fn is"
    yield "a slice", lambda batch: mix(*default_collate(batch[:1])), "collate_fn is"
    yield "two statements", two_statements, "collate_fn is"
    yield "partial", functools.partial(plain_function), "collate_fn is"
    yield "a method", penstock.collate_with(MIX).__call__, "collate_fn is"
    yield "a subclass", function_of(Mine(num_classes=CLASSES)), "Mine"
    yield "hooks", function_of(hooked()), "has hooks"
    yield "a method set", function_of(patched(make_params=dict)), "make_params is set"
    yield "labels", function_of(patched(_mixup_label=MIX._mixup_label)), "_mixup_label is set"
    yield "another distribution", function_of(patched(_dist=beta(1.0, 2.0))), "Beta(1.0, 2.0)"
    yield "a function", function_of(lambda images, labels: (images, labels)), "calls"
    yield "another transform", function_of(v2.Identity()), "Identity"
    mixed = [v2.CutMix(num_classes=3), v2.MixUp(num_classes=4)]
    yield "two numbers", function_of(v2.RandomChoice(mixed)), "num_classes of [3, 4]"
    other = [v2.CutMix(num_classes=3), v2.Identity()]
    yield "a choice of others", function_of(v2.RandomChoice(other)), "Identity"
    inner = [v2.RandomChoice([MIX])]
    yield "a choice of choices", function_of(v2.RandomChoice(inner)), "RandomChoice"
    yield "compose", function_of(v2.Compose([MIX])), "Compose"


def two_statements(batch: list[Any]) -> Any:
    images, labels = default_collate(batch)
    return MIX(images, labels)


@pytest.mark.parametrize(
    ("collate_fn", "said"), [one[1:] for one in unknown()], ids=[one[0] for one in unknown()]
)
def test_unknown_functions(root: Path, collate_fn: Any, said: str) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    compare(lambda cls: cls(dataset, 6, collate_fn=collate_fn), native=False, epochs=1)
    assert said in kit.OURS(dataset, 6, collate_fn=collate_fn).explain().reason


def test_names_that_come_and_go(root: Path) -> None:
    """A name is looked up when the function is called, and so when a loader asks."""
    dataset = kit.folder_of(root, kit.train_v1())
    space: dict[str, Any] = {"default_collate": default_collate}
    exec("def collate_fn(batch):\n    return later(*default_collate(batch))", space)
    loader = kit.OURS(dataset, 6, collate_fn=space["collate_fn"])
    assert loader.explain().lane == "python"
    space["later"] = MIX
    assert loader.explain().lane == "native"
    space["default_collate"] = other_collate
    assert loader.explain().lane == "python"

    def make() -> Any:
        loader = kit.OURS(dataset, 6, collate_fn=lambda batch: soon(*default_collate(batch)))
        assert "collate_fn is" in loader.explain().reason  # an empty cell
        soon = MIX
        return loader

    assert make().explain().lane == "native"


def test_torchs_own_functions_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 6, collate_fn=function_of(MIX))
    with monkeypatch.context() as patch:
        patch.setattr(torch.distributions.Beta, "rsample", lambda *_: None)
        assert "Beta was replaced" in loader.explain().reason
    with monkeypatch.context() as patch:
        patch.setattr(v2.CutMix, "make_params", lambda *_: None)
        assert "CutMix.make_params was replaced" in loader.explain().reason
    with monkeypatch.context() as patch:
        patch.setattr(mixing.CollateWith, "__call__", lambda *_: None)
        named = kit.OURS(loader.dataset, 6, collate_fn=penstock.collate_with(MIX))
        assert "collate_fn is" in named.explain().reason
    with monkeypatch.context() as patch:
        patch.setattr(collate, "default_collate", other_collate)
        assert loader.explain().lane == "python"
    assert loader.explain().lane == "native"


def test_a_torch_that_draws_otherwise(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    loader = kit.OURS(dataset, 6, collate_fn=function_of(MIX))
    mixing.refusal.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "_sample_dirichlet", lambda x, **_: x / 2)
        assert "Beta distribution of torch" in loader.explain().reason
    mixing.refusal.cache_clear()
    assert loader.explain().lane == "native"


@pytest.mark.parametrize("change", ["alpha", "p", "variable", "away", "classes"])
def test_what_changes_under_way(root: Path, change: str) -> None:
    """Without workers torch calls the function as it is then."""
    dataset = kit.folder_of(root, kit.train_v1())

    def run(cls: type) -> list[Any]:
        kit.seed_all(4)
        mixes = [v2.MixUp(alpha=0.3, num_classes=3), v2.CutMix(num_classes=3)]
        mix = v2.RandomChoice(mixes)
        loader = cls(dataset, 3, collate_fn=lambda batch: mix(*default_collate(batch)))
        seen = []
        for number, batch in enumerate(loader):
            seen.append((kit.visible(batch), kit.states()))
            if number == 1 and change == "alpha":
                mixes[0]._dist = mixes[1]._dist = beta(2.5, 2.5)
            elif number == 1 and change == "p":
                mix.p[:] = [0.99, 0.01]
            elif number == 1 and change == "variable":
                mix = mixes[0]
            elif number == 1 and change == "away":
                mix = v2.Identity()
            elif number == 1:
                mixes[0].num_classes = mixes[1].num_classes = 9
        return seen

    assert run(kit.OURS) == run(kit.STOCK)


def test_rows_are_not_mixed() -> None:
    dataset = torch.utils.data.TensorDataset(torch.rand(9, 3, 8, 8), torch.arange(9) % 3)
    compare(lambda cls: cls(dataset, 4, collate_fn=function_of(MIX)), native=False)


# --- options of the engine's own


def test_the_outputs_of_the_engine(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1())

    def batches(cls: type, mix: Any, **options: Any) -> list[Any]:
        kit.seed_all(6)
        return list(cls(dataset, 5, collate_fn=function_of(mix), **options))

    for name, dtype in (("cut", torch.float16), ("cut", torch.bfloat16), ("choice", torch.float32)):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            stock = batches(kit.STOCK, MIXES[name]())
            ours = batches(kit.OURS, MIXES[name](), out_dtype=dtype, memory_format=memory_format)
            for (images, labels), (found, shares) in zip(stock, ours, strict=True):
                assert found.is_contiguous(memory_format=memory_format)
                assert torch.equal(images.to(dtype), found)
                assert torch.equal(labels, shares)
    with pytest.raises(ValueError, match=r"does not do this loader: MixUp of torch\.float16"):
        batches(kit.OURS, MIXES["up"](), out_dtype=torch.float16)


def test_draws_by_sample(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1())

    def batches(**options: Any) -> list[Any]:
        kit.seed_all(6)
        loader = kit.OURS(
            dataset, 4, rng="sample", collate_fn=function_of(MIXES["choice"]()), **options
        )
        assert "all of its indices" in str(loader.explain())
        return [kit.visible(batch) for _ in range(2) for batch in loader]

    first = batches(threads=1)
    assert first == batches(threads=4) == batches(num_workers=3)
    assert len({repr(batch) for batch in first}) == len(first)


def test_verify_report_and_explain(root: Path, tmp_path: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    for workers in (0, 2):
        mix = MIXES["choice"]()
        loader = kit.OURS(dataset, 4, num_workers=workers, collate_fn=function_of(mix))
        verified = penstock.verify(loader, batches=None)
        assert verified.ok, verified
        assert (verified.lane, verified.samples) == ("native", len(dataset))
        said = str(loader.explain())
        assert "one of MixUp(alpha=0.2), CutMix(alpha=1) of it, in the engine" in said
    penstock.report(loader, tmp_path / "report.html", batches=2)
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_the_named_form(root: Path) -> None:
    named = penstock.collate_with(MIXES["choice"]())
    assert repr(named).startswith("collate_with(RandomChoice(")
    again = pickle.loads(pickle.dumps(named))
    assert mixing.read(again) == mixing.read(named)
    with pytest.raises(TypeError, match="cannot be"):
        penstock.collate_with(3)
    named.other = 1
    assert mixing.read(named) is None
    dataset = kit.folder_of(root, kit.train_v1())

    def make(cls: type) -> Any:
        return cls(
            Subset(dataset, [1, 5, 6, 10]),
            2,
            num_workers=1,
            collate_fn=again,
            multiprocessing_context="spawn",
        )

    compare(make, native=True, epochs=1)


def test_damaged_states(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1())

    def make() -> Any:
        return kit.OURS(dataset, 2, num_workers=2, collate_fn=function_of(MIXES["up"]()))

    loader = make()
    taken: dict[str, Any] = {}
    for _ in loader:
        taken = loader.state_dict()
        if "normals" in taken:
            break
    for normals, said in (
        ([None], "1 normals, not 2"),
        ([None, 1], "no numbers"),
        ([None, float("nan")], "no numbers"),
        ("x", "'normals' is 'x'"),
    ):
        with pytest.raises(ValueError, match=said):
            make().load_state_dict({**taken, "normals": normals})
    make().load_state_dict(taken)


@pytest.mark.slow
def test_random_loaders(root: Path, tried: Callable[[int], None]) -> None:
    draw = random.Random(11)
    names = [name for name in kit.PIPELINES if "uint8" not in name and "grey" not in name]
    for _ in range(25):
        dataset = kit.folder_of(root, kit.PIPELINES[draw.choice(names)]())
        mix = MIXES[draw.choice(list(MIXES))]()
        options: dict[str, Any] = {
            "batch_size": draw.randint(1, 9),
            "shuffle": draw.random() < 0.7,
            "drop_last": draw.random() < 0.3,
            "num_workers": draw.choice([0, 0, 1, 2, 3]),
        }
        if options["num_workers"]:
            options["persistent_workers"] = draw.random() < 0.5
        compare(lambda cls: cls(dataset, **options, collate_fn=function_of(mix)), native=True)  # noqa: B023
    tried(25)
