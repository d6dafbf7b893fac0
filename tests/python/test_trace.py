# SPDX-License-Identifier: Apache-2.0
"""loader.trace(): the file is what Chrome's trace event format says, it says what happened, and
tracing changes no batch."""

import gc
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import kit
import pytest
from penstock import engines

STAGES = ("read", "probe", "decode", "transform")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def exact(microseconds: float) -> int:
    """Nanoseconds; the file has three decimals."""
    assert abs(microseconds * 1000 - round(microseconds * 1000)) < 1e-3
    return round(microseconds * 1000)


def check_nesting(spans: list[tuple[int, int, str]]) -> None:
    """Each span lies in another one or beside it."""
    open_spans: list[tuple[int, int, str]] = []
    for start, end, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        while open_spans and open_spans[-1][1] <= start:
            open_spans.pop()
        assert not open_spans or end <= open_spans[-1][1], (name, open_spans[-1])
        open_spans.append((start, end, name))


def check_async(rows: list[dict[str, Any]]) -> None:
    open_at: dict[str, float] = {}
    for row in sorted(rows, key=lambda row: row["ts"]):
        assert row["cat"] == "batch"
        if row["ph"] == "b":
            assert row["id"] not in open_at
            open_at[row["id"]] = row["ts"]
        else:
            assert row["ts"] >= open_at.pop(row["id"])
    assert open_at == {}


def read(path: Path) -> dict[str, Any]:
    """The file, after all that the format asks for was checked."""
    whole: dict[str, Any] = json.loads(path.read_text())
    assert set(whole) == {"displayTimeUnit", "otherData", "traceEvents"}
    rows = whole["traceEvents"]
    names: dict[int, str] = {}
    spans: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for row in rows:
        assert isinstance(row["name"], str)
        assert isinstance(row["pid"], int)
        assert isinstance(row["tid"], int)
        assert isinstance(row["args"], dict)
        if row["ph"] == "M":
            if row["name"] == "thread_name":
                assert row["tid"] not in names
                names[row["tid"]] = row["args"]["name"]
            continue
        assert row["ts"] >= 0
        assert row["ph"] in "XbeiC"
        if row["ph"] == "X":
            start, duration = exact(row["ts"]), exact(row["dur"])
            assert duration >= 0
            spans[row["tid"]].append((start, start + duration, row["name"]))
        elif row["ph"] == "i":
            assert row["s"] == "t"
        elif row["ph"] == "C":
            assert all(isinstance(v, int) and v >= 0 for v in row["args"].values())
    assert len({row["pid"] for row in rows}) == 1
    assert spans.keys() <= names.keys()
    assert len(set(names.values())) == len(names)
    for of_thread in spans.values():
        check_nesting(of_thread)
    check_async([row for row in rows if row["ph"] in "be"])
    return whole


def spans_of(whole: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in whole["traceEvents"] if row["ph"] == "X" and row["name"] == name]


