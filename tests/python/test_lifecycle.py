# SPDX-License-Identifier: Apache-2.0
"""Who owns threads and memory, and when they go."""

import contextlib
import gc
import os
import signal
import subprocess
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
from forked import Forked
from penstock import engines


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture
def dataset(root: Path) -> Any:
    return kit.folder_of(root, kit.train_v1(12))


@pytest.fixture(autouse=True)
def nothing_before() -> None:
    gc.collect()
    assert has_threads(0)


def named_threads() -> int:
    n = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            n += (task / "comm").read_text().startswith("penstock")
    return n


def has_threads(n: int) -> bool:
    """Whether the engine has so many threads. A thread has its name soon after it is started; one
    that was joined may be listed for a moment."""
    deadline = time.monotonic() + 5
    while named_threads() != n:
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unused_iterator_costs_little_and_leaves_nothing(dataset: Any, num_workers: int) -> None:
    iterator = iter(kit.OURS(dataset, 4, num_workers=num_workers, threads=3))
    assert has_threads(3 if num_workers else 0)
    del iterator
    assert has_threads(0)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_break_frees(dataset: Any, num_workers: int) -> None:
    loader = kit.OURS(dataset, 4, num_workers=num_workers, threads=3)
    for _ in loader:
        assert has_threads(3)
        break
    gc.collect()
    assert has_threads(0)
    assert loader.stats().as_dict()["memory"]["slabs"] == 0


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_next_epoch_finds_the_threads_of_the_last(dataset: Any, num_workers: int) -> None:
    loader = kit.OURS(dataset, 4, num_workers=num_workers, threads=3)
    opened: list[Any] = []
    for _ in range(3):
        iterator = iter(loader)
        next(iterator)
        opened.append(iterator._engine)
        for _ in iterator:
            pass
        assert iterator._engine is None
        assert has_threads(3)
    assert opened[0] is opened[1] is opened[2]
    for _ in range(5):
        for _ in loader:
            pass
    # One slab for each batch that is under way, and one that the consumer holds.
    assert loader.stats().as_dict()["slab_allocs"] <= 6
    del loader, iterator, opened
    gc.collect()
    assert has_threads(0)


def test_another_transform_gets_another_engine(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, threads=2)
    for _ in loader:
        pass
    dataset.transform = kit.eval_v1()
    for _ in loader:
        pass
    assert has_threads(2)


def test_dropping_a_persistent_iterator_frees(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, num_workers=2, threads=2, persistent_workers=True)
    for _ in loader:
        pass
    assert has_threads(2)
    loader._iterator._shutdown_workers()
    assert has_threads(0)
    loader._iterator = None
    for _ in loader:
        pass
    assert has_threads(2)
    loader._iterator = None
    assert has_threads(0)


def test_next_after_a_shutdown_says_so(dataset: Any) -> None:
    iterator = iter(kit.OURS(dataset, 4, num_workers=2))
    next(iterator)
    iterator._shutdown_workers()
    with pytest.raises(AssertionError, match="Invalid iterator state"):
        next(iterator)


@pytest.mark.fault("R27")
def test_a_batch_outlives_all_else(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, num_workers=2)
    images, labels = next(iter(loader))
    expected = images.clone()
    del loader
    gc.collect()
    assert has_threads(0)
    assert images.equal(expected)
    assert labels.tolist() == [0, 0, 0, 0]


def test_two_iterators_have_engines_of_their_own_and_one_stays(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, num_workers=2, threads=2)
    for _ in zip(loader, loader, strict=True):
        assert has_threads(4)
    gc.collect()
    assert has_threads(2)


def test_loaders_are_collected_in_cycles(dataset: Any) -> None:
    loader = kit.OURS(dataset, 4, num_workers=2)
    iterator = iter(loader)
    next(iterator)
    iterator.loop = iterator  # type: ignore[attr-defined]
    loader.loop = loader  # type: ignore[attr-defined]
    dead = weakref.ref(iterator), weakref.ref(loader)
    del loader, iterator
    gc.collect()
    assert [reference() for reference in dead] == [None, None]
    assert has_threads(0)


