# SPDX-License-Identifier: Apache-2.0
"""The inputs that fuzz targets keep, and what runs them."""

import sys
from pathlib import Path

import make_fuzz_seeds
import pack_fuzz_corpus as tool
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
import replay

PROGRAMS = {
    "good": "import sys; print(f'{len(sys.argv) - 1} inputs')",
    "crashes": "import os; os.abort()",
    "fails": "import sys; print(f'{len(sys.argv) - 1} inputs'); sys.exit(1)",
    "stops": "print('1 inputs')",
}


def test_every_target_has_a_corpus(tmp_path: Path) -> None:
    names = {path.name.removesuffix(".tar.gz") for path in tool.KEPT.iterdir()}
    assert names == set(make_fuzz_seeds.SEEDS)
    for name in names:
        assert (tool.KEPT / f"{name}.tar.gz").stat().st_size <= tool.MOST_BYTES
        inputs = list(tool.unpack(name, tmp_path / name).iterdir())
        assert len(inputs) > 10  # of a small parser few reach all
        assert len({path.read_bytes() for path in inputs}) == len(inputs)


def test_equal_inputs_make_equal_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = sorted(tool.unpack("index", tmp_path / "inputs").iterdir())
    kept = (tool.KEPT / "index.tar.gz").read_bytes()
    monkeypatch.setattr(tool, "KEPT", tmp_path)
    assert tool.pack("index", inputs[::-1]) == len(kept)
    assert (tmp_path / "index.tar.gz").read_bytes() == kept
    monkeypatch.setattr(tool, "MOST_BYTES", 100)
    with pytest.raises(SystemExit, match="more than 100"):
        tool.pack("index", inputs)


@pytest.mark.parametrize("name", PROGRAMS)
def test_replay(tmp_path: Path, name: str) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{PROGRAMS[name]}\n")
    program.chmod(0o755)
    status = replay.main([str(program), str(tool.KEPT / "index.tar.gz")])
    assert (status == 0) == (name == "good")
