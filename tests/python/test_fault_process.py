# SPDX-License-Identifier: Apache-2.0
"""What the process around the loader does or forbids: storms of signals, limits, a look at every
call that could run code."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import kit
import pytest
from forked import Forked

HEAD = f"""
import os, resource, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import kit, penstock, torch
from pathlib import Path

root = Path(sys.argv[1])
dataset = kit.folder_of(root, kit.train_v1(12))

def epoch(kind, workers, **options):
    kit.seed_all(1)
    iterator = iter(kind(dataset, 3, num_workers=workers, **options))
    assert kit.is_native(iterator) == (kind is kit.OURS)
    return list(kit.walk(iterator, 99, kit.states))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def run(forked: Forked, root: Path, body: str) -> str:
    done = forked.run(HEAD + body, [str(root)], timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_alone(root: Path, body: str, before: Callable[[], None]) -> None:
    """In an interpreter of its own; `before`: what is there when it starts."""
    command = [sys.executable, "-X", "faulthandler", "-c", HEAD + body, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, preexec_fn=before)
    assert done.returncode == 0, done.stderr


@pytest.mark.fault("R6")
def test_a_storm_of_signals(forked: Forked, root: Path, tried: Callable[[int], None]) -> None:
    """One every 100 microseconds, with a handler that does not restart calls."""
    body = """
expected = {workers: epoch(kit.STOCK, workers) for workers in (0, 2)}
n = 0
def count(*_):
    global n
    n += 1
signal.signal(signal.SIGALRM, count)
signal.siginterrupt(signal.SIGALRM, True)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
epochs, end = 0, time.monotonic() + 2
while time.monotonic() < end:
    for workers in (0, 2):
        assert epoch(kit.OURS, workers, threads=2) == expected[workers]
        epochs += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert epochs >= 4
print(n)
"""
    n_signals = int(run(forked, root, body))
    assert n_signals > 1000
    tried(n_signals)


@pytest.mark.fault("R16")
def test_no_file_runs_code(forked: Forked, root: Path, tmp_path: Path) -> None:
    """Epochs over whole and damaged files, some of which are programs, pickles and archives, under
    an audit hook. Pillow's plugins are there before, since importing them is running code. (Stock's
    text of a traceback parses lines of source, which compiles and does not run.)"""
    import pickle
    import zipfile

    kit.make_folder(tmp_path)
    for path in sorted(tmp_path.glob("*/*.*"))[::3]:
        path.write_bytes(path.read_bytes()[:-40])
    bad = tmp_path / "dad"
    bad.mkdir()
    (bad / "a.jpg").write_bytes(pickle.dumps(os.system))
    (bad / "b.png").write_bytes(b"#!/bin/sh\ntouch owned\n")
    (bad / "c.jpg").write_bytes(b"%!PS\n(owned) (w) file\n")
    (bad / "d.pgm").write_bytes(b"import os; os.system('touch owned')\n")
    (bad / "pipe:touch owned.jpg").write_bytes(b"")
    with zipfile.ZipFile(bad / "e.jpg", "w") as archive:
        archive.writestr("__main__.py", "raise SystemExit(9)")
    body = """
from PIL import Image
Image.init()
for workers in (0, 2):
    epoch(kit.OURS, workers)
dataset = kit.folder_of(Path(sys.argv[1]), kit.train_v1(12))
BAD = ("exec", "import", "pickle.find_class", "subprocess.Popen", "os.system", "os.exec",
       "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "ctypes.dlopen", "marshal.loads",
       "socket.connect", "code.__new__", "os.remove", "os.rename", "os.mkdir")
seen, writes, on = [], [], False
def hook(event, arguments):
    if not on:
        return
    if event in BAD:
        seen.append((event, repr(arguments)[:200]))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        writes.append(repr(arguments))
sys.addaudithook(hook)
on = True
exec("1")
on = False
assert seen.pop()[0] == "exec" and not seen  # the hook sees
on = True
lives = [epoch(kit.OURS, workers, threads=2) for workers in (0, 2)]
on = False
assert not seen and not writes, (seen, writes)
assert all(sum(step[0] == "error" for step in life) >= 4 for life in lives)
"""
    run(forked, tmp_path, body)
    assert not list(tmp_path.rglob("owned"))
    assert not Path("owned").exists()


def limits() -> None:
    for name, most in (
        ("NOFILE", 64),
        ("MEMLOCK", 0),
        ("STACK", 1 << 18),
        ("FSIZE", 0),
        ("CORE", 0),
    ):
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (most, most))


@pytest.mark.fault("R34")
def test_under_limits(root: Path) -> None:
    """Many loaders and kept batches, none of which has a descriptor."""
    body = """
def n_open():
    return len(os.listdir("/proc/self/fd"))

expected = epoch(kit.OURS, 0)
before = n_open()
kept = []
for _ in range(40):
    loader = kit.OURS(dataset, 2, num_workers=4, threads=2)
    kept.append((loader, iter(loader)))
    kept.append(next(kept[-1][1]))
    assert n_open() - before <= 8, "a record at a time for each thread"
kept += [batch for _ in range(20) for batch in kit.OURS(dataset, 2, num_workers=2)]
kept.clear()
assert n_open() == before
assert epoch(kit.OURS, 0) == expected
"""
    run_alone(root, body, limits)


@pytest.mark.fault("R34")
def test_no_shared_memory(forked: Forked, root: Path) -> None:
    """Nothing of /dev/shm or of a memfd is mapped or open while batches are made and held."""
    body = """
def shared():
    maps = Path("/proc/self/maps").read_text().splitlines()
    seen = [line for line in maps if "/dev/shm" in line or "memfd:" in line]
    for fd in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        seen += [name] if "/dev/shm" in name or "memfd:" in name else []
    return seen

before = shared()
kept = []
for images, labels in kit.OURS(dataset, 2, num_workers=4):
    kept.append(images)
    assert shared() == before, shared()
assert len(kept) == 9
# What would be seen: stock's batch.
batch = next(iter(kit.STOCK(dataset, 2, num_workers=1)))
assert shared() != before or not torch.multiprocessing.get_sharing_strategy().startswith("file")
"""
    run(forked, root, body)


@pytest.mark.fault("R34")
def test_threads_that_may_not_start(forked: Forked, root: Path) -> None:
    """A limit of processes counts threads. The error says so, and the loader works afterwards."""
    body = """
def threads():
    return [Path(f"/proc/self/task/{task}/comm").read_text()
            for task in os.listdir("/proc/self/task") if os.path.exists(f"/proc/self/task/{task}")]

expected = epoch(kit.OURS, 2, threads=2)
if os.geteuid() == 0:  # root is not held to the limit
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
loader = kit.OURS(dataset, 3, num_workers=2, threads=2)
for _ in range(3):
    try:
        list(loader)
    except penstock.Error as error:
        assert (error.status, "cannot start thread" in str(error)) == ("ETHREAD", True), error
    else:
        raise AssertionError("a thread was started")
    end = time.monotonic() + 5  # a thread that was joined may be listed for a moment
    while any(name.startswith("penstock") for name in threads()):
        assert time.monotonic() < end, threads()
resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
assert epoch(kit.OURS, 2, threads=2) == expected
kit.seed_all(1)
assert [kit.visible(batch) for batch in loader] == [s[1] for s in expected if s[0] == "batch"]
"""
    os.chmod(root, 0o755)
    for folder in (root, *root.parents[:3]):
        if not folder.stat().st_mode & 0o005:
            folder.chmod(folder.stat().st_mode | 0o055)
    run(forked, root, body)
