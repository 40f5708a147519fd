# SPDX-License-Identifier: MIT
"""tap.py - what the house's checks share: the tree, and TAP on stdout.

Every check has a self-test: a sample that it must reject. A check that has gone blind fails.
Every program has a folder of its own for the sockets of what it starts, because several run at
once and name their pipelines alike.
"""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_number = 0
_failed = 0

os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="lade-run-")
atexit.register(shutil.rmtree, os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


def point(name, complaints, skip=None):
    """One test point: it passes when nobody complains."""
    global _number, _failed
    _number += 1
    for line in complaints:
        for part in str(line).splitlines():
            print(f"# {part}")
    _failed += bool(complaints)
    print(f"{'not ok' if complaints else 'ok'} {_number} - {name}"
          + (f" # SKIP {skip}" if skip else ""), flush=True)


def rejects(name, complaints, *wanted):
    """A self-test: @complaints about a bad sample must match each pattern of @wanted."""
    text = "\n".join(str(c) for c in complaints)
    point(f"self-test: {name}",
          [f"no complaint matches {w!r} in: {text!r}" for w in wanted if not re.search(w, text)])


def done():
    print(f"1..{_number}")
    sys.exit(1 if _failed else 0)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def files(*suffixes):
    """The paths of the project's files with these endings: what git knows, or would add."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others",
                             "--exclude-standard"], stdout=subprocess.PIPE, text=True)
    if listed.returncode == 0:
        paths = [p for p in listed.stdout.split("\0") if os.path.exists(os.path.join(ROOT, p))]
    else:  # a tree without git, as unpacked from an archive
        paths = [os.path.relpath(os.path.join(folder, name), ROOT)
                 for folder, _, names in os.walk(ROOT) for name in names
                 if "/build" not in folder and "/.git" not in folder]
    return sorted({p for p in paths if p.endswith(suffixes)})


def without_comments(text):
    """C source with comments blanked, line numbers kept; string literals stay."""
    token = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)
    return token.sub(lambda m: m[0] if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0]), text)


def parts():
    """The parts of the library, low to high, as the root meson.build lists them."""
    build = read("meson.build")
    lists = re.findall(r"^\s*parts \+?= \[(.*?)\]", build, re.M | re.S)
    return [p for chunk in lists for p in re.findall(r"'([\w/]+)'", chunk)]
