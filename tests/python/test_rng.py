# SPDX-License-Identifier: Apache-2.0
"""What is taken for granted about torch's generator, and rng="sample"."""

import struct
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
from penstock import rng


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def test_the_installed_torch_is_known_and_the_proof_draws_nothing() -> None:
    rng.refusal.cache_clear()
    before = kit.states()
    assert rng.refusal() is None
    assert kit.states() == before


def test_a_torch_that_differs_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng.refusal.cache_clear()
    monkeypatch.setattr(rng, "_temper", lambda word: word ^ 1)
    try:
        assert "random_ of int32" in (rng.refusal() or "")
        loader = kit.OURS(kit.folder_of(root, kit.eval_v1()))
        assert not kit.is_native(iter(loader))
        assert "generator of torch" in loader.explain().reason
    finally:
        rng.refusal.cache_clear()


@pytest.mark.parametrize("v2", [False, True])
@pytest.mark.parametrize(
    "p", [0.0, 1.0, 0.5, 0.1, 0.3, 1 / 3, 0.7, 1e-9, 2**-24, 0.99999999, 1, 0, -1.0, 1.5, 2**-25]
)
def test_flip_thresholds(p: float, v2: bool) -> None:
    threshold = rng.flip_threshold(p, v2)
    words = torch.arange(max(0, threshold - 50), min(2**24, threshold + 50))
    for word in [0, 1, 2**23, 2**24 - 1, *words.tolist()]:
        value = torch.tensor([word / 2**24])
        flips = not bool(value >= p) if v2 else bool(value < p)
        assert flips == (word < threshold)


@pytest.mark.parametrize("drawn", [0, 1, 5, 622, 623, 624, 625, 1248, 2000])
def test_the_place_in_the_block(drawn: int) -> None:
    generator = torch.Generator().manual_seed(11)
    rng.advance(generator, drawn)
    reader = rng.StateReader()
    position = reader.read(generator)
    assert position == (624 if drawn % 624 == 0 else drawn % 624)
    words = struct.unpack("<624I", reader.words)
    expected = torch.empty(624 - position, dtype=torch.int32).random_(generator=generator)
    assert [rng._temper(word) & 0x7FFFFFFF for word in words[position:]] == expected.tolist()


def test_exp_is_torchs(root: Path) -> None:
    values = torch.linspace(-1, 1, 333)
    buffer = bytearray(values.numpy().tobytes())
    rng.exp_in_place(memoryview(buffer).cast("f"))
    assert bytes(buffer) == torch.exp(values).numpy().tobytes()


def by_path(loader: Any) -> dict[int, Any]:
    """Pixels of each sample; labels are unique here."""
    return {
        int(label): image.numpy().tobytes()
        for images, labels in loader
        for image, label in zip(images, labels, strict=True)
    }


def numbered(root: Path) -> Any:
    dataset = kit.folder_of(root, kit.train_v1(12))
    dataset.samples = [(path, number) for number, (path, _) in enumerate(dataset.samples)]
    return dataset


@pytest.mark.fault("R26")
def test_sample_rng_depends_on_seed_epoch_and_index_alone(root: Path) -> None:
    dataset = numbered(root)
    generator = torch.Generator().manual_seed(9)

    def life(seed: int, **options: Any) -> list[dict[int, Any]]:
        kit.seed_all(3)
        generator.manual_seed(seed)
        loader = kit.OURS(dataset, rng="sample", generator=generator, **options)
        return [by_path(loader) for _ in range(2)]

    first = life(9, batch_size=4, shuffle=True, num_workers=2)
    assert len(first[0]) == 17
    assert first[0] != first[1]
    assert life(9, batch_size=3, num_workers=0, threads=3) == first
    assert life(9, batch_size=7, num_workers=3, shuffle=True, persistent_workers=True) == first
    assert life(10, batch_size=4, shuffle=True, num_workers=2) != first


def test_sample_rng_takes_the_epoch_of_the_sampler(root: Path) -> None:
    dataset = numbered(root)
    sampler = torch.utils.data.DistributedSampler(dataset, num_replicas=1, rank=0)
    loader = kit.OURS(dataset, 4, sampler=sampler, rng="sample")
    first = by_path(loader)
    assert by_path(loader) == first
    sampler.set_epoch(1)
    assert by_path(loader) != first
    sampler.set_epoch(0)
    assert by_path(loader) == first


def test_sample_rng_draws_base_seed_as_stock_does(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    for num_workers in (0, 2):
        ends = []
        for make in (kit.STOCK, lambda *a, **k: kit.OURS(*a, rng="sample", **k)):
            kit.seed_all(1)
            for _ in make(dataset, 4, num_workers=num_workers):
                pass
            ends.append(kit.states())
        assert ends[0] == ends[1]


def test_mix_is_the_same_everywhere() -> None:
    assert [rng.mix(seed, epoch) for seed, epoch in ((0, 0), (1, 0), (0, 1))] == [
        0xE220A8397B1DCDAF,
        rng.mix(1, 0),
        0x6E789E6AA1B965F4,
    ]
    assert len({rng.mix(seed, epoch) for seed in range(40) for epoch in range(40)}) == 1600


def test_the_package_says_its_version() -> None:
    assert penstock.__version__
