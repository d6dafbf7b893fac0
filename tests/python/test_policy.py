# SPDX-License-Identifier: Apache-2.0
"""Samples that cannot be had, left out or with others in their place: the batches are those that
torch's loader makes of the indices that are left."""

import gc
import json
import os
import random
import resource
import signal
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
from penstock import policy
from PIL import Image
from torch.utils.data import Subset
from torchvision import transforms

N = 60
BATCH = 4


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def text(path: Path) -> None:
    path.write_bytes(b"no image\n" * 30)


to_tensor = transforms.ToTensor()
DAMAGE: list[Callable[[Path], None]] = [Path.unlink, text, cut]


def fill(root: Path, share: float, seed: int = 0, n: int = N) -> tuple[Path, set[int]]:
    """A folder in which this share of the files is broken, in three ways, and which they are."""
    bad = set(random.Random(seed).sample(range(n), max(1, round(share * n))))
    folder = root / "only"
    folder.mkdir(parents=True)
    for number in range(n):
        (folder / f"{number:03}.jpg").write_bytes(
            kit.jpeg(40 + number % 7, 30 + number % 5, number)
        )
    return root, bad


def damage(root: Path, bad: set[int]) -> None:
    for number in bad:
        DAMAGE[number % 3](root / "only" / f"{number:03}.jpg")


def dataset_of(root: Path, bad: set[int], transform: Any) -> Any:
    """The folder is listed before files of it go."""
    dataset = kit.folder_of(root, transform)
    damage(root, bad)
    return dataset


class Lists:
    """A batch sampler over given lists, as the workers' turns have them."""

    def __init__(self, lists: list[list[int]]) -> None:
        self.lists = lists

    def __iter__(self) -> Any:
        return iter(self.lists)

    def __len__(self) -> int:
        return len(self.lists)


def order(seed: int = 0) -> list[list[int]]:
    numbers = list(range(N))
    random.Random(seed).shuffle(numbers)
    return [numbers[at : at + BATCH] for at in range(0, N, BATCH)]


def ours(dataset: Any, lists: list[list[int]], num_workers: int, threads: int, **more: Any) -> Any:
    return kit.OURS(
        dataset, batch_sampler=Lists(lists), num_workers=num_workers, threads=threads, **more
    )


def life(loader: Any, most: int = 1000) -> list[Any]:
    """Batches and errors of an epoch, and the state of the generators after each."""
    kit.seed_all(3)
    return [
        step[:2] if step[0] == "error" else step
        for step in kit.walk(iter(loader), most, kit.states)
    ]


def stock_of(dataset: Any, lists: list[list[int]], num_workers: int) -> list[Any]:
    """Torch's batches of these lists. An empty list keeps its worker's turn, and is not given."""
    kit.seed_all(3)
    if num_workers == 0:
        loader = kit.STOCK(dataset, batch_sampler=Lists([one for one in lists if one]))
        return list(kit.walk(iter(loader), 1000, kit.states))
    loader = kit.STOCK(
        dataset,
        batch_sampler=Lists(lists),
        num_workers=num_workers,
        collate_fn=collate_or_nothing,
        multiprocessing_context="fork",
    )
    return [
        step for step in kit.walk(iter(loader), 1000, kit.states) if step[1] != kit.visible("none")
    ]


def collate_or_nothing(samples: list[Any]) -> Any:
    return torch.utils.data.default_collate(samples) if samples else "none"


@pytest.mark.fault("R20")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("pipeline", ["train_v1", "eval_v1"])
def test_skip_is_torch_without_those(
    tmp_path: Path, pipeline: str, share: float, num_workers: int
) -> None:
    root, bad = fill(tmp_path, share)
    dataset = dataset_of(root, bad, kit.PIPELINES[pipeline]())
    lists = order()
    left = [[index for index in one if index not in bad] for one in lists]
    expected = stock_of(dataset, left, num_workers)
    for threads in (1, 2, 5):
        loader = ours(dataset, lists, num_workers, threads, on_error="skip")
        kit.assert_same(expected, life(loader))
        report = loader.report()
        assert (report.samples, report.count) == (N, len(bad))
        asked = [index for one in lists for index in one if index in bad]
        assert [one.index for one in report.refused] == asked
        assert all(one.path == dataset.samples[one.index][0] for one in report.refused)
    kinds = {one.index % 3: one.error for one in report.refused}
    if share > 0.4:
        assert kinds == {0: "FileNotFoundError", 1: "UnidentifiedImageError", 2: "OSError"}


