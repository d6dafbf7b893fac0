# SPDX-License-Identifier: Apache-2.0
"""AugMix on the native lane against torchvision: pixels and draws for all arguments, the loader
with the normal that samples leave to each other, and what is left to the reference."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import kit
import numpy as np
import parity_kit
import penstock
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from penstock import _core, augmix, capture
from penstock.refusal import Refusal
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2

MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([transforms, v2])
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 70) | st.integers(1, 20).map(lambda n: 4 * n)
values = st.integers(0, 255) | st.floats(0, 255)
arguments = st.fixed_dictionaries(
    {
        "severity": st.integers(1, 10),
        "mixture_width": st.integers(1, 4),
        "chain_depth": st.integers(-1, 3),
        "alpha": st.sampled_from([1.0, 0.2, 0.05]) | st.floats(0.01, 30),
        "all_ops": st.booleans(),
        "interpolation": st.sampled_from([InterpolationMode.BILINEAR, InterpolationMode.NEAREST]),
        "fill": st.none() | values | st.lists(values, min_size=3, max_size=3),
    }
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker of stock."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(size: tuple[int, int], seed: int) -> np.ndarray:
    """Noise; few values; one value; a smooth one."""
    pixels = parity_kit.noise(*size, seed)
    kind = seed % 4
    if kind == 1:
        pixels = pixels // (2 + seed % 50) + np.uint8(seed % 120)
    elif kind == 2:
        pixels = np.full_like(pixels, seed % 256)
    elif kind == 3:
        slope = np.add.outer(np.arange(size[1]) * 2, np.arange(size[0]) * 3)[..., None]
        pixels = np.clip(slope + pixels // 32, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def refusal_of(pipeline: Any, pixels: np.ndarray, seed: int) -> str:
    """Why the engine does not plan it; nothing where it gives what torchvision does."""
    try:
        assert parity_kit.check(pipeline, pixels, seed)
    except _core.LimitError as error:
        return str(error)
    return ""


@MANY
@given(families, arguments, st.tuples(sides, sides), seeds)
@example(v2, {}, (224, 224), 0)
@example(transforms, {}, (224, 224), 0)
@example(transforms, {"severity": 10, "chain_depth": 5}, (256, 256), 3)
@example(v2, {"interpolation": "nearest", "fill": 12.5}, (1, 16), 1)
def test_pixels(
    family: ModuleType, chosen: dict[str, Any], size: tuple[int, int], seed: int
) -> None:
    if chosen.get("mixture_width", 3) * max(chosen.get("chain_depth", 3), 3) > 15:
        chosen = {**chosen, "mixture_width": 2}
    pipeline = family.Compose([family.AugMix(**chosen), family.PILToTensor()])
    refused = refusal_of(pipeline, picture(size, seed), seed)
    if refused:
        assert "contrast" in refused
        assert family is v2
        assert size[0] * size[1] % 16 != 0
        assert chosen["all_ops"]


@pytest.mark.parametrize("seed", range(6))
def test_contrast_of_a_large_image(seed: int) -> None:
    """Sums of more lumas than float32 holds."""
    pipeline = transforms.Compose([transforms.AugMix(chain_depth=5), transforms.PILToTensor()])
    refused = refusal_of(pipeline, picture((280, 240), seed), seed)
    assert not refused or "the mean of 280 x 240 pixels" in refused


# --- the loader

PIPELINES: dict[str, Any] = {
    "reference_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(32),
            transforms.RandomHorizontalFlip(),
            transforms.AugMix(interpolation=InterpolationMode.BILINEAR, severity=3),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float32),
            transforms.Normalize(kit.MEAN, kit.STD),
            transforms.RandomErasing(p=0.1),
        ]
    ),
    "reference_v2": lambda: v2.Compose(
        [
            v2.RandomResizedCrop(32, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.AugMix(interpolation=InterpolationMode.BILINEAR, severity=3),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
            v2.ToPureTensor(),
        ]
    ),
    # Of most of the folder's images v2's contrast is the reference's.
    "any_size_v2": lambda: v2.Compose(
        [
            v2.AugMix(alpha=0.3, fill=(3, 128, 250)),
            v2.Resize((20, 24)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "twice_v1": lambda: transforms.Compose(
        [
            transforms.RandomCrop(28, pad_if_needed=True),
            transforms.RandomApply([transforms.AugMix(alpha=2.5, mixture_width=2)], p=0.6),
            transforms.ColorJitter(0.3),
            transforms.AugMix(8, 1, all_ops=False, interpolation=InterpolationMode.NEAREST),
            transforms.ToTensor(),
        ]
    ),
    # Noise draws its normals one by one, from the one that AugMix left.
    "noise_v2": lambda: v2.Compose(
        [
            v2.Resize((16, 20)),
            v2.AugMix(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(),
        ]
    ),
    # Normals of two kinds, of which one leaves the kept one alone.
    "normals_v1": lambda: transforms.Compose(
        [
            transforms.Resize((32, 32)),
            transforms.AugMix(),
            transforms.ToTensor(),
            transforms.RandomErasing(p=0.7, value="random"),
        ]
    ),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"persistent_workers": True}])
@pytest.mark.parametrize("name", PIPELINES)
def test_loaders(root: Path, name: str, options: dict[str, Any]) -> None:
    if "persistent_workers" in options:
        options = {**options, "num_workers": 3}
    dataset = kit.folder_of(root, PIPELINES[name]())
    options = {"batch_size": 3, "shuffle": True, **options}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()), epochs=3)
    assert sum(step[0] == "batch" for step in stock) > 2
    kit.assert_same(
        stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), epochs=3, native=True)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["reference_v1", "reference_v2", "normals_v1", "noise_v2"])
def test_batches_that_are_mixed(root: Path, name: str, num_workers: int) -> None:
    """Samples and batches take the normal that the other left."""
    dataset = kit.folder_of(root, PIPELINES[name]())
    collate = penstock.collate_with(v2.MixUp(num_classes=3, alpha=0.4))
    options = {"batch_size": 3, "collate_fn": collate, "num_workers": num_workers}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()))
    kit.assert_same(stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), native=True))


@pytest.mark.filterwarnings("ignore")
def test_threads_of_the_main_process(root: Path) -> None:
    """With two of them a sum of the reference's would have another order than in a worker."""
    torch.set_num_threads(2)
    pipeline = transforms.Compose(
        [transforms.Resize(420), transforms.AugMix(chain_depth=5), transforms.PILToTensor()]
    )
    dataset = kit.folder_of(root, pipeline)
    options = {"batch_size": 1, "num_workers": 1}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()), epochs=1)
    kit.assert_same(
        stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), epochs=1, native=True)
    )
    assert torch.get_num_threads() == 2


