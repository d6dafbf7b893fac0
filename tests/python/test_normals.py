# SPDX-License-Identifier: Apache-2.0
"""RandomErasing(value="random"): the normals of torch's normal_(), which take as many words as the
rectangle has numbers, beside stock: batches, and where the random stream stands afterwards."""

import math
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy as np
import pytest
import torch
from penstock import _core, capture, prepare, rng
from penstock.datasets import ImageFolder
from PIL import Image
from torch.utils.data import default_collate
from torchvision import datasets, transforms
from torchvision.transforms import v2


@pytest.fixture(scope="module", autouse=True)
def known() -> None:
    """Where torch runs with less than AVX2 all of it is torch's own."""
    if rng.normal_refusal() is not None:
        pytest.skip(str(rng.normal_refusal()))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def erasing_v1(size: int = 40) -> Any:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(kit.MEAN, kit.STD),
            transforms.RandomErasing(0.7, value="random"),
        ]
    )


def erasing_v2() -> Any:
    return v2.Compose(
        [
            v2.RandomCrop((37, 29), padding=3, pad_if_needed=True),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
            v2.RandomErasing(0.8, ratio=(0.5, 2.0), value="random", inplace=True),
            v2.RandomErasing(0.7, value=0.5),
            v2.RandomErasing(0.6, scale=(0.1, 0.9), value="random"),
            v2.ToPureTensor(),
        ]
    )


def doubtful() -> Any:
    """Of small images only torch can tell some perspectives."""
    return transforms.Compose(
        [
            transforms.RandomPerspective(0.5, 0.9),
            transforms.Resize((24, 24)),
            transforms.RandomPerspective(0.5, 0.9),
            transforms.ToTensor(),
            transforms.RandomErasing(0.7, value="random"),
            transforms.RandomErasing(0.3, value="random"),
        ]
    )


def with_parts() -> Any:
    return transforms.Compose(
        [
            transforms.RandomChoice([transforms.RandomResizedCrop(30), transforms.Pad(3)]),
            transforms.Resize((24, 24)),
            transforms.RandomOrder([transforms.RandomSolarize(99), transforms.RandomInvert()]),
            transforms.ToTensor(),
            transforms.RandomErasing(0.7, value="random"),
        ]
    )


PIPELINES = [erasing_v1, erasing_v2, doubtful, with_parts]


def lives(root: Path, make: Callable[[], Any], epochs: int = 3, **options: Any) -> Any:
    options = {"batch_size": 5, "shuffle": True, **options}
    loaders = []

    def made(cls: Any) -> Any:
        def both() -> Any:
            loaders.append(cls(kit.folder_of(root, make()), **options))
            return loaders[-1], ()

        return both

    expected = kit.run(made(kit.STOCK), epochs=epochs)
    kit.assert_same(expected, kit.run(made(kit.OURS), epochs=epochs, native=True))
    return loaders[-1].stats().counters


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_batches(root: Path, pipeline: Any, workers: int) -> None:
    counters = lives(root, pipeline, num_workers=workers)
    if pipeline is doubtful:
        assert counters["doubts"] > 0


def collate_of(mix: Any) -> Any:
    def collate_fn(batch: list[Any]) -> Any:
        return mix(*default_collate(batch))

    return collate_fn


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pipeline", [erasing_v1, doubtful, with_parts])
def test_batches_that_are_mixed(root: Path, pipeline: Any, workers: int) -> None:
    """Their draws follow those of the samples."""
    mix = v2.RandomChoice([v2.MixUp(alpha=0.2, num_classes=3), v2.CutMix(num_classes=3)])
    lives(root, pipeline, num_workers=workers, collate_fn=collate_of(mix))


def test_persistent_workers(root: Path) -> None:
    lives(root, erasing_v1, 4, num_workers=2, persistent_workers=True)


def test_large_images(root: Path) -> None:
    """Rectangles of several blocks of words, of all numbers modulo 16."""
    lives(root, lambda: erasing_v1(231), num_workers=2)


