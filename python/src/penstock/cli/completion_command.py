# SPDX-License-Identifier: Apache-2.0
"""penstock completion: scripts for bash, zsh and fish, from the parser itself."""

import argparse
from dataclasses import dataclass

from penstock.cli.arguments import Arguments, make_parser
from penstock.cli.console import FINE, Console


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str
    options: tuple[Option, ...]
    choices: tuple[str, ...]  # of its argument
    takes_files: bool
    folders_only: bool


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.help != argparse.SUPPRESS]


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def helps_of(parser: argparse.ArgumentParser) -> dict[str, str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {choice.dest: choice.help or "" for choice in action._choices_actions}
    return {}


def help_of(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def _option(action: argparse.Action) -> Option:
    choices = tuple(map(str, action.choices)) if action.choices else ()
    return Option(tuple(action.option_strings), help_of(action), action.nargs != 0, choices)


def _command(name: str, help: str, parser: argparse.ArgumentParser) -> Command:
    actions = actions_of(parser)
    options = tuple(_option(action) for action in actions if action.option_strings)
    places = [action for action in actions if not action.option_strings]
    choices = tuple(str(c) for action in places for c in action.choices or ())
    folders = [action.metavar == "DIR" for action in places if not action.choices]
    return Command(name, help, options, choices, bool(folders), bool(folders) and all(folders))


def read_commands() -> tuple[Command, tuple[Command, ...]]:
    """The tool itself, and its commands."""
    parser = make_parser()
    helps = helps_of(parser)
    below = tuple(
        _command(name, helps.get(name, ""), child) for name, child in commands_of(parser).items()
    )
    options = tuple(_option(action) for action in actions_of(parser) if action.option_strings)
    return Command("penstock", "", options, (), False, False), below


def _words(options: tuple[Option, ...]) -> str:
    return " ".join(name for option in options for name in option.names)


# --- bash


def _bash_values(command: Command) -> list[str]:
    lines = []
    for option in command.options:
        if option.takes_value:
            names = "|".join(option.names)
            words = " ".join(option.choices)
            lines.append(f"        {command.name}:{names.replace('|', f'|{command.name}:')})")
            lines.append(f'            COMPREPLY=($(compgen -W "{words}" -- "$word")); return ;;')
    return lines


def bash() -> str:
    top, commands = read_commands()
    values = [line for command in commands for line in _bash_values(command)]
    cases = []
    for command in commands:
        how = 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word"))'
        if command.folders_only:
            how = 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word"))'
        if command.choices:
            how = f'COMPREPLY=($(compgen -W "{" ".join(command.choices)}" -- "$word"))'
        cases += [
            f"        {command.name})",
            f"            if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "
            f'"{_words(command.options)}" -- "$word"))',
            f"            else {how}; fi ;;",
        ]
    names = " ".join(command.name for command in commands)
    return "\n".join(
        [
            "# bash completion for penstock",
            "_penstock() {",
            "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}",
            "    local command= i IFS=$' \\t\\n'",
            "    COMPREPLY=()",
            "    for ((i = 1; i < COMP_CWORD; i++)); do",
            "        if [[ ${COMP_WORDS[i]} != -* ]]; then command=${COMP_WORDS[i]}; break; fi",
            "    done",
            "    case $command:$before in",
            *values,
            "    esac",
            "    case $command in",
            "        '')",
            f'            COMPREPLY=($(compgen -W "{names} {_words(top.options)}" -- "$word")) ;;',
            *cases,
            "    esac",
            "}",
            "complete -F _penstock penstock",
        ]
    )


# --- zsh


def _zsh_text(text: str) -> str:
    for character in "\\[]:":
        text = text.replace(character, "\\" + character)
    return text.replace("'", "'\\''")


def _zsh_option(option: Option) -> list[str]:
    value = ""
    if option.takes_value:
        value = f":value:({' '.join(option.choices)})" if option.choices else ":value: "
    return [f"'{name}[{_zsh_text(option.help)}]{value}'" for name in option.names]


def _zsh_case(command: Command) -> list[str]:
    specs = [spec for option in command.options for spec in _zsh_option(option)]
    if command.choices:
        specs.append(f"':shell:({' '.join(command.choices)})'")
    elif command.takes_files:
        specs.append("'*:folder:_files -/'" if command.folders_only else "'*:file:_files'")
    body = " \\\n                ".join(["_arguments", *specs])
    return [f"        {command.name})", f"            {body} ;;"]


def zsh() -> str:
    top, commands = read_commands()
    names = [f"        '{c.name}:{_zsh_text(c.help)}'" for c in commands]
    options = [spec for option in top.options for spec in _zsh_option(option)]
    cases = [line for command in commands for line in _zsh_case(command)]
    return "\n".join(
        [
            "#compdef penstock",
            "_penstock() {",
            "    local context state line",
            "    local -a commands",
            "    commands=(",
            *names,
            "    )",
            "    _arguments -C " + " ".join(options) + " '1: :->command' '*:: :->argument'",
            "    case $state in",
            "    command) _describe command commands ;;",
            "    argument)",
            "        case $line[1] in",
            *cases,
            "        esac ;;",
            "    esac",
            "}",
            'if [ "$funcstack[1]" = _penstock ]; then _penstock "$@"',
            "else compdef _penstock penstock; fi",
        ]
    )


# --- fish


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(option: Option, where: str) -> str:
    parts = ["complete -c penstock", f"-n {_fish_text(where)}"]
    for name in option.names:
        parts.append(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}")
    if option.takes_value:
        parts.append("-x")
    if option.choices:
        parts.append(f"-a {_fish_text(' '.join(option.choices))}")
    return " ".join([*parts, f"-d {_fish_text(option.help)}"])


def fish() -> str:
    top, commands = read_commands()
    lines = ["# fish completion for penstock", "complete -c penstock -f"]
    lines += [_fish_option(option, "__fish_use_subcommand") for option in top.options]
    for command in commands:
        lines.append(
            f"complete -c penstock -n __fish_use_subcommand -a {command.name} "
            f"-d {_fish_text(command.help)}"
        )
        where = f"__fish_seen_subcommand_from {command.name}"
        if command.choices:
            words = _fish_text(" ".join(command.choices))
            lines.append(f"complete -c penstock -n {_fish_text(where)} -a {words}")
        elif command.folders_only:
            words = _fish_text("(__fish_complete_directories)")
            lines.append(f"complete -c penstock -n {_fish_text(where)} -a {words}")
        elif command.takes_files:
            lines.append(f"complete -c penstock -n {_fish_text(where)} -F")
        lines += [_fish_option(option, where) for option in command.options]
    return "\n".join(lines)


def run(args: Arguments, console: Console) -> int:
    console.line({"bash": bash, "zsh": zsh, "fish": fish}[args.shell]())
    return FINE
