# SPDX-License-Identifier: Apache-2.0
"""The recipes of torchvision's references/classification/presets.py, v1 and v2, for both of its
backends that take images: each runs natively where it can, and gives stock's batches anyway."""

from pathlib import Path
from typing import Any

import kit
import pytest
import torch
from penstock.datasets import ImageFolder
from PIL import Image
from torchvision import datasets, transforms
from torchvision.transforms import InterpolationMode, v2

FAMILIES: dict[str, Any] = {"v1": transforms, "v2": v2}


def numbers(family: Any, backend: str) -> list[Any]:
    steps: list[Any] = []
    if backend == "pil":
        steps.append(v2.ToImage() if family is v2 else transforms.PILToTensor())
    if family is v2:
        steps.append(v2.ToDtype(torch.float, scale=True))
    else:
        steps.append(transforms.ConvertImageDtype(torch.float))
    return [*steps, family.Normalize(mean=kit.MEAN, std=kit.STD)]


def automatic(family: Any, policy: str | None, interpolation: Any) -> list[Any]:
    if policy is None:
        return []
    if policy == "ra":
        return [family.RandAugment(interpolation=interpolation, magnitude=9)]
    if policy == "ta_wide":
        return [family.TrivialAugmentWide(interpolation=interpolation)]
    chosen = family.AutoAugmentPolicy(policy)
    return [family.AutoAugment(policy=chosen, interpolation=interpolation)]


def train(
    family: Any,
    backend: str,
    policy: str | None = None,
    erase: float = 0.0,
    interpolation: Any = InterpolationMode.BILINEAR,
) -> Any:
    steps = [family.PILToTensor()] if backend == "tensor" else []
    steps.append(family.RandomResizedCrop(24, interpolation=interpolation, antialias=True))
    steps.append(family.RandomHorizontalFlip(0.5))
    steps += automatic(family, policy, interpolation)
    steps += numbers(family, backend)
    if erase > 0:
        steps.append(family.RandomErasing(p=erase))
    if family is v2:
        steps.append(v2.ToPureTensor())
    return family.Compose(steps)


def evaluate(family: Any, backend: str, interpolation: Any = InterpolationMode.BILINEAR) -> Any:
    steps = [family.PILToTensor()] if backend == "tensor" else []
    steps.append(family.Resize(32, interpolation=interpolation, antialias=True))
    steps.append(family.CenterCrop(24))
    steps += numbers(family, backend)
    if family is v2:
        steps.append(v2.ToPureTensor())
    return family.Compose(steps)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def compare(root: Path, make: Any, native: bool, **options: Any) -> None:
    options = {"batch_size": 5, "shuffle": True, **options}

    def made(cls: Any) -> Any:
        return lambda: (cls(kit.folder_of(root, make()), **options), ())

    expected = kit.run(made(kit.STOCK))
    kit.assert_same(expected, kit.run(made(kit.OURS), native=native))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("policy", [None, "ra", "ta_wide", "imagenet"])
@pytest.mark.parametrize("name", FAMILIES)
def test_training(root: Path, name: str, policy: str | None, workers: int) -> None:
    family = FAMILIES[name]
    compare(root, lambda: train(family, "pil", policy, 0.1), True, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("filter", [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC])
@pytest.mark.parametrize("name", FAMILIES)
def test_evaluation(root: Path, name: str, filter: Any, workers: int) -> None:
    family = FAMILIES[name]
    compare(root, lambda: evaluate(family, "pil", filter), True, num_workers=workers)
    bicubic = train(family, "pil", None, 0.0, filter)
    compare(root, lambda: bicubic, True, num_workers=workers)


def test_the_tensor_backend_of_v1_is_torchs(root: Path) -> None:
    """It resizes tensors in float32."""
    for make in (
        lambda: train(transforms, "tensor", "ra", 0.1),
        lambda: evaluate(transforms, "tensor"),
    ):
        compare(root, make, False)
        reason = kit.OURS(kit.folder_of(root, make())).explain().reason
        assert "works on a tensor here, not on a PIL image" in reason


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch resizes uint8 in float32 here",
)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("filter", [InterpolationMode.BILINEAR, InterpolationMode.BICUBIC])
def test_the_tensor_backend_of_v2(root: Path, filter: Any, workers: int) -> None:
    compare(root, lambda: train(v2, "tensor", None, 0.1, filter), True, num_workers=workers)
    compare(root, lambda: evaluate(v2, "tensor", filter), True, num_workers=workers)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch resizes uint8 in float32 here",
)
@pytest.mark.parametrize("policy", ["ra", "ta_wide", "imagenet"])
def test_the_tensor_backend_of_v2_with_a_policy(root: Path, policy: str) -> None:
    compare(root, lambda: train(v2, "tensor", policy, 0.1), True, num_workers=2)


# --- in the object that the references hold them in


class Recipe:
    def __init__(self, steps: Any) -> None:
        self.transforms = steps

    def __call__(self, img: Any) -> Any:
        """As in torchvision's references."""
        return self.transforms(img)


