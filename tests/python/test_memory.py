# SPDX-License-Identifier: Apache-2.0
"""Memory stays flat; see tests/campaigns/memory.py for the long run."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import campaigns
import kit
import pytest

memory = campaigns.load("memory")
LEAK = "train, 2 workers, and a leak"
WAYS = {**memory.WAYS, LEAK: memory.Way("train_v2", 2, 0, leaked=400_000)}


Seen = list[tuple[int, int]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Seen]]]:
    """Two ways at a time, each in a process of its own: time is not what is measured."""
    root = kit.make_folder(tmp_path_factory.mktemp("images"))
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(memory.run_alone, root, way, epochs=24, batch_size=4)
            for name, way in WAYS.items()
        }


@pytest.mark.fault("R17")
@pytest.mark.parametrize("name", memory.WAYS)
def test_resident_memory_does_not_grow(running: dict[str, Future[Seen]], name: str) -> None:
    assert memory.judge(name, running[name].result()[4:])


def test_a_leak_in_a_process_is_found(running: dict[str, Future[Seen]]) -> None:
    """8 MB in twenty epochs."""
    assert not memory.judge(LEAK, running[LEAK].result()[4:])


def test_a_slow_leak_would_be_found() -> None:
    """2 MB of 130 MB in twenty epochs; not a jump that does not come again."""
    flat = [(130_000_000 + 1000 * (i % 3), 131_000_000) for i in range(20)]
    leak = [(end + 100_000 * i, most) for i, (end, most) in enumerate(flat)]
    peak = [(end, most + 100_000 * i) for i, (end, most) in enumerate(flat)]
    jump = [
        (end + 1_000_000 * (i == 9), most + 500_000 * (i > 16))
        for i, (end, most) in enumerate(flat)
    ]
    assert memory.judge("flat", flat)
    assert memory.judge("a jump", jump)
    assert not memory.judge("a leak", leak)
    assert not memory.judge("a leak while it runs", peak)
