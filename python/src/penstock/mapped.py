# SPDX-License-Identifier: Apache-2.0
"""Tensors over mapped files. Torch has no read-only tensors; here is one.

A read-only tensor's operations come to `__torch_dispatch__`, which refuses those that write to it
and keeps its views as they are. What does not come there (a pointer, a storage, a consumer of
DLPack that heeds no flag) writes to memory that is mapped copy-on-write: the process keeps the
change to itself, and the file never sees it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Never

import numpy
import torch
from numpy.typing import NDArray
from penstock import _core
from torch.utils.dlpack import from_dlpack

_View = tuple[_core.Tensor, str]  # what holds the mapping; the path

_from_core: Callable[[_core.Tensor], torch.Tensor] = from_dlpack
# What an operation of torch writes to, as places and names of its arguments.
_written: dict[Any, tuple[tuple[int, str], ...]] = {}


def _writes(operation: Any) -> tuple[tuple[int, str], ...]:
    found = _written.get(operation)
    if found is None:
        schema = getattr(operation, "_schema", None)
        arguments = schema.arguments if schema is not None else ()
        found = tuple(
            (place, argument.name)
            for place, argument in enumerate(arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        _written[operation] = found
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, _ReadOnlyTensor):
        return value._plain
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


def _read_only_in(value: Any) -> "Iterable[_ReadOnlyTensor]":
    if isinstance(value, _ReadOnlyTensor):
        yield value
    elif type(value) in (list, tuple):
        for item in value:
            yield from _read_only_in(item)


def _refuse(tensor: "MappedTensor", what: str) -> Never:
    raise RuntimeError(
        f"{what}: the tensor is a read-only map of {tensor.path!r}; clone() it, or map the file "
        'with mode="c" (changes stay in this process) or "r+" (they reach the file)'
    )


def _make(cls: "type[MappedTensor]", plain: torch.Tensor, view: _View) -> Any:
    tensor: Any = torch.Tensor._make_subclass(cls, plain)
    tensor._view = view
    if cls is _ReadOnlyTensor:
        tensor._plain = plain
    return tensor


class MappedTensor(torch.Tensor):
    """A tensor over a mapped file, as `penstock.mem_map()` gives it. What is computed from it is a
    plain tensor."""

    _view: _View
    # Results are plain tensors, made without a detour through Python.
    __torch_function__: Any = torch._C._disabled_torch_function_impl

    @property
    def path(self) -> str:
        """The mapped file."""
        return self._view[1]

    def flush(self) -> None:
        """Waits until what was written to a map of mode `"r+"` or `"w+"` is on the disk. OSError
        where it cannot get there."""
        _core.array_sync(self._view[0])

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        copy = self.clone()
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled are the elements, as NumPy does it with its maps: the file may be another one, or
        gone, where they are read."""
        return self.clone().__reduce_ex__(protocol)


class _ReadOnlyTensor(MappedTensor):
    _plain: torch.Tensor

    @property
    def data(self) -> Any:
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        _refuse(self, "data cannot be set")

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for place, name in _writes(operation):
            value = args[place] if place < len(args) else kwargs.get(name)
            for tensor in _read_only_in(value):
                _refuse(tensor, f"{operation} would write")
        sources = [tensor for value in (*args, *kwargs.values()) for tensor in _read_only_in(value)]
        result = operation(
            *(_plain(value) for value in args),
            **{name: _plain(value) for name, value in kwargs.items()},
        )
        return _guard(result, sources)

    def __repr__(self, *args: Any, **kwargs: Any) -> str:  # type: ignore[override]
        return repr(self._plain)

    def tolist(self) -> Any:
        return self._plain.tolist()

    def numpy(self, *, force: bool = False) -> NDArray[Any]:
        """A read-only array over the same memory."""
        array: NDArray[Any] = self._plain.detach().numpy()
        array.flags.writeable = False
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != numpy.dtype(dtype):
            if copy is False:
                raise ValueError("another dtype needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """With the flag of read-only memory, which DLPack has from 1.0 on."""
        device = None if dl_device is None else (int(dl_device[0]), dl_device[1])
        mine = _core.tensor(self._bits())
        return mine.__dlpack__(stream=stream, max_version=max_version, dl_device=device, copy=copy)

    def _bits(self) -> NDArray[Any]:
        if self.dtype == torch.bfloat16:
            raise BufferError("read-only bfloat16 cannot be said in DLPack yet: clone() first")
        return self.numpy()


def _guard(result: Any, sources: list[_ReadOnlyTensor]) -> Any:
    """Results that share memory with a source are read-only as it is."""
    if type(result) is torch.Tensor:
        memory = result.untyped_storage().data_ptr()
        for source in sources:
            if source._plain.untyped_storage().data_ptr() == memory:
                return _make(_ReadOnlyTensor, result, source._view)
        return result
    if type(result) in (list, tuple):
        return type(result)(_guard(item, sources) for item in result)
    return result


def wrap(tensor: _core.Tensor, path: str, mode: str) -> MappedTensor:
    """A torch tensor on the engine's."""
    plain: torch.Tensor = _from_core(tensor)
    cls = _ReadOnlyTensor if mode == "r" else MappedTensor
    made: MappedTensor = _make(cls, plain, (tensor, path))
    return made


def restride(
    tensor: MappedTensor, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> MappedTensor:
    """Another look at the same memory, with the path and the mode."""
    plain = (
        tensor._plain if isinstance(tensor, _ReadOnlyTensor) else tensor.as_subclass(torch.Tensor)
    )
    made: MappedTensor = _make(type(tensor), plain.as_strided(shape, strides, offset), tensor._view)
    return made
