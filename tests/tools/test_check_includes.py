# SPDX-License-Identifier: Apache-2.0
import check_includes
import pytest


@pytest.fixture
def tree(tmp_path):
    """A tree without a fault; a test plants one."""
    files = {
        "include/penstock/error.h": "#include <stdint.h>\n",
        "src/base/mem.h": "#include <stddef.h>\n#include <penstock/error.h>\n",
        "src/base/mem.c": '#include "base/mem.h"\n#include <stdlib.h>\n',
        "src/base/attributes.h": "",
        "src/kernels/kernels.h": "#include <stdint.h>\n",
        "src/kernels/flip.c": '#include "kernels/kernels.h"\n#include "base/attributes.h"\n',
        "src/decode/codec.h": "",
        "src/decode/decode.h": "",
        "src/decode/jpeg.c": '#include "decode/codec.h"\n#include <jpeglib.h>\n',
        "src/format/json.h": "",
        "src/format/layout/layout.h": '#include "format/json.h"\n',
        "src/format/rows/columns.c": '#include "format/layout/layout.h"\n',
        "src/loader/loader.c": '#include "decode/decode.h"\n',
        "src/lib.c": '#include "decode/decode.h"\n',
        "examples/main.c": "#include <penstock/error.h>\n#include <stdio.h>\n",
        "bench/kernels.c": '#include "kernels/kernels.h"\n',
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_tree_by_the_rules_passes(tree):
    seen, problems = check_includes.check(tree)
    assert problems == []
    assert seen == 17


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("src/base/mem.h", '#include "decode/decode.h"\n', "base may not include decode"),
        ("src/kernels/flip.c", '#include "base/mem.h"\n', "kernels may not include base"),
        ("src/kernels/flip.c", "#include <penstock/error.h>\n", "kernels knows no public header"),
        ("src/loader/loader.c", '#include "decode/codec.h"\n', "decode/codec.h is private"),
        ("src/loader/loader.c", '  #  include "decode/codec.h"\n', "decode/codec.h is private"),
        ("src/lib.c", '#include "decode/codec.h"\n', "decode/codec.h is private"),
        ("src/loader/loader.c", "#include <jpeglib.h>\n", "<jpeglib.h> belongs to decode"),
        ("src/loader/loader.c", "#include <Python.h>\n", "knows nothing of Python"),
        ("src/decode/jpeg.c", '#include "codec.h"\n', "include paths start at src/"),
        ("src/decode/jpeg.c", '#include "decode/gone.h"\n', "no such file"),
        ("src/base/mem.c", '#include <stdlib.h>\n#include "base/mem.h"\n', "comes first"),
        ("src/base/mem.c", "", "comes first"),
        ("src/attic/old.c", "", "attic is no room"),
        ("src/format/attic/old.c", "", "format/attic is no shelf"),
        (
            "src/format/list/csv.c",
            '#include "format/layout/layout.h"\n',
            "format/list may not include format/layout",
        ),
        (
            "src/format/json.h",
            '#include "format/layout/layout.h"\n',
            "format may not include format/layout",
        ),
        ("examples/main.c", '#include "base/mem.h"\n', "only <penstock/...>"),
        ("examples/main.c", '#include "../src/base/mem.h"\n', None),
        ("bench/bench_io.c", '#include "kernels/kernels.h"\n', "only <penstock/...>"),
        ("bench/kernels.c", '#include "base/mem.h"\n', "only <penstock/...>"),
        ("include/penstock/error.h", '#include "export.h"\n', "write <penstock/...>"),
    ],
)
def test_each_kind_of_fault_is_found(tree, file, text, expected):
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    _, problems = check_includes.check(tree)
    assert len(problems) == 1
    assert problems[0].startswith(file + ":")
    assert expected is None or expected in problems[0]


def test_an_empty_tree_fails(tmp_path, capsys):
    assert check_includes.main([str(tmp_path)]) == 1
    assert "items: 0 includes" in capsys.readouterr().out


def test_every_shelf_has_a_row():
    src = check_includes.Path(check_includes.__file__).parent.parent / "src"
    for room, shelves in check_includes.SHELVES.items():
        assert {path.name for path in (src / room).iterdir() if path.is_dir()} == set(shelves)


def test_every_room_of_the_engine_has_a_row():
    src = check_includes.Path(check_includes.__file__).parent.parent / "src"
    rooms = {path.name for path in src.iterdir() if path.is_dir()}
    assert rooms == set(check_includes.ROOMS)
