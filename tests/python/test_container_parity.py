# SPDX-License-Identifier: Apache-2.0
"""Containers whose steps are drawn (torchvision v2's RandomChoice and RandomOrder, in each other
and in the others) against torchvision: pixels, and how far the random stream has moved."""

from pathlib import Path
from typing import Any

import kit
import numpy as np
import parity_kit
import penstock
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from penstock import capture, rng
from torch import nn
from torchvision.transforms import v2

MANY = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
chances = st.sampled_from([0.0, 1.0, 0.5]) | st.floats(0, 1)
weights = st.sampled_from([0.0, 1.0, 1e-30, 1e-46]) | st.floats(0, 1) | st.integers(0, 9)

leaves = st.one_of(
    st.builds(v2.Pad, st.integers(0, 5), st.integers(0, 255)),
    st.builds(v2.CenterCrop, st.integers(1, 40)),
    st.builds(v2.RandomHorizontalFlip, chances),
    st.builds(v2.RandomInvert, chances),
    st.builds(v2.Resize, st.tuples(st.integers(1, 30), st.integers(1, 30))),
    st.builds(v2.RandomCrop, st.integers(1, 9), pad_if_needed=st.just(True)),
    st.just(v2.Identity()),
    st.just(v2.ColorJitter(0.4, 0.4, 0.4, 0.1)),
)


@st.composite
def choices(draw: st.DrawFn, inside: Any) -> Any:
    parts = draw(st.lists(inside, min_size=1, max_size=5))
    p = draw(st.none() | st.lists(weights, min_size=len(parts), max_size=len(parts)))
    # torch refuses what float32 takes for no probability at all.
    if p is not None and not any(np.float32(value / (sum(p) or 1)) for value in p):
        p = None
    return v2.RandomChoice(parts, p)


def containers(inside: Any) -> Any:
    some = st.lists(inside, min_size=1, max_size=4)
    return st.one_of(
        choices(inside),
        st.builds(v2.RandomOrder, some),
        st.builds(v2.RandomOrder, some.map(tuple)),
        st.builds(v2.Compose, some),
        st.builds(lambda steps: nn.Sequential(*steps), some),
        st.builds(v2.RandomApply, some, chances),
    )


@MANY
@given(st.lists(st.recursive(leaves, containers, max_leaves=8), max_size=3), sizes, seeds)
def test_any_containers(steps: list[Any], size: tuple[int, int], seed: int) -> None:
    pipeline = v2.Compose([*steps, v2.PILToTensor()])
    try:
        parity_kit.native(pipeline)
    except capture.Refusal as refusal:
        assert "only" in refusal.reason or "may draw" in refusal.reason  # noqa: PT017
        return
    try:
        assert parity_kit.check(pipeline, parity_kit.noise(*size, seed), seed)
    except penstock.LimitError as error:  # of this order alone: a loader asks the reference
        assert "more than" in str(error)  # noqa: PT017


@pytest.mark.parametrize("workers", [0, 2])
def test_an_order_that_is_too_much(workers: int, tmp_path: Path) -> None:
    """Some orders of borders and colours take more changes than a plan has."""
    pads = v2.RandomOrder([v2.Pad(1, 1), v2.Pad(1, 1), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)])
    pipeline = v2.Compose([pads, pads, v2.Pad(1, 1), v2.Resize((24, 24)), v2.PILToTensor()])
    root = kit.make_folder(tmp_path / "images")

    def batches(cls: Any) -> tuple[Any, list[torch.Tensor]]:
        torch.manual_seed(3)
        loader = cls(kit.folder_of(root, pipeline), batch_size=5, num_workers=workers)
        return loader, [images for images, _ in loader]

    ours, found = batches(kit.OURS)
    _, expected = batches(kit.STOCK)
    counters = ours.stats().counters
    assert 0 < counters["doubts"] < counters["samples"]
    assert all(map(torch.equal, found, expected))
    assert len(found) == len(expected)


