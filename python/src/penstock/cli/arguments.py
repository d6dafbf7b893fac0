# SPDX-License-Identifier: Apache-2.0
"""The commands and their options: the one source of help, completion and the manual page."""

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from penstock import __version__

FORMATS = ("bash", "zsh", "fish")
PIPELINES = ("train", "eval")
DTYPES = {
    **{f"uint{n}": f"u{n}" for n in (8, 16, 32, 64)},
    **{f"int{n}": f"i{n}" for n in (8, 16, 32, 64)},
    **{f"float{n}": f"f{n}" for n in (16, 32, 64)},
    "bfloat16": "bf16",
    "bool": "bool",
}
SOURCES = ("auto", "npy", "npz", "safetensors", "hdf5", "parquet", "arrow", "csv")


class Arguments(argparse.Namespace):
    """What the parser gives, with types. Not every command has every name."""

    command: str | None = None
    json: bool = False
    color: str = "auto"
    verbose: bool = False
    threads: int | None = None
    paths: list[str]
    path: str
    deep: bool
    duplicates: bool
    dtype: str | None
    shape: tuple[int, ...] | None
    stock: bool
    pipeline: str | None
    seconds: float | None
    rounds: int
    images: int
    batch_size: int
    batches: int | None
    workers: int
    size: int
    window: int
    seed: int
    need: float | None
    memory_budget: str | None
    target: str | None
    rest: list[str]
    shell: str
    source: str
    destination: str
    format: str
    columns: list[str] | None
    note: str
    resume: bool
    force: bool


