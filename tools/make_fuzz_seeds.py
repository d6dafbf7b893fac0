# SPDX-License-Identifier: Apache-2.0
"""Writes where fuzzing starts: small images of every kind that a decoder knows.

A target's input opens with bytes that place the region and choose how the file is read; see the
tops of tests/fuzz/fuzz_*.c. The file itself follows.
"""

import io
import sys
from pathlib import Path

import numpy
from PIL import Image

PREFIXES = {
    "jpeg": (b"\x00\x00\xff\xff\x07", b"\x40\x60\x80\x30\x00"),
    "png": (b"\x00\x20\x30\x80", b"\x01\x10\x10\x40"),
    "webp": (b"\x20\x30\x80\x00", b"\x10\x10\x40\x01"),
}


def picture(mode: str, width: int, height: int) -> Image.Image:
    random = numpy.random.default_rng(width * 1000 + height)
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), numpy.uint8)
    rgb = Image.fromarray(coarse).resize((width, height))
    if mode == "LA":
        return rgb.convert("L").convert("LA")
    if mode == "I;16":
        return Image.fromarray(numpy.asarray(rgb.convert("L"), numpy.uint16) * 257)
    return rgb.convert(mode)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg_files() -> list[bytes]:
    files = [encode(picture(mode, 33, 21), "JPEG") for mode in ("L", "RGB", "CMYK")]
    for subsampling in range(3):
        for progressive in (False, True):
            options = {"subsampling": subsampling, "progressive": progressive, "quality": 60}
            files.append(encode(picture("RGB", 41, 35), "JPEG", **options))
    files.append(encode(picture("RGB", 40, 40), "JPEG", restart_marker_blocks=2))
    return files


def png_files() -> list[bytes]:
    modes = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    files = [encode(picture(mode, 19, 13), "PNG") for mode in modes]
    files.append(encode(picture("P", 9, 9), "PNG", transparency=0))
    files.append(encode(picture("RGB", 9, 9), "PNG", transparency=(1, 2, 3)))
    files += [encode(picture("P", 17, 5).quantize(n), "PNG", bits=b) for n, b in ((2, 1), (4, 2))]
    return files


def webp_files() -> list[bytes]:
    files = [encode(picture(mode, 33, 21), "WEBP") for mode in ("L", "RGB", "RGBA")]
    files += [encode(picture(mode, 19, 13), "WEBP", lossless=True) for mode in ("RGB", "RGBA")]
    clear = picture("RGB", 20, 20)
    clear.putalpha(picture("L", 20, 20))
    files.append(encode(clear, "WEBP", exif=b"MM\0*\0\0\0\x08\0\0", xmp=b"<x/>"))
    for lossless in (False, True):
        frames = [picture("RGBA", 24, 24), picture("RGB", 24, 24)]
        options = {"save_all": True, "append_images": frames[1:], "lossless": lossless}
        files.append(encode(frames[0], "WEBP", **options))
    return files


SEEDS = {"jpeg": jpeg_files, "png": png_files, "webp": webp_files}


def main(arguments: list[str]) -> int:
    root = Path(arguments[0])
    n_seeds = 0
    for name, make in SEEDS.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for prefix in PREFIXES[name]:
            for file in make():
                (folder / f"seed_{n_seeds:03}").write_bytes(prefix + file)
                n_seeds += 1
    print(f"items: {n_seeds} seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
