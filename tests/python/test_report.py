# SPDX-License-Identifier: Apache-2.0
"""penstock.report(): one page that needs nothing else, shows what was there, and leaves the loader
as it was."""

import base64
import io
import os
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import kit
import numpy
import penstock
import pytest
import torch
from penstock import page, plots
from PIL import Image
from torchvision import datasets, transforms
from torchvision.transforms import v2

VOID = {"meta", "img"}


class Element:
    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element] = []
        self.words = ""

    def find(self, tag: str) -> list["Element"]:
        found = [self] if self.tag == tag else []
        for child in self.children:
            found += child.find(tag)
        return found

    @property
    def text(self) -> str:
        return self.words + " ".join(child.text for child in self.children)


class Reader(HTMLParser):
    """Builds the tree, and refuses what is not closed as it was opened."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), names
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].words += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


TAGS = set(
    "html head meta title style body h1 h2 p b div span section ul li svg line path rect text "
    "figure figcaption img table thead tbody tr th td".split()
)


def read(path: Path) -> Element:
    """The page, after all that holds for each was checked."""
    reader = Reader()
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    reader.feed(text)
    reader.close()
    (root,) = reader.open
    for element in every(root):
        assert element.tag in TAGS, element.tag
        for name, value in element.attributes.items():
            assert not name.startswith("on"), name
            assert name not in ("href", "xlink:href", "action", "style", "srcdoc"), name
            assert "url(" not in value
            if name == "src":
                assert re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/]+=*", value)
    (style,) = root.find("style")
    assert "url(" not in style.words
    assert "@import" not in style.words
    return root


def every(root: Element) -> list[Element]:
    found = root.children[:]
    for child in root.children:
        found += every(child)
    return found


def sections(root: Element) -> dict[str, Element]:
    return {one.find("h2")[0].words: one for one in root.find("section")}


def picture_of(figure: Element) -> numpy.ndarray[Any, Any]:
    data = figure.find("img")[0].attributes["src"].partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return numpy.asarray(image)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.make_folder(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("rng", ["torch", "sample"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_page(root: Path, tmp_path: Path, num_workers: int, rng: Any) -> None:
    dataset = kit.folder_of(root, kit.train_v1())
    loader = kit.OURS(dataset, 4, shuffle=True, num_workers=num_workers, threads=2, rng=rng)
    path = penstock.report(loader, tmp_path / "report.html", images=10)
    assert path == tmp_path / "report.html"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    whole = read(path)
    parts = sections(whole)
    assert list(parts) == [
        "Time of each stage",
        "Threads at work",
        "Batches in the queue",
        "Waiting for the loader",
        "Samples",
        "Lanes",
    ]
    for name in list(parts)[:4]:
        assert len(parts[name].find("svg")) >= 1
        assert all(rect.attributes["height"] != "nan" for rect in parts[name].find("rect"))
    words = [text.words for text in parts["Time of each stage"].find("text")]
    assert words[::2] == ["read", "probe", "plan", "decode", "transform", "Pillow"]
    assert all(re.search(r"\d [mµ]?s, \d+ %, .* a sample$", word) for word in words[1::2])
    assert sum(int(re.search(r"(\d+) %", word)[1]) for word in words[1::2]) in range(97, 104)  # type: ignore[index]
    assert "17" in [b.words for b in whole.find("b")]  # samples
    figures = parts["Samples"].find("figure")
    assert len(figures) == 10
    for figure in figures:
        text = figure.find("figcaption")[0].text
        index = int(re.search(r"index (\d+)", text)[1])  # type: ignore[index]
        assert figure.find("b")[0].words == dataset.classes[dataset.targets[index]]
        assert figure.find("span")[0].attributes["title"] == dataset.samples[index][0]
        with Image.open(dataset.samples[index][0]) as image:
            drawn = (
                rf"{image.width} x {image.height}, crop \(\d+, \d+\) \d+ x \d+, resize to 24 x 24"
            )
        assert re.search(drawn, text), text
        assert picture_of(figure).shape == (24, 24, 3)


def test_the_queue_and_the_waiting(root: Path, tmp_path: Path) -> None:
    """The columns of the waiting are, together, the share that the page names."""
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 2, num_workers=2, threads=2)
    whole = read(penstock.report(loader, tmp_path / "r.html", batches=6))
    paths = sections(whole)["Batches in the queue"].find("path")
    assert [one.find("title")[0].words for one in paths] == ["ready", "in work"]
    shares = [
        float(title.words.split(": ")[1].removesuffix(" %"))
        for title in sections(whole)["Waiting for the loader"].find("title")
    ]
    assert all(0 < share <= 100 for share in shares)
    (whole_share,) = [b.words for b in whole.find("b") if b.words.endswith(" %")]
    expected = float(whole_share.removesuffix(" %"))
    assert expected > 0
    assert sum(shares) / plots.COLUMNS == pytest.approx(expected, abs=0.1)


OUTPUTS: dict[str, dict[str, Any]] = {
    "as_stock": {},
    "float16": {"out_dtype": torch.float16},
    "bfloat16": {"out_dtype": torch.bfloat16},
    "uint8": {"out_dtype": torch.uint8},
    "channels_last": {"memory_format": torch.channels_last},
}


@pytest.mark.parametrize("output", OUTPUTS)
def test_pictures_are_the_pixels(root: Path, tmp_path: Path, output: str) -> None:
    """Before what made numbers of them: the same pipeline without that is the expectation."""
    steps = [transforms.Resize(32), transforms.CenterCrop(24)]
    plain = kit.folder_of(root, transforms.Compose([*steps, transforms.PILToTensor()]))
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=1, **OUTPUTS[output])
    whole = read(penstock.report(loader, tmp_path / "r.html"))
    figures = sections(whole)["Samples"].find("figure")
    assert len(figures) == 17
    for (expected, _), figure in zip(plain, figures, strict=True):
        difference = picture_of(figure).astype(int) - expected.permute(1, 2, 0).numpy()
        # Eight bits of bfloat16 do not tell all levels apart.
        assert abs(difference).max() <= (1 if output == "bfloat16" else 0)


def test_large_and_grey_pictures(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    kit.picture("RGB", 500, 300, 1).save(tmp_path / "images" / "a" / "x.png")
    transform = transforms.Compose([transforms.Grayscale(1), transforms.ToTensor()])
    loader = kit.OURS(datasets.ImageFolder(str(tmp_path / "images"), transform), 1, num_workers=1)
    whole = read(penstock.report(loader, tmp_path / "r.html"))
    (figure,) = sections(whole)["Samples"].find("figure")
    assert picture_of(figure).shape == (115, 192)
    assert "500 x 300" in figure.text


NAMES = ["<script>alert(1)", 'x" onerror="alert(2)', "'><img src=x>&amp;", "a\nb\u202ec\ud800"]


def hostile_folder(root: Path) -> Path:
    for number, name in enumerate(NAMES):
        folder = os.fsencode(root) + b"/" + name.encode("utf-8", "surrogatepass")
        os.mkdir(folder)
        for other in range(2):
            with open(folder + b"/<b>\"'&%d\xff.png" % other, "wb") as file:
                kit.picture("RGB", 30, 30, number).save(file, "PNG")
    return root


def test_hostile_names(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    dataset = kit.folder_of(hostile_folder(tmp_path / "i"), kit.eval_v1())
    loader = kit.OURS(dataset, 4, num_workers=2)
    assert loader.explain().lane == "native"
    whole = read(penstock.report(loader, tmp_path / "r.html"))
    figures = sections(whole)["Samples"].find("figure")
    labels = [figure.find("b")[0].words for figure in figures]
    # What is not to be seen is written out.
    for label, (_, target) in zip(labels, dataset.samples, strict=True):
        name = dataset.classes[target]
        assert label == name or name.startswith("a\nb")
        assert label.startswith("a\nb\\u202ec\\udced") == name.startswith("a\nb")
    for figure in figures:
        assert set(figure.find("img")[0].attributes) == {"src", "alt"}
        assert re.search(r"""<b>"'&[01]\\udcff\.png$""", figure.find("span")[0].words)