class Named:
    def __init__(self, steps: Any) -> None:
        self.inner = steps

    def __call__(self, x: Any) -> Any:
        return self.inner(x)


class Longer(Recipe):
    def __call__(self, img: Any) -> Any:
        return self.transforms(self.transforms(img))


class Twice(Recipe):
    def __call__(self, img: Any, again: Any = None) -> Any:
        return self.transforms(img)


class Other(Recipe):
    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__(name)


class Shown(Recipe):
    @property
    def transforms(self) -> Any:
        return evaluate(v2, "pil")

    @transforms.setter
    def transforms(self, steps: Any) -> None:
        vars(self)["transforms"] = steps


class More(Recipe):
    def __init__(self, steps: Any) -> None:
        super().__init__(steps)
        self.size = torch.zeros(2)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", FAMILIES)
def test_recipes_as_the_references_hold_them(root: Path, name: str, workers: int) -> None:
    family = FAMILIES[name]
    compare(root, lambda: Recipe(train(family, "pil", "ra", 0.1)), True, num_workers=workers)
    compare(root, lambda: Recipe(Named(evaluate(family, "pil"))), True, num_workers=workers)


@pytest.mark.parametrize("cls", [Longer, Twice, Other, Shown, More])
def test_objects_that_may_do_something_else(root: Path, cls: Any) -> None:
    dataset = kit.folder_of(root, cls(evaluate(transforms, "pil")))
    assert f"{cls.__name__} has no native counterpart" in kit.OURS(dataset).explain().reason


def test_what_a_recipe_holds_may_change_under_way(root: Path) -> None:
    def changing(cls: Any, *, by_class: bool) -> Any:
        class Mine(Recipe):
            pass

        torch.manual_seed(3)
        recipe = Mine(transforms.Compose([transforms.Resize((20, 20)), transforms.ToTensor()]))
        seen = []
        for number, batch in enumerate(cls(kit.folder_of(root, recipe), batch_size=3)):
            seen.append(kit.visible(batch))
            if number == 0 and by_class:
                Mine.__call__ = lambda self, img: self.transforms(img).neg()  # type: ignore[method-assign]
            elif number == 0:
                recipe.transforms = evaluate(v2, "pil")
        return seen

    for by_class in (False, True):
        expected = changing(kit.STOCK, by_class=by_class)
        assert changing(kit.OURS, by_class=by_class) == expected


# --- RGB, ToPILImage and ToPureTensor, wherever they may stand


def around() -> Any:
    return v2.Compose(
        [
            v2.ToPILImage("L"),
            v2.RGB(),
            v2.Resize((20, 20)),
            v2.RandomApply([v2.RGB(), v2.ToPILImage(), v2.RandomVerticalFlip()]),
            v2.ToPureTensor(),
            v2.ToImage(),
            v2.ToPureTensor(),
            v2.RGB(),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
            v2.ToPureTensor(),
            v2.RandomErasing(0.5),
        ]
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_what_does_nothing_may_stand_anywhere(root: Path, workers: int) -> None:
    compare(root, around, True, num_workers=workers)


def grey_loader(path: str) -> Any:
    with open(path, "rb") as file:
        return Image.open(file).convert("L")


def coloured() -> Any:
    return v2.Compose(
        [
            v2.ColorJitter(0.3, 0.3),
            v2.RGB(),
            v2.Resize((20, 20)),
            v2.ColorJitter(0.3, 0.3, 0.3, 0.1),
            v2.RandomSolarize(99),
            v2.ToImage(),
            v2.RGB(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(kit.MEAN, kit.STD),
        ]
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_grey_images_become_three_channels(root: Path, workers: int) -> None:
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "num_workers": workers}

    def stock() -> Any:
        dataset = datasets.ImageFolder(str(root), coloured(), loader=grey_loader)
        return kit.STOCK(dataset, **options), ()

    def ours() -> Any:
        return kit.OURS(ImageFolder(root.as_posix(), coloured(), mode="L"), **options), ()

    kit.assert_same(kit.run(stock), kit.run(ours, native=True))


def test_what_is_left_to_torch(root: Path) -> None:
    def reason(dataset: Any) -> str:
        explanation = kit.OURS(dataset).explain()
        assert explanation.lane == "python"
        return str(explanation.reason)

    again = v2.Compose([v2.ToImage(), v2.ToPILImage(), v2.ToImage()])
    assert "ToPILImage works on a tensor here" in reason(kit.folder_of(root, again))
    sometimes = v2.Compose([v2.RandomApply([v2.RGB()]), v2.ToImage()])
    grey = ImageFolder(root.as_posix(), sometimes, mode="L")
    assert "rgb: it makes 3 channels of 1, and only sometimes" in reason(grey)
    late = ImageFolder(root.as_posix(), v2.Compose([v2.ToImage(), v2.RGB()]), mode="L")
    assert "the transforms give shape (3, 1, 256)" in reason(late)
    v1 = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()])
    assert "ToPILImage has no native counterpart" in reason(kit.folder_of(root, v1))