@pytest.mark.parametrize("rng", ["torch", "sample"])
@pytest.mark.parametrize("num_workers", [0, 3])
def test_an_epoch(root: Path, tmp_path: Path, num_workers: int, rng: Any) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    loader = kit.OURS(dataset, 4, shuffle=True, num_workers=num_workers, threads=2, rng=rng)
    path = tmp_path / "run.json"
    loader.trace(path)
    assert not path.exists()
    for _ in loader:
        pass
    whole = read(path)
    assert loader.stats().counters["epochs"] == 1
    assert whole["otherData"]["lane"] == "native"
    assert whole["otherData"]["lost_events"] == 0
    doubtful = {i for i, (name, _) in enumerate(dataset.samples) if name[-4:] in ("tiff", ".ppm")}
    for stage in STAGES:
        seen = sorted(row["args"]["index"] for row in spans_of(whole, stage))
        # Of what Pillow decides there is nothing to decode.
        every = set(range(17)) - (doubtful if stage == "decode" else set())
        assert set(seen) == every, stage
        assert len(seen) == len(every), stage
    planned = sum(row["args"]["samples"] for row in spans_of(whole, "plan"))
    assert planned == 17 - (len(doubtful) if rng == "sample" else 0)  # those with their pixels
    assert {row["args"]["index"] for row in spans_of(whole, "Pillow")} == doubtful
    assert [row["args"]["number"] for row in spans_of(whole, "next()")] == list(range(5))
    begun = [row for row in whole["traceEvents"] if row["ph"] == "b"]
    assert [row["args"]["samples"] for row in begun] == [4, 4, 4, 4, 1]
    ready = [row for row in whole["traceEvents"] if row["ph"] == "i"]
    assert len(ready) == 5
    counters = [row["args"] for row in whole["traceEvents"] if row["ph"] == "C"]
    assert counters[-1] == {"in work": 0, "ready": 0}
    assert max(row["in work"] + row["ready"] for row in counters) <= (6 if num_workers else 1)
    # The next epoch is nobody's.
    path.unlink()
    for _ in loader:
        pass
    assert not path.exists()


def test_times_are_those_of_stats(root: Path, tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 4, num_workers=2, threads=2)
    loader.trace(tmp_path / "run.json")
    for _ in loader:
        pass
    whole, stats = read(tmp_path / "run.json"), loader.stats().as_dict()["stage_s"]
    for name, stage in (("read", "read"), ("probe", "probe"), ("decode", "decode")):
        total = sum(row["dur"] for row in spans_of(whole, name)) / 1e6
        assert total == pytest.approx(stats[stage], rel=1e-6), name
    transform = sum(row["dur"] for row in spans_of(whole, "transform")) / 1e6
    assert transform <= stats["transform"] * (1 + 1e-9)
    pillow = sum(row["dur"] for row in spans_of(whole, "Pillow")) / 1e6
    assert pillow == pytest.approx(stats["reference"], rel=1e-6)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_in_memory(tmp_path: Path, num_workers: int) -> None:
    """Samples that run together each have their own span."""
    import numpy
    from torchvision import datasets, transforms

    dataset = datasets.CIFAR10.__new__(datasets.CIFAR10)
    dataset.data = numpy.random.RandomState(0).randint(0, 256, (100, 32, 32, 3), numpy.uint8)
    dataset.targets = list(range(100))
    dataset.transform = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    )
    dataset.target_transform = dataset.transforms = None
    dataset.root, dataset.train = "", True
    loader = kit.OURS(dataset, 32, num_workers=num_workers, threads=2)
    assert loader.explain().lane == "native", loader.explain().reason
    with loader.trace(tmp_path / "run.json"):
        for _ in loader:
            pass
    whole = read(tmp_path / "run.json")
    assert sorted(r["args"]["index"] for r in spans_of(whole, "transform")) == list(range(100))
    assert spans_of(whole, "decode") == spans_of(whole, "read") == []
    assert sum(row["args"]["samples"] for row in spans_of(whole, "plan")) == 100


@pytest.mark.parametrize("persistent", [False, True])
def test_a_block_holds_several_epochs(root: Path, tmp_path: Path, persistent: bool) -> None:
    loader = kit.OURS(
        kit.folder_of(root, kit.train_v1()), 4, num_workers=2, persistent_workers=persistent
    )
    next(iter(loader))
    gc.collect()
    with loader.trace(tmp_path / "run.json") as trace:
        for _ in range(3):
            for _ in loader:
                pass
        next(iter(loader))
        assert not trace.path.exists()
    whole = read(trace.path)
    assert len(spans_of(whole, "next()")) == 3 * 5 + 1
    indices = [row["args"]["index"] for row in spans_of(whole, "transform")]
    assert all(indices.count(index) >= 3 for index in range(17))
    with pytest.raises(RuntimeError, match="is over"), trace:
        pass


