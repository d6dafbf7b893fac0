# SPDX-License-Identifier: Apache-2.0
"""torchvision v1's RandomChoice and RandomOrder, which draw from Python's random: batches, and
where random stands afterwards, in this process and in its workers."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy as np
import pytest
import torch
from penstock import _core, capture, python_random, worker_init
from test_worker_init import Modules, functions, modules  # noqa: F401
from torchvision import transforms
from torchvision.transforms import v2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def choice(n: int, p: Any = None) -> Any:
    return transforms.RandomChoice([transforms.Pad(k) for k in range(n)], p)


def pipeline(*steps: Any) -> Any:
    return transforms.Compose([*steps, transforms.CenterCrop(40), transforms.PILToTensor()])


def rich() -> Any:
    crops = [transforms.RandomResizedCrop(24), transforms.RandomCrop(24, pad_if_needed=True)]
    colours = transforms.RandomOrder(
        [
            transforms.RandomAdjustSharpness(2.0),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)], 0.8),
            transforms.RandomChoice(
                (transforms.RandomSolarize(100), transforms.RandomPosterize(3), v2.Identity()),
                (1, 2, 0.5),
            ),
            v2.RandomChoice([transforms.RandomInvert(0.3), v2.RandomOrder([v2.Pad(1)])]),
        ]
    )
    erasing = transforms.RandomChoice(
        [transforms.RandomErasing(1.0), transforms.RandomErasing(0.5, value=1.0)]
    )
    return transforms.Compose(
        [
            transforms.RandomChoice(crops, p=[0.7, 0.3]),
            transforms.RandomHorizontalFlip(),
            colours,
            transforms.Resize((24, 24)),
            transforms.ToTensor(),
            transforms.RandomApply([erasing], 0.8),
        ]
    )


def lives(root: Path, make: Callable[[], Any], epochs: int = 2, **options: Any) -> None:
    options = {"batch_size": 5, "shuffle": True, **options}

    def made(cls: Any) -> Any:
        return lambda: (cls(kit.folder_of(root, make()), **options), ())

    expected = kit.run(made(kit.STOCK), epochs=epochs)
    kit.assert_same(expected, kit.run(made(kit.OURS), epochs=epochs, native=True))


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches(root: Path, workers: int, persistent: bool) -> None:
    options: dict[str, Any] = {"num_workers": workers}
    if persistent and workers:
        options["persistent_workers"] = True
    lives(root, rich, 3, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_explained(root: Path, workers: int) -> None:
    loader = kit.OURS(kit.folder_of(root, pipeline(choice(3))), num_workers=workers)
    (plan,) = [stage for stage in loader.explain().stages if stage.name == "plan"]
    assert plan.why.endswith("; Python's random likewise")


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_else_is_drawn(root: Path, workers: int) -> None:
    """Then torch's generator gives no words at all."""
    lives(
        root, lambda: pipeline(choice(7), transforms.RandomOrder([choice(2)])), num_workers=workers
    )


WEIGHTS: list[Any] = [None, 1, 0.0, 1e-30, 1e30, 3.5, 2**40, 0]


def drawn_steps(rng: random.Random) -> list[Any]:
    steps: list[Any] = []
    for most in rng.choice([(33,), (9, 9), (4, 9, 4), (17, 5)]):
        n = rng.choice([n for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 33) if n <= most])
        p = [rng.choice(WEIGHTS[1:]) for _ in range(n)] if rng.random() < 0.6 else None
        if p is not None and not sum(p):
            p[rng.randrange(n)] = 1
        if p is not None and any(value > 2.0**40 for value in p):
            p = [min(value, 2.0**40) for value in p]
        inner = [transforms.Pad((k % 4, k % 3)) for k in range(n)]
        if rng.random() < 0.5:
            steps.append(transforms.RandomOrder([*inner[:4], transforms.RandomHorizontalFlip(0.5)]))
        steps.append(transforms.RandomChoice(inner, p))
    return steps


def test_random_weights_and_orders(root: Path) -> None:
    dataset = kit.folder_of(root, None)
    for number in range(80):
        rng = random.Random(number)
        dataset.transform = pipeline(*drawn_steps(rng))
        seen = []
        for cls in (kit.STOCK, kit.OURS):
            kit.seed_all(number)
            for _ in range(rng.randint(0, 2)):
                random.gauss(0, 1)  # keeps a second one
            loader = cls(dataset, batch_size=4)
            if cls is kit.OURS:
                assert loader.explain().lane == "native", number
            rng = random.Random(number)
            drawn_steps(rng)
            seen.append(([kit.visible(batch) for batch in loader], kit.states()))
        assert seen[0] == seen[1], number


