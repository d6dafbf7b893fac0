# SPDX-License-Identifier: Apache-2.0
"""The engine's own order of rng="sample": which loaders have it, and that samplers stay theirs."""

import copy
import pickle
from typing import Any

import campaigns
import kit
import numpy
import penstock
import pytest
import torch
from penstock import _core, lanes, ordering
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
)

quality = campaigns.load("shuffle_quality")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = kit.make_folder(tmp_path_factory.mktemp("images"))
    dataset = kit.folder_of(root, kit.eval_v1())
    dataset.samples = [(path, number) for number, (path, _) in enumerate(dataset.samples)]
    return dataset


def asked(loader: Any) -> list[list[int]]:
    """The indices of each batch; a sample's label is its index."""
    return [labels.tolist() for _, labels in loader]


def flat(batches: list[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


def own(dataset: Any, seed: int = 3, **options: Any) -> Any:
    options = {"batch_size": 5, "shuffle": True, "rng": "sample", **options}
    return kit.OURS(dataset, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("block", [None, 2])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_has_each_sample_once_and_seed_and_epoch_decide(
    dataset: Any, num_workers: int, block: Any
) -> None:
    loader = own(dataset, num_workers=num_workers, shuffle_block=block)
    epochs = [asked(loader) for _ in range(3)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [5, 5, 5, 2]
        assert sorted(flat(epoch)) == list(range(17))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    again = own(dataset, num_workers=2 - num_workers, threads=3, shuffle_block=block)
    assert [asked(again) for _ in range(3)] == epochs
    assert asked(own(dataset, seed=4, shuffle_block=block)) != epochs[0]
    persistent = own(dataset, num_workers=2, persistent_workers=True, shuffle_block=block)
    assert [asked(persistent) for _ in range(3)] == epochs
    large = own(dataset, batch_size=7, shuffle_block=block)
    assert flat(asked(large)) == flat(epochs[0])


def test_the_last_batch_may_be_dropped(dataset: Any) -> None:
    whole = asked(own(dataset))
    loader = own(dataset, drop_last=True, num_workers=2)
    assert len(loader) == len(iter(loader)) == 3
    assert asked(own(dataset, drop_last=True, num_workers=2)) == whole[:3]
    assert asked(own(dataset, batch_size=18, drop_last=True)) == []


def test_torchs_samplers_stay_in_their_places_and_are_not_asked(dataset: Any) -> None:
    loader = own(dataset)
    assert type(loader.sampler) is RandomSampler
    assert type(loader.batch_sampler) is BatchSampler
    assert loader.batch_sampler.sampler is loader.sampler
    assert len(loader) == 4
    before = loader.generator.get_state()
    kit.seed_all(1)
    state = kit.states()
    iterator = iter(loader)
    drawn = torch.Generator()
    drawn.set_state(before)
    torch.empty((), dtype=torch.int64).random_(generator=drawn)  # the base seed, as in stock
    for _ in iterator:
        pass
    assert torch.equal(loader.generator.get_state(), drawn.get_state())
    assert kit.states() == state


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_users_sampler_is_honoured(dataset: Any, num_workers: int) -> None:
    class Backwards(SequentialSampler):
        def __iter__(self) -> Any:
            return iter(range(len(self.data_source) - 1, -1, -1))

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(8)

    cases: list[dict[str, Any]] = [
        {"sampler": RandomSampler(dataset, generator=generator())},
        {"sampler": RandomSampler(dataset, True, generator=generator())},
        {"sampler": SubsetRandomSampler([3, 1, 9], generator=generator())},
        {"sampler": Backwards(dataset)},
        {"sampler": [4, 4, 2]},
        {"sampler": DistributedSampler(dataset, 2, 1, shuffle=True)},
        {"batch_sampler": [[1, 2], [0]]},
        {"batch_sampler": BatchSampler(Backwards(dataset), 4, False), "batch_size": 1},
    ]
    for case in cases:
        options = {"batch_size": 3} if "batch_sampler" not in case else {}
        states = [s.generator for s in case.values() if getattr(s, "generator", None)]
        lives = []
        for make, more in ((kit.STOCK, {}), (kit.OURS, {"rng": "sample"})):
            kit.seed_all(2)
            for state in states:
                state.manual_seed(8)
            loader = make(dataset, num_workers=num_workers, **{**options, **case, **more})
            lives.append([asked(loader) for _ in range(2)])
        assert lives[0] == lives[1], case
        order = lanes.explain(loader).stages[0]
        assert order.lane == "python"
        assert "its own order, which rng='sample' leaves alone" in order.why


def test_what_is_not_torchs_own_shuffle_has_no_order_of_ours(dataset: Any) -> None:
    assert ordering.own(kit.OURS(dataset, shuffle=True)) is None  # rng="torch"
    assert ordering.own(kit.STOCK(dataset, shuffle=True)) is None
    loader = own(dataset)
    assert ordering.own(loader) == ordering.Order(17, 5, False, True)
    object.__setattr__(loader, "batch_sampler", BatchSampler(RandomSampler(dataset), 5, False))
    assert ordering.own(loader) is None
    loader = own(dataset)
    object.__setattr__(loader, "sampler", RandomSampler(dataset))
    assert ordering.own(loader) is None
    loader = own(dataset)
    loader.sampler.replacement = True
    assert ordering.own(loader) is None


def test_copies_pickles_and_rebuilt_loaders_have_it(dataset: Any) -> None:
    loader = own(dataset)
    expected = asked(own(dataset))
    again = pickle.loads(pickle.dumps(loader))
    rebuilt = own(dataset, shuffle=None, sampler=loader.sampler)
    for one in (copy.copy(loader), copy.deepcopy(loader), again, rebuilt):
        assert asked(one) == expected


def test_without_shuffle_it_is_sequential(dataset: Any) -> None:
    loader = kit.OURS(dataset, 6, rng="sample", num_workers=2)
    assert asked(loader) == [list(range(6)), list(range(6, 12)), list(range(12, 17))]
    assert loader.explain().stages[0].why.startswith("0 to 16, one after the other")


def test_explain_names_the_order(dataset: Any) -> None:
    stage = own(dataset).explain().stages[0]
    assert (stage.name, stage.lane) == ("order", "native")
    assert stage.why.startswith("a permutation of 17, of which seed and epoch decide each place")
    assert "blocks of 4 rows" in own(dataset, shuffle_block=4).explain().stages[0].why
    sampler = DistributedSampler(dataset, 2, 1)
    stage = kit.OURS(dataset, 4, sampler=sampler, rng="sample").explain().stages[0]
    assert stage.lane == "python"
    assert "DistributedSampler" in stage.why
    assert "torch asks it" in kit.OURS(dataset, 4, shuffle=True).explain().stages[0].why


def test_verify_says_that_torch_has_no_such_order(dataset: Any) -> None:
    with pytest.raises(ValueError, match="has an order of its own"):
        penstock.verify(own(dataset))
    assert penstock.verify(kit.OURS(dataset, 4, rng="sample"))


# --- blocks


def test_wrong_blocks_are_refused_where_they_are_given(dataset: Any) -> None:
    for value in ("4", 4.0, True):
        with pytest.raises(TypeError, match="shuffle_block should be an int"):
            own(dataset, shuffle_block=value)
    for value in (0, -1, 2**63):
        with pytest.raises(ValueError, match="positive number of rows"):
            own(dataset, shuffle_block=value)
    with pytest.raises(ValueError, match="needs rng='sample'"):
        kit.OURS(dataset, shuffle=True, shuffle_block=4)
    with pytest.raises(ValueError, match="needs shuffle=True"):
        kit.OURS(dataset, rng="sample", shuffle_block=4)


def test_blocks_that_would_be_passed_over_are_an_error_when_iterated(dataset: Any) -> None:
    sampler = DistributedSampler(dataset, 2, 1)
    loader = kit.OURS(dataset, 4, sampler=sampler, rng="sample", shuffle_block=4)
    with pytest.raises(ValueError, match="this loader's sampler, DistributedSampler, has its own"):
        iter(loader)
    loader = own(dataset, shuffle_block=4)
    loader.rng = "torch"
    with pytest.raises(ValueError, match="needs rng='sample'"):
        iter(loader)
    loader = own([1, 2, 3], shuffle_block=4)
    with pytest.raises(ValueError, match="shuffle_block are the engine's"):
        iter(loader)


def test_a_window_has_rows_of_64_blocks() -> None:
    n, block = 100_000, 10
    rows = _core.permutation(n, 5, 0, n, block).numpy()
    assert sorted(rows) == list(range(n))
    for start in range(0, n - 640, 640):
        assert len(numpy.unique(rows[start : start + 640] // block)) <= 65


def test_places_are_computed_alone() -> None:
    for block in (0, 1, 7, 5000):
        whole = _core.permutation(1000, 2**64 - 1, 0, 1000, block).tolist()
        assert sorted(whole) == list(range(1000))
        parts = [_core.permutation(1000, 2**64 - 1, at, 8, block).tolist() for at in range(992)]
        assert parts == [whole[at : at + 8] for at in range(992)]
    assert _core.permutation(2**63 - 1, 1, 2**63 - 2, 1, 2**62).tolist()[0] < 2**63 - 1
    for wrong in ((10, 0, 3, 8, 0), (10, 0, -1, 1, 0), (-1, 0, 0, 0, 0), (10, 0, 0, 1, -1)):
        with pytest.raises(ValueError, match=r"places from|an order of|blocks of"):
            _core.permutation(*wrong)
    with pytest.raises(OverflowError):
        _core.permutation(10, 2**64, 0, 1, 0)


def test_how_well_it_mixes() -> None:
    """See the guide for numbers of a dataset of ImageNet's size."""
    n, block, batch = 200_000, 100, 250
    found = {name: one for _, name, one in quality.table(n, batch, [block], 2)}
    chance = found["NumPy's permutation"]
    full, blocks = found["permutation"], found["block shuffle"]
    assert abs(full.displacement - 1 / 3) < 0.005
    assert abs(full.near_pairs - chance.near_pairs) < 0.0003
    assert abs(full.variance / chance.variance - 1) < 0.02
    assert abs(blocks.displacement - 1 / 3) < 0.02
    assert 1 / 64 < blocks.near_pairs < 1.4 / 64
    assert blocks.blocks > 60
    in_order = quality.measure(lambda key: numpy.arange(n), n, block, batch, 1)
    assert in_order.near_pairs == 1
    assert in_order.variance / chance.variance > 50
