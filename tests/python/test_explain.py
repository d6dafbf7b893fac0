# SPDX-License-Identifier: Apache-2.0
"""explain(), stats() and verify()."""

import gc
import json
from pathlib import Path
from typing import Any

import kit
import penstock
import pytest
import torch
from penstock import reference
from torchvision import transforms


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


def test_the_native_lane_is_explained_stage_by_stage(root: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 4, num_workers=3, threads=2)
    explanation = loader.explain()
    assert explanation.lane == "native"
    names = [stage.name for stage in explanation.stages]
    assert names == [
        "order",
        "dataset",
        "read",
        "decode",
        "plan",
        "RandomResizedCrop (v1)",
        "RandomHorizontalFlip (v1)",
        "ToTensor (v1)",
        "Normalize (v1)",
        "collate",
        "deliver",
    ]
    lines = str(explanation).splitlines()
    assert lines[0].startswith("penstock: native lane")
    assert lines[1] == f"threads 2, rng torch, profile {explanation.settings['profile']}"
    assert len(lines) == 3 + len(names)
    assert "3 workers" in str(explanation)
    again = json.loads(json.dumps(explanation.as_dict()))
    assert [stage["name"] for stage in again["stages"]] == names


def test_the_python_lane_names_who_stands_in_the_way(root: Path) -> None:
    transform = transforms.Compose([transforms.ElasticTransform(), transforms.ToTensor()])
    explanation = kit.OURS(kit.folder_of(root, transform)).explain()
    by_name = {stage.name: stage for stage in explanation.stages}
    assert "ElasticTransform" in by_name["transform"].why
    assert by_name["decode"].why == "goes with transform"
    assert {stage.lane for stage in explanation.stages} == {"python"}
    for loader, stage in (
        (kit.OURS([1, 2]), "dataset"),
        (kit.OURS(kit.folder_of(root, kit.eval_v1()), batch_size=None), "order"),
        (kit.OURS(kit.folder_of(root, kit.eval_v1()), timeout=3), "workers"),
        (kit.OURS(kit.folder_of(root, kit.eval_v1()), collate_fn=list), "collate"),
    ):
        found = loader.explain()
        assert [s.name for s in found.stages if not s.why.startswith("goes")][-1] == stage


def test_explain_moves_nothing_and_does_not_raise(root: Path) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("nothing here")

    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 4, shuffle=True, num_workers=2)
    before = kit.states()
    for _ in range(3):
        assert str(loader.explain())
    assert kit.states() == before
    assert loader._iterator is None
    assert str(penstock.explain(Broken()))  # type: ignore[arg-type]
    assert kit.states() == before


def test_explain_reads_the_loader_anew(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    loader = kit.OURS(dataset)
    assert loader.explain().lane == "native"
    dataset.transform = transforms.Compose(
        [transforms.ToTensor(), transforms.RandomErasing(value="random")]
    )
    assert "rasing: " in loader.explain().reason  # by what this torch draws, or by its size


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stats(root: Path, num_workers: int) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 4, num_workers=num_workers)
    assert loader.stats().as_dict()["samples"] == 0
    assert str(loader.stats())
    for _ in range(2):
        for _ in loader:
            pass
    data = loader.stats().as_dict()
    assert (data["samples"], data["batches"], data["epochs"]) == (34, 10, 2)
    assert data["epochs_on_torch"] == 0
    assert data["doubts"] >= 4  # TIFF and PPM, twice
    assert 0.0 < data["wait_share"] <= 1.0
    assert data["samples_per_s"] > 0
    assert data["stage_s"]["decode"] > 0
    assert data["bytes_read"] > 2 * 17 * 100
    assert data["memory"]["slabs_peak"] >= 4 * 3 * 24 * 24 * 4
    assert json.loads(json.dumps(data)) == data
    assert "34 in 10 batches" in str(loader.stats())