@pytest.mark.parametrize("name", ["lightning", "transformers", "timm", "timm, part", "ultralytics"])
def test_workers_that_a_framework_seeds(
    root: Path,
    modules: Modules,  # noqa: F811
    name: str,
) -> None:
    init = functions(modules).get(name)
    assert init is not None
    lives(root, rich, num_workers=2, worker_init_fn=init)


def test_the_room_has_the_workers_random() -> None:
    room = worker_init.Room(2**40, 3, 4, None)
    room.random.seed(5)
    assert worker_init.Outcome(room.generator, room.random, None).python.random() == (
        random.Random(5).random()
    )


# --- images that the engine refuses, or that cannot be had


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    """Some are too small to be mirrored as far as is asked for, one is cut."""
    for number in range(17):
        path = tmp_path / "only" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        size = (3, 4) if number % 3 == 1 else (20 + number, 25)
        kit.picture("RGB", *size, number).save(path, "PNG")
    return tmp_path


def mirrored(*steps: Any) -> Any:
    return transforms.Compose(
        [
            transforms.RandomOrder([transforms.Pad(1), transforms.RandomHorizontalFlip(), *steps]),
            transforms.Pad(9, padding_mode="reflect"),
            choice(3, [1, 1, 2]),
            transforms.RandomCrop(18),
            choice(5),
            transforms.CenterCrop(20),
            transforms.ToTensor(),
        ]
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_refused_images(doubtful: Path, workers: int) -> None:
    lives(doubtful, mirrored, num_workers=workers)
    cut = doubtful / "only" / "06.png"
    cut.write_bytes(cut.read_bytes()[:200])
    lives(doubtful, mirrored, num_workers=workers, shuffle=False)

    def fails() -> Any:
        return transforms.Compose(
            [
                choice(3),
                transforms.RandomHorizontalFlip(),
                transforms.Pad(5, padding_mode="reflect"),
                transforms.RandomOrder([transforms.Pad(1), transforms.RandomVerticalFlip()]),
                transforms.RandomCrop(20),
                transforms.ToTensor(),
            ]
        )

    lives(doubtful, fails, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_that_are_left_out(doubtful: Path, workers: int) -> None:
    """The others of a batch draw what they would without it."""
    for name in ("05.png", "09.png"):
        cut = doubtful / "only" / name
        cut.write_bytes(cut.read_bytes()[:200])
    dataset = kit.folder_of(doubtful, mirrored())
    whole = kit.folder_of(doubtful, mirrored())
    whole.samples = [pair for pair in whole.samples if pair[0][-6:-4] not in ("05", "09")]
    seen = []
    for other, lengths in ((whole, [3, 3, 3, 3, 3]), (dataset, [3, 4, 4, 3, 3])):
        batches = np.split(np.arange(len(other)), np.cumsum(lengths)[:-1])
        sampler = [batch.tolist() for batch in batches if len(batch)]
        kit.seed_all(4)
        loader = kit.OURS(other, batch_sampler=sampler, num_workers=workers and 1, on_error="skip")
        assert loader.explain().lane == "native"
        images = torch.cat([batch[0] for batch in loader])
        seen.append((images.shape[0], kit.visible(images)))
    assert seen[0] == seen[1]


def test_of_the_sample_alone(doubtful: Path) -> None:
    """rng="sample": whatever the order and the threads."""

    def epoch(threads: int, **options: Any) -> dict[int, bytes]:
        dataset = kit.folder_of(doubtful, mirrored())
        dataset.samples = [(path, number) for number, (path, _) in enumerate(dataset.samples)]
        kit.seed_all(3)
        before = random.getstate()
        loader = kit.OURS(dataset, rng="sample", threads=threads, batch_size=3, **options)
        seen = {}
        for images, labels in loader:
            for image, label in zip(images, labels.tolist(), strict=True):
                seen[label] = image.numpy().tobytes()
        assert random.getstate() == before
        return seen

    first = epoch(1)
    assert first == epoch(3, sampler=list(range(17))[::-1])
    assert len(set(first.values())) == 17


# --- states


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 2, "keep": True}])
def test_states_go_on(root: Path, options: dict[str, Any]) -> None:
    options = dict(options)
    if options.pop("keep", False):
        options["persistent_workers"] = True

    def make() -> Any:
        return kit.OURS(kit.folder_of(root, rich()), batch_size=3, shuffle=True, **options)

    kit.seed_all(8)
    loader = make()
    expected: list[Any] = []
    states: list[Any] = []
    for _ in range(3):
        for batch in loader:
            expected.append(kit.visible(batch))
            states.append(loader.state_dict())
    end = random.getstate()
    for at, state in enumerate(states):
        kit.seed_all(1000 + at)
        again = make()
        again.load_state_dict(state)
        rest = []
        while len(rest) < len(expected) - at - 1:
            rest += [kit.visible(batch) for batch in again]
        assert rest == expected[at + 1 :], at
        if rest and not options:
            assert random.getstate() == end, at


