# SPDX-License-Identifier: Apache-2.0
"""The parts of torch that both lanes share, with the types that torch leaves out."""

from collections.abc import Callable, Sequence
from typing import Any

from torch._utils import ExceptionWrapper
from torch.utils.data._utils import collate, fetch
from torch.utils.data._utils import pin_memory as pinning

default_collate: Callable[[Sequence[Any]], Any] = collate.default_collate
pin_memory: Callable[[Any, Any], Any] = pinning.pin_memory
make_fetcher: Callable[[Any, bool, Any, bool], Any] = fetch._MapDatasetFetcher


def wrap_error(error: BaseException, where: str) -> ExceptionWrapper:
    """What a worker of torch sends in the place of a batch."""
    make: Any = ExceptionWrapper
    wrapper: ExceptionWrapper = make((type(error), error, error.__traceback__), where=where)
    return wrapper


def unwrap_error(wrapper: ExceptionWrapper) -> BaseException:
    """The exception that torch raises for it, without torch's frame: that would hold the exception,
    and with it whatever its traceback reaches, until the collector comes."""
    again: Any = wrapper.reraise
    try:
        again()
    except BaseException as error:
        return error.with_traceback(None)
    raise AssertionError("an error was not raised again")