def test_choices_of_many_and_of_unlikely_parts() -> None:
    seen = set()
    for seed in range(3000):
        n = 1 + seed % 40
        p = np.random.RandomState(seed).dirichlet([0.3] * n).tolist()
        pipeline = v2.Compose([v2.RandomChoice([v2.Pad(k) for k in range(n)], p), v2.ToImage()])
        assert parity_kit.check(pipeline, parity_kit.noise(3, 2, seed), seed)
        torch.manual_seed(seed)
        seen.add(pipeline(parity_kit.Image.new("RGB", (1, 1))).shape[-1])
    assert len(seen) > 30


def pipeline() -> Any:
    crops = v2.RandomChoice(
        [v2.RandomResizedCrop(24), v2.Compose([v2.Resize(30), v2.CenterCrop(24)])], [0.7, 0.3]
    )
    colours = v2.RandomOrder(
        [
            v2.RandomAdjustSharpness(2.0),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            v2.RandomChoice([v2.RandomSolarize(100), v2.RandomPosterize(3), v2.Identity()]),
        ]
    )
    erasing = v2.RandomChoice([v2.RandomErasing(1.0), v2.RandomErasing(0.5, value=1.0)])
    numbers = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    sometimes = v2.RandomApply([erasing], 0.8)
    return v2.Compose([crops, v2.RandomHorizontalFlip(), colours, *numbers, sometimes])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches(workers: int, tmp_path: Path) -> None:
    root = kit.make_folder(tmp_path / "images")
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "num_workers": workers}

    def made(cls: Any) -> Any:
        return lambda: (cls(kit.folder_of(root, pipeline()), **options), ())

    expected = kit.run(made(kit.STOCK), epochs=2)
    kit.assert_same(expected, kit.run(made(kit.OURS), epochs=2, native=True))
    keyed = kit.OURS(kit.folder_of(root, pipeline()), rng="sample", **options)
    assert keyed.explain().lane == "native"
    assert sum(len(labels) for _, labels in keyed) == len(keyed.dataset)


def changed(**attributes: Any) -> Any:
    choice = v2.RandomChoice([v2.Pad(1), v2.Pad(2)])
    vars(choice).update(attributes)
    return choice


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (changed(p=[0.5]), "p is"),
        (changed(p=(0.5, 0.5)), "p is"),
        (changed(p=[np.float64(0.5), np.float64(0.5)]), "a probability is"),
        (changed(p=[1, 0]), "a probability is"),
        (changed(p=[-1.0, 2.0]), "a probability is"),
        (changed(p=[0.0, 0.0]), "no part has a probability"),
        (changed(transforms=[]), "p is"),
        (v2.RandomChoice([v2.Lambda(lambda image: image)]), "Lambda: it calls "),
        (v2.RandomOrder([v2.ToImage()]), "ToImage is in RandomOrder"),
        (v2.RandomOrder([v2.Identity()] * 65), "it has 65 transforms"),
        (v2.RandomChoice([v2.Identity()] * 65), "p is"),
        (v2.RandomChoice([v2.Grayscale(1), v2.Identity()]), "only sometimes"),
    ],
)
def test_what_is_refused(step: Any, reason: str) -> None:
    with pytest.raises(capture.Refusal, match=reason):
        parity_kit.native(v2.Compose([step, v2.PILToTensor()]))


def test_what_may_draw_too_much_is_refused() -> None:
    many = v2.RandomChoice([v2.Identity()] * 60)
    parity_kit.native(v2.Compose([many] * 5 + [v2.PILToTensor()]))
    with pytest.raises(capture.Refusal, match="may draw 720 random numbers for one image"):
        parity_kit.native(v2.Compose([many] * 6 + [v2.PILToTensor()]))


def test_another_multinomial_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*args: Any, **kwargs: Any) -> Any:
        return torch.zeros(1, dtype=torch.int64)

    rng.choice_refusal.cache_clear()
    try:
        monkeypatch.setattr(torch, "multinomial", other)
        step = v2.RandomChoice([v2.Pad(1), v2.Pad(2)])
        with pytest.raises(capture.Refusal, match=r"multinomial of torch .* is not the known one"):
            parity_kit.native(v2.Compose([step, v2.PILToTensor()]))
    finally:
        monkeypatch.undo()
        rng.choice_refusal.cache_clear()
