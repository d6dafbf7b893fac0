# SPDX-License-Identifier: Apache-2.0
"""penstock bench and penstock verify."""

import json
import shutil

import numpy


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


def test_bench_of_files(several, tmp_path):
    numpy.save(tmp_path / "a.npy", numpy.arange(600, dtype="f4").reshape(100, 6))
    numpy.arange(1000, dtype="u2").tofile(tmp_path / "t.bin")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    brief = ("bench", "--seconds", "0.05", "--rounds", "1", "--batch-size", "16")
    tokens = ("--dtype", "uint16", tmp_path / "t.bin")
    array, windows, text, short, cut = several(
        (*brief, "--json", tmp_path / "a.npy"),
        (*brief, "--json", "--no-stock", "--threads", "1", "--window", "20", *tokens),
        (*brief, "--no-stock", tmp_path / "a.npy"),
        (*brief, "--window", "2000", *tokens),
        (*brief, tmp_path / "cut.npy"),
    )
    assert (array.status, array.err, windows.status, windows.err) == (0, "", 0, "")
    data = array.json
    assert (data["format"], data["rows"], data["row_bytes"]) == ("npy", 100, 24)
    assert [line["order"] for line in data["orders"]] == ["sequential", "shuffled"]
    for line in data["orders"]:
        assert (line["threads"], line["batch_size"]) == (2, 16)
        for who in ("penstock", "stock"):
            assert line[who]["rows_per_s"] > 0
            assert line[who]["bytes_per_s"] == 24 * line[who]["rows_per_s"]
        assert line["ratio_least"] <= line["ratio"] <= line["ratio_most"]
    data = windows.json
    assert (data["format"], data["rows"], data["row_bytes"]) == ("raw tokens", 49, 40)
    assert [(line["threads"], line["stock"]) for line in data["orders"]] == [(1, None)] * 2
    assert (text.status, text.err) == (0, "")
    assert "100 rows of 24 B" in text.out
    assert (short.status, short.out) == (2, "")
    assert "no window of 2000 tokens" in short.err
    assert (cut.status, cut.out) == (1, "")
    assert str(tmp_path / "cut.npy") in cut.err


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
