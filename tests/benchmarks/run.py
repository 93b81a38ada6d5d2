"""`make bench`: runs the benchmark scripts beside this one, or those named as arguments, one after the other.

What follows a name, and is none, is that script's argument: `make bench args="loop all classification_quality digits"`.
Each is a program of its own that prints a Markdown table: figures of ours beside a peer's or a trivial baseline's,
taken in the same run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Container
from pathlib import Path

HERE = Path(__file__).parent


def main(names: list[str]) -> int:
    scripts = sorted(path for path in HERE.glob("*.py") if path.name not in ("run.py", "harness.py"))
    known = {path.stem: path for path in scripts}
    if names and names[0] not in known:
        print(f"no benchmark {names[0]!r}; expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    failed = []
    for name, *arguments in grouped(names, known) or [[name] for name in known]:
        print(f"\n## {' '.join([name, *arguments])}\n", flush=True)
        if subprocess.run([sys.executable, str(known[name]), *arguments], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def grouped(words: list[str], known: Container[str]) -> list[list[str]]:
    """Each known name with the words up to the next one."""
    groups: list[list[str]] = []
    for word in words:
        if word in known:
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