def test_hostile_errors(root: Path, tmp_path: Path) -> None:
    """An exception of a user's code is text, and the run goes on after it."""

    class Bad(torch.utils.data.Dataset[Any]):
        classes = ("<i>",)

        def __len__(self) -> int:
            return 30

        def __getitem__(self, index: int) -> Any:
            if index != 3:
                raise ValueError(f"</section><script>{index}")
            return torch.full((3, 8, 8), float("nan")), 0

    whole = read(penstock.report(kit.OURS(Bad(), 1), tmp_path / "r.html", batches=30))
    errors = sections(whole)["Errors"]
    assert "next() raised 29 times. 9 are not shown." in errors.text
    items = [item.words for item in errors.find("li")]
    assert items[0] == "batch 0: ValueError: </section><script>0"
    assert len(items) == 20
    (figure,) = sections(whole)["Samples"].find("figure")
    assert figure.find("b")[0].words == "<i>"
    assert "PyTorch's own lane" in sections(whole)["Time of each stage"].text


def test_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    dataset = kit.folder_of(kit.make_folder(tmp_path / "i"), kit.eval_v1())
    Path(dataset.samples[5][0]).unlink()
    whole = read(penstock.report(kit.OURS(dataset, 4, num_workers=2), tmp_path / "r.html"))
    (item,) = sections(whole)["Errors"].find("li")
    assert "batch 1: FileNotFoundError" in item.words
    assert len(sections(whole)["Samples"].find("figure")) == 13


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("on_error", ["skip", "substitute"])
def test_a_policy(tmp_path: Path, num_workers: int, on_error: Any) -> None:
    """Pictures are of the samples that are in the batch; the quarantine is the training's."""
    (tmp_path / "i").mkdir()
    dataset = kit.folder_of(kit.make_folder(tmp_path / "i"), kit.eval_v1())
    Path(dataset.samples[5][0]).unlink()
    quarantine = tmp_path / "quarantine.jsonl"
    loader = kit.OURS(dataset, 4, num_workers=num_workers, on_error=on_error, quarantine=quarantine)
    whole = read(penstock.report(loader, tmp_path / "r.html"))
    assert not quarantine.exists()
    assert loader.report().samples == 0
    part = sections(whole)["Samples that could not be had"]
    assert "1 of 17 samples." in part.text
    assert [cell.words for cell in part.find("td")][:3] == ["5", dataset.samples[5][0], on_error]
    figures = sections(whole)["Samples"].find("figure")
    assert len(figures) == (16 if on_error == "skip" else 17)
    for figure in figures:
        index = int(re.search(r"index (\d+)", figure.text)[1])  # type: ignore[index]
        assert index != 5
        assert figure.find("span")[0].attributes["title"] == dataset.samples[index][0]
        with Image.open(dataset.samples[index][0]) as image:
            assert f"{image.width} x {image.height}, resize" in figure.text


