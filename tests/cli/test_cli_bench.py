# SPDX-License-Identifier: Apache-2.0
"""penstock bench and penstock verify."""

import json
import shutil


def test_bench(several, folder):
    (folder / "ant" / "zero.jpg").write_bytes(b"")
    brief = ("bench", "--seconds", "0.05", "--rounds", "1", "--size", "32", "--threads", "1")
    done, text = several(
        (*brief, "--json", "--pipeline", "eval", "--batch-size", "4", folder),
        (*brief, "--no-stock", "--pipeline", "train", "--batch-size", "4", folder),
    )
    assert (done.status, done.err) == (0, "")
    data = done.json
    assert (data["images"], data["broken"], data["native"]) == (7, 1, 7)
    names = [stage["stage"] for stage in data["stages"]]
    assert names == ["read, disk", "read, memory", "probe", "decode", "transform, eval"]
    disk, *others = (stage["images_per_s"] for stage in data["stages"])
    assert disk is None or disk > 0
    assert min(others) > 0
    (line,) = data["pipelines"]
    assert (line["pipeline"], line["threads"]) == ("eval", 1)
    for who in ("penstock", "stock"):
        assert line[who]["images_per_s"] > 0
        assert line[who]["cpu_ms_per_image"] > 0
    assert line["ratio_least"] <= line["ratio"] <= line["ratio_most"]
    assert (text.status, text.err) == (0, "")
    for words in ("7 decoded natively", "transform, train", "pipelines, warm"):
        assert words in text.out


def test_bench_where_nothing_can_be_decoded(penstock, tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "a.jpg").write_bytes(b"no image")
    done = penstock("bench", tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "can be decoded" in done.err


def test_verify_is_equal(several, folder):
    """Of a broken file, too: PyTorch and Penstock raise the same."""
    broken = shutil.copytree(folder, folder.with_name("broken"))
    (broken / "ant" / "zero.jpg").write_bytes(b"")
    whole, damaged = several(
        ("verify", "--json", "--batches", "all", "--batch-size", "2", folder),
        ("verify", "--pipeline", "eval", "--workers", "0", "--batch-size", "2", broken),
    )
    data = whole.json
    assert (whole.status, whole.err, data["equal"]) == (0, "", True)
    assert [one["pipeline"] for one in data["pipelines"]] == ["eval", "train"]
    for one in data["pipelines"]:
        assert (one["samples"], one["batches"], one["difference"]) == (7, 4, None)
    assert (damaged.status, damaged.err) == (0, "")
    assert "equal, every bit" in damaged.out


CHANGE_A_VALUE = """
import sys
from penstock import native
from penstock.cli import main

take = native._NativeIter._take

def changed(self, engine, ticket, n):
    batch = take(self, engine, ticket, n)
    batch[0][1, 2, 3, 4] += 1
    return batch

native._NativeIter._take = changed
status = main()
print("as text")
main([argument for argument in sys.argv[1:] if argument != "--json"])
sys.exit(status)
"""


def test_verify_finds_a_difference(penstock, folder):
    arguments = ("--pipeline", "eval", "--batch-size", "2", "--size", "32", folder)
    done = penstock("verify", "--json", *arguments, code=CHANGE_A_VALUE)
    assert (done.status, done.err) == (1, "")
    document, _, text = done.out.partition("as text\n")
    data = json.loads(document)
    (one,) = data["pipelines"]
    assert (data["equal"], one["equal"], one["samples"]) == (False, False, 0)
    assert (one["difference"]["batch"], one["difference"]["slot"]) == (0, 1)
    assert one["difference"]["path"].startswith(str(folder))
    assert "not equal" in text
    assert str(folder) in text
