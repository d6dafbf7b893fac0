# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest (-p brief): of each test function one case with few random examples, and none
that is slow. That meets all that the package has in a fraction of the time."""

from typing import Any

import pytest
from hypothesis import settings

EXAMPLES = 10


def _lessen(function: Any) -> None:
    """Hypothesis keeps a test's settings on its function."""
    given = getattr(function, "_hypothesis_internal_use_settings", None)
    if given is not None:
        few = settings(given, max_examples=min(given.max_examples, EXAMPLES))
        function._hypothesis_internal_use_settings = few


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: dict[tuple[object, str], pytest.Item] = {}
    left = []
    for item in items:
        function = item.path, getattr(item, "originalname", item.name)
        if item.get_closest_marker("slow") or kept.setdefault(function, item) is not item:
            left.append(item)
    for item in kept.values():
        _lessen(getattr(item, "obj", None))
    config.hook.pytest_deselected(items=left)
    items[:] = kept.values()
