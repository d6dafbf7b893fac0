# SPDX-License-Identifier: Apache-2.0
"""Writes where fuzzing starts: small files of every kind that a parser knows.

A target's input opens with bytes that say how the file is read; see the tops of the targets in
tests/fuzz. The file itself follows.
"""

import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

PREFIXES = {
    "array": (b"\x01", b"\x03"),
    "bmp": (b"\x00\x20\x30", b"\x10\x10\x40"),
    "gif": (b"\x00\x20\x30", b"\x10\x10\x40"),
    "inflate": (b"\xff\xff",),
    "jpeg": (b"\x00\x00\xff\xff\x07", b"\x40\x60\x80\x30\x00"),
    "png": (b"\x00\x20\x30\x80", b"\x01\x10\x10\x40"),
    "webp": (b"\x20\x30\x80\x00", b"\x10\x10\x40\x01"),
    "index": (b"\x01",),
    "list": (b"\x00", b"\x01", b"\x02", b"\x03"),
    "megatron": (b"\x00", b"\x01"),
    "datatrove": (b"\x00", b"\x01"),
    "npy": (b"\x00", b"\x28"),
    "npz": (b"\x00",),
    "safetensors": (b"\x00",),
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


def bmp_files() -> list[bytes]:
    files = [encode(picture(mode, 19, 13), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    # A header with masks, and the one of OS/2.
    masks = bytes.fromhex("00f80000e00700001f000000")
    pixels = bytes(range(40))
    info = bytes.fromhex("28000000 05000000 04000000 0100 1000 03000000") + bytes(20)
    files.append(b"BM" + bytes(8) + b"\x42\0\0\0" + info + masks + pixels + bytes(8))
    core = bytes.fromhex("0c000000 0500 0400 0100 0400")
    files.append(b"BM" + bytes(8) + b"\x4a\0\0\0" + core + bytes(range(48)) + pixels)
    return files


def gif_files() -> list[bytes]:
    files = [encode(picture(mode, 33, 21), "GIF") for mode in ("1", "L", "P", "RGB")]
    files.append(encode(picture("P", 40, 40), "GIF", interlace=0, transparency=3, comment="x"))
    frames = [picture("RGB", 24, 24), picture("L", 24, 24)]
    options = {"save_all": True, "append_images": frames[1:], "loop": 0, "disposal": 2}
    files.append(encode(frames[0], "GIF", **options))
    return files


def deflate_streams() -> list[bytes]:
    streams = []
    for mode, size in (("1", 9), ("L", 21), ("RGB", 60)):
        plain = picture(mode, size, size).tobytes()
        for strategy in range(zlib.Z_FIXED + 1):
            for level in (0, 1, 9):
                packer = zlib.compressobj(level, wbits=-15, strategy=strategy)
                streams.append(packer.compress(plain) + packer.flush())
    return streams


def index_file(classes: list[tuple[int, bytes, list[bytes]]]) -> bytes:
    """docs/format-index.md, without the hashes, which the target makes right."""
    folders = [(0, b"", []), *classes]
    sections = [
        b"/root\0.jpg .png\0",
        b"".join(
            struct.pack("<6Q2I2Q", 1, 2, 3, 4, 5, 6, parent, 0, len(names), sum(map(len, names)))
            for parent, _, names in folders
        ),
        b"".join(name + b"\0" for _, name, _ in folders),
        b"".join(b"".join(names) for _, _, names in folders),
    ]
    n_samples = sum(len(names) for _, _, names in folders)
    header = b"PSTIDX\r\n" + struct.pack("<2I3Q", 1, 128, len(folders), n_samples, 0)
    header += b"".join(struct.pack("<2Q", len(section), 0) for section in sections)
    return header.ljust(128, b"\0") + b"".join(sections)


def index_files() -> list[bytes]:
    return [
        index_file([(0, b"a", [b"1.jpg\0"])]),
        index_file([(0, b"a", []), (1, b"deep", [b"1.jpg\0", b"2.png\0"]), (0, b"b", [])]),
        index_file([(0, b"\xff", [b"\n.jpg\0"] * 40), (1, b"x", []), (2, b"y", [b"z.jpg\0"])]),
    ]


def list_files() -> list[bytes]:
    return [
        b"path,label\na.jpg,0\nb.jpg,1\n",
        b'label;path\r\n"one ""two""";"a\nb.jpg"\r\n',
        b"\xef\xbb\xbfpath\tlabel\n\xc3\xa9.jpg\tcat\n",
        b'{"path": "a.jpg", "label": 3}\n{"label": -1, "path": "b\\u00e9\\ud83d\\ude00.jpg"}\n',
        b'{"path":"x","label":"cat","other":[1,2.5e3,{"a":null}],"more":true}\n\n',
    ]


def npy_files() -> list[bytes]:
    arrays = [
        numpy.arange(12, dtype="<f4").reshape(3, 4),
        numpy.asfortranarray(numpy.arange(12, dtype=">i2").reshape(3, 4)),
        numpy.zeros((), "<u8"),
        numpy.zeros((0, 3), bool),
        numpy.zeros(2, "i4,f4"),
    ]
    files = []
    for array in arrays:
        for version in ((1, 0), (2, 0), (3, 0)):
            out = io.BytesIO()
            numpy.lib.format.write_array(out, array, version)
            files.append(out.getvalue())
    return files


def safetensors_file(tensors: list[tuple[str, str, list[int], int]], **more: object) -> bytes:
    header: dict[str, object] = dict(more)
    end = 0
    for name, dtype, shape, size in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def safetensors_files() -> list[bytes]:
    return [
        safetensors_file([]),
        safetensors_file([("a", "F32", [2, 3], 24), ("b\n\u00e9", "BF16", [], 2)]),
        safetensors_file([("x", "F8_E4M3", [5], 5), ("y", "BOOL", [0, 4], 0)]),
        safetensors_file([("w", "U16", [3], 6)], __metadata__={"format": "pt"}),
    ]


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def array_file(columns: list[bytes], streams: list[int], segments: list[list[bytes]]) -> bytes:
    """docs/format-array.md, without the CRCs of footer and roots, which the target makes right.
    columns: as in a footer; streams: bytes of an element of each, blocks of 3 of them; segments:
    the data of each stream, the first one's elements are the rows."""
    file, table, n_rows = bytearray(8192), b"", 0
    for datas in segments:
        table += struct.pack("<Q", len(datas[0]) // streams[0])
        n_rows += len(datas[0]) // streams[0]
        for element, data in zip(streams, datas, strict=True):
            if not data:
                table += struct.pack("<4Q", 0, 0, 3, 0)
                continue
            file += bytes(-len(file) % 4096)
            begin, block = len(file), 3 * element
            file += data
            table += struct.pack("<4Q", begin, len(data) // element, 3, len(file))
            crcs = [crc32c(data[i : i + block]) for i in range(0, len(data), block)]
            sums = struct.pack(f"<{len(crcs)}I", *crcs)
            file += sums + struct.pack("<I", crc32c(sums))
    head = struct.pack("<2Q2IQ", n_rows, len(segments), len(columns), 4, 0)
    footer = head + b"".join(columns) + b"note" + table
    root = b"PSTARR\r\n" + struct.pack("<2I4Q", 1, 0, 7, len(file), len(footer), 0)
    file += footer
    for at in (0, 4096):
        file[at : at + len(root)] = root
        file[at + 40 : at + 48] = struct.pack("<Q", len(file))
    return bytes(file)


def array_files() -> list[bytes]:
    fixed = bytes([3, 0, 2, 1]) + struct.pack("<I2Q", 0, 2, 3) + b"x"
    ragged = bytes([4, 1, 0, 4]) + bytes(4) + b"text"
    ends = [struct.pack("<4q", 2, 2, 5, 9), struct.pack("<2q", 9, 9)]
    return [
        array_file([fixed], [24], [[bytes(range(240))], [bytes(24)]]),
        array_file([ragged], [8, 1], [[ends[0], b"nine here"], [ends[1], b""]]),
        array_file([fixed, ragged], [24, 8, 1], [[bytes(96), ends[0], b"and there"]]),
        array_file([fixed], [24], []),
    ]


def megatron_file(code: int, size: int, lengths: list[int], bounds: list[int]) -> bytes:
    """An index as src/format/tokens/megatron.c describes it."""
    pointers = [size * sum(lengths[:i]) for i in range(len(lengths))]
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, len(lengths), len(bounds))
    return header + struct.pack(
        f"<{len(lengths)}i{len(pointers)}q{len(bounds)}q", *lengths, *pointers, *bounds
    )


def megatron_files() -> list[bytes]:
    several = megatron_file(8, 2, [5, 0, 7, 1], [0, 1, 1, 4])
    return [
        megatron_file(1, 1, [], [0]),
        megatron_file(4, 4, [3], [0, 1]),
        several,
        several + bytes(4),  # with modes
        megatron_file(5, 8, [1] * 1200, list(range(0, 1201, 3))),
    ]


def datatrove_files() -> list[bytes]:
    return [b"", struct.pack("<3Q", 5, 5, 70000), struct.pack("<1100Q", *range(1100))]


def npz_file(save: Any, **arrays: object) -> bytes:
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


def npz_files() -> list[bytes]:
    small, odd = numpy.arange(6, dtype="u1").reshape(2, 3), numpy.array([{}], object)
    files = [
        npz_file(numpy.savez),
        npz_file(numpy.savez, a=small),
        npz_file(numpy.savez, a=small.T, b=odd, c=numpy.float64(1)),
        npz_file(numpy.savez_compressed, a=small),
    ]
    one = files[1]
    end, first = len(one) - 22, one.find(b"PK\1\2")
    directory = struct.pack("<4Q", 1, 1, end - first, first)
    end64 = struct.pack("<IQHHII", 0x06064B50, 44, 45, 45, 0, 0) + directory
    locator = struct.pack("<IIQI", 0x07064B50, 0, end, 1)
    return [*files, one[:end] + end64 + locator + one[end:]]


SEEDS = {
    "array": array_files,
    "bmp": bmp_files,
    "gif": gif_files,
    "inflate": deflate_streams,
    "jpeg": jpeg_files,
    "png": png_files,
    "webp": webp_files,
    "index": index_files,
    "list": list_files,
    "megatron": megatron_files,
    "datatrove": datatrove_files,
    "npy": npy_files,
    "safetensors": safetensors_files,
    "npz": npz_files,
}


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
