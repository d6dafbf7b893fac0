# SPDX-License-Identifier: Apache-2.0
"""penstock doctor: on the machine, on folders, on scripts."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest
from penstock.cli.folder_check import Run, judge

# --- the verdict on what was measured

CALM = Run(
    samples=1000,
    wall_s=1.0,
    cpu_s=3.9,
    cores=4,
    threads=4,
    read_s=0.2,
    decode_s=3.0,
    transform_s=0.5,
    dataset_bytes=10**9,
    cache_bytes=10**10,
    cold_per_s=300.0,
)


@pytest.mark.parametrize(
    ("bound", "is_bad", "change"),
    [
        ("cores", False, {}),
        ("pillow", True, {"pillow_s": 0.5, "by_pillow": 100}),
        ("disk", True, {"dataset_bytes": 10**11}),  # the cold disk is slower, and all is cold
        ("cores", False, {"dataset_bytes": 10**11, "cold_per_s": 5000.0}),
        ("cores", False, {"dataset_bytes": 10**11, "cold_per_s": None}),
        ("disk", True, {"read_s": 3.0, "cpu_s": 1.0}),
        ("memory", True, {"over_budget": 5, "cpu_s": 1.0}),
        ("quota", True, {"throttled_s": 0.5}),
        ("contention", True, {"cpu_s": 2.0}),
        ("threads", True, {"threads": 2, "cpu_s": 1.9}),
    ],
)
def test_verdicts(bound, is_bad, change):
    verdict = judge(dataclasses.replace(CALM, **change))
    assert (verdict.bound, verdict.is_bad) == (bound, is_bad)
    assert verdict.why
    assert verdict.change


def watched(**change):
    from penstock.cli.script_check import Watched

    plain = {
        "name": "torch.utils.data.dataloader.DataLoader",
        "dataset": "torchvision.datasets.folder.ImageFolder",
        "length": 1000,
        "batch_size": 10,
        "workers": 2,
        "native": False,
        "could_be_native": True,
        "reason": "every stage is proven equal",
        "threads": 2,
        "persistent": True,
        "epochs": 3,
        "batches": 300,
        "wait_s": 8.0,
        "work_s": 2.0,
    }
    return Watched(**{**plain, **change})


@pytest.mark.parametrize(
    ("bound", "is_bad", "words", "change"),
    [
        ("stock loader", True, ["80.0 %", "use penstock.DataLoader"], {}),
        (
            "stock loader",
            True,
            ["not native because a lambda"],
            {"could_be_native": False, "reason": "torch's own: a lambda", "workers": 512},
        ),
        ("loader", True, ["it runs native"], {"native": True}),
        ("training", False, ["not what holds this back"], {"wait_s": 0.01, "work_s": 9.9}),
        (
            "training",
            False,
            ["the GPU still had work when 95.0 %"],
            {"device_checks": 100, "device_busy": 95},
        ),
        ("stock loader", True, ["80.0 %"], {"device_checks": 100, "device_busy": 20}),
        (
            "start",
            True,
            ["starts 0.67 s late", "persistent_workers=True"],
            {"wait_s": 0.01, "work_s": 9.9, "start_s": 2.0, "persistent": False},
        ),
    ],
)
def test_verdicts_on_scripts(bound, is_bad, words, change):
    from penstock.cli.doctor_command import judge_script
    from penstock.cli.script_check import Report

    calm = watched(dataset="other.Calm", wait_s=0.0, work_s=9.0)
    report = Report([calm, watched(**change)], seconds=12.0, ended="by the clock")
    found, line, bad = judge_script(report)
    assert (found, bad) == (bound, is_bad)
    for word in words:
        assert word in line


def test_waits_that_the_gpu_hides(monkeypatch):
    """With a stand-in for the device: asked once for each batch but an epoch's first."""
    import torch
    from penstock.cli.script_check import Watch

    answers = iter([True, False, False])  # query(): is all work done?

    class Stream:
        def query(self):
            return next(answers)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    loader = torch.utils.data.DataLoader(list(range(4)))
    watch, iterator = Watch(None), iter(loader)
    watch.begins(iterator, loader)
    for second in range(4):
        watch.arrived(iterator, float(second), second + 0.25)
    (seen,) = watch.loaders
    assert (seen.device_checks, seen.device_busy) == (3, 2)
    assert (seen.epochs, seen.batches, seen.start_s, seen.wait_s) == (1, 4, 0.25, 0.75)


