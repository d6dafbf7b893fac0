# SPDX-License-Identifier: Apache-2.0
"""The worker_init_fn of frameworks on the native lane, beside torch's workers that call it."""

import functools
import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import worker_init
from penstock.refusal import Refusal

# Modules by the frameworks' names, with functions that seed as theirs do.
STAND_INS = {
    "lightning.fabric.utilities.seed": """
import logging
import random

import torch

log = logging.getLogger(__name__)
_NUMPY_AVAILABLE = True


class rank_zero_only:
    rank = 3


def _generate_seed_sequence(base_seed, worker_id, global_rank, count):
    mixed = (base_seed << 32) | (worker_id << 16) | global_rank
    seeds = []
    for _ in range(count):
        mixed = (mixed * 6364136223846793005 + 1) & ((1 << 64) - 1)
        seeds.append(mixed)
    return seeds


def pl_worker_init_function(worker_id, rank=None):
    global_rank = rank if rank is not None else rank_zero_only.rank
    base_seed = torch.initial_seed() - worker_id
    log.debug(f"seeds worker {worker_id}")
    first, *rest = _generate_seed_sequence(base_seed, worker_id, global_rank, count=4)
    torch.manual_seed(first)
    random.seed((rest[0] << 32) | rest[1])
    if _NUMPY_AVAILABLE:
        import numpy as np

        words = np.random.SeedSequence([base_seed, worker_id, global_rank]).generate_state(4)
        np.random.seed(words)
""",
    "transformers.trainer_utils": """
import random

import numpy as np
import torch


def is_torch_available():
    return True


def is_torch_npu_available():
    return False


def set_seed(seed, deterministic=False):
    random.seed(seed)
    np.random.seed(seed)
    if is_torch_available():
        torch.manual_seed(seed)
        torch.cuda.manual_seed_all(seed)
        if deterministic:
            torch.use_deterministic_algorithms(True)
    if is_torch_npu_available():
        torch.npu.manual_seed_all(seed)


def seed_worker(worker_id, num_workers, rank):
    set_seed(num_workers * rank + torch.initial_seed() % 2**32)
""",
    "timm.data.loader": """
import random
from typing import Callable

import numpy as np
import torch.utils.data


def _worker_init(worker_id, worker_seeding='all'):
    worker_info = torch.utils.data.get_worker_info()
    assert worker_info.id == worker_id
    if isinstance(worker_seeding, Callable):
        seed = worker_seeding(worker_info)
        random.seed(seed)
        torch.manual_seed(seed)
        np.random.seed(seed % (2 ** 32 - 1))
    else:
        assert worker_seeding in ('all', 'part'), worker_seeding
        if worker_seeding == 'all':
            np.random.seed(worker_info.seed % (2 ** 32 - 1))
""",
    "ultralytics.data.build": """
import random

import numpy as np
import torch


def seed_worker(worker_id):
    worker_seed = torch.initial_seed() % 2**32
    np.random.seed(worker_seed)
    random.seed(worker_seed)
""",
    "ray.train.torch.train_loop_utils": """
import random

import numpy as np
import torch


class _TorchAccelerator:
    def prepare_data_loader(self, worker_init_fn):
        def with_sampler(loader):
            def seeded_worker_init_fn(worker_init_fn):
                def wrapper(worker_id):
                    worker_seed = torch.initial_seed() % 2**32
                    np.random.seed(worker_seed)
                    random.seed(worker_seed)
                    if worker_init_fn:
                        worker_init_fn(worker_id)

                return wrapper

            return seeded_worker_init_fn(worker_init_fn)

        return with_sampler(None)
""",
}


def forget(name: str) -> None:
    top = name.partition(".")[0]
    for loaded in [*sys.modules]:
        if loaded == top or loaded.startswith(top + "."):
            del sys.modules[loaded]