def test_stats_outlive_iterators_and_count_torchs_epochs(root: Path) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    loader = kit.OURS(dataset, 4, num_workers=2)
    for _ in loader:
        break
    gc.collect()
    assert loader.stats().as_dict()["samples"] == 4
    dataset.transform = lambda image: torch.zeros(3)
    for _ in loader:
        pass
    data = loader.stats().as_dict()
    assert (data["epochs"], data["epochs_on_torch"], data["samples"]) == (1, 1, 4)


def test_verify_names_the_first_difference(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decides a doubt wrongly: index, file, stage and parameters are named."""
    dataset = kit.folder_of(root, kit.train_v1(12))
    bad = next(i for i, (path, _) in enumerate(dataset.samples) if path.endswith(".tiff"))
    real = reference.pixels

    def wrong(image: Any) -> Any:
        data, width, height = real(image)
        return bytes(byte ^ 1 for byte in data), width, height

    monkeypatch.setattr(reference, "pixels", wrong)
    for num_workers in (0, 2):
        loader = kit.OURS(dataset, 3, num_workers=num_workers)
        found = penstock.verify(loader, batches=None)
        assert not found.ok
        assert not found
        difference = found.difference
        assert difference is not None
        assert (difference.batch, difference.slot, difference.index) == (bad // 3, bad % 3, bad)
        assert difference.path == dataset.samples[bad][0]
        assert difference.stage == "transform"
        assert difference.parameters
        assert difference.expected != difference.found
        assert difference.path in str(found)


def test_verify_finds_wrong_labels_and_states(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock import native

    dataset = kit.folder_of(root, kit.train_v1(12))
    with monkeypatch.context() as patch:
        patch.setattr(native.rng, "advance", lambda generator, n: None)
        found = penstock.verify(kit.OURS(dataset, 17))
        assert found.difference is not None
        assert found.difference.stage == "generator"
    real = native.wrap

    def wrong(array: Any, dtype: torch.dtype, *layout: int) -> torch.Tensor:
        tensor = real(array, dtype, *layout)
        return tensor + 1 if dtype == torch.int64 else tensor

    monkeypatch.setattr(native, "wrap", wrong)
    difference = penstock.verify(kit.OURS(dataset, 3)).difference
    assert difference is not None
    assert (difference.stage, difference.batch, difference.slot) == ("label", 0, 0)


def test_verify_compares_errors_too(tmp_path: Path) -> None:
    kit.make_folder(tmp_path)
    dataset = kit.folder_of(tmp_path, kit.train_v1(12))
    Path(dataset.samples[5][0]).unlink()
    for num_workers in (0, 2):
        found = penstock.verify(kit.OURS(dataset, 4, num_workers=num_workers), batches=None)
        assert found.ok, str(found)
        assert (found.batches, found.samples) == (5, 13)


def test_verify_of_the_python_lane_and_of_nonsense(root: Path) -> None:
    found = penstock.verify(kit.OURS(list(range(5)), 2))
    assert (found.ok, found.lane, found.batches) == (True, "python", 0)
    with pytest.raises(ValueError, match="positive"):
        penstock.verify(kit.OURS([1]), batches=0)


def test_another_profile_gives_other_pixels(tmp_path: Path) -> None:
    """A tall image: Pillow 13 resizes it vertically first, Pillow 9 horizontally."""
    path = tmp_path / "a" / "tall.png"
    path.parent.mkdir()
    kit.picture("RGB", 60, 400, 3).save(path)
    transform = transforms.Compose([transforms.Resize((40, 45)), transforms.ToTensor()])
    dataset = kit.folder_of(tmp_path, transform)
    by_profile = {
        profile: kit.visible(next(iter(kit.OURS(dataset, profile=profile))))
        for profile in ("pillow-9", "pillow-12.2", "pillow-13")
    }
    assert by_profile["pillow-9"] == by_profile["pillow-12.2"]
    assert by_profile["pillow-9"] != by_profile["pillow-13"]
    installed = kit.OURS(dataset).explain().settings["profile"]
    assert by_profile[installed] == kit.visible(next(iter(kit.STOCK(dataset))))
