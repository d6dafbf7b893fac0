# SPDX-License-Identifier: Apache-2.0
"""The documentation: every block of Python runs, every link leads somewhere."""

import http.server
import re
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from torchvision import transforms
from torchvision.datasets import ImageFolder

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

pytestmark = [
    pytest.mark.tree,
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # more workers than cores
]


def blocks(text: str) -> list[tuple[int, str]]:
    """(line, code) of the blocks of Python of a page."""
    found = []
    for match in FENCE.finditer(text):
        if match[2] == "python":
            code = re.sub(f"^{match[1]}", "", match[3], flags=re.MULTILINE)
            found.append((text.count("\n", 0, match.start()) + 2, code))
    return found


# Where the package is tested alone there is no page, and this file is left out.
WITH_CODE = [page for page in PAGES if page.exists() and blocks(page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a page's code runs: with image folders and lists of the names that it uses."""
    root = tmp_path_factory.mktemp("docs")
    for name in ("train", "val", "imagenet/train"):
        kit.make_folder(root / name)
    rows = [
        f"{path.relative_to(root / 'train')},{path.parent.name}"
        for path in sorted((root / "train").glob("*/*.*"))
    ]
    (root / "train.csv").write_text("\n".join(["file,class", *rows]) + "\n")
    (root / "images").symlink_to("train")
    return root


def names() -> dict[str, Any]:
    """What a page may take as given."""
    transform = transforms.Compose(
        [transforms.Resize(32), transforms.CenterCrop(24), transforms.ToTensor()]
    )
    dataset = ImageFolder("train", transform)
    return {
        "__name__": "page",
        "DataLoader": penstock.DataLoader,
        "dataset": dataset,
        "loader": penstock.DataLoader(dataset, batch_size=4, num_workers=2),
        "numpy_array": numpy.arange(24.0).reshape(2, 3, 4),
        "exporter": torch.zeros(3, 4),
        "other_loader": torch.utils.data.DataLoader(dataset),
        "penstock": penstock,
        "transform": transform,
    }


def test_pages_with_code_are_found() -> None:
    assert {"README.md", "guide.md", "from-dataloader.md"} <= {page.name for page in WITH_CODE}


class AnyPort(http.server.HTTPServer):
    """The port that a page names may be another program's, or another test's."""

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        super().__init__((address[0], 0), handler)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_code_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page are one program, from top to bottom."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(http.server, "HTTPServer", AnyPort)
    monkeypatch.setenv("PENSTOCK_CACHE", str(folder / "cache"))
    space = names()
    try:
        for line, code in blocks(page.read_text(encoding="utf-8")):
            program = compile(
                "\n" * (line - 1) + code, str(page), "exec"
            )  # errors have the page's line
            exec(program, space)
    finally:
        space.clear()  # a page's server goes on, and would keep a loader and its threads


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        path = (page.parent / target) if target else page
        assert path.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            marks = [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in marks, f"{target}#{anchor}"


def test_a_block_is_cut_out_whole() -> None:
    text = "a\n```python\nx = 1\n```\n\n1. b\n   ```python\n   if x:\n       y = 2\n   ```\n"
    text += "```sh\nls\n```\n"
    assert blocks(text) == [(3, "x = 1\n"), (8, "if x:\n    y = 2\n")]
