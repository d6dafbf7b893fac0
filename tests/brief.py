# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest (-p brief): of each file the first test functions, of each of them one case
with few random examples, and none that is slow. That meets each part of the package in a fraction
of the time: what it may find is a part that was not packed, or does not load."""

from typing import Any

import pytest
from hypothesis import settings

EXAMPLES = 10
FUNCTIONS = 4


def _lessen(function: Any) -> None:
    """Hypothesis keeps a test's settings on its function."""
    given = getattr(function, "_hypothesis_internal_use_settings", None)
    if given is not None:
        few = settings(given, max_examples=min(given.max_examples, EXAMPLES))
        function._hypothesis_internal_use_settings = few


@pytest.hookimpl(trylast=True)  # -m has chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: dict[object, dict[str, pytest.Item]] = {}
    left = []
    for item in items:
        functions = kept.setdefault(item.path, {})
        name = getattr(item, "originalname", item.name)
        if item.get_closest_marker("slow") or name in functions or len(functions) == FUNCTIONS:
            left.append(item)
        else:
            functions[name] = item
    items[:] = [item for functions in kept.values() for item in functions.values()]
    for item in items:
        _lessen(getattr(item, "obj", None))
    config.hook.pytest_deselected(items=left)
