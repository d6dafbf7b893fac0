# SPDX-License-Identifier: Apache-2.0
"""GaussianBlur on the native lane against torchvision: pixels for all sizes of kernels, sigmas and
images, the loader's draws and weights, and what is left to the reference."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import kit
import numpy as np
import parity_kit
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from penstock import blurring, capture
from penstock.refusal import Refusal
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
families = st.sampled_from([transforms, v2])
seeds = st.integers(0, 2**32 - 1)
odd = st.sampled_from([3, 5, 7, 9, 23]) | st.integers(0, 15).map(lambda k: 2 * k + 1)
kernels = odd.map(lambda k: (k, k)) | st.tuples(odd, odd).filter(lambda k: blurring.is_kept(*k))
sigmas = st.floats(0.1, 2) | st.floats(0.01, 0.4) | st.floats(1, 50) | st.sampled_from([0.1, 1, 2])


def picture(size: tuple[int, int], seed: int) -> np.ndarray:
    """Noise; one value; squares whose mean is half a value; two values; a smooth one."""
    pixels = parity_kit.noise(*size, seed)
    kind = seed % 5
    if kind == 1:
        pixels = np.full_like(pixels, seed % 256)
    elif kind == 2:
        squares = np.add.outer(np.arange(size[1]), np.arange(size[0])) % 2 * (seed % 256)
        pixels = np.repeat(squares[:, :, None], 3, 2).astype(np.uint8)
    elif kind == 3:
        pixels = pixels // 128 * 255
    elif kind == 4:
        small = Image.fromarray(pixels[: size[1] // 8 + 1, : size[0] // 8 + 1])
        pixels = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
    return np.ascontiguousarray(pixels)


@MANY
@given(families, kernels, sigmas, st.tuples(st.integers(1, 60), st.integers(1, 60)), seeds)
@example(transforms, (23, 23), 2.0, (224, 100), 3)
@example(v2, (47, 47), 9.0, (1, 1), 0)
def test_pixels(
    family: ModuleType, kernel: tuple[int, int], sigma: float, more: tuple[int, int], seed: int
) -> None:
    size = (kernel[0] // 2 + more[0], kernel[1] // 2 + more[1])
    blur = family.GaussianBlur(kernel, (sigma, sigma))
    pipeline = family.Compose([blur, family.PILToTensor()])
    assert parity_kit.check(pipeline, picture(size, seed), seed)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", [transforms, v2])
def test_weights_in_a_block_are_those_of_one(family: ModuleType, threads: int) -> None:
    one_row = blurring._functions(family is v2)[0]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        sigma = torch.empty(4000).uniform_(0.05, 5)
        for taps in (1, 3, 5, 7, 9, 23, 31, 47):
            block = blurring.weights(sigma, taps, family is v2)
            for got, value in zip(block[::40], sigma[::40].tolist(), strict=True):
                expected = one_row(taps, value, torch.float32, torch.device("cpu"))
                assert torch.equal(got, expected)
    finally:
        torch.set_num_threads(before)


# --- the loader

PIPELINES: dict[str, Any] = {
    "simclr_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(32),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            transforms.RandomGrayscale(0.2),
            transforms.GaussianBlur(23),
            transforms.ToTensor(),
            transforms.Normalize(kit.MEAN, kit.STD),
        ]
    ),
    "byol_v2": lambda: v2.Compose(
        [
            v2.RandomResizedCrop(32),
            v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], p=0.5),
            v2.RandomSolarize(128, p=0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    ),
    "oblong_v2": lambda: v2.Compose(
        [
            v2.Resize((28, 36)),
            v2.RandomOrder([v2.GaussianBlur((9, 5), 1.5), v2.RandomHorizontalFlip()]),
            v2.GaussianBlur((3, 11), (0.3, 3)),
            v2.CenterCrop(24),
            v2.PILToTensor(),
        ]
    ),
    "on_tensors_v2": lambda: v2.Compose(
        [
            v2.RandomResizedCrop(24),
            v2.ToImage(),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.GaussianBlur(5)], p=0.7),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    ),
    "on_tensors_v1": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop(24),
            transforms.PILToTensor(),
            transforms.GaussianBlur(7, (0.5, 4.0)),
            transforms.ConvertImageDtype(torch.float32),
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
    options = {"batch_size": 4, "shuffle": True, **options}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options), ()))
    assert sum(step[0] == "batch" for step in stock) > 2
    kit.assert_same(stock, kit.run(lambda: (kit.OURS(dataset, **options), ()), native=True))


def test_one_draw_per_image_is_a_draw_of_its_own(root: Path) -> None:
    """rng="sample": the engine's own weights, the same whatever the threads."""
    dataset = kit.folder_of(root, PIPELINES["simclr_v1"]())

    def batches(threads: int) -> list[torch.Tensor]:
        loader = kit.OURS(dataset, batch_size=5, rng="sample", threads=threads)
        torch.manual_seed(4)
        return [images for images, _ in loader]

    first = batches(1)
    assert all(map(torch.equal, first, batches(3)))
    assert len({image.sum().item() for batch in first for image in batch}) > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_smaller_than_the_kernel(root: Path, num_workers: int) -> None:
    """torch refuses to mirror it: its own exception, after as many draws."""
    pipeline = transforms.Compose([transforms.GaussianBlur(47), transforms.ToTensor()])
    dataset = kit.folder_of(root, pipeline)

    def life(cls: Any) -> list[Any]:
        torch.manual_seed(5)
        iterator = iter(cls(dataset, batch_size=1, num_workers=num_workers))
        seen: list[Any] = []
        for _ in range(len(dataset)):
            try:
                seen.append(next(iterator)[0])
            except RuntimeError as error:
                seen.append((type(error), str(error).splitlines()[-1]))
        return seen

    stock, ours = life(kit.STOCK), life(kit.OURS)
    assert kit.OURS(dataset).explain().lane == "native"
    assert any(isinstance(one, tuple) for one in stock)
    assert any(isinstance(one, torch.Tensor) for one in stock)
    for expected, got in zip(stock, ours, strict=True):
        if isinstance(expected, torch.Tensor):
            assert torch.equal(expected, got)
        else:
            assert expected == got


