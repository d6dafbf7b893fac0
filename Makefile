# SPDX-License-Identifier: Apache-2.0
# Each target sets up what it needs; a second call reuses it and works offline.
#
#   make demo [DATA=DIR]   trains from a folder of images, with PyTorch's loader and with Penstock
#   make test              the C tests and the Python tests
#   make bench             speed against PyTorch's own loader
#   make lint              format, warnings, includes, symbols, types, names
#   make format            writes the format that lint asks for
#   make asan | tsan       the C tests with the sanitizers
#   make fuzz              each fuzz target for SECONDS, 60 unless said otherwise
#   make wheel             the source archive and the wheel, built, installed and tested
#   make clean             removes what was built; the environments stay

PYTHON_RELEASE = PYTHONPATH=build/release/site .venv/bin/python
DATA ?=
ARGS ?=

.PHONY: demo test bench lint format asan tsan fuzz wheel clean setup
.NOTPARALLEL:

setup:
	@tools/setup

demo: setup
	@tools/build release
	@$(PYTHON_RELEASE) examples/demo.py $(if $(DATA),--data "$(DATA)") $(ARGS)

test: setup
	@tools/build check
	@.venv/bin/python tools/run_tests.py $(ARGS)

bench: setup
	@tools/build release
	@$(PYTHON_RELEASE) bench/bench.py $(ARGS)

lint:
	@tools/gate format ruff mypy pyright includes names words headers warnings-gcc warnings-clang \
	  symbols stubs tidy

asan tsan fuzz wheel:
	@tools/gate $@

format:
	@tools/setup lint
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs ls -d 2>/dev/null | xargs clang-format-14 -i
	@.venv/bin/python -m ruff format --quiet .
	@.venv/bin/python -m ruff check --quiet --fix .

clean:
	rm -rf build
