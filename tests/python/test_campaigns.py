# SPDX-License-Identifier: Apache-2.0
"""Short runs of the parity campaigns, and what they would say of a loader that is wrong."""

from pathlib import Path
from typing import Any

import campaigns
import pytest

parity = campaigns.load("parity")
properties = campaigns.load("properties")
twins = campaigns.load("twins")
mutations = campaigns.load("mutations")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def quick(photos: Path, zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return parity.quick_plan(tmp_path_factory.mktemp("quick"), zoo.parent)


@pytest.mark.parametrize(
    ("pipeline", "workers"), [("train_v1", 2), ("eval_v1", 0), ("train_v2", 0), ("eval_v2", 2)]
)
def test_photos_and_the_zoo(quick: Any, pipeline: str, workers: int) -> None:
    result = parity.run(parity.Plan(quick.folders, (workers,), (2,), (pipeline,)))
    assert result.differences == []
    assert result.combinations == (6 if workers else 3)
    assert result.images > 500
    assert result.errors > 0
    assert result.doubts < result.images / 5


@pytest.mark.fault("R21")
def test_random_images_through_random_pipelines(tmp_path: Path) -> None:
    result = properties.run(200, 77, tmp_path)
    assert result.differences == []
    assert result.cases >= 200
    assert result.by_pillow + result.on_torch < result.cases / 2


def test_a_group_is_drawn_from_its_key_alone(tmp_path: Path) -> None:
    import random

    drawn = [
        properties.make_images(random.Random("9-9 images"), tmp_path / name) for name in ("a", "b")
    ]
    assert drawn[0] == drawn[1]
    files = sorted((tmp_path / "a").glob("*/*"))
    assert len(files) == properties.IMAGES
    for file in files:
        twin = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert twin.read_bytes() == file.read_bytes()
    group = properties.Group("9-9", tmp_path / "a", drawn[0])
    assert repr(group.make(twins.STOCK).dataset) == repr(group.make(twins.STOCK).dataset)


def test_one_level_in_one_pixel_is_a_difference(tmp_path: Path) -> None:
    root = twins.kit.make_folder(tmp_path)

    def life(change: int) -> Any:
        dataset = twins.datasets.ImageFolder(str(root), twins.PIPELINES["eval_v1"]())
        twins.kit.seed_all(1)
        inner = dataset.transform

        def transform(image: Any) -> Any:
            values = inner(image)
            values[0, 0, 0] += change * 2.0**-20
            return values

        dataset.transform = transform
        return twins.live(twins.STOCK(dataset, batch_size=4))

    assert twins.difference(life(0), life(0)) is None
    assert "step 2" in twins.difference(life(0), life(1))


def test_a_word_drawn_too_many_is_a_difference(tmp_path: Path) -> None:
    root = twins.kit.make_folder(tmp_path)

    def life(n: int) -> Any:
        dataset = twins.datasets.ImageFolder(str(root), twins.PIPELINES["eval_v1"]())
        twins.kit.seed_all(1)
        loader = twins.STOCK(dataset, batch_size=4)
        twins.torch.rand(n)
        return twins.live(loader)

    assert twins.difference(life(0), life(0)) is None
    assert "step 0" in twins.difference(life(0), life(1))


def test_mutations_of_a_photo(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(twins.kit.jpeg(64, 48))
    cut, flipped = mutations.cut(path, 1), mutations.flip(path, 1, 40, 1)
    assert cut.differences == flipped.differences == []
    assert cut.files > 500
    assert cut.vouched < 3  # without its last marker it may pass
    assert flipped.files == 40
    assert 0 < flipped.vouched < 40


def test_other_pixels_are_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = twins.decode_kit.native
    monkeypatch.setattr(twins.decode_kit, "native", lambda data: native(data) ^ 1)
    result = mutations.Result()
    mutations.compare(result, twins.kit.jpeg(), "a photo")
    assert result.differences == ["a photo: other pixels than Pillow's"]