def test_a_loader_that_cannot_be_looked_at():
    from penstock.cli.script_check import Watch

    class Odd:
        __hash__ = None

    watch = Watch(None)
    watch.begins(object, Odd())
    watch.arrived(object, 0.0, 1.0)
    watch.ended(object, 0.0)
    assert watch.loaders == []
    assert "Odd" in watch.unseen[0]


# --- the machine


def test_machine(several):
    one_core = {"preexec_fn": lambda: os.sched_setaffinity(0, {min_cpu()})}
    done, text = several(("doctor", "--json"), ("doctor",), **one_core)
    data = done.json
    assert done.err == ""
    assert data["kind"] == "environment"
    assert data["ok"] == (not data["problems"])
    assert done.status == (0 if data["ok"] else 1)
    facts = data["environment"]
    assert facts["native_refusal"] is None
    assert (facts["cores"]["affinity"], facts["cores"]["usable"]) == (1, 1)
    assert facts["packages"]["torch"]
    assert (text.status, text.out.count("\n"), text.err) == (done.status, 1, "")


def min_cpu() -> int:
    return min(os.sched_getaffinity(0))


# --- a folder


def test_folder(several, folder):
    arguments = ("doctor", "--json", "--seconds", "0.3", "--need")
    ends = several((*arguments, "1", folder), (*arguments, "900000", folder))
    for status, (done, words) in enumerate(zip(ends, ("enough for", "too few for"), strict=True)):
        data = done.json
        assert (done.status, done.err, data["ok"]) == (status, "", status == 0)
        assert data["kind"] == "folder"
        assert data["images_per_s"] > 0
        assert data["measured"]["samples"] > 0
        assert data["measured"]["by_pillow"] == 0
        assert data["explanation"]["lane"] == "native"
        assert words in data["verdict"]


def test_folder_with_a_broken_file(several, folder):
    (folder / "ant" / "zero.jpg").write_bytes(b"")
    os.mkfifo(folder / "ant" / "fifo.jpg")
    done, all_broken = several(
        ("doctor", "--seconds", "0.3", "--batch-size", "2", folder),
        ("doctor", "--seconds", "0.3", folder, "--batch-size", "500"),
    )
    assert (done.status, done.err, done.out.count("\n")) == (1, "", 1)
    assert "images/s, bound by" in done.out
    assert "failed: 'penstock inspect --deep' finds the broken files" in done.out
    assert all_broken.status == 2  # options come before the folder


def test_folder_without_images(several, tmp_path):
    (tmp_path / "images" / "class").mkdir(parents=True)
    os.mkfifo(tmp_path / "fifo.py")
    done, fifo = several(("doctor", tmp_path / "images"), ("doctor", tmp_path / "fifo.py"))
    assert (done.status, done.out) == (2, "")
    assert "no images" in done.err
    assert "not a script or folder" in fifo.err


# --- a script

HEAD = """
import os, signal, sys, threading, time
import torch
from torch.utils.data import DataLoader, Dataset

class Slow(Dataset):
    def __len__(self):
        return 64
    def __getitem__(self, i):
        end = time.perf_counter() + COST
        while time.perf_counter() < end:
            pass
        return i

def train(loader, work=0.0, epochs=1000):
    for _ in range(epochs):
        for batch in loader:
            end = time.perf_counter() + work
            while time.perf_counter() < end:
                pass

"""


@pytest.fixture
def script(tmp_path):
    def write(body: str, cost: float = 0.005):
        path = tmp_path / "train me.py"
        path.write_text(HEAD.replace("COST", str(cost)) + body)
        return path

    return write


