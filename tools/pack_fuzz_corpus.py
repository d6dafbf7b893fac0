# SPDX-License-Identifier: Apache-2.0
"""Writes tests/fuzz/corpus from what the fuzz targets have found.

    tools/build fuzz && .venv/bin/python tools/pack_fuzz_corpus.py [FOLDER...]

Of what is kept already, of the seeds, of build/fuzz/corpus and of each FOLDER/TARGET, libFuzzer
chooses the smallest inputs that reach all that these reach. Inputs by the name of crash-* stay,
whatever they reach: once they were too much for a target.
"""

import gzip
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import make_fuzz_seeds

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "tests" / "fuzz" / "corpus"
FUZZ = ROOT / "build" / "fuzz"
MOST_BYTES = 150_000
MOST_INPUT = {"array": 16384}  # bytes; of the others 4096. An array file has 8 KiB at least


def unpack(name: str, folder: Path) -> Path:
    """The kept inputs of a target, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = KEPT / f"{name}.tar.gz"
    if archive.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder


def pack(name: str, inputs: list[Path]) -> int:
    """Equal inputs make equal archives. Returns the size."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted(inputs, key=lambda path: (path.stat().st_size, path.name)):
            data = path.read_bytes()
            info = tarfile.TarInfo(path.name[:16])
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    if len(out.getvalue()) > MOST_BYTES:
        raise SystemExit(f"{name}: {len(out.getvalue())} bytes, more than {MOST_BYTES}")
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.tar.gz").write_bytes(out.getvalue())
    return len(out.getvalue())


def merge(name: str, sources: list[Path], out: Path) -> list[Path]:
    out.mkdir()
    program = FUZZ / "tests" / "fuzz" / f"fuzz_{name}"
    folders = [str(folder) for folder in sources if folder.is_dir()]
    most = MOST_INPUT.get(name, 4096)
    options = ["-merge=1", f"-max_len={most}", f"-artifact_prefix={out.parent}/"]
    done = subprocess.run([program, *options, out, *folders], capture_output=True, text=True)
    crashed = list(out.parent.glob("crash-*"))
    if done.returncode != 0 or crashed:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return sorted(out.iterdir())


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        make_fuzz_seeds.main([f"{scratch}/seeds"])
        for name in make_fuzz_seeds.SEEDS:
            here = Path(scratch) / name
            kept = unpack(name, here / "kept")
            given = [Path(folder) / name for folder in arguments]
            sources = [kept, Path(scratch) / "seeds" / name, FUZZ / "corpus" / f"fuzz_{name}"]
            inputs = merge(name, [*sources, *given], here / "merged")
            found = {path.name: path for at in (kept, *given) for path in at.glob("crash-*")}
            inputs += found.values()
            print(f"{name}: {len(inputs)} inputs, {pack(name, inputs)} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