def test_a_block_in_the_middle_of_an_iteration(root: Path, tmp_path: Path) -> None:
    for num_workers in (0, 2):
        dataset = kit.folder_of(root, kit.eval_v1())
        sampler = list(range(9)) * 5
        loader = kit.OURS(dataset, 2, sampler=sampler, num_workers=num_workers)
        iterator = iter(loader)
        next(iterator)
        with loader.trace(tmp_path / "run.json"):
            for _ in range(12):
                next(iterator)
        whole = read(tmp_path / "run.json")
        assert len(spans_of(whole, "sample")) >= 2 * (12 - 4)  # four were submitted before
        assert spans_of(whole, "next()") == []  # that iterator was made before


def test_an_epoch_that_is_left(root: Path, tmp_path: Path) -> None:
    for number, num_workers in enumerate((0, 2)):
        loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 4, num_workers=num_workers)
        path = tmp_path / f"{number}.json"
        trace = loader.trace(path)
        for _ in loader:
            break
        gc.collect()
        whole = read(path)
        assert len(spans_of(whole, "sample")) >= 4
        counters = [row["args"] for row in whole["traceEvents"] if row["ph"] == "C"]
        # What nobody came for was still there.
        assert (sum(counters[-1].values()) > 0) == (num_workers > 0)
        assert not trace.is_on
        assert engines.record_of(loader).recorder is None


def test_a_failure_is_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    dataset = kit.folder_of(kit.make_folder(tmp_path / "images"), kit.train_v1())
    Path(dataset.samples[5][0]).unlink()
    loader = kit.OURS(dataset, 4, num_workers=2)
    with pytest.raises(FileNotFoundError), loader.trace(tmp_path / "run.json"):
        for _ in loader:
            pass
    whole = read(tmp_path / "run.json")
    assert 5 in {row["args"]["index"] for row in spans_of(whole, "Pillow")}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_the_same(root: Path, tmp_path: Path, num_workers: int) -> None:
    def make(is_traced: bool) -> Any:
        dataset = kit.folder_of(root, kit.train_v1())
        loader = kit.OURS(dataset, 3, shuffle=True, num_workers=num_workers)
        if is_traced:
            loader.trace(tmp_path / "run.json", events=7)
        return loader, ()

    plain = kit.run(lambda: make(False), epochs=2)
    kit.assert_same(plain, kit.run(lambda: make(True), epochs=2))
    assert len(read(tmp_path / "run.json")["traceEvents"]) > 7


def test_few_events_are_the_newest(root: Path, tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 1, num_workers=2, threads=1)
    trace = loader.trace(tmp_path / "run.json", events=6)
    for _ in loader:
        pass
    whole = read(tmp_path / "run.json")
    assert trace.lost > 17 * 4
    assert whole["otherData"]["lost_events"] == trace.lost
    labels = [row for row in whole["traceEvents"] if row["name"] == "process_labels"]
    assert labels[0]["args"]["labels"] == f"the oldest {trace.lost} events are lost"
    assert [row["args"]["number"] for row in spans_of(whole, "next()")] == list(range(11, 17))
    assert {row["args"]["index"] for row in spans_of(whole, "transform")} <= {15, 16}


def test_torchs_lane_has_its_consumer(tmp_path: Path) -> None:
    loader = kit.OURS(list(range(10)), 4)
    loader.trace(tmp_path / "run.json")
    for _ in loader:
        pass
    whole = read(tmp_path / "run.json")
    assert whole["otherData"]["lane"] == "python"
    assert len(spans_of(whole, "next()")) == 3