def test_threads_of_a_loader_without_workers(root: Path) -> None:
    v1_dataset = kit.folder_of(root, PIPELINES["reference_v1"]())
    loader = kit.OURS(kit.folder_of(root, PIPELINES["reference_v2"]()))
    partial = v2.Compose([v2.AugMix(all_ops=False), v2.Resize((8, 8)), v2.PILToTensor()])
    assert loader.explain().lane == "native"
    iterator = iter(loader)
    assert kit.is_native(iterator)
    next(iterator)
    torch.set_num_threads(2)
    assert "number of threads (2)" in loader.explain().reason
    assert kit.OURS(v1_dataset).explain().lane == "native"
    assert kit.OURS(kit.folder_of(root, partial)).explain().lane == "native"
    assert kit.OURS(loader.dataset, num_workers=1).explain().lane == "native"
    next(iterator)


def test_settings_that_change_a_product(root: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, PIPELINES["reference_v1"]()))
    assert loader.explain().lane == "native"
    with torch.autocast("cpu"):
        assert "AugMix is computed by autocast" in loader.explain().reason
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert "AugMix is computed by a lower precision" in loader.explain().reason
    finally:
        torch.set_float32_matmul_precision(before)
    assert loader.explain().lane == "native"


def test_one_draw_per_image_is_a_draw_of_its_own(root: Path) -> None:
    """rng="sample": the same whatever the threads, and no normal goes from one to the next."""
    dataset = kit.folder_of(root, PIPELINES["reference_v1"]())

    def batches(threads: int) -> list[torch.Tensor]:
        loader = kit.OURS(dataset, batch_size=5, rng="sample", threads=threads)
        torch.manual_seed(4)
        return [images for images, _ in loader]

    first = batches(1)
    assert all(map(torch.equal, first, batches(3)))
    assert len({image.sum().item() for batch in first for image in batch}) > 10


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_state_holds_the_normal(root: Path, num_workers: int) -> None:
    dataset = kit.folder_of(root, PIPELINES["reference_v1"]())

    def loader() -> Any:
        torch.manual_seed(8)
        return kit.OURS(dataset, batch_size=1, shuffle=True, num_workers=num_workers)

    whole = [images for images, _ in loader()]
    for at in (1, 4, 5):
        first = loader()
        iterator = iter(first)
        for _ in range(at):
            next(iterator)
        state = first.state_dict()
        generator = torch.get_rng_state()
        del iterator
        second = loader()
        second.load_state_dict(state)
        torch.set_rng_state(generator)
        rest = [images for images, _ in second]
        assert all(map(torch.equal, rest, whole[at:]))
        assert len(rest) == len(whole) - at


