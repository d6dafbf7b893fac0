# SPDX-License-Identifier: Apache-2.0
"""The command line tool. `main` is the entry point; a command's module is loaded when it runs, so
that help and versions come at once and commands that need no torch never load it."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from penstock.cli.arguments import Arguments, make_parser
from penstock.cli.console import BROKEN_PIPE, INTERRUPTED, USAGE, CommandError, Console, show


def _run(arguments: Sequence[str] | None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments, Arguments())
    if args.command is None:
        raise CommandError("a command is missing (see 'penstock --help')", USAGE)
    module = import_module(f"penstock.cli.{args.command}_command")
    status: int = module.run(args, Console(json=args.json, color=args.color))
    return status


def _guarded(arguments: Sequence[str] | None) -> int:
    try:
        return _run(arguments)
    except CommandError as error:
        print(f"penstock: {show(str(error))}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("penstock: interrupted", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as end:  # argparse, after help or a wrong option
        return end.code if isinstance(end.code, int) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _guarded(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has had enough. What is left in the buffer must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = BROKEN_PIPE
    return status