def test_what_is_refused(root: Path, tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4)
    with pytest.raises(FileNotFoundError, match="no folder"):
        loader.trace(tmp_path / "nowhere" / "run.json")
    for events in (0, 1 << 21):
        with pytest.raises(ValueError, match="events should be"):
            loader.trace(tmp_path / "run.json", events=events)
    with pytest.raises(TypeError, match="events should be"):
        loader.trace(tmp_path / "run.json", events=True)
    loader.trace(tmp_path / "run.json")
    with pytest.raises(RuntimeError, match="traced already"):
        loader.trace(tmp_path / "two.json")
    for _ in loader:
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def one_warning(caught: pytest.WarningsRecorder) -> str:
    (warning,) = [w for w in caught if w.category is RuntimeWarning]
    return str(warning.message)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_folder_that_is_gone_ends_no_epoch(root: Path, tmp_path: Path, num_workers: int) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=num_workers)
    loader.trace(folder / "run.json")
    iterator = iter(loader)
    next(iterator)
    folder.rmdir()
    with pytest.warns(RuntimeWarning) as caught:
        assert len(list(iterator)) == 4
    assert "run.json' is not written: " in one_warning(caught)
    assert len(list(loader)) == 5
    folder.mkdir()

    def block() -> None:
        with loader.trace(folder / "run.json"):
            folder.rmdir()
            raise KeyError  # is not hidden

    with pytest.warns(RuntimeWarning), pytest.raises(KeyError):
        block()


FULL = """
import resource, sys, warnings
sys.path[:0] = sys.argv[3:]
from pathlib import Path
import kit

loader = kit.OURS(kit.folder_of(Path(sys.argv[1]), kit.eval_v1()), 4, num_workers=2)
loader.trace(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", RuntimeWarning)
    n = len(list(loader))
ours = [str(w.message) for w in caught if "is not written" in str(w.message)]
print(n, len(list(loader)), *ours)
"""


def test_a_full_disk_ends_no_epoch(root: Path, tmp_path: Path) -> None:
    """What was there before stays, and no half of a file is left beside it."""
    path = tmp_path / "run.json"
    path.write_text("before")
    arguments = [str(root), str(path), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *arguments], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 5 the trace ")
    assert "File too large" in done.stdout
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("run.json", "before")]


class Core:
    """An engine's, that another thread is in."""

    def __init__(self, fails_at: str) -> None:
        self.fails_at = fails_at

    def _do(self, what: str) -> None:
        if what == self.fails_at:
            raise RuntimeError(f"busy at the {what}")

    def trace_start(self, capacity: int) -> None:
        self._do("start")

    def trace_stop(self) -> None:
        self._do("stop")


class Busy:
    is_usable = True

    class spec:
        threads = 1

    def __init__(self, fails_at: str) -> None:
        self.core = Core(fails_at)


@pytest.mark.parametrize("fails_at", ["start", "stop"])
def test_an_engine_that_cannot_be_had_is_named(root: Path, tmp_path: Path, fails_at: str) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=2)

    def block() -> Any:
        with loader.trace(tmp_path / "run.json") as trace:
            list(loader)
            trace.attach(Busy(fails_at))  # type: ignore[arg-type]
        return trace

    with pytest.warns(RuntimeWarning) as caught:
        trace = block()
    assert f"busy at the {fails_at}" in one_warning(caught)
    whole = read(trace.path)
    assert whole["otherData"]["unread_engines"] == 1
    assert len(spans_of(whole, "transform")) == 17


def test_what_began_before_the_trace(root: Path, tmp_path: Path) -> None:
    """Zero is then where it began: the format knows no time before."""
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=2)
    trace = loader.trace(tmp_path / "run.json")
    trace.start_ns += 10**10
    list(loader)
    rows = read(trace.path)["traceEvents"]
    assert min(row["ts"] for row in rows if row.get("cat") == "loader") < 10**6


def test_a_traced_loader_goes_as_any_other(root: Path, tmp_path: Path) -> None:
    import weakref

    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=2)
    loader.trace(tmp_path / "run.json")
    gone = weakref.ref(loader)
    del loader
    deadline = time.monotonic() + 10
    while gone() is not None and time.monotonic() < deadline:
        gc.collect()
    assert gone() is None
    assert not (tmp_path / "run.json").exists()