# --- what is not taken


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: [transforms.GaussianBlur(49)], "kernel_size"),
        (lambda: [transforms.GaussianBlur((47, 23))], "kernel_size"),
        (lambda: [transforms.GaussianBlur(3, (1e-7, 1))], "sigma"),
        (lambda: [transforms.Grayscale(1), transforms.GaussianBlur(3)], "grey"),
        (lambda: [transforms.ToTensor(), transforms.GaussianBlur(3)], "works on a tensor"),
        (
            lambda: [
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.GaussianBlur(3),
            ],
            "works on a tensor",
        ),
    ],
)
def test_refused(make: Any, said: str) -> None:
    steps = make()
    if not any(type(step) in (transforms.ToTensor, v2.ToImage) for step in steps):
        steps.append(transforms.ToTensor())
    with pytest.raises(Refusal, match=said):
        parity_kit.native(transforms.Compose(steps))


def test_settings_that_change_a_convolution(root: Path) -> None:
    dataset = kit.folder_of(root, PIPELINES["simclr_v1"]())
    plain = kit.folder_of(root, kit.train_v1())
    loader = kit.OURS(dataset)
    assert loader.explain().lane == "native"
    with torch.autocast("cpu"):
        assert "autocast" in loader.explain().reason
        assert kit.OURS(plain).explain().lane == "native"
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert "precision" in loader.explain().reason
    finally:
        torch.set_float32_matmul_precision(before)
    assert loader.explain().lane == "native"


def test_a_torch_that_adds_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    blur = transforms.Compose([transforms.GaussianBlur(7, 1.0), transforms.ToTensor()])

    def reversed_rows(image: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
        return convolve(image.flip(2), weight.flip(2), groups=groups).flip(2)

    convolve = torch.nn.functional.conv2d
    blurring.refusal.cache_clear()
    monkeypatch.setattr(torch.nn.functional, "conv2d", reversed_rows)
    try:
        with pytest.raises(Refusal, match="the order of products"):
            capture.read_transform(blur)
    finally:
        blurring.refusal.cache_clear()
    monkeypatch.undo()
    assert capture.read_transform(blur).key


_REFUSALS = """
import torchvision.transforms.v2
import torchvision.transforms.functional
from penstock import blurring
for side in (3, 23):
    for v2 in (False, True):
        print(blurring.refusal(side, side, v2))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's sets of instructions")
@pytest.mark.parametrize(
    ("setting", "is_taken"),
    [
        ("ATEN_CPU_CAPABILITY=default", True),
        ("ATEN_CPU_CAPABILITY=avx2", True),
        ("TORCH_MKLDNN_ENABLED=0", True),
        ("ONEDNN_MAX_CPU_ISA=AVX2", True),
        ("ONEDNN_MAX_CPU_ISA=SSE41", False),  # without fused multiply-adds
    ],
)
def test_other_instructions(setting: str, is_taken: bool) -> None:
    """Torch told to do with less: what that changes is found out."""
    name, _, value = setting.partition("=")
    run = [sys.executable, "-W", "ignore", "-c", _REFUSALS]
    env = {**os.environ, name: value}
    said = subprocess.run(run, env=env, check=True, capture_output=True, text=True).stdout
    lines = said.splitlines()
    assert len(lines) == 4
    if is_taken and "fma" in Path("/proc/cpuinfo").read_text():
        assert lines == ["None"] * 4
    elif not is_taken:
        assert all("the order of products" in line for line in lines)


def test_weights_that_are_not_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = pytest.importorskip("torchvision.transforms._functional_tensor")
    known = functional._get_gaussian_kernel1d
    blurring.refusal.cache_clear()
    monkeypatch.setattr(
        functional, "_get_gaussian_kernel1d", lambda *args: known(*args) * (1 + 2**-23)
    )
    try:
        assert "weights" in str(blurring.refusal(5, 5, False))
    finally:
        blurring.refusal.cache_clear()


def test_the_proof_leaves_the_generators_alone() -> None:
    blurring.refusal.cache_clear()
    before = kit.states()
    assert blurring.refusal(5, 3, False) is None
    assert blurring.refusal(5, 3, True) is None
    assert kit.states() == before
