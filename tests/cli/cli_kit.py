# SPDX-License-Identifier: Apache-2.0
"""What the tool's tests share."""

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    colours = Image.linear_gradient("L").resize((width, height))
    turned = colours.rotate(37 * seed + 11)
    flat = Image.new("L", (width, height), 40 * seed % 256)
    return Image.merge("RGB", (colours, turned, flat))