def test_files_that_fail(tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    cut = root / "bee/b2.png"
    cut.write_bytes(cut.read_bytes()[:300])
    for workers in (0, 2):
        lives(root, erasing_v1, num_workers=workers, batch_size=3)


@pytest.mark.parametrize("pipeline", [erasing_v1, doubtful])
def test_of_the_sample_alone(root: Path, pipeline: Any) -> None:
    """rng="sample": whatever the order and the threads."""

    def epoch(threads: int, **options: Any) -> dict[int, bytes]:
        dataset = kit.folder_of(root, pipeline())
        dataset.samples = [(path, number) for number, (path, _) in enumerate(dataset.samples)]
        kit.seed_all(3)
        loader = kit.OURS(dataset, rng="sample", threads=threads, batch_size=3, **options)
        assert loader.explain().lane == "native"
        seen = {}
        for images, labels in loader:
            for image, label in zip(images, labels.tolist(), strict=True):
                seen[label] = image.numpy().tobytes()
        return seen

    n = len(kit.folder_of(root, None))
    assert epoch(1) == epoch(3, sampler=list(range(n))[::-1])


def grey_loader(path: str) -> Any:
    with open(path, "rb") as file:
        return Image.open(file).convert("L")


def test_grey_images(root: Path) -> None:
    def grey() -> Any:
        return transforms.Compose(
            [
                transforms.RandomResizedCrop(50),
                transforms.ToTensor(),
                transforms.RandomErasing(0.8, value="random", scale=(0.1, 0.3)),
            ]
        )

    def stock() -> Any:
        dataset = datasets.ImageFolder(str(root), grey(), loader=grey_loader)
        return kit.STOCK(dataset, batch_size=4, num_workers=2), ()

    def ours() -> Any:
        dataset = ImageFolder(root.as_posix(), grey(), mode="L")
        return kit.OURS(dataset, batch_size=4, num_workers=2), ()

    kit.assert_same(kit.run(stock), kit.run(ours, native=True))


@pytest.mark.parametrize("layout", [None, torch.channels_last])
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_other_dtypes_and_layouts(root: Path, dtype: Any, layout: Any) -> None:
    torch.manual_seed(4)
    stock = list(kit.STOCK(kit.folder_of(root, erasing_v1()), 4, num_workers=2))
    torch.manual_seed(4)
    dataset = kit.folder_of(root, erasing_v1())
    ours = kit.OURS(dataset, 4, num_workers=2, out_dtype=dtype, memory_format=layout)
    for (image, _), (expected, _) in zip(ours, stock, strict=True):
        expected = expected.to(dtype or torch.float32)
        assert torch.equal(image, expected)
        assert image.is_contiguous(memory_format=layout or torch.contiguous_format)


def test_arrays(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)

    def cifar() -> Any:
        steps = [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(kit.MEAN, kit.STD),
            transforms.RandomErasing(0.5, value="random"),
        ]
        labels = list(range(300))
        return kit.bare(
            datasets.CIFAR10, transforms.Compose(steps), data=images, targets=labels, train=True
        )

    for workers in (0, 2):
        options: dict[str, Any] = {"batch_size": 64, "shuffle": True, "num_workers": workers}
        expected = kit.run(lambda options=options: (kit.STOCK(cifar(), **options), ()))
        found = kit.run(lambda options=options: (kit.OURS(cifar(), **options), ()), native=True)
        kit.assert_same(expected, found)


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}])
@pytest.mark.parametrize("pipeline", [erasing_v2, with_parts])
def test_states_go_on(root: Path, pipeline: Any, options: dict[str, Any]) -> None:
    def make() -> Any:
        return kit.OURS(kit.folder_of(root, pipeline()), batch_size=3, shuffle=True, **options)

    kit.seed_all(8)
    loader = make()
    expected: list[Any] = []
    states: list[Any] = []
    for _ in range(2):
        for batch in loader:
            expected.append(kit.visible(batch))
            states.append(loader.state_dict())
    for at, state in enumerate(states):
        kit.seed_all(1000 + at)
        again = make()
        again.load_state_dict(state)
        rest = []
        while len(rest) < len(expected) - at - 1:
            rest += [kit.visible(batch) for batch in again]
        assert rest == expected[at + 1 :], at