@pytest.mark.fault("R20")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("pipeline", ["train_v1", "eval_v1"])
def test_substitute_is_torch_with_others(
    tmp_path: Path, pipeline: str, share: float, num_workers: int
) -> None:
    root, bad = fill(tmp_path, share)
    dataset = dataset_of(root, bad, kit.PIPELINES[pipeline]())
    lists = order()
    # The first batch has samples that can be had: there is nothing before it.
    lists[0] = [*(sorted({*range(N)} - bad)[:2]), *lists[0][2:]]
    seen: list[Any] = []
    for threads in (1, 2, 5):
        loader = ours(dataset, lists, num_workers, threads, on_error="substitute")
        batches = life(loader)
        report = loader.report()
        seen.append((batches, report.as_dict()))
        assert seen[-1] == seen[0]
    assert report.count == sum(index in bad for one in lists for index in one)
    others = iter(report.refused)
    put = []
    for at, one in enumerate(lists):
        asked = {index for earlier in lists[: at + 1] for index in earlier}
        new = []
        for index in one:
            if index in bad:
                refused = next(others)
                assert refused.index == index
                assert refused.substitute in asked - bad
                new.append(refused.substitute)
            else:
                new.append(index)
        put.append(new)
    kit.assert_same(stock_of(dataset, put, num_workers), batches)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_there_is_nothing_to_substitute(tmp_path: Path, num_workers: int) -> None:
    root, bad = fill(tmp_path, 1.0)
    dataset = dataset_of(root, bad, kit.train_v1(12))
    loader = ours(dataset, order(), num_workers, 2, on_error="substitute")
    batches = life(loader)
    assert [step[0] for step in batches[:15]] == ["error"] * 15
    assert {step[1][0] for step in batches[:15]} == {"TooManyErrors"}
    assert "nor can those that were tried in its place" in batches[0][1][-1]
    single = ours(dataset, [[index] for index in range(8)], num_workers, 1, on_error="substitute")
    assert [step[0] for step in life(single)] == ["error"] * 8 + ["end"]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("on_error", ["skip", "substitute"])
def test_draws_by_sample(tmp_path: Path, on_error: str, num_workers: int) -> None:
    root, bad = fill(tmp_path, 0.2)
    dataset = dataset_of(root, bad, kit.train_v1(12))
    seen = [
        life(ours(dataset, order(), num_workers, threads, on_error=on_error, rng="sample"))
        for threads in (1, 3)
    ]
    assert seen[0] == seen[1]
    assert "error" not in {step[0] for step in seen[0]}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shapes_of_those_that_are_left(tmp_path: Path, num_workers: int) -> None:
    """A sample whose size is in the way is not there any more, or still is."""
    root, _ = fill(tmp_path, 0.01)
    folder = root / "only"
    for number in range(N):
        width = 40 if number % 5 else 52
        (folder / f"{number:03}.jpg").write_bytes(kit.jpeg(width, 30, number))
    bad = {number for number in range(N) if number % 5 == 0 and number < 40}
    dataset = kit.folder_of(root, transforms.ToTensor())
    for number in bad:
        cut(folder / f"{number:03}.jpg")
    lists = [list(range(at, at + BATCH)) for at in range(0, N, BATCH)]
    left = [[index for index in one if index not in bad] for one in lists]
    expected = stock_of(dataset, left, num_workers)
    assert "error" in {step[0] for step in expected}
    for threads in (1, 2, 5):
        batches = list(
            kit.walk(
                iter_seeded(ours(dataset, lists, num_workers, threads, on_error="skip")),
                1000,
                kit.states,
            )
        )
        kit.assert_same(expected, batches)


