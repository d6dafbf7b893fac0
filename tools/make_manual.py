# SPDX-License-Identifier: Apache-2.0
"""Writes docs/penstock.1 from the parser of the command line tool.

PYTHONPATH=build/check/site python tools/make_manual.py [FILE]
"""

import argparse
import sys
from pathlib import Path

from penstock import __version__
from penstock.cli.arguments import make_parser
from penstock.cli.completion_command import actions_of, commands_of, help_of, helps_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "penstock.1"

ENVIRONMENT = (
    ("NO_COLOR", "If it is set and not empty, nothing is coloured."),
    ("TERM", "A terminal called dumb gets no colours."),
)


def escape(text: str) -> str:
    """Text as it is: no dash becomes a hyphen, no line a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.splitlines())


def value_of(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def option(action: argparse.Action) -> list[str]:
    value = value_of(action)
    names = ", ".join(f"\\fB{escape(name)}\\fR" for name in action.option_strings)
    return [".TP", f"{names} \\fI{escape(value)}\\fR" if value else names, escape(help_of(action))]


def place(action: argparse.Action) -> str:
    name = f"\\fI{escape(value_of(action))}\\fR"
    if action.nargs == "+":
        return f"{name} ..."
    if action.nargs == argparse.REMAINDER:
        return f"[{name} ...]"
    return f"[{name}]" if action.nargs == "?" else name


def paragraphs(text: str) -> list[str]:
    return [".PP", *escape(text).splitlines()]


def examples(parser: argparse.ArgumentParser) -> list[str]:
    lines = (parser.epilog or "").splitlines()[1:]
    return [".PP", "Examples:", ".PP", ".nf", *(escape(line) for line in lines), ".fi"]


def command(name: str, help: str, parser: argparse.ArgumentParser) -> list[str]:
    actions = actions_of(parser)
    places = " ".join(place(action) for action in actions if not action.option_strings)
    lines = [f".SS {escape(name)}: {escape(help)}", ".PP"]
    lines += [f"\\fBpenstock {escape(name)}\\fR [\\fIoptions\\fR] {places}"]
    lines += paragraphs(parser.description or "")
    for action in actions:
        if action.option_strings:
            lines += option(action)
    return lines + examples(parser)


def statuses(parser: argparse.ArgumentParser) -> list[str]:
    lines = []
    for line in (parser.epilog or "").partition("exit status:\n")[2].splitlines():
        number, _, text = line.strip().partition(" ")
        lines += [".TP", number, escape(text.strip())]
    return lines


def make_page() -> str:
    parser = make_parser()
    helps = helps_of(parser)
    lines = [
        '.\\" Made by tools/make_manual.py from the parser.',
        f'.TH PENSTOCK 1 "" "penstock {__version__}" "User Commands"',
        ".SH NAME",
        "penstock \\- data loading for training",
        ".SH SYNOPSIS",
        "\\fBpenstock\\fR \\fICOMMAND\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]",
        ".SH DESCRIPTION",
        *escape(parser.description or "").splitlines(),
        ".PP",
        "Results go to standard output, everything else to standard error.",
        "With \\fB\\-\\-json\\fR standard output holds one JSON document and nothing else;",
        "its keys are described in docs/cli.md.",
        ".SH OPTIONS",
    ]
    for action in actions_of(parser):
        if action.option_strings:
            lines += option(action)
    lines.append(".SH COMMANDS")
    for name, child in commands_of(parser).items():
        lines += command(name, helps[name], child)
    lines += [".SH EXIT STATUS", *statuses(parser), ".SH ENVIRONMENT"]
    for name, text in ENVIRONMENT:
        lines += [".TP", f"\\fB{name}\\fR", escape(text)]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    page = Path(arguments[0]) if arguments else PAGE
    page.write_text(make_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
