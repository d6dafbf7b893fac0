# SPDX-License-Identifier: Apache-2.0
"""stats().prometheus(): the text exposition format, read back by a parser that allows nothing else.

The grammar is that of Prometheus' documentation, "Exposition formats", version 0.0.4."""

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import kit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from penstock import Stats

METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
VALUE = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|[+-]Inf")
ESCAPES = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}


class Family(NamedTuple):
    kind: str
    meaning: str
    samples: dict[frozenset[tuple[str, str]], float]


def _labels(text: str) -> tuple[frozenset[tuple[str, str]], str]:
    """The pairs between braces, and what follows them."""
    found: dict[str, str] = {}
    rest = text[1:]
    while not rest.startswith("}"):
        name = LABEL.match(rest)
        assert name, rest
        rest = rest[name.end() :]
        value = re.match(r'="((?:[^"\\\n]|\\["\\n])*)"', rest)
        assert value, rest
        assert name[0] not in found, f"{name[0]} twice"
        found[name[0]] = re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], value[1])
        rest = rest[value.end() :]
        if rest.startswith(","):
            rest = rest[1:]
            assert not rest.startswith("}"), "a comma before the end"
    return frozenset(found.items()), rest[1:]


def parse(page: str) -> dict[str, Family]:
    assert page.endswith("\n")
    assert "\r" not in page
    families: dict[str, Family] = {}
    current = meaning = ""
    for line in page[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, current, meaning = line.split(" ", 3)
            assert METRIC.fullmatch(current)
            assert current not in families, f"{current} comes twice"
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current, "TYPE follows HELP of the same metric"
            assert name not in families
            assert kind in ("counter", "gauge")
            families[name] = Family(kind, meaning, {})
            continue
        name_match = METRIC.match(line)
        assert name_match, line
        assert name_match[0] == current, "samples of a metric stand together"
        rest = line[name_match.end() :]
        pairs: frozenset[tuple[str, str]] = frozenset()
        if rest.startswith("{"):
            pairs, rest = _labels(rest)
        assert rest.startswith(" ")
        assert VALUE.fullmatch(rest[1:]), line
        assert pairs not in families[current].samples, "the same sample twice"
        families[current].samples[pairs] = float(rest[1:])
    return families


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> kit.OURS:
    root = kit.make_folder(tmp_path_factory.mktemp("images"))
    loader = kit.OURS(kit.folder_of(root, kit.train_v1()), 4, num_workers=2)
    for _ in loader:
        pass
    return loader


def test_the_page_says_what_stats_says(loader: kit.OURS) -> None:
    stats = loader.stats()
    families = parse(stats.prometheus())
    data = stats.as_dict()

    def only(name: str) -> float:
        (value,) = families[f"penstock_{name}"].samples.values()
        return value

    def by(name: str) -> dict[str, float]:
        found = families[f"penstock_{name}"].samples
        return {dict(pairs).popitem()[1]: value for pairs, value in found.items()}

    assert only("samples_total") == data["samples"] == 17
    assert only("batches_total") == data["batches"] == 5
    assert only("read_bytes_total") == data["bytes_read"] > 0
    assert only("doubts_total") == data["doubts"] > 0
    assert by("stage_seconds_total") == data["stage_s"]
    assert by("epochs_total") == {"native": 1, "python": 0}
    memory = data["memory"]
    kinds = ("slabs", "records", "scratch", "heap")
    assert by("memory_bytes") == {name: memory[name] for name in kinds}
    assert by("memory_peak_bytes") == {"slabs": memory["slabs_peak"], "held": memory["held_peak"]}
    waited = only("wait_seconds_total") + by("stage_seconds_total")["reference"]
    assert waited / only("active_seconds_total") == pytest.approx(data["wait_share"])


def test_names_follow_the_conventions(loader: kit.OURS) -> None:
    for name, family in parse(loader.stats().prometheus()).items():
        assert name.startswith("penstock_")
        assert name.endswith("_total") == (family.kind == "counter")
        assert not re.search(r"_(ns|ms|kb|mb|kib|mib|percent)(_|$)", name), "base units"
        assert family.meaning
        assert family.samples
        assert all(value >= 0 for value in family.samples.values())


def test_counters_only_grow(tmp_path: Path) -> None:
    loader = kit.OURS(kit.folder_of(kit.make_folder(tmp_path), kit.train_v1()), 4)
    seen = [parse(loader.stats().prometheus())]
    for _ in range(2):
        for _ in loader:
            seen.append(parse(loader.stats().prometheus()))
        seen.append(parse(loader.stats().prometheus()))
    for before, after in itertools.pairwise(seen):
        assert before.keys() == after.keys()
        for name, family in before.items():
            if family.kind == "counter":
                for pairs, value in family.samples.items():
                    assert after[name].samples[pairs] >= value, name


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,9}", fullmatch=True).filter(
            lambda name: name not in ("lane", "stage", "kind")
        ),
        st.text(
            st.characters(exclude_categories=("Cs",), exclude_characters="\r")
            | st.sampled_from('\\"\n{},= '),
            max_size=20,
        ),
        max_size=3,
    )
)
def test_labels_come_back_whatever_is_in_them(labels: dict[str, str]) -> None:
    counters = kit.OURS([1]).stats().counters
    for family in parse(Stats(counters).prometheus(labels)).values():
        for pairs in family.samples:
            assert set(labels.items()) <= pairs


def test_labels_that_are_none_are_refused(loader: kit.OURS) -> None:
    stats = loader.stats()
    for name in ("", "1a", "a-b", "__name__", "é", "a\n"):
        with pytest.raises(ValueError, match="label's name"):
            stats.prometheus({name: "x"})
    with pytest.raises(ValueError, match="loader's own"):
        stats.prometheus({"stage": "x"})
    with pytest.raises(TypeError, match="text"):
        stats.prometheus({"rank": 0})  # type: ignore[dict-item]
