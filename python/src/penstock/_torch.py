# SPDX-License-Identifier: Apache-2.0
"""The parts of torch that both lanes share, with the types that torch leaves out."""

from collections.abc import Callable, Sequence
from typing import Any

from torch._utils import ExceptionWrapper
from torch.utils.data._utils import collate, fetch, worker
from torch.utils.data._utils import pin_memory as pinning

default_collate: Callable[[Sequence[Any]], Any] = collate.default_collate
pin_memory: Callable[[Any, Any], Any] = pinning.pin_memory
make_fetcher: Callable[[Any, bool, Any, bool], Any] = fetch._MapDatasetFetcher
WorkerInfo: Callable[..., Any] = worker.WorkerInfo
# (base seed, worker): what a worker seeds NumPy with
numpy_seed: Callable[[int, int], list[int]] = worker._generate_state


def wrap_error(error: BaseException, where: str) -> ExceptionWrapper:
    """What a worker of torch sends in the place of a batch."""
    make: Any = ExceptionWrapper
    wrapper: ExceptionWrapper = make((type(error), error, error.__traceback__), where=where)
    return wrapper


def no_fetcher(where: str) -> ExceptionWrapper:
    """What a worker sends whose worker_init_fn failed, once that error is told: the function of
    torch goes on without the variable that it would have set."""
    try:
        if where == "":
            fetcher = None
        fetcher  # noqa: B018
    except UnboundLocalError as error:
        return wrap_error(error, where)
    raise AssertionError("a variable without a value was read")


def unwrap_error(wrapper: ExceptionWrapper) -> BaseException:
    """The exception that torch raises for it, without torch's frame: that would hold the exception,
    and with it whatever its traceback reaches, until the collector comes."""
    again: Any = wrapper.reraise
    try:
        again()
    except BaseException as error:
        return error.with_traceback(None)
    raise AssertionError("an error was not raised again")
