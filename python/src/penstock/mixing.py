# SPDX-License-Identifier: Apache-2.0
"""Collate functions that call torchvision's CutMix or MixUp on what the default collate makes of a
batch: how one is known, and the proof that the engine draws and computes as the installed torch.

Such a function is the user's own. It is known by its code, which has to be that of

    lambda batch: mix(*default_collate(batch))

with the same names, compiled by the same interpreter, and by what these names stand for now.
"""

import math
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from keyword import iskeyword
from types import CodeType, FunctionType
from typing import Any

import torch
from penstock import _core, rng
from penstock._torch import default_collate
from penstock.capture import check_instance
from penstock.kept import Kept
from penstock.refusal import describe, refuse
from penstock.tables import Table
from penstock.user_code import NOTHING, SAME, value
from torch.distributions import Beta, Dirichlet
from torch.utils.data._utils import collate

CUT, UP = 1, 2  # enum pst_mix_kind
_MOST_PARTS = 8  # PST_MAX_MIXES
_NAMES = {CUT: "CutMix", UP: "MixUp"}


@dataclass(frozen=True, slots=True)
class Mix:
    """What a batch is mixed by; mixes of equal values do the same."""

    n_classes: int
    is_choice: bool
    parts: tuple[tuple[int, float, float], ...]  # (kind, alpha, p)

    @property
    def core(self) -> tuple[int, bool, tuple[tuple[int, float, float], ...]]:
        return self.n_classes, self.is_choice, self.parts

    def __str__(self) -> str:
        names = [f"{_NAMES[kind]}(alpha={alpha:g})" for kind, alpha, _ in self.parts]
        return f"one of {', '.join(names)}" if self.is_choice else names[0]


class CollateWith:
    """What collate_with() gives."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __call__(self, batch: list[Any]) -> Any:
        return self.transform(*default_collate(batch))

    def __repr__(self) -> str:
        return f"collate_with({self.transform!r})"


def collate_with(transform: Any) -> CollateWith:
    """A collate_fn: transform(*default_collate(batch)), for a transform of whole batches such as
    torchvision's v2.CutMix. It can be pickled, so workers can be spawned with it, and works with
    torch's own loader, too."""
    if not callable(transform):
        raise TypeError(f"a transform is called with a batch, {describe(transform)} cannot be")
    return CollateWith(transform)


_CALL = CollateWith.__call__


# --- the function


def _compiled(argument: str, free: tuple[str, ...], mix: str, gather: str) -> CodeType:
    """The code of the function that is known, with these names."""
    inner = f"lambda {argument}: {mix}(*{gather}({argument}))"
    made = compile(f"lambda {', '.join(free)}: {inner}", "<known>", "eval")
    for _ in range(2):
        made = next(one for one in made.co_consts if isinstance(one, CodeType))
    return made


@lru_cache(maxsize=64)
def _roles(code: CodeType) -> tuple[str, str] | None:
    """The names of what mixes and of what gathers the samples, where the code is known."""
    names, free = code.co_names, code.co_freevars
    if len(code.co_varnames) != 1 or len(names) + len(free) > 8:
        return None
    used = (*code.co_varnames, *names, *free)
    if not all(name.isidentifier() and not iskeyword(name) for name in used):
        return None
    candidates = {
        (mix, gather)
        for mix, gather in permutations(dict.fromkeys((*names[:1], *free, *names[-1:])), 2)
    }
    if names:
        chains = {".".join(names), ".".join(names[1:])} - {""}
        candidates |= {(mix, chain) for mix in (names[0], *free) for chain in chains}
    for mix, gather in candidates:
        known = _compiled(code.co_varnames[0], free, mix, gather)
        if all(getattr(known, name) == getattr(code, name) for name in SAME):
            return mix, gather
    return None


def _transform_of(collate_fn: Any) -> Any:
    """What mixes, or NOTHING for a function that is not known."""
    if type(collate_fn) is CollateWith:
        is_whole = CollateWith.__call__ is _CALL and list(vars(collate_fn)) == ["transform"]
        return collate_fn.transform if is_whole else NOTHING
    if type(collate_fn) is not FunctionType:
        return NOTHING
    roles = _roles(collate_fn.__code__)
    if roles is None or value(collate_fn, roles[1]) is not collate.default_collate:
        return NOTHING
    return value(collate_fn, roles[0])


