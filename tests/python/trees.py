# SPDX-License-Identifier: Apache-2.0
"""Datasets of torchvision over small folders, in the layout that each class's constructor reads."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kit
import numpy
import pytest
import torch
from torchvision import datasets

N = 11


def _image(path: Path, seed: int) -> str:
    """Of another size and kind each time; some that only Pillow decodes, whatever the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = ("RGB", "L", "RGB", "CMYK")[seed % 4]
    width, height = 30 + 7 * seed % 31, 28 + 5 * seed % 37
    kind = "PPM" if seed == 6 else "JPEG"
    kit.picture("RGB" if kind == "PPM" else mode, width, height, seed).save(path, kind)
    return path.name


def _classes(root: Path, names: tuple[str, ...], suffix: str = ".jpg") -> None:
    for seed in range(N):
        _image(root / names[seed % len(names)] / f"{seed:02}{suffix}", seed)


def _text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _whole(patch: pytest.MonkeyPatch, module: Any) -> None:
    """The constructor's checksums hold for the real files only."""
    patch.setattr(module, "check_integrity", lambda *_, **__: True)


def image_folder(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    _classes(root, ("ant", "bee", "cat"))
    return datasets.ImageFolder(str(root), **options)


def dataset_folder(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    _classes(root, ("ant", "bee", "cat"))
    loader = datasets.folder.pil_loader
    return datasets.DatasetFolder(str(root), loader, extensions=(".jpg",), **options)


def imagenet(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    wnids = ("n01440764", "n02102040")
    _classes(root / "train", wnids, ".JPEG")
    torch.save(({wnid: (wnid, f"class {wnid}") for wnid in wnids}, []), root / "meta.bin")
    return datasets.ImageNet(root, "train", **options)


def country211(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    _classes(root / "country211" / "train", ("AD", "AE"))
    return datasets.Country211(root, **options)


def eurosat(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    _classes(root / "eurosat" / "2750", ("Forest", "River"))
    return datasets.EuroSAT(root, **options)


def imagenette(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    names = ("n01440764", "n02102040")
    _classes(root / "imagenette2-160" / "train", names, ".jpeg")
    return datasets.Imagenette(root, size="160px", **options)


def rendered_sst2(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    _classes(root / "rendered-sst2" / "train", ("negative", "positive"), ".png")
    return datasets.RenderedSST2(root, **options)


def flowers102(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    io = pytest.importorskip("scipy.io")
    base = root / "flowers-102"
    for seed in range(N):
        _image(base / "jpg" / f"image_{seed + 1:05}.jpg", seed)
    io.savemat(base / "setid.mat", {"trnid": numpy.arange(N, 0, -1), "valid": [1], "tstid": [2]})
    io.savemat(base / "imagelabels.mat", {"labels": numpy.arange(N) % 102 + 1})
    _whole(patch, datasets.flowers102)
    return datasets.Flowers102(root, **options)


def food101(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "food-101"
    _classes(base / "images", ("sushi", "apple_pie"))
    found = {path.parent.name: [] for path in (base / "images").glob("*/*")}
    for path in sorted((base / "images").glob("*/*")):
        found[path.parent.name].append(f"{path.parent.name}/{path.stem}")
    _text(base / "meta" / "train.json", [json.dumps(found)])
    return datasets.Food101(root, **options)


def dtd(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "dtd" / "dtd"
    _classes(base / "images", ("banded", "dotted"))
    names = [f"{path.parent.name}/{path.name}" for path in (base / "images").glob("*/*")]
    _text(base / "labels" / "train1.txt", sorted(names, reverse=True))
    return datasets.DTD(root, **options)


def stanford_cars(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    io = pytest.importorskip("scipy.io")
    base = root / "stanford_cars"
    names = [_image(base / "cars_train" / f"{seed:05}.jpg", seed) for seed in range(N)]
    kinds = [(name, "O") for name in ("bbox_x1", "class", "fname")]
    rows = numpy.array([(3, numpy.uint8(i % 5 + 1), names[i]) for i in range(N)], dtype=kinds)
    (base / "devkit").mkdir()
    io.savemat(base / "devkit" / "cars_train_annos.mat", {"annotations": rows})
    classes = numpy.array([f"Car {i}" for i in range(5)], dtype=object)
    io.savemat(base / "devkit" / "cars_meta.mat", {"class_names": classes})
    return datasets.StanfordCars(root, **options)


def fgvc_aircraft(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "fgvc-aircraft-2013b" / "data"
    for seed in range(N):
        _image(base / "images" / f"{seed:07}.jpg", seed)
    _text(base / "families.txt", ["A300", "Boeing 707"])
    lines = [f"{seed:07} {('A300', 'Boeing 707')[seed % 2]}" for seed in range(N)]
    _text(base / "images_family_trainval.txt", lines)
    return datasets.FGVCAircraft(root, annotation_level="family", **options)


def sun397(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "SUN397"
    for seed in range(N):
        _image(base / "ab"[seed % 2] / ("abbey", "bar")[seed % 2] / f"sun_{seed:02}.jpg", seed)
    _text(base / "ClassName.txt", ["/a/abbey", "/b/bar"])
    return datasets.SUN397(root, **options)


def places365(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    for seed in range(N):
        _image(root / "val_256" / f"Places365_val_{seed:08}.jpg", seed)
    _text(root / "categories_places365.txt", ["/a/airfield 0", "/b/bar 1"])
    lines = [f"Places365_val_{seed:08}.jpg {seed % 2}" for seed in range(N)]
    _text(root / "places365_val.txt", lines)
    _whole(patch, datasets.places365)
    return datasets.Places365(root, "val", small=True, **options)


def lfw_people(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "lfw-py"
    people = {"Ada": 7, "Bo_X": 4}
    seed = 0
    for name, n in people.items():
        for number in range(1, n + 1):
            _image(base / "lfw_funneled" / name / f"{name}_{number:04}.jpg", seed)
            seed += 1
    lines = [f"{name}\t{n}" for name, n in people.items()]
    _text(base / "lfw-names.txt", lines)
    _text(base / "peopleDevTrain.txt", ["2", *lines])
    _whole(patch, datasets.lfw)
    return datasets.LFWPeople(str(root), "train", **options)


def pets(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "oxford-iiit-pet"
    lines = []
    for seed in range(N):
        name = f"{('Abyssinian', 'beagle')[seed % 2]}_{seed}"
        _image(base / "images" / f"{name}.jpg", seed)
        lines.append(f"{name} {seed % 5 + 1} {seed % 2 + 1} 1")
    _text(base / "annotations" / "trainval.txt", lines)
    return datasets.OxfordIIITPet(root, **options)


def pets_binary(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    return pets(root, patch, target_types="binary-category", **options)


def gtsrb(root: Path, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    base = root / "gtsrb"
    rows = []
    for seed in range(N):
        path = base / "GTSRB" / "Final_Test" / "Images" / f"{seed:05}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        kit.picture("RGB", 31 + seed, 40 - seed, seed).save(path, "PPM" if seed % 3 else "JPEG")
        rows.append((path.name, seed % 43))
    with open(base / "GT-final_test.csv", "w") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(("Filename", "ClassId"))
        writer.writerows(rows)
    return datasets.GTSRB(root, "test", **options)


TREES: dict[str, Callable[..., Any]] = {
    make.__name__: make
    for make in (
        image_folder,
        dataset_folder,
        imagenet,
        country211,
        eurosat,
        imagenette,
        rendered_sst2,
        flowers102,
        food101,
        dtd,
        stanford_cars,
        fgvc_aircraft,
        sun397,
        places365,
        lfw_people,
        pets,
        pets_binary,
        gtsrb,
    )
}
