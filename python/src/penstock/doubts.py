# SPDX-License-Identifier: Apache-2.0
"""What becomes of a sample that the engine does not vouch for: the installed Pillow and the user's
own transform decide it."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import torch
from penstock import _core, python_random, reference, rng
from penstock.engines import Engine
from penstock.sources import Source

Event = tuple[str, int, int, int, int, bytes | None, tuple[str, int, str], int, float | None]


@contextlib.contextmanager
def _threads_of(engine: Engine) -> Iterator[None]:
    """As many threads of torch as stock's transforms have: sums of many numbers depend on it."""
    threads = torch.get_num_threads()
    if not engine.spec.in_workers or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _finish(engine: Engine, source: Source, event: Event, image: Any, refused: Exception) -> None:
    """A sample whose transform the engine refuses: the user's own makes it, from the words that are
    its turn, or raises."""
    _, ticket, slot, *_ = event
    core, prepared = engine.core, engine.spec.prepared
    if prepared.output.dtype is torch.uint8:  # the pixels before the transform's own numbers
        raise refused
    normals = prepared.transform.draws_normals
    try:
        words = core.words(ticket, slot, 0 if normals else prepared.transform.max_words)
    except ValueError:  # it was something else
        raise refused from None
    generator: rng.StateAhead | rng.WordsAhead
    kept = core.normal(ticket, slot)
    if normals:
        generator = rng.StateAhead(*core.generator(ticket, slot), kept)
    else:
        generator = rng.WordsAhead(words, kept)
    pythons: list[python_random.StateAhead] = []
    if prepared.draws_python:
        pythons.append(python_random.StateAhead(*core.python(ticket, slot)))
    with _threads_of(engine), generator as ahead, contextlib.ExitStack() as stack:
        for state in pythons:
            stack.enter_context(state)
        try:
            sample = source.transforms[0](image)
        except Exception:
            core.leave_normal(ticket, slot, rng.kept_normal(torch.default_generator))
            core.finish(ticket, slot, b"", 0, 0, ahead.taken(), sum(s.taken() for s in pythons))
            raise
        core.leave_normal(ticket, slot, rng.kept_normal(torch.default_generator))
        taken = ahead.taken(), sum(state.taken() for state in pythons)
    with torch._C.DisableTorchFunction():
        if prepared.is_apart:
            sample = torch.stack(list(sample))
        if prepared.output.dtype is None and sample.dtype != prepared.dtype:
            raise RuntimeError(f"a sample is {sample.dtype}, the batch {prepared.dtype}")
        height, width = sample.shape[-2:]
        sample = sample.detach().to(prepared.dtype)
        if prepared.output.layout:
            sample = sample.movedim(-3, -1)
        data = bytearray(sample.numel() * sample.element_size())
        torch.frombuffer(data, dtype=sample.dtype).copy_(sample.reshape(-1))
    core.finish(ticket, slot, data, height, width, *taken)


# What strict=True does not let pass. Of other formats and sizes only Pillow can tell.
_DAMAGE = ("EFORMAT", "ETRUNCATED", "EUNCLEAN")


def _hold(engine: Engine, event: Event) -> None:
    """An image that Pillow takes. Raises DecodeError for what it passes in silence; so the verdict
    is on the whole image, whatever part of it was asked for, and whyever it was in doubt."""
    index, data = event[3], event[5]
    path = engine.spec.table.path(index)
    if not path:  # of an array
        return
    if data is None:
        with open(path, "rb") as file:
            data = file.read()
    try:
        _core.check(data)
    except _core.LimitError:
        return
    except _core.DecodeError as error:
        if error.status not in _DAMAGE:
            return
        where = f", byte {error.offset}" if error.offset >= 0 else ""
        found = _core.DecodeError(f"{path} (sample {index}{where}): {error}")
        found.status, found.record, found.offset = error.status, index, error.offset
        raise found from None


def is_refusal(error: Exception) -> bool:
    """Whether it is an error of ours about an image that Pillow takes."""
    return isinstance(error, _core.DecodeError) and error.record >= 0


def decide(engine: Engine, source: Source, event: Event) -> Exception | None:
    """Puts a doubt to Pillow: its pixels go to the engine. Returns its exception, if it has one;
    the sample is still in doubt then."""
    _, ticket, slot, index, _, data, *_ = event
    try:
        image = engine.spec.table.load(index, data)
        if engine.spec.strict:
            _hold(engine, event)
        prepared = engine.spec.prepared
        turns = prepared.output.exif
        way = reference.orientation(image) if turns else 1
        seen = reference.exif_transpose(image) if prepared.pillow_turns else image
        try:
            engine.core.resolve(ticket, slot, *reference.pixels(seen), way)
        except (_core.Error, ValueError) as refused:
            image = reference.upright(image) if turns else image
            _finish(engine, source, event, image, refused)
    except Exception as error:
        return error
    return None


# Of the process, not of the sample: the next one would not fare better.
_ERRNOS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))


def is_of_sample(core: _core.Loader, event: Event, error: Exception) -> bool:
    """Whether an error that decide() returned says something of the sample alone."""
    if isinstance(error, MemoryError):
        return False
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return False
    if not isinstance(error, _core.LimitError):
        return True
    try:
        core.words(event[1], event[2], 0)
    except ValueError:  # its plan stands: it is the batch for which there is no room
        return False
    return True