# --- the transform

_METHODS = (
    (Beta, "sample"),
    (Beta, "rsample"),
    (Dirichlet, "rsample"),
)
_METHODS_SEEN = tuple(getattr(cls, name) for cls, name in _METHODS)


def _alpha(thing: Any) -> float:
    """Of Beta(alpha, alpha), as torch's own object has it."""
    name, beta = type(thing).__name__, thing._dist
    if any(
        getattr(cls, method) is not seen
        for (cls, method), seen in zip(_METHODS, _METHODS_SEEN, strict=True)
    ):
        refuse("collate", "a method of torch's Beta was replaced")
    dirichlet = getattr(beta, "_dirichlet", None)
    if type(beta) is not Beta or type(dirichlet) is not Dirichlet:
        refuse("collate", f"{name}'s distribution is {describe(beta)}")
    if {*vars(beta), *vars(dirichlet)} & {"sample", "rsample", "expand"}:
        refuse("collate", f"a method of {name}'s distribution is set on it")
    both = dirichlet.concentration
    with torch._C.DisableTorchFunction():
        if type(both) is not torch.Tensor or both.dtype != torch.float32 or both.shape != (1, 2):
            refuse("collate", f"{name}'s alpha is not a float")
        first, second = both[0].tolist()
    if first != second or not 0 < first < float("inf"):
        refuse("collate", f"{name} has Beta({first}, {second})")
    return float(first)


def _part(thing: Any) -> tuple[int, float, int]:
    """(kind, alpha, classes). Raises Refusal."""
    v2: Any = sys.modules.get("torchvision.transforms.v2")
    kind = None if v2 is None else {v2.CutMix: CUT, v2.MixUp: UP}.get(type(thing))
    if kind is None:
        refuse("collate", f"collate_fn calls {describe(thing)}")
    check_instance(thing)
    name = type(thing).__name__
    if thing._labels_getter is not v2._utils._find_labels_default_heuristic:
        refuse("collate", f"{name} has a labels_getter")
    if type(thing.num_classes) is not int or not 0 < thing.num_classes < 2**31:
        refuse("collate", f"{name} has num_classes={thing.num_classes!r}")
    return kind, _alpha(thing), thing.num_classes


def _choice(thing: Any) -> tuple[tuple[tuple[int, float, int], ...], list[float]]:
    check_instance(thing)
    transforms, p = thing.transforms, thing.p
    if type(transforms) not in (list, tuple) or not 1 <= len(transforms) <= _MOST_PARTS:
        refuse("collate", f"RandomChoice of {describe(transforms)}")
    if type(p) is not list or len(p) != len(transforms):
        refuse("collate", f"RandomChoice's p is {p!r}")
    # Of NumPy's numbers torch makes a tensor of float64.
    if any(type(value) is not float or not 0 <= value <= 1 for value in p):
        refuse("collate", f"RandomChoice's p is {p!r}")
    with torch._C.DisableTorchFunction():
        p = torch.tensor(p, dtype=torch.float32, device="cpu").tolist()
    if not any(p):
        refuse("collate", "no transform of RandomChoice has a probability")
    return tuple(map(_part, transforms)), p


def read(collate_fn: Any) -> Mix | None:
    """How a loader's batches are mixed; None for a function that is not known. Raises Refusal."""
    if collate_fn is collate.default_collate:
        return None
    thing = _transform_of(collate_fn)
    if thing is NOTHING:
        return None
    v2: Any = sys.modules.get("torchvision.transforms.v2")
    is_choice = v2 is not None and type(thing) is v2.RandomChoice
    parts, p = _choice(thing) if is_choice else ((_part(thing),), [0.0])
    classes = {n for _, _, n in parts}
    if len(classes) > 1:
        refuse("collate", f"the transforms of RandomChoice have num_classes of {sorted(classes)}")
    pairs = zip(parts, p, strict=True)
    return Mix(
        classes.pop(), is_choice, tuple((kind, alpha, one) for (kind, alpha, _), one in pairs)
    )


