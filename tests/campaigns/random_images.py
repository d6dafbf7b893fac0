# SPDX-License-Identifier: Apache-2.0
"""Image files of random modes, formats, sizes and options, none of them damaged."""

import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy
from PIL import Image
from twins import kit

IMAGES = 20  # in a group


def _sides(rng: random.Random) -> tuple[int, int]:
    kind = rng.random()
    if kind < 0.7:
        return rng.randint(1, 400), rng.randint(1, 400)
    if kind < 0.85:
        sides = [rng.randint(1, 4), rng.randint(1, 400)]
        rng.shuffle(sides)
        return sides[0], sides[1]
    return rng.randint(1, 20), rng.randint(1, 20)


def _save_jpeg(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["RGB", "RGB", "RGB", "RGB", "L", "CMYK"])
    options: dict[str, Any] = {"quality": rng.randint(1, 100), "progressive": rng.random() < 0.3}
    if mode == "RGB":
        if rng.random() < 0.05:
            options["keep_rgb"] = True
        else:
            options["subsampling"] = rng.choice(["4:4:4", "4:2:2", "4:2:0"])
    extra: list[tuple[str, Any]] = [
        ("optimize", True),
        ("restart_marker_blocks", rng.randint(1, 9)),
        ("restart_marker_rows", rng.randint(1, 3)),
        ("comment", b"a comment"),
        ("exif", turned(rng)),
        ("icc_profile", rng.randbytes(rng.randint(1, 300))),
        ("dpi", (72, 72)),
    ]
    for name, value in extra:
        if rng.random() < 0.12:
            options[name] = value
    w, h = _sides(rng)
    image = kit.picture(mode, w, h, rng.getrandbits(32))
    try:
        image.save(path, "JPEG", **options)
    except OSError:  # Pillow's buffer is too small for some scripts of scans
        options["progressive"] = options["optimize"] = False
        image.save(path, "JPEG", **options)
    return f"{path.name}: JPEG {mode} {w}x{h} {options}"


def _save_deep_png(rng: random.Random, path: Path, w: int, h: int) -> str:
    """16 bits a channel, which Pillow writes for grey alone."""
    color, channels = rng.choice([(0, 1), (2, 3), (4, 2), (6, 4)])
    state = numpy.random.RandomState(rng.getrandbits(32))
    rows = state.randint(0, 65536, (h, w * channels)).astype(">u2")
    if rng.random() < 0.5:  # more like a photograph than noise is
        rows = (numpy.cumsum(rows.astype(numpy.int64) // 64, axis=1) % 65536).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", w, h, 16, color, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )
    return f"{path.name}: PNG 16 bits, colour type {color}, {w}x{h}"


def _save_png(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["RGB", "RGB", "L", "RGBA", "P", "P", "1", "LA", "I;16", "deep"])
    w, h = _sides(rng)
    if mode == "deep":
        return _save_deep_png(rng, path, w, h)
    image = kit.picture("RGB" if mode == "P" else mode, w, h, rng.getrandbits(32))
    options: dict[str, Any] = {"compress_level": rng.randint(0, 9)}
    if mode == "P":
        image = image.quantize(rng.choice([2, 3, 4, 13, 16, 100, 256]))
    if rng.random() < 0.2:
        options["optimize"] = True
    if rng.random() < 0.3 and mode in ("L", "P", "RGB"):
        options["transparency"] = (1, 2, 3) if mode == "RGB" else rng.randint(0, 1)
    if rng.random() < 0.1:
        options["icc_profile"] = rng.randbytes(rng.randint(1, 300))
    image.save(path, "PNG", **options)
    return f"{path.name}: PNG {mode} {w}x{h} {options}"


def _save_webp(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["RGB", "RGB", "RGBA", "L"])
    w, h = _sides(rng)
    options: dict[str, Any] = {"quality": rng.randint(0, 100), "lossless": rng.random() < 0.3}
    options["method"] = rng.randint(0, 4)
    if rng.random() < 0.2:
        options["exif"] = turned(rng)
    kit.picture(mode, w, h, rng.getrandbits(32)).save(path, "WEBP", **options)
    return f"{path.name}: WebP {mode} {w}x{h} {options}"


def _save_bmp(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["RGB", "RGB", "L", "P", "1"])
    w, h = _sides(rng)
    image = kit.picture("RGB" if mode == "P" else mode, w, h, rng.getrandbits(32))
    if mode == "P":
        image = image.quantize(rng.choice([2, 16, 256]))
    image.save(path, "BMP")
    return f"{path.name}: BMP {mode} {w}x{h}"


def _save_gif(rng: random.Random, path: Path) -> str:
    mode = rng.choice(["L", "P"])
    w, h = _sides(rng)
    image = kit.picture("L" if mode == "L" else "RGB", w, h, rng.getrandbits(32))
    if mode == "P":
        image = image.quantize(rng.choice([2, 7, 64, 256]))
    options: dict[str, Any] = {"interlace": rng.random() < 0.5}
    if rng.random() < 0.2:
        options["transparency"] = rng.randint(0, 1)
    image.save(path, "GIF", **options)
    return f"{path.name}: GIF {mode} {w}x{h} {options}"


def turned(rng: random.Random) -> bytes:
    """EXIF that says which way up, out of range now and then."""
    exif = Image.Exif()
    exif[0x0112] = rng.randint(0, 9)
    return exif.tobytes()


# How often, what, and a name that ImageFolder takes: GIF is none of its endings.
FORMATS = {
    "JPEG": (10, _save_jpeg, "jpg"),
    "PNG": (6, _save_png, "png"),
    "WebP": (2, _save_webp, "webp"),
    "BMP": (1, _save_bmp, "bmp"),
    "GIF": (1, _save_gif, "png"),
}


def make_images(rng: random.Random, root: Path) -> list[str]:
    said = []
    weights = [weight for weight, _, _ in FORMATS.values()]
    for number in range(IMAGES):
        folder = root / rng.choice(["one", "two"])
        folder.mkdir(parents=True, exist_ok=True)
        _, save, ending = FORMATS[rng.choices(list(FORMATS), weights)[0]]
        said.append(save(rng, folder / f"{number:02}.{ending}"))
    return said