# --- what is not taken


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: transforms.AugMix(mixture_width=5), "5 chains"),
        (lambda: transforms.AugMix(mixture_width=0), "0 chains"),
        (lambda: transforms.AugMix(chain_depth=6), "6 steps"),
        (lambda: transforms.AugMix(alpha=1), "alpha is 1"),
        (lambda: transforms.AugMix(alpha=0.0), "alpha"),
        (lambda: transforms.AugMix(alpha=1e4), "alpha"),
        (lambda: transforms.AugMix(interpolation=InterpolationMode.BICUBIC), "bilinear"),
        (lambda: v2.AugMix(interpolation="nearest-exact"), "nearest-exact"),
        (lambda: transforms.AugMix(fill=[1, 2]), "fill"),
        (lambda: v2.AugMix(fill=256), "fill"),
        (lambda: v2.AugMix(fill={torch.Tensor: 3}), "fill"),
    ],
)
def test_refused(make: Any, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        parity_kit.native(v2.Compose([make(), transforms.ToTensor()]))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (lambda: [transforms.Grayscale(1), transforms.AugMix(), transforms.ToTensor()], "grey"),
        (lambda: [transforms.ToTensor(), transforms.AugMix()], "that is not of uint8"),
        (lambda: [v2.Resize((21, 21)), v2.AugMix(), v2.ToImage()], "no multiple of 16"),
        (lambda: [v2.CenterCrop(288), v2.AugMix(), v2.ToImage()], "the mean of 288 x 288"),
        (
            lambda: [transforms.Resize((257, 257)), transforms.AugMix(), transforms.ToTensor()],
            "the mean of 257 x 257",
        ),
    ],
)
def test_refused_in_its_place(steps: Any, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        parity_kit.native(transforms.Compose(steps()))


@pytest.mark.parametrize(
    "steps",
    [
        lambda: [transforms.Resize((21, 21)), transforms.AugMix(), transforms.ToTensor()],
        lambda: [v2.CenterCrop(300), v2.AugMix(all_ops=False), v2.PILToTensor()],
        lambda: [v2.Resize(21), v2.AugMix(), v2.ToImage()],
    ],
)
def test_sizes_that_are_taken(steps: Any) -> None:
    pipeline = v2.Compose(steps())
    assert parity_kit.native(pipeline).max_words > 300


def test_a_space_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Magnitudes are asked of the object; one that is not known is refused."""
    pipeline = v2.Compose([v2.AugMix(), v2.ToImage()])
    space = dict(v2.AugMix._AUGMENTATION_SPACE)
    monkeypatch.setattr(v2.AugMix, "_AUGMENTATION_SPACE", {**space, "Warp": space["Rotate"]})
    with pytest.raises(Refusal, match="Warp"):
        capture.read_transform(pipeline)
    half = (lambda bins, height, width: torch.linspace(0, width / 2.0, bins), True)
    monkeypatch.setattr(v2.AugMix, "_AUGMENTATION_SPACE", {**space, "TranslateX": half})
    with pytest.raises(Refusal, match="share of a side"):
        capture.read_transform(pipeline)


# --- the proof

_REFUSALS = """
import torchvision.transforms.v2
import torchvision.transforms.functional
from penstock import augmix
for filter, n_fill in ((2, 0), (2, 3), (0, 1)):
    print(augmix.refusal(False, filter, n_fill), augmix.refusal(True, filter, n_fill))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="torch's sets of instructions")
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_other_instructions(capability: str) -> None:
    """Where torch fuses nothing, bilinear places are others, and so are v2's blends."""
    run = [sys.executable, "-W", "ignore", "-c", _REFUSALS]
    env = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    said = subprocess.run(run, env=env, check=True, capture_output=True, text=True).stdout
    lines = said.splitlines()
    assert len(lines) == 3
    flags = Path("/proc/cpuinfo").read_text().split()
    if capability == "default":
        assert all(line.startswith("AugMix of torch") for line in lines[:2])
    elif {"avx2": "avx2", "avx512": "avx512vnni"}[capability] in flags:
        assert lines == ["None None"] * 3


@pytest.mark.parametrize(
    ("home", "name", "said"),
    [
        (torch.Tensor, "bmm", "matrix product"),
        (torch, "linspace", "linspace"),
        (torch.Tensor, "sum", "gammas"),
    ],
)
def test_a_torch_that_rounds_in_another_way(
    home: Any, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = getattr(home, name)

    def other(*args: Any, **more: Any) -> torch.Tensor:
        made: torch.Tensor = known(*args, **more)
        return made * (1 - 2**-22) if made.is_floating_point() else made

    augmix.refusal.cache_clear()
    augmix._shares_refusal.cache_clear()
    monkeypatch.setattr(home, name, other)
    try:
        assert said in str(augmix.refusal(False, 2, 0))
        if name == "linspace":
            assert "linspace" in str(augmix._shares_refusal(10))
    finally:
        monkeypatch.undo()
        augmix.refusal.cache_clear()
        augmix._shares_refusal.cache_clear()


def test_a_torchvision_that_computes_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = pytest.importorskip("torchvision.transforms._functional_tensor")
    known = functional.posterize
    augmix.refusal.cache_clear()
    monkeypatch.setattr(functional, "posterize", lambda image, bits: known(image, min(bits + 1, 8)))
    try:
        assert "pixels" in str(augmix.refusal(False, 2, 0))
    finally:
        augmix.refusal.cache_clear()


def test_the_proof_leaves_the_generators_alone() -> None:
    augmix.refusal.cache_clear()
    before = kit.states()
    assert augmix.refusal(False, 2, 0) is None
    assert augmix.refusal(True, 0, 3) is None
    assert kit.states() == before
