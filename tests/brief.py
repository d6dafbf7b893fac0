# SPDX-License-Identifier: Apache-2.0
"""A plugin of pytest (-p brief): of each test function one case, and none that is slow. That meets
all that the package has in a fraction of the time."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: dict[tuple[object, str], pytest.Item] = {}
    left = []
    for item in items:
        function = item.path, getattr(item, "originalname", item.name)
        if item.get_closest_marker("slow") or kept.setdefault(function, item) is not item:
            left.append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept.values()