class Modules:
    """Imports stand-ins, also changed ones, and the real thing after them."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._root = root
        patch.syspath_prepend(str(root))

    def load(self, name: str, change: Callable[[str], str] = lambda text: text) -> ModuleType:
        path = self._root.joinpath(*name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.relative_to(self._root).parents:
            (self._root / folder / "__init__.py").touch()
        path.with_suffix(".py").write_text(change(STAND_INS[name]))
        (self._root / "__init__.py").unlink(missing_ok=True)
        forget(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    before = {**sys.modules}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Modules(tmp_path / "modules", monkeypatch)
    for name in STAND_INS:
        forget(name)
    sys.modules.update({name: module for name, module in before.items() if module is not None})


def ray(module: ModuleType, inner: Any = None) -> Any:
    return module._TorchAccelerator().prepare_data_loader(inner)


def functions(modules: Modules) -> dict[str, Any]:
    load = modules.load
    timm = load("timm.data.loader")
    seeder = load("transformers.trainer_utils").seed_worker
    wrapped = functools.partial(seeder, num_workers=2, rank=1)
    utils = load("ray.train.torch.train_loop_utils")
    lightning = load("lightning.fabric.utilities.seed").pl_worker_init_function
    return {
        "lightning": lightning,
        "lightning, rank 5": functools.partial(lightning, rank=5),
        "transformers": wrapped,
        "timm": timm._worker_init,
        "timm, part": functools.partial(timm._worker_init, worker_seeding="part"),
        "ultralytics": load("ultralytics.data.build").seed_worker,
        "ray": ray(utils),
        "ray around transformers": ray(utils, wrapped),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return kit.make_folder(tmp_path / "images")


def lives(dataset: Any, init: Any, *, epochs: int = 1, **options: Any) -> list[Any]:
    options = {"batch_size": 5, "num_workers": 2, "worker_init_fn": init, **options}
    context = {"multiprocessing_context": "fork"} if options["num_workers"] else {}
    stock = kit.run(lambda: (kit.STOCK(dataset, **options, **context), ()), epochs=epochs)
    ours = kit.run(
        lambda: (kit.OURS(dataset, threads=2, **options), ()), epochs=epochs, native=True
    )
    kit.assert_same(stock, ours)
    return ours


@pytest.mark.parametrize("persistent_workers", [False, True])
def test_batches_are_those_of_seeded_workers(
    root: Path, modules: Modules, persistent_workers: bool
) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))
    plain = kit.run(
        lambda: (kit.OURS(dataset, batch_size=5, num_workers=2), ()), epochs=1, native=True
    )
    for name, init in functions(modules).items():
        if persistent_workers and "rank" in name:
            continue
        epochs = 2 if persistent_workers else 1
        seen = lives(dataset, init, persistent_workers=persistent_workers, epochs=epochs)
        # Those that seed torch change the crops.
        reseeds = "lightning" in name or "transformers" in name
        batches = [[step for step in life if step[0] == "batch"] for life in (seen, plain)]
        if not persistent_workers:
            assert (batches[0] != batches[1]) == reseeds, name


def test_other_numbers_of_workers_and_draws_by_sample(root: Path, modules: Modules) -> None:
    dataset = kit.folder_of(root, kit.train_v2())
    init = functions(modules)["transformers"]
    for num_workers in (1, 3):
        lives(dataset, init, num_workers=num_workers, shuffle=True)
    options = {"batch_size": 4, "num_workers": 2, "rng": "sample"}
    plain, seeded = (
        kit.run(lambda given=given: (kit.OURS(dataset, **options, **given), ()), native=True)
        for given in ({}, {"worker_init_fn": init})
    )
    kit.assert_same(plain, seeded)


@pytest.mark.parametrize("persistent_workers", [False, True])
def test_a_state_goes_on_with_seeded_workers(
    root: Path, modules: Modules, persistent_workers: bool
) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))
    for name, init in functions(modules).items():

        def make(init: Any = init) -> Any:
            options = {"num_workers": 2, "persistent_workers": persistent_workers}
            return kit.OURS(dataset, 4, shuffle=True, worker_init_fn=init, **options)

        kit.seed_all(1)
        loader = make()
        first = [kit.visible(batch) for batch in loader]
        iterator = iter(loader)
        next(iterator)
        taken = loader.state_dict()
        left = [kit.visible(batch) for batch in iterator]
        left += [kit.visible(batch) for batch in loader]
        del iterator
        other = make()
        other.load_state_dict(taken)
        found = [kit.visible(batch) for _ in range(2) for batch in other]
        assert found == left, name
        assert found != first


def test_without_workers_it_is_not_called(root: Path) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))
    lives(dataset, lambda worker: 1 / 0, num_workers=0)


def drawn(worker: int) -> None:
    info = torch.utils.data.get_worker_info()
    values = [torch.initial_seed(), torch.rand(3).tolist(), random.random()]
    values += [numpy.random.random(), info.id, info.num_workers, info.seed]
    raise ValueError(repr(values))


def test_the_room_is_a_workers(root: Path) -> None:
    """What a real worker draws first is what the room's generators draw first."""
    dataset = kit.folder_of(root, kit.eval_v1())
    for worker in range(2):
        loader = kit.STOCK(
            dataset,
            num_workers=2,
            worker_init_fn=drawn,
            generator=torch.Generator().manual_seed(4),
            multiprocessing_context="fork",
        )
        iterator = iter(loader)
        for _ in range(worker):
            with pytest.raises(ValueError, match="Caught"):
                next(iterator)
        with pytest.raises(ValueError, match="Caught") as caught:
            next(iterator)
        for process in iterator._workers:  # torch waits 5 s for each after such an error
            process.terminate()
        room = worker_init.Room(iterator._base_seed, worker, 2, dataset)
        info = room.torch.utils.data.get_worker_info()
        assert info.dataset is dataset
        values = [room.torch.initial_seed(), torch.rand(3, generator=room.generator).tolist()]
        values += [room.random.random(), room.numpy_state.random_sample()]
        values += [info.id, info.num_workers, info.seed]
        assert str(caught.value).strip().endswith(f"ValueError: {values!r}")


