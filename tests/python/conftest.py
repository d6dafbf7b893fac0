# SPDX-License-Identifier: Apache-2.0
"""What tests share: where the data and the other environments are, and a folder of small images."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # for modules that test files share
DATA = ROOT.parent / "shared" / "data"


def _data(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the test data {name} are not beside the source tree")
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> None:
    """What imports have made stays to the end. A garbage collection, of which tests make hundreds,
    and a fork need not go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """See forked.py."""
    from forked import Forked

    with Forked(tmp_path_factory.mktemp("forked")) as programs:
        yield programs


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """See tests/campaigns/nursery.py."""
    import campaigns

    with campaigns.load("signals").Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="session")
def photos() -> Path:
    """Photographs as they come from cameras and the web."""
    return _data("photos")


@pytest.fixture(scope="session")
def zoo() -> Path:
    """Files of every mode and of many kinds of damage."""
    return _data("zoo")


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """Says in the report how often a test tried what it is about, where that is not once."""
    return lambda n: record_property("tried", n)


@pytest.fixture(scope="session", params=["11.3", "12.2", "13.0"])
def era_python(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """A version of Pillow, one of each era of pixels, and an interpreter that has it."""
    version = request.param
    python = (
        Path(sys.executable) if version == "13.0" else ROOT / f".venv-pillow-{version}/bin/python"
    )
    if not python.is_file():
        pytest.skip(f"no environment with Pillow {version}; tools/setup makes it")
    code = "import PIL; print(PIL.__version__)"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.startswith(version + ".")
    return version, python
