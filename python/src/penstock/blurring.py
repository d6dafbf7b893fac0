# SPDX-License-Identifier: Apache-2.0
"""torchvision's Gaussian blur: its weights, and whether torch adds the products as the engine does.

The weights are torch's own, over a block of candidates in one call. The sum of a pixel's products
is the engine's, and its rounding depends on the order of the products and on what is fused. Both
are tried once per process, for each size of kernel, against the installed torch and torchvision;
where they differ, the blur is left to the reference.
"""

import math
import struct
import sys
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from penstock import _core, ops
from penstock.refusal import refuse

_MOST_KEPT = 24  # PST_MAX_BLUR_WEIGHTS


def is_kept(width: int, height: int) -> bool:
    """Whether the engine has room for such a kernel."""
    halves = ((width + 1) // 2, (height + 1) // 2)
    return halves[0] + (0 if width == height else halves[1]) <= _MOST_KEPT


def weights(sigma: torch.Tensor, taps: int, v2: bool) -> torch.Tensor:
    """What torchvision's _get_gaussian_kernel1d() computes for each of some sigmas."""
    if v2:
        end = (taps - 1) / (2.0 * math.sqrt(2.0))
        x = torch.linspace(-end, end, steps=taps, dtype=torch.float32, device="cpu")
        return torch.softmax(x.div(sigma[:, None]).pow(2).neg(), dim=1)
    end = (taps - 1) * 0.5
    x = torch.linspace(-end, end, steps=taps, dtype=torch.float32, device="cpu")
    pdf = torch.exp(-0.5 * (x / sigma[:, None]).pow(2))
    return pdf / pdf.sum(dim=1, keepdim=True)


def weights_in_place(values: memoryview, taps: int, v2: bool) -> None:
    """Of taps values each time the first is a sigma; they become its weights."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        block = torch.frombuffer(values, dtype=torch.float32).view(-1, taps)
        block.copy_(weights(block[:, 0].clone(), taps, v2))


def fixed_table(sigma: float, width: int, height: int, v2: bool) -> tuple[float, ...]:
    """The weights of a row and of a column for one sigma."""
    one = torch.tensor([sigma], dtype=torch.float32, device="cpu")
    return (*weights(one, width, v2)[0].tolist(), *weights(one, height, v2)[0].tolist())


def op(sigma: tuple[float, float], width: int, height: int, v2: bool) -> ops.Op:
    """A step of the engine. A sigma that does not vary has its weights with it."""
    low, high = torch.tensor(sigma, dtype=torch.float32, device="cpu").tolist()
    table = fixed_table(low, width, height, v2) if low == high else ()
    return ops.make(ops.GAUSSIAN_BLUR, h=height, w=width, scale=sigma, count=int(v2), table=table)


# --- proof


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _functions(v2: bool) -> tuple[Any, Any]:
    """torchvision's own: weights of a row, blur."""
    if v2:
        home = sys.modules["torchvision.transforms.v2.functional"]
        return home._misc._get_gaussian_kernel1d, home.gaussian_blur
    tensors = sys.modules["torchvision.transforms._functional_tensor"]
    return tensors._get_gaussian_kernel1d, sys.modules[
        "torchvision.transforms.functional"
    ].gaussian_blur


def _check_weights(generator: torch.Generator, taps: int, v2: bool) -> None:
    one_row = _functions(v2)[0]
    sigma = torch.empty(48, device="cpu").uniform_(0.1, 3.0, generator=generator)
    sigma[0], sigma[1] = 0.01, 40.0
    block = bytearray(4 * taps * len(sigma))
    values = torch.frombuffer(block, dtype=torch.float32).view(-1, taps)
    values[:, 0] = sigma
    weights_in_place(memoryview(block), taps, v2)
    for got, one in zip(values, sigma.tolist(), strict=True):
        expected = one_row(taps, one, torch.float32, torch.device("cpu"))
        _expect(torch.equal(got, expected), f"{taps} weights")
        _expect(torch.equal(got, got.flip(0)), f"{taps} weights are not symmetrical")


def _chain(padded: torch.Tensor, kernel: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Fused multiply-adds, row after row. The products and sums are exact in float64, as the
    weights are of one size; so there is one rounding each."""
    total = torch.zeros(3, height, width, device="cpu")
    wide = padded.double()
    for i, row in enumerate(kernel.double()):
        for j, weight in enumerate(row):
            part = wide[:, i : i + height, j : j + width]
            total = (total.double() + part * weight).float()
    return total


def _check_order(generator: torch.Generator, width: int, height: int) -> None:
    """Of the products in the sums of conv2d, for planes and for pixels one after the other."""
    for h, w in ((height // 2 + 1, width // 2 + 1), (3, 2), (19, 37), (33, 70)):
        image = torch.randint(0, 256, (h + height - 1, w + width - 1, 3), generator=generator)
        pixels = image.permute(2, 0, 1)[None].float()
        kernel = torch.rand(height, width, generator=generator, device="cpu") / 2 + 0.5
        expected = _chain(pixels[0], kernel, h, w)
        for padded in (pixels, pixels.contiguous()):
            got = F.conv2d(padded, kernel.expand(3, 1, height, width), groups=3)[0]
            _expect(torch.equal(got, expected), "the order of products")


def _check_parts(generator: torch.Generator, width: int, height: int) -> None:
    """The sums of a large image are those of a small part of it."""
    image = torch.randint(0, 256, (3, 230 + height, 220 + width), generator=generator)
    pixels = image[None].float()
    kernel = torch.rand(height, width, generator=generator, device="cpu").expand(3, 1, -1, -1)
    for padded in (pixels, pixels.contiguous(memory_format=torch.channels_last)):
        whole = F.conv2d(padded, kernel, groups=3)
        for y, x in ((0, 0), (97, 131), (201, 180)):  # of the part; the last lies in the corner
            part = padded[:, :, y : y + 29 + height, x : x + 39 + width]
            got = F.conv2d(part, kernel, groups=3)
            expected = whole[:, :, y : y + got.shape[2], x : x + got.shape[3]]
            _expect(torch.equal(got, expected), "the order of products in a large image")


def _check_images(generator: torch.Generator, width: int, height: int, v2: bool) -> None:
    blur = _functions(v2)[1]
    pil = sys.modules["PIL.Image"]
    plain = (0.0, 0.0, 0.0)
    for h, w, sigma in ((height // 2 + 1, width // 2 + 1, 1.5), (41, 60, 0.7), (24, 90, 2.0)):
        h, w = max(h, height // 2 + 1), max(w, width // 2 + 1)
        image = torch.randint(0, 256, (h, w, 3), generator=generator, dtype=torch.uint8)
        rgb = bytes(image.flatten().tolist())
        one = op((sigma, sigma), width, height, v2)
        engine = _core.Transform(
            [one], dtype="u8", lut=None, mean=plain, std=plain, era=0, channels=3, layout=1
        )
        got = bytes(memoryview(engine.apply(rgb, w, h, bytes(4))[0]))
        exact = struct.unpack("<f", struct.pack("<f", sigma))[0]
        theirs = blur(pil.frombytes("RGB", (w, h), rgb), [width, height], [exact, exact])
        _expect(got == theirs.tobytes(), "pixels")


@lru_cache(maxsize=64)
def refusal(width: int, height: int, v2: bool) -> str | None:
    """Why the blur of the installed torch and torchvision is not the engine's, or None."""
    try:
        generator = torch.Generator(device="cpu")
        generator.manual_seed(1000 * width + height)
        with torch.no_grad():
            for taps in {width, height}:
                _check_weights(generator, taps, v2)
            _check_order(generator, width, height)
            _check_parts(generator, width, height)
            _check_images(generator, width, height, v2)
    except Exception as error:
        return (
            f"the blur of torch {torch.__version__} on this machine is not the known one, for a "
            f"kernel of {width} x {height}: {error}"
        )
    return None


# --- the process


def _precisions() -> set[str]:
    """What torch may compute float32 by, where this torch can be asked."""
    backends = torch.backends
    asked = (
        backends,
        backends.mkldnn,
        *(getattr(backends.mkldnn, n, None) for n in ("conv", "matmul")),
    )
    return {str(getattr(one, "fp32_precision", "none")) for one in asked}


def check_settings(name: str) -> None:
    """The settings of the process that change what a convolution or a product of matrices is
    computed by. Raises Refusal."""
    if torch.is_autocast_enabled("cpu"):
        refuse("transform", f"{name} is computed by autocast's types")
    if torch.get_float32_matmul_precision() != "highest" or _precisions() - {"none", "ieee"}:
        refuse("transform", f"{name} is computed by a lower precision of float32")
