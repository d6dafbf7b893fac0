# SPDX-License-Identifier: Apache-2.0
"""Looks for words that do not belong in the project: unfinished work, praise, one machine's paths.

The words are put together from parts here, so that this file does not find itself.
"""

import re
import sys
from pathlib import Path

from tracked_files import tracked_files

UNFINISHED = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
PRAISE = ["rob" + "ust", "seam" + "less", "blaz" + "ing", "cutting" + "-edge", "power" + "ful"]
RULES = {
    "unfinished work": re.compile(r"\b(?:" + "|".join(UNFINISHED) + r")\b"),
    "praise": re.compile(r"\b(?:" + "|".join(PRAISE) + r")(?:ly|ness)?\b", re.IGNORECASE),
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:home|root|work|opt|Users)/\w"),
    "white space at the end of a line": re.compile(r"[ \t]+$"),
    "an invisible character": re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"),
}
TEXTS = (
    *("*.c", "*.h", "*.py", "*.pyi", "*.md", "*.toml", "*.build", "*.txt", "*.map", "*.cfg"),
    *("Makefile", ".ci/*", "tools/*"),
)


def check_text(text: str) -> list[tuple[int, str]]:
    return [
        (number, f"{what}: {match[0].strip()}")
        for number, line in enumerate(text.splitlines(), 1)
        for what, rule in RULES.items()
        for match in rule.finditer(line)
    ]


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    files = tracked_files(root, *TEXTS)
    failed = 0
    for path in files:
        for line, problem in check_text(path.read_text(encoding="utf-8")):
            failed += 1
            print(f"{path.relative_to(root)}:{line}: {problem}")
    print(f"items: {len(files)} files")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