class Parser(argparse.ArgumentParser):
    """An error is one sentence, as all of the tool's errors."""

    def error(self, message: str) -> NoReturn:
        print(f"penstock: {message} (see '{self.prog} --help')", file=sys.stderr)
        sys.exit(2)

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse would take no notice of a reader that went away."""
        if message:
            (file or sys.stderr).write(message)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {low} to {high}")
        return value

    return whole


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _budget(text: str) -> str:
    if re.fullmatch(r"\d+(\.\d+)?\s*([KMG]?i?B?)", text, re.IGNORECASE) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512MB")
    return text


def _dtype(text: str) -> str:
    """The engine's name for it."""
    if text not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(DTYPES)}")
    return DTYPES[text]


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if not all(re.fullmatch(r"\d{1,18}", size) for size in sizes[1:]) or not re.fullmatch(
        r"-1|\d{1,18}", sizes[0]
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as -1,28,28")
    return tuple(map(int, sizes))


def _names(text: str) -> list[str]:
    return text.split(",")


def _examples(*lines: tuple[str, str]) -> str:
    width = max(len(command) for command, _ in lines)
    return "examples:\n" + "\n".join(f"  {command:{width}}  {what}" for command, what in lines)


_STATUSES = """exit status:
  0    fine
  1    something bad was found, or two things are not equal
  2    wrong usage, or what the command needs is missing or cannot be read
  130  interrupted by Ctrl-C
  141  the reader of the output went away"""


def _command(
    commands: "argparse._SubParsersAction[Parser]", name: str, help: str, text: str, examples: str
) -> Parser:
    parser = commands.add_parser(
        name,
        help=help,
        description=text,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def _common(parser: Parser, *, json: bool = True) -> None:
    if json:
        parser.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours; auto: on a terminal, unless NO_COLOR is set (default: auto)",
    )


def _threads(parser: Parser, what: str) -> None:
    parser.add_argument("--threads", type=_whole(1, 512), metavar="N", help=what)


def _size(parser: Parser) -> None:
    parser.add_argument(
        "--size",
        type=_whole(1, 8192),
        default=224,
        metavar="N",
        help="side of the images that come out (default: 224)",
    )


def _raw(parser: Parser) -> None:
    parser.add_argument(
        "--dtype",
        type=_dtype,
        metavar="NAME",
        help="of files of raw elements, such as uint16: tokens, or with --shape an array",
    )
    parser.add_argument(
        "--shape",
        type=_shape,
        metavar="N,...",
        help="of files of raw elements; the first may be -1: as many rows as there are",
    )


def _add_inspect(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _command(
        commands,
        "inspect",
        "say what is in a folder of images or in a file of images, arrays or tokens",
        "Says what is in folders of images: classes, formats, modes, sizes, which files Penstock\n"
        "decodes itself and which go to Pillow and why, broken files, and files with the same\n"
        "content. Of a single image: its details. Of a file of arrays (.npy, .npz, safetensors,\n"
        "Penstock's own) or tokens (Megatron's, datatrove's): dtypes, shapes, statistics and\n"
        "checksums, for which it is read once. Needs no torch. Status 1: a file is broken.",
        _examples(
            ("penstock inspect imagenet/train", "by the headers"),
            ("penstock inspect --deep imagenet/train", "decodes every file"),
            ("penstock inspect cat.jpg", "one file"),
            ("penstock inspect train.pst", "arrays; looks at all checksums"),
            ("penstock inspect --dtype uint16 tokens.bin", "tokens without a header"),
            ("penstock inspect --dtype float32 --shape -1,3 a.raw", "raw rows of three numbers"),
            ("penstock inspect --json photos | jq '.trees[].broken'", "for a program"),
        ),
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a folder or a file")
    parser.add_argument(
        "--deep", action="store_true", help="decode every image to the end, not its header alone"
    )
    parser.add_argument(
        "--no-duplicates",
        dest="duplicates",
        action="store_false",
        help="do not look for files with the same content",
    )
    _raw(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="list all, not the first few")
    _threads(parser, "threads that read (default: the cores available)")
    _common(parser)


def _add_bench(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _command(
        commands,
        "bench",
        "measure each stage and the whole pipeline on this machine",
        "Measures on a sample of a folder's images: reading from the disk and from memory,\n"
        "probing, decoding, transforming, and whole pipelines at 1 to N threads, in turn with\n"
        "PyTorch's own loader. CPU time stands beside the speed: a machine that does other work\n"
        "shows there. On a file of arrays or tokens: its rows through both loaders, in order and\n"
        "shuffled, by 2 threads and 2 workers.",
        _examples(
            ("penstock bench imagenet/val", "all of it"),
            ("penstock bench --no-stock --pipeline train photos", "Penstock alone"),
            ("penstock bench --window 2048 corpus.idx", "windows of tokens"),
            ("penstock bench --json photos > here.json", "to compare machines"),
        ),
    )
    parser.add_argument(
        "path", metavar="PATH", help="a folder of images, or a file of arrays or tokens"
    )
    parser.add_argument(
        "--pipeline", choices=PIPELINES, help="one of the pipelines (default: both)"
    )
    parser.add_argument(
        "--no-stock", dest="stock", action="store_false", help="leave PyTorch's loader out"
    )
    parser.add_argument(
        "--images",
        type=_whole(1, 1_000_000),
        default=512,
        metavar="N",
        help="images in the sample, spread over the folder (default: 512)",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="how long each measurement takes (default: 1)",
    )
    parser.add_argument(
        "--rounds",
        type=_whole(1, 1000),
        default=3,
        metavar="N",
        help="how often the loaders take turns; medians are shown (default: 3)",
    )
    parser.add_argument(
        "--batch-size", type=_whole(1, 65536), default=32, metavar="N", help="(default: 32)"
    )
    _size(parser)
    _raw(parser)
    parser.add_argument(
        "--columns", type=_names, metavar="NAME,...", help="of a file of arrays (default: all)"
    )
    parser.add_argument(
        "--window",
        type=_whole(1, 1 << 30),
        default=1024,
        metavar="N",
        help="of a file of tokens: tokens in a row (default: 1024)",
    )
    _threads(parser, "the most threads and workers (default: the cores available; for a file 2)")
    _common(parser)


def _add_doctor(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _command(
        commands,
        "doctor",
        "say in one line what holds a training back, and what to change",
        "With a training script: runs it for a while, measures how long it waits for each of\n"
        "its DataLoaders, stops it and says what holds it back. What it prints goes to stderr.\n"
        "With a folder of images: runs the loader for some seconds and says what bounds it.\n"
        "Without either: looks at the machine and at what is installed.\n"
        "Status 1: there is something to change.",
        _examples(
            ("penstock doctor", "the machine"),
            ("penstock doctor imagenet/train", "the data"),
            ("penstock doctor --need 3000 imagenet/train", "is it enough for 3000 images/s?"),
            ("penstock doctor train.py --epochs 1", "a training, with its arguments"),
            ("penstock doctor --seconds 20 -v train.py", "options come before the script"),
        ),
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help="how long to run (default: 5 for a folder, 60 for a script)",
    )
    parser.add_argument(
        "--batches",
        type=_whole(1, 10**9),
        metavar="N",
        help="stop a script after so many batches, all loaders together",
    )
    parser.add_argument(
        "--need", type=_seconds, metavar="RATE", help="images a second that the training consumes"
    )
    parser.add_argument(
        "--pipeline", choices=PIPELINES, help="transforms for a folder (default: train)"
    )
    parser.add_argument(
        "--batch-size",
        type=_whole(1, 65536),
        default=64,
        metavar="N",
        help="for a folder (default: 64)",
    )
    parser.add_argument(
        "--memory-budget",
        type=_budget,
        metavar="SIZE",
        help="for a folder: the loader's memory_budget, such as 512MB",
    )
    _size(parser)
    _threads(parser, "for a folder: threads (default: the cores available)")
    parser.add_argument("-v", "--verbose", action="store_true", help="the details, too")
    _common(parser)
    parser.add_argument(
        "target",
        nargs="?",
        metavar="SCRIPT|DIR",
        help="a Python script, or a folder of images",
    )
    parser.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="ARG", help="arguments of the script"
    )


def _add_verify(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _command(
        commands,
        "verify",
        "compare Penstock with PyTorch and Pillow on a folder, bit for bit",
        "Runs PyTorch's own loader and Penstock on the same seeds over a folder of images and\n"
        "compares every bit of every batch. Status 1: something differs, and it says what.",
        _examples(
            ("penstock verify imagenet/val", "some batches"),
            ("penstock verify --batches all imagenet/val", "every file"),
            ("penstock verify --pipeline train --workers 4 photos", "with augmentation"),
        ),
    )
    parser.add_argument("path", metavar="DIR", help="a folder of images, a folder per class")
    parser.add_argument(
        "--pipeline", choices=PIPELINES, help="transforms (default: eval, then train)"
    )
    parser.add_argument(
        "--batches",
        type=lambda text: None if text == "all" else _whole(1, 10**9)(text),
        default=8,
        metavar="N|all",
        help="how many, of images spread over the folder (default: 8)",
    )
    parser.add_argument(
        "--batch-size", type=_whole(1, 65536), default=32, metavar="N", help="(default: 32)"
    )
    parser.add_argument(
        "--workers",
        type=_whole(0, 512),
        default=2,
        metavar="N",
        help="num_workers of both loaders (default: 2)",
    )
    parser.add_argument(
        "--seed", type=_whole(0, 2**63 - 1), default=0, metavar="N", help="(default: 0)"
    )
    _size(parser)
    _common(parser)


def _add_convert(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _command(
        commands,
        "convert",
        "make an array file of another kind of file",
        "Makes an array file, which is mapped when it is read and has checksums, of .npy, .npz,\n"
        "safetensors, HDF5, Parquet, Arrow or CSV. Rows go through memory a part at a time. The\n"
        "target appears when it is whole; what was broken off goes on with --resume.",
        _examples(
            ("penstock convert train.npy train.pst", "one column, 'data'"),
            ("penstock convert --columns image,label all.h5 train.pst", "some of the datasets"),
            ("penstock convert --resume huge.parquet huge.pst", "after a break"),
        ),
    )
    parser.add_argument("source", metavar="SRC", help="the file to read")
    parser.add_argument("destination", metavar="DST", help="the array file to write")
    parser.add_argument(
        "--format",
        choices=SOURCES,
        default="auto",
        help="the kind of SRC (default: by its first bytes and its name)",
    )
    parser.add_argument(
        "--columns",
        type=_names,
        metavar="NAME,...",
        help="only these arrays, datasets or columns, in this order (default: all)",
    )
    parser.add_argument(
        "--note", default="", metavar="TEXT", help="a text to be kept with the rows"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where an earlier run of the same command was broken off",
    )
    parser.add_argument("--force", action="store_true", help="replace DST where it is there")
    _common(parser)


def _add_completion(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _command(
        commands,
        "completion",
        "write a completion script for a shell",
        "Writes what the shell needs to complete penstock's commands and options.",
        _examples(
            ('eval "$(penstock completion bash)"', "in ~/.bashrc"),
            ("penstock completion zsh > ~/.zfunc/_penstock", "a folder of $fpath"),
            ("penstock completion fish > ~/.config/fish/completions/penstock.fish", ""),
        ),
    )
    parser.add_argument("shell", choices=FORMATS, help="the shell")


def make_parser() -> Parser:
    parser = Parser(
        prog="penstock",
        description="Data loading for training: what is in the data, how fast it loads, what\n"
        "holds a training back, and the proof that no bit differs from PyTorch's.",
        epilog="'penstock COMMAND --help' has a command's options and examples.\n\n" + _STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"penstock {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=Parser
    )
    _add_inspect(commands)
    _add_bench(commands)
    _add_doctor(commands)
    _add_verify(commands)
    _add_convert(commands)
    _add_completion(commands)
    return parser