def test_wrong_counts_in_a_state(root: Path) -> None:
    dataset = kit.folder_of(root, rich())

    def make() -> Any:
        return kit.OURS(dataset, batch_size=3, num_workers=2)

    loader = make()
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    assert len(state["python_words"]) == 2
    for wrong, said in (
        ([1], "has 1 workers"),
        ([1, -1], "are no counts"),
        ([1, "2"], "no counts"),
    ):
        with pytest.raises(ValueError, match=said):
            make().load_state_dict({**state, "python_words": wrong})


# --- what is not taken


def read(step: Any) -> Any:
    return capture.read_transform(pipeline(step))


def changed(**attributes: Any) -> Any:
    step = choice(2)
    vars(step).update(attributes)
    return step


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (transforms.RandomOrder([]), "it has 0 transforms"),
        (transforms.RandomChoice([]), "it has 0 transforms"),
        (transforms.RandomOrder([v2.Identity()] * 65), "it has 65 transforms"),
        (changed(p=[1.0]), "p is"),
        (changed(p=(k for k in (1, 2))), "p is"),
        (changed(p=[1.0, -0.5]), "a weight is"),
        (changed(p=[1.0, True]), "a weight is"),
        (changed(p=[1.0, 2**41]), "a weight is"),
        (changed(p=[float("nan"), 1.0]), "a weight is"),
        (changed(transforms={0: v2.Identity()}), "holds a dict"),
        (transforms.RandomOrder([transforms.PILToTensor()]), "PILToTensor is in RandomOrder"),
    ],
)
def test_what_is_refused(step: Any, reason: str) -> None:
    with pytest.raises(capture.Refusal, match=reason):
        read(step)


def test_no_weight_at_all_is_stocks_error(root: Path) -> None:
    dataset = kit.folder_of(root, pipeline(choice(2, [0, 0.0])))
    loader = kit.OURS(dataset)
    assert "no part has a weight" in loader.explain().reason
    with pytest.raises(ValueError, match="Total of weights"):
        next(iter(loader))


def test_other_functions_in_their_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(choice(2))
    with monkeypatch.context() as patch:
        patch.setattr(random, "choices", random.Random(1).choices)
        with pytest.raises(capture.Refusal, match=r"random\.choices was replaced"):
            read(choice(2))
    with monkeypatch.context() as patch:
        patch.setattr("torchvision.transforms.transforms.random", random.Random(1))
        with pytest.raises(capture.Refusal, match="another module"):
            read(choice(2))
    # Under way, too.
    dataset = kit.folder_of(root, pipeline(choice(9)))
    seen = []
    for cls in (kit.STOCK, kit.OURS):
        kit.seed_all(2)
        iterator = iter(cls(dataset, batch_size=2))
        first = kit.visible(next(iterator))
        with monkeypatch.context() as patch:
            patch.setattr(random, "choices", random.Random(1).choices)
            second = kit.visible(next(iterator))
        seen.append((first, second, kit.visible(next(iterator)), kit.states()))
    assert seen[0] == seen[1]


def test_another_random_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(random.Random):
        def shuffle(self, x: Any) -> None:
            x.reverse()

    python_random.refusal.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(python_random.random, "Random", Other)
            assert "is not the known one" in str(python_random.refusal())
    finally:
        python_random.refusal.cache_clear()
    assert python_random.refusal() is None


def test_one_image_alone_has_no_random() -> None:
    ops = [entry[2] for entry in read(choice(2)).key if entry[0] in ("random", "geometry")]
    none = (0.0, 0.0, 0.0)
    transform = _core.Transform(
        ops, dtype="u8", lut=None, mean=none, std=none, era=3, channels=3, layout=0
    )
    assert transform.draws_python
    with pytest.raises(ValueError, match="Python's random"):
        transform.apply(bytes(48), 4, 4, b"")
