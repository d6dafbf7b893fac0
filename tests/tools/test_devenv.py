# SPDX-License-Identifier: Apache-2.0
"""torchvision imports beside a torch without CUDA, in every kind of process, and only if asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEVENV = Path(__file__).resolve().parents[2] / "tools" / "devenv"


def run(code, *, path=None, flags=()):
    environment = dict(os.environ, PYTHONPATH=str(path or ""))
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()


def test_torch_is_not_imported_at_the_start():
    assert run("import sys; print([m for m in sys.modules if m.startswith('torch')])") == str(
        ["torchvision_beside_cpu_torch"]
    )


def test_asking_whether_torchvision_is_there_imports_nothing():
    code = (
        "import importlib.util as u, sys; u.find_spec('torchvision'); print('torch' in sys.modules)"
    )
    assert run(code) == "False"


@pytest.mark.parametrize("flags", [(), ("-I",)])
def test_torchvision_imports(flags):
    code = (
        "import torchvision.transforms.v2, torchvision.datasets as d; print(d.ImageFolder.__name__)"
    )
    assert run(code, flags=flags) == "ImageFolder"


WORKER = """
import multiprocessing, sys

def work(_):
    import torchvision.datasets
    return torchvision.datasets.ImageFolder.__name__

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        print(pool.map(work, [0])[0])
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_torchvision_imports_in_workers(tmp_path, method):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    done = subprocess.run(
        [sys.executable, str(script), method],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "ImageFolder"


# A stand-in for torchvision, which says whether the schema was there before its own code ran.
STAND_IN = """
import torch
from pathlib import Path
try:
    torch.ops.torchvision.nms
    print("defined")
except AttributeError:
    print("untouched")
print(Path(__file__).parent.name)
"""


@pytest.fixture
def stand_in(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(STAND_IN)
    return package


def test_operators_that_load_are_left_alone(stand_in):
    source = stand_in.parent / "operators.c"
    source.write_text("int operators_of_the_stand_in;\n")
    subprocess.run(
        ["cc", "-shared", "-fPIC", str(source), "-o", str(stand_in / "_C.so")], check=True
    )
    assert run("import torchvision", path=stand_in.parent) == "untouched\ntorchvision"


def test_operators_that_do_not_load_are_defined(stand_in):
    (stand_in / "_C.so").write_bytes(b"not a shared object")
    assert run("import torchvision", path=stand_in.parent) == "defined\ntorchvision"


def test_the_environment_has_the_module_of_the_tree():
    import torchvision_beside_cpu_torch

    installed = Path(torchvision_beside_cpu_torch.__file__)
    assert installed.read_text() == (DEVENV / installed.name).read_text()
    assert shutil.which("cc")