def test_the_callers_state_is_untouched(root: Path, modules: Modules) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))
    for name, init in functions(modules).items():
        known = worker_init.read(init)
        assert known is not None
        kit.seed_all(11)
        torch.randn(1)  # a generator keeps a second normal
        before, threads = kit.states(), torch.get_num_threads()
        for worker in range(3):
            outcome = worker_init.run(known, 12345, worker, 3, dataset)
            assert outcome.error is None, name
        assert (kit.states(), torch.get_num_threads()) == (before, threads)
        assert torch.utils.data.get_worker_info() is None


def test_other_threads_draw_meanwhile(root: Path, modules: Modules) -> None:
    """Their numbers are theirs, and a worker's are a worker's."""
    dataset = kit.folder_of(root, kit.train_v1(12))
    known = worker_init.read(functions(modules)["transformers"])
    assert known is not None
    expected = worker_init.run(known, 77, 0, 1, dataset).generator.get_state()
    random.seed(3)
    numbers = [random.random() for _ in range(4000)]
    random.seed(3)
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.extend(random.random() for _ in range(4000)))
    thread.start()
    for _ in range(30):
        assert torch.equal(
            worker_init.run(known, 77, 0, 1, dataset).generator.get_state(), expected
        )
    thread.join()
    assert seen == numbers


def test_errors_come_with_the_workers_first_result(root: Path, modules: Modules) -> None:
    dataset = kit.folder_of(root, kit.train_v1(12))
    timm = modules.load("timm.data.loader")
    wrong = functools.partial(timm._worker_init, worker_seeding="al")
    seen = lives(dataset, wrong, batch_size=3)
    errors = [step[1] for step in seen if step[0] == "error"]
    assert [error[0] for error in errors[:3]] == ["AssertionError"] * 2 + ["UnboundLocalError"]
    assert errors[1][3] == "Caught AssertionError in DataLoader worker process 1."
    # NumPy takes seeds of 32 bits.
    seeder = functools.partial(
        modules.load("transformers.trainer_utils").seed_worker, num_workers=2, rank=2**40
    )
    lives(dataset, seeder)


def test_errors_of_persistent_workers(root: Path, modules: Modules) -> None:
    """They make a fetcher for the next epoch, which is whole."""
    dataset = kit.folder_of(root, kit.train_v1(12))
    timm = modules.load("timm.data.loader")
    wrong = functools.partial(timm._worker_init, worker_seeding="al")

    def life(cls: Any, **options: Any) -> list[Any]:
        kit.seed_all(5)
        loader = cls(
            dataset,
            batch_size=10,
            num_workers=3,
            prefetch_factor=1,
            persistent_workers=True,
            worker_init_fn=wrong,
            **options,
        )
        seen = [list(kit.walk(iter(loader), 9, kit.states)) for _ in range(3)]
        assert loader._iterator is not None
        for worker in loader._iterator._workers:  # torch's wait 5 s each after such an error
            worker.terminate()
        return seen

    ours = life(kit.OURS)
    assert ours == life(kit.STOCK, multiprocessing_context="fork")
    assert [[step[0] for step in epoch] for epoch in ours] == [
        ["error", "error", "end"],
        ["batch", "batch", "end"],
        ["batch", "batch", "end"],
    ]


def reason(dataset: Any, init: Any) -> str:
    return kit.OURS(dataset, num_workers=1, worker_init_fn=init).explain().reason