def iter_seeded(loader: Any) -> Any:
    kit.seed_all(3)
    return iter(loader)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_step_that_refuses_a_size(tmp_path: Path, num_workers: int) -> None:
    """Not the file's fault, but the sample cannot be had all the same."""
    root, _ = fill(tmp_path, 0.01)
    small = {3, 17, 18, 40}
    for number in small:
        (root / "only" / f"{number:03}.jpg").write_bytes(kit.jpeg(20, 20, number))
    transform = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.RandomCrop(24), transforms.ToTensor()]
    )
    dataset = kit.folder_of(root, transform)
    lists = order(2)
    left = [[index for index in one if index not in small] for one in lists]
    loader = ours(dataset, lists, num_workers, 2, on_error="skip")
    kit.assert_same(stock_of(dataset, left, num_workers), life(loader))
    assert {one.error for one in loader.report().refused} == {"ValueError"}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_file_that_goes_between_epochs(tmp_path: Path, num_workers: int) -> None:
    root, _ = fill(tmp_path, 0.01)
    dataset = kit.folder_of(root, kit.train_v1(12))
    for persistent_workers in {False, num_workers > 0}:
        loader = ours(
            dataset, order(), num_workers, 2, on_error="skip", persistent_workers=persistent_workers
        )
        path = root / "only" / "007.jpg"
        path.write_bytes(kit.jpeg(44, 33, 7))
        assert sum(len(labels) for _, labels in loader) == N
        path.unlink()
        assert sum(len(labels) for _, labels in loader) == N - 1
        (one,) = loader.report().refused
        assert (one.epoch, one.index, one.error, one.path) == (1, 7, "FileNotFoundError", str(path))
        assert "007.jpg" in str(loader.report())
        assert loader.report().as_dict()["refused"][0]["index"] == 7


@pytest.mark.parametrize("num_workers", [0, 2])
def test_most_errors(tmp_path: Path, num_workers: int) -> None:
    root, bad = fill(tmp_path, 0.2)
    dataset = dataset_of(root, bad, kit.eval_v1())
    lists = order(1)

    def left(max_errors: Any, n_errors: int) -> list[int]:
        loader = ours(dataset, lists, num_workers, 2, on_error="skip", max_errors=max_errors)
        sizes = []
        try:
            for _, labels in loader:
                sizes.append(len(labels))
        except penstock.TooManyErrors as error:
            said = str(error)
            assert f"max_errors={max_errors}" in said
            assert said.count("\n") == min(n_errors, 5)
            assert dataset.samples[loader.report().refused[0].index][0] in said
        return sizes

    whole = left(None, 0)
    assert left(len(bad), 0) == left(0.3, 0) == whole
    first = next(at for at, one in enumerate(lists) if bad & {*one})
    assert left(0, len(bad & {*lists[first]})) == whole[:first]
    # A share counts from 10 / share samples on, and at the end.
    assert left(0.1, len(bad)) == whole  # of less than 100 samples: at the end
    share = 0.19
    seen, n_bad, n_whole = 0, 0, 0
    for one in lists:
        seen, n_bad = seen + len(one), n_bad + len(bad & {*one})
        if seen >= 53 and n_bad > share * seen:
            break
        n_whole += bool({*one} - bad)
    assert left(share, n_bad) == whole[:n_whole]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_datasets_of_our_own(tmp_path: Path, num_workers: int) -> None:
    root, bad = fill(tmp_path, 0.2)
    lists = order(4)
    left = [[index for index in one if index not in bad] for one in lists]
    dataset = penstock.datasets.ImageFolder(root, kit.train_v1(12), cache=False)
    damage(root, bad)
    loader = ours(dataset, lists, num_workers, 2, on_error="skip")
    kit.assert_same(stock_of(dataset, left, num_workers), life(loader))
    paths = {one.index: one.path for one in loader.report().refused}
    assert paths == {index: dataset.samples[index][0] for index in bad}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_parts_of_a_dataset(tmp_path: Path, num_workers: int) -> None:
    """The report has the loader's own indices, with the paths of the files behind them."""
    root, bad = fill(tmp_path, 0.2)
    dataset = dataset_of(root, bad, kit.train_v1(12))
    back = Subset(dataset, list(range(N - 1, -1, -1)))
    for rng in ("torch", "sample"):
        loader = kit.OURS(back, batch_size=4, num_workers=num_workers, on_error="skip", rng=rng)
        assert sum(len(labels) for _, labels in loader) == N - len(bad)
        refused = {one.index: one.path for one in loader.report().refused}
        assert refused == {N - 1 - number: dataset.samples[number][0] for number in bad}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_room_for_a_batch_is_not_of_a_sample(tmp_path: Path, num_workers: int) -> None:
    """Else all samples would be left out for a budget that is too small."""
    root, _ = fill(tmp_path, 0.01)
    dataset = kit.folder_of(root, transforms.Compose([transforms.Resize((99, 99)), to_tensor]))
    loader = kit.OURS(
        dataset, batch_size=30, num_workers=num_workers, memory_budget=100_000, on_error="skip"
    )
    with pytest.raises(penstock.LimitError, match="memory budget"):
        next(iter(loader))
    assert not loader.report()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_size_that_raw_pixels_cannot_have(tmp_path: Path, num_workers: int) -> None:
    """Of the sample, though it is an error of the same class."""
    root, _ = fill(tmp_path, 0.01)
    (root / "only" / "005.jpg").write_bytes(kit.jpeg(3, 3, 1))
    crop = transforms.RandomCrop(24, padding=8, padding_mode="reflect")
    dataset = kit.folder_of(root, transforms.Compose([crop, to_tensor]))
    loader = kit.OURS(
        dataset, batch_size=4, num_workers=num_workers, out_dtype=torch.uint8, on_error="skip"
    )
    assert sum(len(labels) for _, labels in loader) == N - 1
    assert [one.index for one in loader.report().refused] == [5]


