# SPDX-License-Identifier: Apache-2.0
import subprocess

import check_symbols
import pytest

HEADER = """
#define PST_API __attribute__((visibility("default")))
/* PST_API int pst_commented_out(void); */
struct pst_thing;
PST_API int pst_thing_open(struct pst_thing **out,
                           int n);
PST_API struct pst_thing *
pst_thing_ref(struct pst_thing *thing); /* any thread */
"""
CODE = """
#include "thing.h"
struct pst_thing { int n; };
static struct pst_thing thing;
int pst__helper(void);
int pst__helper(void) { return 3; }
int pst_thing_open(struct pst_thing **out, int n) { *out = &thing; return n + pst__helper(); }
struct pst_thing *pst_thing_ref(struct pst_thing *t) { return t; }
"""
MODULE = (
    'void PyInit__core(void); __attribute__((visibility("default"))) void PyInit__core(void) {}'
)


@pytest.fixture
def build(tmp_path):
    """Compiles a library, an archive and an extension from a header, code and a module."""

    def compile_all(header=HEADER, code=CODE, module=MODULE, libraries=()):
        (tmp_path / "src").mkdir()
        (tmp_path / "site" / "penstock").mkdir(parents=True)
        (tmp_path / "include").mkdir()
        (tmp_path / "include" / "thing.h").write_text(header)
        (tmp_path / "thing.c").write_text(code)
        (tmp_path / "module.c").write_text(module)
        cc = ["cc", "-fPIC", "-fvisibility=hidden", "-Wl,--no-as-needed"]
        source = ["-I", str(tmp_path / "include"), str(tmp_path / "thing.c")]
        library = tmp_path / "src" / "libpenstock.so"
        extension = tmp_path / "site" / "penstock" / "_core.abi3.so"
        for command in (
            [*cc, "-shared", "-o", str(library), *source, *libraries],
            [*cc, "-shared", "-o", str(extension), str(tmp_path / "module.c")],
            [*cc, "-c", "-o", str(tmp_path / "thing.o"), *source],
            ["ar", "crs", str(tmp_path / "src/libpenstock_core.a"), str(tmp_path / "thing.o")],
        ):
            subprocess.run(command, check=True)
        return check_symbols.check(tmp_path, tmp_path / "include")

    return compile_all


def test_a_build_by_the_rules_passes(build):
    seen, problems = build()
    assert problems == []
    assert seen == 2 + 3 + 1


def test_an_export_that_no_header_declares_is_found(build):
    code = CODE + '__attribute__((visibility("default"))) int pst__leak(void) { return 1; }'
    assert build(code=code)[1] == ["exported but in no public header: pst__leak"]


def test_a_declaration_without_a_symbol_is_found(build):
    header = HEADER + "PST_API void pst_thing_close(struct pst_thing **thing);"
    assert build(header=header)[1] == ["declared but not exported: pst_thing_close"]


def test_a_name_without_the_prefix_is_found(build):
    assert build(code=CODE + "int helper(void) { return 1; }")[1] == [
        "libpenstock_core.a: without a prefix: helper"
    ]


def test_a_private_name_in_a_public_header_is_found(build):
    header = HEADER + "PST_API int pst__helper(void);"
    assert build(header=header)[1] == ["public name without the prefix pst_: pst__helper"]


def test_a_second_export_of_the_extension_is_found(build):
    module = MODULE + '__attribute__((visibility("default"))) int pst_version;'
    assert build(module=module)[1] == [
        "_core.abi3.so exports ['PyInit__core', 'pst_version'], not PyInit__core alone"
    ]


def test_a_library_that_is_not_allowed_is_found(build):
    assert build(libraries=["-lstdc++"])[1] == ["libpenstock.so needs libstdc++.so.6"]


def test_a_library_without_symbols_fails(build):
    problems = build(header="", code="static int n;\nint pst__n(void);\nint pst__n(void)"
                     " { return n; }")[1]  # fmt: skip
    assert problems == ["a library without symbols"]
