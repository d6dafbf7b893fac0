# SPDX-License-Identifier: Apache-2.0
"""A very small GPT learns to read from a token file: text made here, its bytes as tokens, windows
through penstock's DataLoader. Under a minute on a CPU.

    python examples/tiny_gpt.py
"""

import random
import tempfile
import time
from pathlib import Path

import numpy
import torch
from penstock import DataLoader  # was: from torch.utils.data import DataLoader
from penstock.datasets import Tokens
from torch import nn

WINDOW, BATCH, STEPS = 64, 16, 150
WIDTH, HEADS, LAYERS, VOCABULARY = 64, 4, 2, 256


def write_text(path: Path) -> None:
    """Sentences of a small grammar: something to learn, and never twice the same."""
    draw = random.Random(0)
    names = ["the river", "a valve", "the old mill", "our pump", "the turbine", "a quiet lake"]
    verbs = ["fills", "turns", "drives", "stops", "feeds", "cools"]
    text = "".join(
        f"{draw.choice(names)} {draw.choice(verbs)} {draw.choice(names)}"
        f"{draw.choice(['', ' again', ' at night'])}.\n"
        for _ in range(20_000)
    )
    numpy.frombuffer(text.encode("ascii"), dtype=numpy.uint8).tofile(path)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.between = nn.LayerNorm(WIDTH)
        self.heads = nn.Linear(WIDTH, 3 * WIDTH)
        self.joined = nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        parts = self.heads(self.before(x)).view(n, t, 3, HEADS, WIDTH // HEADS)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.joined(seen.transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.wide(self.between(x))


class TinyGPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(WINDOW, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        at = torch.arange(x.shape[1])
        logits: torch.Tensor = self.out(self.blocks(self.tokens(x) + self.places(at)))
        return logits


def train(path: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a matrix of this size is not worth a second one
    dataset = Tokens(path, WINDOW, dtype="uint8")
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, drop_last=True, num_workers=2)
    print(dataset)
    print(loader.explain())
    model = TinyGPT()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    begun = time.perf_counter()
    while len(losses) < STEPS:
        for x, y in loader:
            logits = model(x)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            if len(losses) % 25 == 1:
                print(f"step {len(losses):4}  loss {losses[-1]:.3f}")
            if len(losses) == STEPS:
                break
    first, last = losses[0], sum(losses[-10:]) / 10
    print(f"{STEPS} steps in {time.perf_counter() - begun:.1f} s: loss {first:.3f} to {last:.3f}")
    # It begins at the logarithm of 256; what the grammar leaves open is some tenths.
    assert first > 4
    assert last < 1.2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "tokens.bin"
        write_text(file)
        train(file)