# --- what it is for

_ranges: Kept[tuple[int, int]] = Kept()  # least and largest label of a table


def check_images(mix: Mix, dtype: torch.dtype, n_images: int) -> None:
    """Whether they are of a kind that is mixed: n_images of each sample. Raises Refusal."""
    if n_images > 1:
        refuse("collate", f"{mix} of samples of {n_images} images")
    if dtype is not torch.float32 and any(kind == UP for kind, _, _ in mix.parts):
        refuse("collate", f"MixUp of {dtype} images")
    why = refusal()
    if why is None and mix.is_choice:
        why = rng.choice_refusal()
    if why is not None:
        refuse("collate", why)


def check_labels(mix: Mix, table: Table) -> None:
    """Whether one_hot() takes the labels of all samples. Raises Refusal."""
    if table.label_dtype is not torch.int64:
        refuse("collate", f"labels of {table.label_dtype}, which one_hot() does not take")
    found = _ranges.get(table)
    if found is None:
        labels = torch.frombuffer(bytearray(table.dataset.labels()), dtype=torch.int64)
        found = int(labels.min()), int(labels.max())
        _ranges.put(found, table)
    if found[0] < 0 or found[1] >= mix.n_classes:
        refuse(
            "collate",
            f"num_classes={mix.n_classes}, and the labels are {found[0]} to {found[1]}",
        )


# --- the proof

_H, _W = 37, 51


def _torchs_draw(
    kind: int, alpha: float, generator: torch.Generator
) -> tuple[float, tuple[int, int, int, int]]:
    """As make_params() has it: the share of a sample's own, and the rectangle."""
    both = torch.tensor([[alpha, alpha]], device="cpu")
    share = float(torch._sample_dirichlet(both, generator=generator)[0, 0])
    if kind == UP:
        return share, (0, 0, 0, 0)
    x, y = (
        int(torch.randint(0, n, size=(1,), generator=generator, device="cpu")) for n in (_W, _H)
    )
    r = 0.5 * math.sqrt(1.0 - share)
    half_w, half_h = int(r * _W), int(r * _H)
    left, top = max(x - half_w, 0), max(y - half_h, 0)
    width, height = min(x + half_w, _W) - left, min(y + half_h, _H) - top
    return 1.0 - width * height / (_W * _H), (left, top, width, height)


def _check_draws(seed: int) -> None:
    words = rng.words_of(seed, 16384)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    at, normal = 0, None
    for i in range(24):
        kind = CUT if i % 2 else UP
        alpha = (0.2, 1.0, 0.4, 2.0, 0.05, 1.5)[i % 6]
        mix = (10, False, ((kind, alpha, 0.0),))
        _, own, box, normal, used = _core.mix_draw(mix, _H, _W, words[4 * at :], normal)
        _expect((own, box) == _torchs_draw(kind, alpha, generator), "what is drawn")
        at += used
        _expect(rng.kept_normal(generator) == normal, "the normal that is kept")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _check_arithmetic() -> None:
    """Each operation rounded once, from scalars that are rounded before."""
    generator = torch.Generator(device="cpu").manual_seed(1)
    batch = torch.rand(2, 131, generator=generator, device="cpu") * 5 - 2
    for share in (0.3, 0.7123, 0.9999):
        own, other = _float32(share), _float32(1.0 - share)
        mixed = batch.roll(1, 0).mul_(1.0 - share).add_(batch.mul(share))
        rows = batch.tolist()
        for row in range(2):
            expected = [
                _float32(_float32(x * other) + _float32(y * own))
                for x, y in zip(rows[row - 1], rows[row], strict=True)
            ]
            _expect(mixed[row].tolist() == expected, "mul_ and add_")


@lru_cache(maxsize=1)
def refusal() -> str | None:
    """Why CutMix and MixUp of the installed torch cannot be imitated, or None. Not under a torch
    function mode."""
    try:
        for seed in (3, 1 << 33):
            _check_draws(seed)
        _check_arithmetic()
    except Exception as error:
        return f"the Beta distribution of torch {torch.__version__} is not the known one: {error}"
    return None
