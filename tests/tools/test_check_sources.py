# SPDX-License-Identifier: Apache-2.0
"""The checks of headers, names, words and wheels find what was planted for them."""

import shutil
import subprocess
import zipfile

import check_headers
import check_names
import check_wheel
import check_words
import pytest

# clang may be missing where only the tests run; the gate asks for all of them.
COMPILERS = [name for name in check_headers.WAYS if shutil.which(name)]
LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"


@pytest.fixture
def tree(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_headers_that_compile_alone_pass(tmp_path, capsys):
    text = "#ifndef A\n#define A\n#include <stddef.h>\nsize_t pst_n(void);\n#endif\n"
    write(tmp_path, {"penstock/a.h": text})
    assert check_headers.check(tmp_path, COMPILERS) == 0
    assert f"items: {len(COMPILERS)} compilations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "wrong_in"),
    [
        # leans on another header
        ("#ifndef A\n#define A\nsize_t pst_size(void);\n#endif\n", "c c++"),
        # no guard
        ("struct pst_thing { int n; };\n", "c c++"),
        ("#ifndef A\n#define A\nint pst_f(int class);\n#endif\n", "c++"),
        ("#ifndef A\n#define A\nint pst_f(int n[static 1]);\n#endif\n", "c++"),
        ("#ifndef A\n#define A\nenum { PST_A = 1, PST_B = (1ull << 40) };\n#endif\n", "c"),
    ],
)
def test_headers_that_do_not_are_found(tmp_path, capsys, text, wrong_in):
    write(tmp_path, {"penstock/a.h": text})
    assert check_headers.check(tmp_path, COMPILERS) == 1
    out = capsys.readouterr().out
    for compiler in COMPILERS:
        language = check_headers.WAYS[compiler][1]
        assert (f"a.h with {compiler}:" in out) == (language in wrong_in.split())


def test_no_header_fails(tmp_path):
    assert check_headers.check(tmp_path, COMPILERS) == 1


def test_names(tree, capsys):
    write(tree, {"src/a/x.c": LICENCE, "include/p/x.h": LICENCE, "src/a/x.h": LICENCE})
    assert check_names.main([str(tree)]) == 0
    write(tree, {"src/b/x.c": LICENCE, "src/a/bare.c": "int n;\n"})
    assert check_names.main([str(tree)]) == 1
    out = capsys.readouterr().out
    assert "x.c is the name of src/a/x.c, src/b/x.c" in out
    assert "src/a/bare.c:1: no SPDX-License-Identifier" in out


def test_no_file_fails(tree):
    assert check_names.main([str(tree)]) == 1
    assert check_words.main([str(tree)]) == 1


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("int n; /* TO" + "DO: more */", "unfinished work"),
        ("A rob" + "ust loader", "praise"),
        ("path = '/ho" + "me/someone/data'", "a path of one machine"),
        ("int n; ", "white space at the end of a line"),
        ("a zero width\u200b space", "an invisible character"),
    ],
)
def test_words(tree, capsys, line, what):
    write(tree, {"README.md": "A plain line, /dev/null and examples/home/x.\n"})
    assert check_words.main([str(tree)]) == 0
    write(tree, {"README.md": f"one\n{line}\n"})
    assert check_words.main([str(tree)]) == 1
    assert f"README.md:2: {what}" in capsys.readouterr().out


def test_wheel(tree, capsys):
    files = ("__init__.py", "_core.pyi", "note.txt")
    write(tree, {f"penstock/{name}": "" for name in files})
    wheel = tree / "a.whl"
    names = ["penstock/__init__.py", "penstock/_core.pyi", "penstock/_core.abi3.so"]

    def check(*names):
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in (*names, "penstock-1.dist-info/METADATA"):
                archive.writestr(name, "")
        return check_wheel.main([str(wheel), str(tree / "penstock")])

    assert check(*names) == 0
    assert check(*names[1:]) == 1
    assert "not in the wheel: penstock/__init__.py" in capsys.readouterr().out
    assert check(*names, "penstock/penstock.h") == 1
    assert "does not belong in the wheel: penstock/penstock.h" in capsys.readouterr().out
