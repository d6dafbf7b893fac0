# SPDX-License-Identifier: Apache-2.0
"""A regression on an array that is larger than the memory it may use: 4 GiB of rows in an array
file, trained on in shuffled order, with 256 MB of budget.

    python examples/large_regression.py [--gib 4] [--budget-mb 256]

The peak of resident memory is measured and has to stay within the budget and 5 % of it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from penstock import ArrayWriter, DataLoader  # was: from torch.utils.data import DataLoader
from penstock.datasets import Array
from torch import nn

FEATURES, BATCH, PIECE = 1023, 256, 8192


def resident_bytes(peak: bool = False) -> int:
    """Of this process: now, or the most since reset_peak()."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def write_rows(path: Path, n_rows: int, weights: torch.Tensor) -> None:
    """Rows of features and what they weigh, some thousand at a time."""
    generator = torch.Generator().manual_seed(0)
    with ArrayWriter(path, rows=n_rows) as writer:
        for start in range(0, n_rows, PIECE):
            x = torch.rand(min(PIECE, n_rows - start), FEATURES, generator=generator) - 0.5
            writer.write({"x": x, "y": x @ weights})


def train(path: Path, budget: int, weights: torch.Tensor) -> None:
    dataset = Array(path, columns=["x", "y"], memory_budget=budget)
    print(dataset)
    model = nn.Linear(FEATURES, 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

    def step(x: torch.Tensor, y: torch.Tensor) -> float:
        loss = nn.functional.mse_loss(model(x).squeeze(1), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    first = step(torch.rand(BATCH, FEATURES) - 0.5, torch.zeros(BATCH))  # torch's own memory comes
    loader = DataLoader(
        dataset,
        batch_size=BATCH,
        shuffle=True,
        rng="sample",
        num_workers=2,
        memory_budget=budget // 4,
    )
    print(loader.explain())
    before, begun, rows, losses = resident_bytes(), time.perf_counter(), 0, [first]
    reset_peak()
    for x, y in loader:
        losses.append(step(x, y))
        rows += len(y)
    seconds, grown = time.perf_counter() - begun, resident_bytes(peak=True) - before
    size = path.stat().st_size
    print(
        f"{rows} rows, {size / 2**30:.2f} GiB in {seconds:.1f} s: loss {losses[1]:.3f} to "
        f"{sum(losses[-20:]) / 20:.4f}; {grown / 1e6:.0f} MB more resident at most, "
        f"the budget is {budget / 1e6:.0f} MB"
    )
    assert rows == len(dataset)
    assert sum(losses[-20:]) / 20 < losses[1] / 2
    assert grown <= 1.05 * budget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="not used: each example is called with one")
    parser.add_argument("--gib", type=float, default=0.25, help="of rows; 0.25 by default")
    parser.add_argument("--budget-mb", type=int, default=64)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    weights = torch.randn(FEATURES) / 4
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.pst"
        write_rows(path, int(arguments.gib * 2**30) // (4 * FEATURES + 4), weights)
        train(path, arguments.budget_mb * 10**6, weights)


if __name__ == "__main__":
    main()