def test_an_error_leaves_no_cycle(dataset: Any, tmp_path: Path) -> None:
    kit.make_folder(tmp_path)
    gone = kit.folder_of(tmp_path, kit.train_v1(12))
    for path, _ in gone.samples:
        os.unlink(path)
    gc.collect()
    gc.disable()
    try:
        for num_workers in (0, 2):
            iterator = iter(kit.OURS(gone, 4, num_workers=num_workers))
            with pytest.raises(FileNotFoundError):
                next(iterator)
            dead = weakref.ref(iterator)
            del iterator
            assert dead() is None
    finally:
        gc.enable()


@pytest.mark.fault("R29")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_ctrl_c_leaves_an_iterator_that_works_or_says_that_it_does_not(
    dataset: Any, num_workers: int
) -> None:
    kit.seed_all(1)
    expected = [kit.visible(batch) for batch in kit.STOCK(dataset, 1, num_workers=num_workers)]
    loader = kit.OURS(dataset, 1, num_workers=num_workers)
    for delay in (0.0005, 0.001, 0.002, 0.004, 0.008):
        kit.seed_all(1)
        timer = threading.Timer(delay, lambda: os.kill(os.getpid(), signal.SIGINT))
        seen = []
        interrupted = False
        try:
            iterator = iter(loader)
            timer.start()
            for batch in iterator:
                seen.append(kit.visible(batch))
            timer.join()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            timer.join()
        assert seen == expected[: len(seen)]
        assert interrupted or len(seen) == len(expected)
        iterator = None
    kit.seed_all(1)
    assert [kit.visible(batch) for batch in loader] == expected


@pytest.mark.fault("R28")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_fork_in_a_running_epoch(dataset: Any, num_workers: int) -> None:
    kit.seed_all(1)
    expected = [kit.visible(batch) for batch in kit.STOCK(dataset, 3, num_workers=num_workers)]
    kit.seed_all(1)
    loader = kit.OURS(dataset, 3, num_workers=num_workers)
    iterator = iter(loader)
    seen = [kit.visible(next(iterator))]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert not engines._records
            if num_workers == 0:  # goes on, as stock's does
                found = [kit.visible(batch) for batch in iterator]
                assert found == expected[1:]
            else:
                with pytest.raises(penstock.ForkError):
                    next(iterator)
            kit.seed_all(1)
            assert [kit.visible(b) for b in kit.OURS(dataset, 3, num_workers=num_workers)]
            del iterator, loader
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    seen += [kit.visible(batch) for batch in iterator]
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert seen == expected


def script(forked: Forked, root: Path, body: str) -> subprocess.CompletedProcess[str]:
    code = f"""
import gc, sys
import kit, penstock
from pathlib import Path
dataset = kit.folder_of(Path({str(root)!r}), kit.train_v1(12))
{body}
"""
    return forked.run(code)


@pytest.mark.fault("R29")
@pytest.mark.parametrize(
    "body",
    [
        "it = iter(kit.OURS(dataset, 4, num_workers=2)); next(it)",
        "it = iter(kit.OURS(dataset, 4, num_workers=0)); next(it)",
        "loader = kit.OURS(dataset, 4, num_workers=2, persistent_workers=True)\n"
        "for b in loader: pass",
        "keep = [list(kit.OURS(dataset, 4, num_workers=2))]; keep.append(keep)",
        "it = iter(kit.OURS(dataset, 4, num_workers=2)); it.me = it; dataset.it = it; next(it)",
    ],
)
def test_the_interpreter_may_end_with_a_live_iterator(
    forked: Forked, root: Path, body: str
) -> None:
    done = script(forked, root, body + "\nprint('end')")
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "rror" not in done.stderr


@pytest.mark.fault("R28")
def test_the_parent_may_end_after_a_fork(forked: Forked, root: Path) -> None:
    body = """
import os
it = iter(kit.OURS(dataset, 4, num_workers=2)); next(it)
if os.fork() == 0:
    sys.exit(0)
print('end', os.wait()[1])
"""
    done = script(forked, root, body)
    assert (done.returncode, done.stdout) == (0, "end 0\n"), done.stderr