def test_samples_that_are_no_longer_there_stand_in_for_none(tmp_path: Path) -> None:
    """Without workers the dataset may change between two batches: earlier samples of it, too."""
    root, _ = fill(tmp_path, 0.01)
    dataset = kit.folder_of(root, kit.eval_v1())
    loader = ours(dataset, [list(range(20)), [30]], 0, 2, on_error="substitute")
    iterator = iter(loader)
    next(iterator)
    cut(root / "only" / "030.jpg")
    for index in range(20):
        dataset.samples[index] = (dataset.samples[index][0], 1)
    with pytest.raises(penstock.TooManyErrors):
        next(iterator)
    assert [one.substitute for one in loader.report().refused] == [None]


def test_iterators_end_with_their_last_reference(tmp_path: Path) -> None:
    """Errors that were noted hold no frame of theirs."""
    root, bad = fill(tmp_path, 0.5)
    dataset = dataset_of(root, bad, kit.train_v1(12))
    gc.disable()
    try:
        for num_workers in (0, 2):
            loader = ours(dataset, order(), num_workers, 2, on_error="skip")
            iterator = iter(loader)
            for _ in range(4):
                next(iterator)
            watched = weakref.ref(iterator)
            del iterator
            assert watched() is None
    finally:
        gc.enable()


def test_a_report_is_of_its_moment_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_KEPT", 3)
    monkeypatch.setattr(policy, "MOST_TEXT", 40)
    root, bad = fill(tmp_path, 0.2)
    dataset = dataset_of(root, bad, kit.eval_v1())
    loader = ours(dataset, order(), 0, 2, on_error="skip")
    before = loader.report()
    for _ in loader:
        pass
    after = loader.report()
    assert (before.count, before.refused) == (0, [])
    assert (after.count, len(after.refused)) == (len(bad), 3)
    assert "9 more" in str(after)
    assert all(len(one.message) <= 40 for one in after.refused)
    after.refused.clear()
    assert len(loader.report().refused) == 3


def test_verify_is_of_the_samples_as_they_are(tmp_path: Path) -> None:
    root, bad = fill(tmp_path, 0.2)
    dataset = dataset_of(root, bad, kit.train_v1(12))
    path = tmp_path / "refused.jsonl"
    for num_workers in (0, 2):
        loader = ours(dataset, order(), num_workers, 2, on_error="skip", quarantine=path)
        assert penstock.verify(loader, None)
        assert not loader.report()
        assert not path.exists()