def test_torchs_own_loader(root: Path, tmp_path: Path) -> None:
    """Any loader of torch's class; on the native lane as well."""
    loader = kit.STOCK(kit.folder_of(root, kit.eval_v1()), 4, num_workers=2)
    whole = read(penstock.report(loader, tmp_path / "r.html"))
    assert len(sections(whole)["Samples"].find("figure")) == 17
    loader = kit.STOCK(list(range(10)), 4)
    whole = read(penstock.report(loader, tmp_path / "r.html"))
    assert "hold no images" in sections(whole)["Samples"].text
    assert "Threads at work" not in sections(whole)


def states() -> list[Any]:
    numbers = numpy.random.get_state()
    return [
        torch.default_generator.get_state().tolist(),
        random.getstate(),
        [part.tolist() if isinstance(part, numpy.ndarray) else part for part in numbers],
    ]


class Drawing(torch.utils.data.Dataset[Any]):
    """On torch's lane, from all generators of the process."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        return torch.rand(3, 4, 4) + random.random() + numpy.random.random(), index


@pytest.mark.parametrize("rng", ["torch", "sample"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_nothing_is_left(root: Path, tmp_path: Path, num_workers: int, rng: Any) -> None:
    """The next epoch has the batches that it would have had, and no counter has moved."""

    def make() -> Any:
        own = torch.Generator().manual_seed(5)
        sampler = torch.utils.data.RandomSampler(range(17), generator=own)
        dataset = kit.folder_of(root, kit.train_v1())
        return kit.OURS(dataset, 4, sampler=sampler, num_workers=num_workers, threads=2, rng=rng)

    def epochs(reports: bool) -> list[list[Any]]:
        loader, found = make(), []
        torch.manual_seed(3)
        for _ in range(2):
            if reports:
                before, counters = states(), loader.stats().as_dict()
                penstock.report(loader, tmp_path / "r.html", batches=3)
                assert states() == before
                after = loader.stats().as_dict()
                del counters["memory"], after["memory"]  # some are of the whole process
                del counters["samples_per_s"], after["samples_per_s"]
                del counters["wait_share"], after["wait_share"]
                assert after == counters
            found.append([[part.tolist() for part in batch] for batch in loader])
        return found

    assert epochs(True) == epochs(False)


def test_nothing_is_left_on_torchs_lane(tmp_path: Path) -> None:
    loader = kit.OURS(Drawing(), 4, shuffle=True)
    before = states()
    penstock.report(loader, tmp_path / "r.html")
    assert states() == before
    first, _ = next(iter(loader))
    assert states() != before
    assert first.shape == (4, 3, 4, 4)


def n_threads() -> int:
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return sum(name.startswith("penstock") for name in names)


def test_a_step(root: Path, tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=2)
    seen: list[Any] = []
    whole = read(penstock.report(loader, tmp_path / "r.html", batches=3, step=seen.append))
    assert [len(batch[0]) for batch in seen] == [4, 4, 4]
    assert "Between two batches ran the step" in sections(whole)["Waiting for the loader"].text
    (tmp_path / "r.html").write_text("before")
    threads, before = n_threads(), states()

    def fails(batch: Any) -> None:
        torch.rand(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        penstock.report(loader, tmp_path / "r.html", step=fails)
    assert states() == before
    assert n_threads() == threads
    assert (tmp_path / "r.html").read_text() == "before"


def test_what_is_refused(root: Path, tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4)
    with pytest.raises(FileNotFoundError, match="no folder"):
        penstock.report(loader, tmp_path / "nowhere" / "r.html")
    with pytest.raises(ValueError, match="batches should be at least 1, got 0"):
        penstock.report(loader, tmp_path / "r.html", batches=0)
    with pytest.raises(ValueError, match="images should be at least 0, got -1"):
        penstock.report(loader, tmp_path / "r.html", images=-1)
    with pytest.raises(TypeError, match="batches should be an int, not bool"):
        penstock.report(loader, tmp_path / "r.html", batches=True)
    assert list(tmp_path.iterdir()) == []
    folder = tmp_path / "gone"
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        penstock.report(loader, folder / "r.html", batches=1, step=lambda _: folder.rmdir())
    penstock.report(loader, tmp_path / "r.html", images=0)
    assert sections(read(tmp_path / "r.html"))["Samples"].find("figure") == []


def test_a_traced_loader(root: Path, tmp_path: Path) -> None:
    """A report has nothing to do with a trace that waits for the next epoch."""
    loader = kit.OURS(kit.folder_of(root, kit.eval_v1()), 4, num_workers=2)
    trace = loader.trace(tmp_path / "run.json")
    penstock.report(loader, tmp_path / "r.html", batches=2)
    assert trace.is_on
    assert trace.parts == []
    list(loader)
    assert len(trace.parts) == 1


# --- its parts


def test_shares() -> None:
    assert plots.shares([], 0.0, 4.0, 4) == [0, 0, 0, 0]
    assert plots.shares([(0.5, 2.0), (1.0, 2.0), (-3.0, 0.25), (3.5, 9.0)], 0.0, 4.0, 4) == [
        0.75,
        2.0,
        0.0,
        0.5,
    ]
    assert plots.shares([(5.0, 6.0), (2.0, 1.0)], 0.0, 4.0, 4) == [0, 0, 0, 0]
    assert plots.shares([(0.0, 1.0)], 1.0, 1.0, 2) == [0, 0]
    state = random.Random(1)
    spans = [(t, t + state.random()) for t in (10 * state.random() for _ in range(500))]
    inside = sum(max(0.0, min(right, 7.0) - max(left, 2.0)) for left, right in spans)
    assert sum(plots.shares(spans, 2.0, 7.0)) * 5 / plots.COLUMNS == pytest.approx(inside)


@pytest.mark.parametrize("most", [1e-9, 0.03, 0.999, 1, 7, 10, 99, 12345])
def test_ticks(most: float) -> None:
    found = plots.ticks(most)
    assert 3 <= len(found) <= 7
    assert found[0] == 0
    assert most * 0.6 <= found[-1] <= most * (1 + 1e-9)


def test_ticks_of_nothing() -> None:
    for most in (0, -1, float("nan"), float("inf")):
        assert plots.ticks(most) == [0]


def luminance(colour: str) -> float:
    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def palettes() -> list[dict[str, str]]:
    light, dark = page.whole("", "").split("@media (prefers-color-scheme: dark)")
    pattern = r"--([a-z0-9]+): (#[0-9a-f]{6})"
    return [dict(re.findall(pattern, text)) for text in (light, dark)]


def test_both_palettes_can_be_read() -> None:
    """WCAG 2: 4.5 for text, 3 for graphics."""
    light, dark = palettes()
    assert light.keys() == dark.keys() >= {"page", "card", "ink", "soft", "c1", "c6"}
    for palette in (light, dark):
        for ground in ("page", "card"):
            assert contrast(palette["ink"], palette[ground]) >= 7
            assert contrast(palette["soft"], palette[ground]) >= 4.5
            for number in range(1, 7):
                assert contrast(palette[f"c{number}"], palette[ground]) >= 3


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip("no browser: chromium and google-chrome are not installed")


def browse(browser: str, tmp_path: Path, *arguments: str) -> str:
    command = [
        browser,
        "--headless=new",
        "--no-sandbox",  # of root in a container
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path / 'profile'}",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.tree
def test_a_browser_shows_it(browser: str, tmp_path: Path) -> None:
    """What the browser made of it, of hostile names too, is what was written, and each scheme has
    its colours."""
    (tmp_path / "i").mkdir()
    dataset = kit.folder_of(hostile_folder(tmp_path / "i"), kit.train_v1())
    loader = kit.OURS(dataset, 4, num_workers=2)
    path = penstock.report(loader, tmp_path / "r.html")
    url = path.as_uri()
    (tmp_path / "dom.html").write_text(browse(browser, tmp_path, "--dump-dom", url), "utf-8")
    written, shown = read(path), read(tmp_path / "dom.html")
    assert [one.tag for one in every(shown)] == [one.tag for one in every(written)]
    assert len(shown.find("figure")) == 8
    assert shown.find("title")[0].words == "Penstock report"
    for palette, scheme in zip(palettes(), (1, 0), strict=True):
        browse(
            browser,
            tmp_path,
            f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1000,1600",
            "--screenshot=shot.png",
            url,
        )
        with Image.open(tmp_path / "shot.png") as image:
            pixels = numpy.asarray(image.convert("RGB")).reshape(-1, 3)
        colours, counts = numpy.unique(pixels, axis=0, return_counts=True)
        seen = {
            "#{:02x}{:02x}{:02x}".format(*colour): int(n)
            for colour, n in zip(colours, counts, strict=True)
        }
        for name, least in (("page", 10000), ("card", 100000), ("ink", 100), ("c1", 100)):
            assert seen.get(palette[name], 0) >= least, (name, scheme)


def test_v2_transforms_have_pictures(root: Path, tmp_path: Path) -> None:
    transform = v2.Compose([v2.Resize((20, 20)), v2.ToImage()])
    loader = kit.OURS(kit.folder_of(root, transform), 4, num_workers=1)
    whole = read(penstock.report(loader, tmp_path / "r.html", images=5))
    assert len(sections(whole)["Samples"].find("figure")) == 5
    assert "as they are" in sections(whole)["Samples"].text