# --- where exp is not near enough


def untemper(word: int) -> int:
    return rng._untemper(word)


def uncertain_word(side: int, target: float, low: float, high: float) -> int:
    """Of an aspect with which the height is as near to the middle of two pixels as it comes."""
    words = np.arange(1 << 24, dtype=np.float64)
    width = np.float64(np.float32(np.float32(high) - np.float32(low)))
    x = (words / 2**24 * width + np.float64(np.float32(low))).astype(np.float32)
    height = np.sqrt(target * np.exp(x.astype(np.float64)))
    away = np.abs(height - np.floor(height) - 0.5)
    away[(height > side * 0.8) | (height < side * 0.3)] = 1
    return int(np.argmin(away))


@pytest.mark.parametrize("tries", range(3))
def test_sides_that_only_torch_can_tell(tmp_path: Path, tries: int) -> None:
    side = 200 + tries
    path = tmp_path / "images" / "one" / "a.png"
    path.parent.mkdir(parents=True)
    kit.picture("RGB", side, side, 3).save(path)
    scale, unit = (0.1, 0.3), 0.5
    least, most = np.float32(scale[0]), np.float32(scale[1])
    share = np.float32(unit * np.float64(most - least) + np.float64(least))
    target = side * side * float(share)
    low, high = rng.log_ratio((0.5, 2.0))
    aspect = uncertain_word(side, target, low, high)
    steps = [
        transforms.CenterCrop(side),
        transforms.ToTensor(),
        transforms.RandomErasing(1.0, scale, (0.5, 2.0), "random"),
    ]
    dataset = kit.folder_of(tmp_path / "images", transforms.Compose(steps))
    seen = []
    for cls in (kit.STOCK, kit.OURS):
        torch.manual_seed(11)
        torch.rand(1)
        state = torch.get_rng_state().clone()
        # The next words: the sampler's and base seed's are drawn before these by another generator.
        words = [0, 1 << 23, aspect]
        place = int.from_bytes(bytes(state[16:20].tolist()), sys.byteorder)
        for k, word in enumerate(words):
            at = 24 + 8 * (place + k)
            state[at : at + 8] = torch.frombuffer(
                bytearray(struct.pack("=Q", untemper(word))), dtype=torch.uint8
            )
        loader = cls(dataset, generator=torch.Generator().manual_seed(1))
        iterator = iter(loader)
        torch.set_rng_state(state)
        seen.append((kit.visible(next(iterator)), kit.states()))
        if cls is kit.OURS:
            assert kit.is_native(iterator)
            assert loader.stats().counters["doubts"] == 1
    assert seen[0] == seen[1]


def test_another_exp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rng.exp_refusal.cache_clear()
    own = torch.exp
    try:
        with monkeypatch.context() as patch:
            patch.setattr(
                torch, "exp", lambda x: own(x) * (1.000001 if x.dtype == torch.float32 else 1)
            )
            assert "exp of torch" in str(rng.exp_refusal(-1.0, 1.0))
    finally:
        rng.exp_refusal.cache_clear()
    assert rng.exp_refusal(-1.0, 1.0) is None
    for _ in range(20):
        low = random.Random(_).uniform(-8, 8)
        assert rng.exp_refusal(low, low + 0.7) is None


# --- normals alone


def words_of(generator: torch.Generator, n: int) -> bytes:
    copy = torch.Generator().set_state(generator.get_state())
    words = torch.empty(n, dtype=torch.int32).random_(generator=copy)
    return words.numpy().tobytes()


def test_all_sizes() -> None:
    generator = torch.Generator().manual_seed(7)
    for n in [*range(16, 400), 1 << 20]:
        expected = words_of(generator, n if n % 16 == 0 else n + 16)
        found = torch.frombuffer(bytearray(_core.normals(expected, n)), dtype=torch.int32)
        drawn = torch.empty(n).normal_(generator=generator)
        assert torch.equal(drawn.view(torch.int32), found), n