def test_loader_bound(penstock, script):
    body = """
print("to stdout", sys.argv, __name__, __file__)
os.system("echo from a child")
train(DataLoader(Slow(), batch_size=4))
"""
    done = penstock("doctor", "--json", "--batches", "20", script(body), "--epochs", "7")
    assert done.status == 1, done.err
    assert f"to stdout ['{script(body)}', '--epochs', '7'] __main__" in done.err
    assert "from a child" in done.err
    data = done.json
    assert (data["kind"], data["bound"]) == ("script", "stock loader")
    assert data["ended"] == "by the number of batches"
    (loader,) = data["loaders"]
    assert (loader["batches"], loader["workers"], loader["length"]) == (20, 0, 64)
    assert loader["dataset"] == "__main__.Slow"
    assert loader["wait_share"] > 0.9
    assert loader["device_busy_share"] is None
    assert "Slow is not a dataset that the engine knows" in data["verdict"]


def test_one_line(penstock, script):
    done = penstock("doctor", "--batches", "20", script("train(DataLoader(Slow()), work=0.1)", 0))
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("the loader is not what holds this back: ")
    assert done.out.count("\n") == 1


def test_native_loader_and_verbose(several, script, folder):
    body = """
from torchvision import datasets, transforms
import penstock
steps = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
data = datasets.ImageFolder(sys.argv[1], steps)
ours = penstock.DataLoader(data, batch_size=2, num_workers=1)
for epoch in range(3):  # a loader that is made anew is the same to a person
    train(DataLoader(data, batch_size=2), epochs=1)
train(ours, epochs=3)
"""
    path = script(body)
    done, text = several(("doctor", "--json", path, folder), ("doctor", "-v", path, folder))
    data = done.json
    assert data["ended"] == "by itself"
    stock, ours = data["loaders"]
    assert (stock["native"], stock["could_be_native"], stock["epochs"]) == (False, True, 3)
    assert (ours["native"], ours["epochs"], ours["batches"]) == (True, 3, 12)
    assert "torch's own, could be native" in text.out


def test_ends_a_script_that_will_not_listen(penstock, script):
    """Its workers too, which were spawned and so have imported it, and though a thread of it never
    ends."""
    body = """
def main():
    threading.Thread(target=threading.Event().wait).start()
    loader = DataLoader(
        Slow(), num_workers=1, persistent_workers=True, multiprocessing_context="spawn"
    )
    iterator = iter(loader)
    print("worker", iterator._workers[0].pid)
    next(iterator)
    _, again = signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 0.5, again)  # soon: the worker is up
    for _ in range(2):
        try:
            while True:
                next(iterator, None)
        except BaseException:
            pass
    print("on")
    while True:
        try:
            threading.Event().wait()
        except Exception:
            pass

if __name__ == "__main__":
    main()
"""
    done = penstock("doctor", "--json", "--seconds", "60", script(body))
    assert done.status == 1, done.err
    assert done.json["ended"] == "by the clock"
    assert "on" in done.err.split()
    pid = done.err.partition("worker ")[2].split()[0]
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(("end", "status"), [("raise ValueError(1)", 1), ("", 2)])
def test_a_thread_does_not_hold_the_tool(penstock, script, end, status):
    done = penstock(
        "doctor", script(f"threading.Thread(target=threading.Event().wait).start()\n{end}")
    )
    assert (done.status, done.out) == (status, "")
    assert done.err.splitlines()[-1].startswith("penstock: ")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise RuntimeError('no money')", 1, "the script failed: RuntimeError: no money"),
        ("sys.exit(7)", 1, "the script ended with status 7"),
        ("print('nothing to load')", 2, "no DataLoader gave a batch"),
        ("this is no Python", 2, "is no Python script"),
    ],
)
def test_scripts_that_fail(penstock, script, body, status, said):
    done = penstock("doctor", "--json", script(body))
    assert (done.status, done.out) == (status, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("penstock: ")
    assert said in last
    assert ("Traceback" in done.err) == ("raise" in body)
    assert "script_check.py" not in done.err


def test_ctrl_c(script):
    body = "for batch in DataLoader(Slow(), num_workers=1):\n    print('up')\n    time.sleep(0.1)\n"
    path = script(body)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "penstock", "doctor", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "penstock: interrupted\n" in err
    assert "Traceback" not in err


def test_imports_of_a_script(penstock, tmp_path):
    """They come from the script's own folder."""
    (tmp_path / "mine.py").write_text("value = 41\n")
    path = tmp_path / "train.py"
    path.write_text("import mine, sys\nsys.exit(mine.value)\n")
    assert "status 41" in penstock("doctor", path).err
