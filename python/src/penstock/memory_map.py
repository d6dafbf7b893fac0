# SPDX-License-Identifier: Apache-2.0
"""`penstock.mem_map()`: an array in a file as a tensor, without reading it."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from penstock import _core
from penstock.mapped import MappedTensor, restride, wrap

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

# enum pst_array_kind, enum pst_array_mode
_AUTO, _RAW, _TORCH = 0, 1, 6
_EDIT, _COPY = 1, 2
# What slips past a read-only tensor must not end the process, so its memory is a copy-on-write map.
_MODES = {"r": _COPY, "c": _COPY, "r+": _EDIT, "w+": _EDIT}


def mem_map(
    path: str | os.PathLike[str],
    dtype: "torch.dtype | DTypeLike | None" = None,
    shape: int | Sequence[int] | None = None,
    mode: str = "r",
    offset: int = 0,
    *,
    name: str | None = None,
) -> MappedTensor:
    """A tensor over the array in a file, which is mapped and not read.

    The file tells what it is: `.npy`, `.npz` of `numpy.savez()`, safetensors, a zip file of
    `torch.save()`, an array file of Penstock's, a folder of tensordict's `memmap()`. With `dtype`
    it is raw elements from byte `offset` on, of `shape`, whose first size may be -1. `name` picks
    an array of several; those within others are named with slashes: `"model/weight"`.

    Modes are numpy.memmap's. `"r"`: writing to the tensor raises. `"c"`: what is written stays in
    this process. `"r+"`: it reaches the file. `"w+"`: a file of zeros is made, `.npy` where the
    name ends so, else raw elements; it takes all of its space at once, and the place of a file of
    that name when it is whole. `flush()` waits until what was written is on the disk.

    What the file says is checked before a byte is mapped: ValueError tells where and what was
    expected. Objects and pickles are refused. A file that is cut later raises OSError in the main
    thread when the missing part is touched.
    """
    if mode not in _MODES:
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(map(repr, _MODES))}")
    file = os.fspath(path)
    if mode == "w+":
        return _create(file, dtype, shape, offset)
    if dtype is None and (shape is not None or offset != 0):
        raise ValueError("shape and offset describe raw elements, which need a dtype as well")
    if dtype is not None:
        source = _source(file, None, _RAW, dtype_name(dtype), _shape(shape), offset)
        return _map(source, file, mode)
    if os.path.isdir(file):
        return _map_folder(file, mode, name)
    if _core.array_detect(os.fsencode(file)) == _TORCH:
        return _map_zip(file, mode, name)
    return _map(_source(file, name, _AUTO, None, (), 0), file, mode)


def append(path: str | os.PathLike[str], rows: "torch.Tensor | NDArray[Any]") -> int:
    """Adds rows to a `.npy` file, and returns how many it has now.

    They have the file's dtype, and its shape but for the first dimension. Who opens the file at any
    moment, or after a crash, finds the rows of before or all of them. Maps that are open keep the
    rows that they have. One process at a time: BlockingIOError while another one appends.
    """
    plain = rows.detach() if isinstance(rows, torch.Tensor) else rows
    return _core.array_append(os.fsencode(path), _core.tensor(plain))


def _create(file: str, dtype: Any, shape: int | Sequence[int] | None, offset: int) -> MappedTensor:
    if dtype is None or shape is None:
        raise ValueError('mode "w+" makes a new file, which needs a dtype and a shape')
    is_npy = file.endswith(".npy")
    kind = _AUTO if is_npy else _RAW
    source = _source(file, None, kind, dtype_name(dtype), _shape(shape), offset)
    _core.array_create(source)
    return _map(_source(file, None, _AUTO, None, (), 0) if is_npy else source, file, "w+")


_Source = tuple[bytes, bytes | None, int, str | None, tuple[int, ...], int]


def _source(
    file: str, name: str | None, kind: int, dtype: str | None, shape: tuple[int, ...], offset: int
) -> _Source:
    text = None if name is None else name.encode("utf-8", "surrogateescape")
    return os.fsencode(file), text, kind, dtype, shape, offset


def _map(source: _Source, file: str, mode: str) -> MappedTensor:
    return wrap(_core.array_map(source, _MODES[mode]), file, mode)


def _shape(shape: int | Sequence[int] | None) -> tuple[int, ...]:
    if shape is None:
        return (-1,)
    if isinstance(shape, Sequence):
        return tuple(int(size) for size in shape)
    return (int(shape),)


def dtype_name(dtype: Any) -> str:
    """The engine's name of a dtype of torch, of NumPy, or of a name. In the machine's order."""
    if isinstance(dtype, torch.dtype):
        return str(dtype).removeprefix("torch.")
    if isinstance(dtype, str) and dtype in ("bf16", "bfloat16"):
        return dtype
    if isinstance(dtype, str) and dtype[:1] in "uif" and dtype[1:] in ("8", "16", "32", "64"):
        return dtype
    from numpy import dtype as numpy_dtype

    made = numpy_dtype(dtype)
    if not made.isnative:
        raise ValueError(f"raw elements of dtype {made.str} are not of this machine's byte order")
    return str(made.name)


# --- a folder of tensordict's memmap() ---

_META_LIMIT = 64 << 20


def _read_meta(folder: str) -> dict[str, Any]:
    import json

    meta = os.path.join(folder, "meta.json")
    size = os.stat(meta).st_size
    if size > _META_LIMIT:
        raise ValueError(f"{meta!r} has {size} bytes, the limit is {_META_LIMIT}")
    with open(meta, "rb") as opened:
        try:
            found = json.loads(opened.read(_META_LIMIT + 1))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{meta!r} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{meta!r}: expected an object, found {type(found).__name__}")
    return found


def _map_folder(folder: str, mode: str, name: str | None) -> MappedTensor:
    if not os.path.isfile(os.path.join(folder, "meta.json")):
        raise ValueError(f"{folder!r} is a folder without the meta.json of tensordict's memmap()")
    *within, leaf = (name or "").split("/")
    for part in within:
        if part in ("", ".", ".."):
            raise ValueError(f"{name!r} is no name of a tensor in {folder!r}")
        folder = os.path.join(folder, part)
    meta = _read_meta(folder)
    tensors = {key: value for key, value in meta.items() if _is_leaf(value)}
    if name is None and len(tensors) == 1:
        leaf = next(iter(tensors))
    if leaf not in tensors or leaf in (".", "..") or os.sep in leaf:
        listed = ", ".join(map(repr, list(tensors)[:4]))
        raise ValueError(
            f"{folder!r} has {len(tensors)} tensors ({listed}), not {leaf!r}: name one"
        )
    return _map_leaf(folder, leaf, tensors[leaf], mode)


def _is_leaf(value: Any) -> bool:
    return isinstance(value, dict) and "dtype" in value and "shape" in value


def _map_leaf(folder: str, leaf: str, told: dict[str, Any], mode: str) -> MappedTensor:
    where = f"{os.path.join(folder, 'meta.json')!r}: {leaf!r}"
    dtype, shape = told["dtype"], told["shape"]
    if not isinstance(dtype, str) or not dtype.startswith("torch."):
        raise ValueError(f"{where}: expected a dtype of torch, found {dtype!r}")
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"{where}: expected a shape, found {shape!r}")
    if told.get("is_nested"):
        raise ValueError(f"{where} is a nested tensor, whose rows have no common shape")
    file = os.path.join(folder, f"{leaf}.memmap")
    source = _source(file, None, _RAW, dtype.removeprefix("torch."), tuple(shape), 0)
    if 0 in shape and not os.path.exists(file):  # of nothing there is no file
        empty = torch.empty(shape, dtype=getattr(torch, dtype.removeprefix("torch.")))
        return wrap(_core.from_dlpack(empty), file, mode)
    return _map(source, file, mode)


# --- a zip file of torch.save() ---


def _map_zip(file: str, mode: str, name: str | None) -> MappedTensor:
    found, where = _told_by_zip(file), name
    if name is not None:
        for part in name.split("/"):
            found = _step(found, part, file, name)
    elif not isinstance(found, torch.Tensor):
        only = [key for key, value in _items(found) if isinstance(value, torch.Tensor)]
        if len(only) != 1:
            listed = ", ".join(map(repr, only[:4]))
            raise ValueError(f"{file!r} has {len(only)} tensors ({listed}): name one of them")
        where, found = only[0], dict(_items(found))[only[0]]
    if not isinstance(found, torch.Tensor):
        raise ValueError(f"{file!r}: {where!r} is a {type(found).__name__}, not a tensor")
    return _map_record(file, mode, found)


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(str(place), item) for place, item in enumerate(value)]
    return []


def _step(value: Any, part: str, file: str, name: str) -> Any:
    items = dict(_items(value))
    if part not in items:
        listed = ", ".join(map(repr, list(items)[:4]))
        raise ValueError(f"{file!r} has no {name!r}: {part!r} is none of {listed or 'nothing'}")
    return items[part]


def _told_by_zip(file: str) -> Any:
    """What torch says that is in the file, with tensors that have places but no memory. Its own
    restricted unpickler reads the pickle; nothing of ours does. The zip file has been checked."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        with FakeTensorMode():
            return torch.load(file, weights_only=True)
    except OSError:
        raise
    except Exception as error:
        text = str(error).partition("\n")[0]
        raise ValueError(f"{file!r} is no file of torch.save() with tensors: {text}") from error


def _map_record(file: str, mode: str, tensor: torch.Tensor) -> MappedTensor:
    storage: Any = tensor.untyped_storage()
    offset = getattr(storage, "_checkpoint_offset", None)
    if offset is None:
        raise ValueError(f"{file!r}: torch {torch.__version__} does not say where its tensors lie")
    item = tensor.element_size()
    numel = storage.nbytes() // item
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    if tensor.numel() > 0 and tensor.storage_offset() + reach >= numel:
        raise ValueError(f"{file!r}: a tensor reaches over the end of its storage")
    source = _source(file, None, _TORCH, dtype_name(tensor.dtype), (numel,), offset)
    whole = _map(source, file, mode)
    return restride(whole, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))