def test_one_by_one() -> None:
    """Of tensors that are not contiguous; words from torch, with all their bits."""
    assert rng.pairs_refusal() is None
    for seed, n in enumerate([2, 4, 6, 8, 10, 16, 30, 1 << 20]):
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.empty(n // 2, 2).t().normal_(generator=generator).t().reshape(-1)
        found = torch.frombuffer(
            bytearray(_core.normal_pairs(rng.words_of(seed, 2 * n), n)), dtype=torch.int32
        )
        assert torch.equal(drawn.view(torch.int32), found), n


def test_another_one_by_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rng.pairs_refusal.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(_core, "normal_pairs", lambda words, n: bytes(4 * n))
            assert "one by one, is not the known one: the values" in str(rng.pairs_refusal())
    finally:
        rng.pairs_refusal.cache_clear()


def test_wrong_arguments() -> None:
    for words, n in ((bytes(8), 0), (bytes(24), 3), (bytes(15), 2), (b"", -1)):
        with pytest.raises(ValueError, match=r"expected|bytes|normals"):
            _core.normal_pairs(words, n)
    for words, n in ((bytes(60), 15), (bytes(64), 17), (bytes(128), 16), (b"", 0), (b"", -1)):
        with pytest.raises(ValueError, match=r"expected|bytes|normals"):
            _core.normals(words, n)


def test_another_normal_is_left_to_torch() -> None:
    code = """
import torch
from penstock import capture, rng
from torchvision import transforms
step = transforms.RandomErasing(value="random")
try:
    capture.read_transform(transforms.Compose([transforms.ToTensor(), step]))
except capture.Refusal as refusal:
    print(refusal.reason)
"""
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "(DEFAULT) is not the known one: the values" in done.stdout


# --- what is not taken


def native(*steps: Any, size: Any = (32, 32)) -> Any:
    pipeline = transforms.Compose([transforms.Resize(size), *steps])
    return prepare.prepare(capture.read_transform(pipeline), "pillow-13")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([v2.ToImage(), v2.RandomErasing(value="random")], "no pixels of PST_U8"),
        (
            [
                transforms.ToTensor(),
                transforms.RandomErasing(value="random"),
                transforms.Normalize(kit.MEAN, kit.STD),
            ],
            "Normalize comes after normals",
        ),
        (
            [transforms.ToTensor(), transforms.RandomErasing(value="random", scale=(0.001, 0.3))],
            "may have less than 16 normals",
        ),
        (
            [transforms.ToTensor(), transforms.RandomErasing(value="random", ratio=(0.001, 1.0))],
            "may have less than 16 normals",
        ),
    ],
)
def test_what_is_refused(steps: list[Any], said: str) -> None:
    with pytest.raises(capture.Refusal, match=said):
        native(*steps)


def test_a_blur_of_a_drawn_sigma_is_refused() -> None:
    step = transforms.RandomErasing(value="random")
    blur = transforms.GaussianBlur(3, (0.1, 2.0))
    pipeline = transforms.Compose([transforms.Resize((32, 32)), blur, transforms.ToTensor(), step])
    with pytest.raises(capture.Refusal, match=r"beside the sigma|GaussianBlur"):
        prepare.prepare(capture.read_transform(pipeline), "pillow-13")


def test_a_size_that_is_not_known_is_refused() -> None:
    step = transforms.RandomErasing(value="random")
    native(transforms.ToTensor(), step)
    with pytest.raises(capture.Refusal, match="of samples of any size a rectangle"):
        native(transforms.ToTensor(), step, size=40)


def test_what_was_drawn_is_told(root: Path) -> None:
    assert native(transforms.ToTensor(), transforms.RandomErasing(value="random")).draws
    transform = native(transforms.ToTensor(), transforms.RandomErasing(value="random")).transform
    assert transform.draws_normals
    with pytest.raises(ValueError, match="normals"):
        transform.apply(bytes(48), 4, 4, bytes(4 * transform.max_words))
    assert math.isfinite(transform.max_words)
