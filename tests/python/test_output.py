# SPDX-License-Identifier: Apache-2.0
"""out_dtype and memory_format: what torch's batch would be after .to(), bit for bit."""

from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
from torchvision import transforms
from torchvision.transforms import v2

TRANSFORMS = {
    "float": lambda: transforms.Compose(
        [
            transforms.RandomResizedCrop((21, 33)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    ),
    "scaled": lambda: v2.Compose(
        [v2.Resize((9, 70)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    ),
    # Reaches beyond the image: what is written around it is converted, too.
    "padded": lambda: transforms.Compose(
        [
            transforms.CenterCrop(75),
            transforms.ToTensor(),
            transforms.Normalize([0.3], [1e-3]),
        ]
    ),
    "uint8": lambda: v2.Compose([v2.CenterCrop((16, 40)), v2.PILToTensor()]),
}
DTYPES = (None, torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def batches(kind: type, root: Path, transform: Any, workers: int, **options: Any) -> list[Any]:
    torch.manual_seed(11)
    loader = kind(
        kit.folder_of(root, transform), batch_size=3, num_workers=workers, shuffle=True, **options
    )
    if kind is kit.OURS:
        assert loader.explain().lane == "native"
    return list(loader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("layout", [None, torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_equals_torchs_batch_converted(root: Path, name: str, layout: Any, workers: int) -> None:
    stock = batches(kit.STOCK, root, TRANSFORMS[name](), workers)
    for dtype in DTYPES:
        ours = batches(
            kit.OURS, root, TRANSFORMS[name](), workers, out_dtype=dtype, memory_format=layout
        )
        assert len(ours) == len(stock) > 2
        for (image, label), (expected, expected_label) in zip(ours, stock, strict=True):
            if dtype is not None:
                expected = expected.to(dtype)
            if layout is not None:
                expected = expected.contiguous(memory_format=layout)
            assert image.dtype == expected.dtype
            assert image.shape == expected.shape
            assert image.stride() == expected.stride()
            kit_bits = image.contiguous().view(torch.uint8)
            assert torch.equal(kit_bits, expected.contiguous().view(torch.uint8))
            assert torch.equal(label, expected_label)


@pytest.mark.parametrize("layout", [None, torch.channels_last])
def test_uint8_is_the_pixels_before_the_conversion(root: Path, layout: Any) -> None:
    pixels = transforms.Compose([*TRANSFORMS["float"]().transforms[:2], transforms.PILToTensor()])
    stock = batches(kit.STOCK, root, pixels, 2)
    ours = batches(
        kit.OURS, root, TRANSFORMS["float"](), 2, out_dtype=torch.uint8, memory_format=layout
    )
    for (image, _), (expected, _) in zip(ours, stock, strict=True):
        assert image.dtype == torch.uint8
        assert torch.equal(image, expected)


def test_what_the_engine_does_not_do_is_refused(root: Path) -> None:
    dataset = kit.folder_of(root, transforms.Compose([lambda image: image]))
    loader = kit.OURS(dataset, memory_format=torch.channels_last)
    with pytest.raises(ValueError, match=r"the engine's, and it does not do this loader: .*lambda"):
        iter(loader)


def test_a_pipeline_that_changes_under_way_is_refused(root: Path) -> None:
    dataset = kit.folder_of(root, TRANSFORMS["float"]())
    iterator = iter(kit.OURS(dataset, out_dtype=torch.float16))
    next(iterator)
    dataset.transform.transforms.insert(0, lambda image: image)
    with pytest.raises(RuntimeError, match="have changed"):
        next(iterator)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"out_dtype": torch.float64}, "out_dtype should be"),
        ({"out_dtype": "float16"}, "out_dtype should be"),
        ({"memory_format": torch.preserve_format}, "memory_format should be"),
    ],
)
def test_bad_values(root: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kit.OURS(kit.folder_of(root, None), **options)


def test_verify(root: Path) -> None:
    options: dict[str, Any] = {"batch_size": 4, "memory_format": torch.channels_last}
    loader = kit.OURS(
        kit.folder_of(root, TRANSFORMS["float"]()), out_dtype=torch.bfloat16, **options
    )
    assert penstock.verify(loader).ok
    loader.out_dtype = torch.uint8
    with pytest.raises(ValueError, match="without out_dtype"):
        penstock.verify(loader)


def test_what_is_erased_is_converted_too(root: Path) -> None:
    def erasing(*last: Any) -> Any:
        return transforms.Compose(
            [transforms.Resize((20, 30)), *last, transforms.RandomErasing(p=1.0, value=(0.1, 7, 3))]
        )

    last = [transforms.ToTensor(), transforms.Normalize([0.1], [0.3])]
    stock = batches(kit.STOCK, root, erasing(*last), 2)
    for dtype in (torch.float16, torch.bfloat16):
        ours = batches(
            kit.OURS, root, erasing(*last), 2, out_dtype=dtype, memory_format=torch.channels_last
        )
        for (image, _), (expected, _) in zip(ours, stock, strict=True):
            assert torch.equal(image, expected.to(dtype))
    loader = kit.OURS(kit.folder_of(root, erasing(*last)), out_dtype=torch.uint8)
    with pytest.raises(ValueError, match="no value before the conversion"):
        iter(loader)
    pixels = erasing(transforms.PILToTensor())
    stock = batches(kit.STOCK, root, pixels, 2)
    ours = batches(kit.OURS, root, pixels, 2, out_dtype=torch.float16)
    for (image, _), (expected, _) in zip(ours, stock, strict=True):
        assert torch.equal(image, expected.to(torch.float16))