def test_a_line_that_was_cut_stays_alone(tmp_path: Path) -> None:
    """A disk that was full, or a process that was killed in the middle."""
    path = tmp_path / "lines"
    one = policy.Refused(0, 1, "x", "OSError", "broken", "skip")
    path.write_bytes(b'{"epoch": 0, "ind')
    policy.quarantine(str(path), [one, one])
    first, *others = path.read_bytes().split(b"\n")
    assert first == b'{"epoch": 0, "ind'
    assert [json.loads(line)["index"] for line in others[:-1]] == [1, 1]
    assert others[-1] == b""


def test_a_line_that_is_cut_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    one = policy.Refused(0, 1, "x" * 300, "OSError", "broken", "skip")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        try:
            policy.quarantine(str(path), [one, one])
        except OSError as error:
            os._exit(3 if str(path) in str(error) else 4)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert path.stat().st_size == 500


def test_quarantine(tmp_path: Path) -> None:
    root, bad = fill(tmp_path / "images", 0.1)
    dataset = dataset_of(root, bad, kit.eval_v1())
    path = tmp_path / "refused.jsonl"
    path.write_text('{"earlier": 1}\n')
    for num_workers in (0, 2):
        loader = ours(dataset, order(), num_workers, 2, on_error="skip", quarantine=path)
        for _ in loader:
            pass
    earlier, *lines = map(json.loads, path.read_text().splitlines())
    assert earlier == {"earlier": 1}
    half = len(lines) // 2
    assert lines[:half] == lines[half:] == loader.report().as_dict()["refused"]
    # Where it cannot be written, nothing goes on as if it had been.
    loader = ours(dataset, order(), 2, 2, on_error="skip", quarantine=tmp_path / "no" / "where")
    with pytest.raises(FileNotFoundError):
        list(loader)


def test_the_process_own_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = fill(tmp_path, 0.01)
    dataset = kit.folder_of(root, kit.eval_v1())
    text(root / "only" / "003.jpg")

    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    for num_workers in (0, 2):
        with pytest.raises(MemoryError):
            list(ours(dataset, order(), num_workers, 2, on_error="skip"))


def test_what_is_refused(tmp_path: Path) -> None:
    root, _ = fill(tmp_path, 0.01)
    dataset = kit.folder_of(root, kit.eval_v1())
    for options in (
        {"on_error": "ignore"},
        {"on_error": "skip", "max_errors": -1},
        {"on_error": "skip", "max_errors": 1.5},
        {"max_errors": 3},
        {"quarantine": "x"},
    ):
        with pytest.raises(ValueError, match=r"on_error|max_errors"):
            kit.OURS(dataset, **options)
    for options in ({"max_errors": "3"}, {"max_errors": True}, {"quarantine": 3}):
        with pytest.raises(TypeError, match=r"max_errors|quarantine"):
            kit.OURS(dataset, on_error="skip", **options)
    # Torch's loader has no such policy.
    loader = kit.OURS(dataset, on_error="skip", collate_fn=len)
    with pytest.raises(ValueError, match="on_error"):
        iter(loader)
    assert not kit.OURS(dataset).report()
    assert "on_error" not in kit.OURS(dataset).explain().settings
    assert kit.OURS(dataset, on_error="skip").explain().settings["on_error"] == "skip"
    loader = kit.OURS(dataset, on_error="skip", batch_size=4)
    iterator = iter(loader)
    next(iterator)
    dataset.target_transform = str
    with pytest.raises(RuntimeError, match="on_error"):
        next(iterator)


def test_lines_of_several_processes(tmp_path: Path) -> None:
    """Each line is one write at the end of the file."""
    path = str(tmp_path / "lines")
    one = policy.Refused(0, 1, "x" * 3000, "OSError", "broken", "skip")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            policy.quarantine(path, [one] * 50)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    lines = Path(path).read_text().splitlines()
    assert len(lines) == 200
    assert all(json.loads(line)["path"] == one.path for line in lines)