def test_what_is_not_known(root: Path, modules: Modules) -> None:
    dataset = kit.folder_of(root, kit.eval_v1())
    timm = modules.load("timm.data.loader")
    utils = modules.load("ray.train.torch.train_loop_utils")
    part = functools.partial

    def own(worker: int) -> None:
        pass

    class Partial(functools.partial):  # type: ignore[type-arg]
        pass

    for init, said in (
        (own, "own"),
        (len, "builtin_function"),
        (part(own), "own"),
        (object(), "object"),
        (part(timm._worker_init, worker_seeding=own), "worker_seeding=.*own"),
        (part(timm._worker_init, "all"), "with arguments"),
        (part(timm._worker_init, seeding="all"), "seeding=str"),
        (Partial(timm._worker_init), "Partial"),
        (ray(utils, own), "own"),
    ):
        with pytest.raises(Refusal, match=said):
            worker_init.read(init)
    assert "own" in reason(dataset, own)
    assert "native" in str(
        kit.OURS(dataset, worker_init_fn=timm._worker_init, num_workers=1).explain()
    )


def test_what_only_looks_like_it(root: Path, modules: Modules) -> None:
    """Other code under a known name, and known code with other things under its names."""
    dataset = kit.folder_of(root, kit.eval_v1())
    name = "ultralytics.data.build"

    def refused(module: ModuleType) -> str:
        with pytest.raises(Refusal) as caught:
            worker_init.read(module.seed_worker)
        assert caught.value.reason in reason(dataset, module.seed_worker)
        return caught.value.reason

    changed = modules.load(name, lambda text: text + "    torch.set_num_threads(3)\n")
    assert "unknown version, which uses set_num_threads" in refused(changed)
    changed = modules.load(name, lambda text: text + "    (lambda: open('x'))()\n")
    assert "uses open" in refused(changed)
    changed = modules.load(name, lambda text: text.replace("worker_id)", "worker_id, other=1)"))
    assert "unknown version" in refused(changed)
    changed = modules.load(name, lambda text: text.replace("import random", "import os as random"))
    assert "random is not what it seems" in refused(changed)
    module = modules.load(name)
    kept = module.seed_worker
    module.seed_worker = modules.load(name).seed_worker
    sys.modules[name] = module
    assert "not the one of its module" in refused(module)
    with pytest.raises(Refusal, match="not the one of its module"):
        worker_init.read(kept)
    name = "transformers.trainer_utils"
    changed = modules.load(
        name, lambda text: text.replace("    random.seed", "    print('!')\n    random.seed")
    )
    assert (
        "transformers.trainer_utils.seed_worker of an unknown version, which uses print"
        in refused(changed)
    )
    changed = modules.load(name)
    changed.set_seed.__defaults__ = (True,)
    assert "unknown version" in refused(changed)


# --- the frameworks themselves, where they are installed


def real(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} is not installed: {error}")


@pytest.mark.parametrize(
    ("name", "get"),
    [
        ("lightning.fabric.utilities.seed", lambda m: m.pl_worker_init_function),
        (
            "lightning.fabric.utilities.seed",
            lambda m: functools.partial(m.pl_worker_init_function, rank=1),
        ),
        ("lightning_fabric.utilities.seed", lambda m: m.pl_worker_init_function),
        (
            "transformers.trainer_utils",
            lambda m: functools.partial(m.seed_worker, num_workers=2, rank=1),
        ),
        ("timm.data.loader", lambda m: m._worker_init),
        ("timm.data.loader", lambda m: functools.partial(m._worker_init, worker_seeding="all")),
        ("ultralytics.data.build", lambda m: m.seed_worker),
    ],
)
def test_real_functions(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    get: Callable[[ModuleType], Any],
) -> None:
    init = get(real(name, monkeypatch, tmp_path))
    assert (
        penstock.DataLoader(
            kit.folder_of(root, kit.train_v1(12)), num_workers=2, worker_init_fn=init
        )
        .explain()
        .lane
        == "native"
    )
    lives(kit.folder_of(root, kit.train_v1(12)), init)


def test_real_ray(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its function is made in the middle of another; the code is taken out of there."""
    module = real("ray.train.torch.train_loop_utils", monkeypatch, tmp_path)
    outer = module._TorchAccelerator.prepare_data_loader.__code__
    (code,) = (
        code for code in worker_init._codes(outer) if code.co_name == "seeded_worker_init_fn"
    )
    maker = type(lives)(code, vars(module), code.co_name)
    init = maker(None)
    assert worker_init.read(init) is not None
    lives(kit.folder_of(root, kit.train_v1(12)), init)
