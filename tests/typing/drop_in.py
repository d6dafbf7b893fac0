# SPDX-License-Identifier: Apache-2.0
"""Types that users see; checked by mypy and pyright, never run."""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from typing import Any, assert_type

import penstock
import torch
import torch.utils.data
from penstock import DataLoader, Explanation, Stats, Verification
from penstock.datasets import ImageFolder, ImageList, IndexReport, Tokens
from torch.utils.data import Dataset, TensorDataset


class Numbers(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        return index

    def __len__(self) -> int:
        return 3


loader = DataLoader(Numbers(), batch_size=2, shuffle=True, num_workers=2, threads=4)
assert_type(loader, DataLoader[int])
assert_type(loader.explain(), Explanation)
assert_type(loader.stats(), Stats)
assert_type(loader.explain().as_dict(), dict[str, Any])
assert_type(loader.stats().prometheus({"rank": "0"}), str)
assert_type(loader.threads, int | None)
DataLoader(Numbers(), progress=True)
DataLoader(Numbers(), progress=lambda progress: print(progress.samples_per_s))
DataLoader(Numbers(), progress=penstock.ProgressLine(force=True))
assert_type(penstock.verify(loader), Verification)
assert_type(penstock.verify(loader, batches=None).ok, bool)
assert_type(penstock.__version__, str)

stock: torch.utils.data.DataLoader[int] = loader
tensors = DataLoader(
    TensorDataset(torch.zeros(3)),
    rng="sample",
    memory_budget="512MB",
    profile="pillow-13",
    generator=torch.Generator(),
)
assert_type(tensors, DataLoader[tuple[torch.Tensor, ...]])

folder = ImageFolder("images", extensions=[".jpg"], cache=False)
assert_type(folder.index, IndexReport | None)
assert_type(folder.samples[0], tuple[str, int])
assert_type(folder.targets[1:], list[int])
assert_type(folder.classes, list[str])
assert_type(ImageList([("a.jpg", "cat")], "images").samples[0], tuple[str, int])
assert_type(DataLoader(folder), DataLoader[tuple[Any, Any]])
ImageList("list.csv", format="xml")  # type: ignore[arg-type]

DataLoader(Numbers(), rng="numpy")  # type: ignore[arg-type]
DataLoader(Numbers(), profile="pillow")  # type: ignore[arg-type]
DataLoader(Numbers(), 1, None, None, None, 0, None, False, False, 0, None, None, None, 4)  # type: ignore[call-arg]
DataLoader(Numbers(), progress="yes")  # type: ignore[arg-type]
DataLoader(Numbers(), thread=4)  # type: ignore[call-arg]

pairs = Tokens("a.bin", 8, dtype="uint16")
assert_type(pairs, Tokens[tuple[torch.Tensor, torch.Tensor]])
assert_type(pairs.gather([0, 1]), tuple[torch.Tensor, torch.Tensor])
alone = Tokens([["a", "b"], "c"], 8, targets=False, weights=[1, 2], documents="within", pad=0)
assert_type(alone[0], torch.Tensor)
assert_type(Tokens("a", 8, targets=bool(len(alone)))[0], Any)
assert_type(alone.n_documents, int | None)
