# SPDX-License-Identifier: MIT
"""form.py - what each file must show: licence, purpose, contract, a place in the build."""

import os
import re

import tap

SPDX = "/* SPDX-License-Identifier: MIT */"
# Written in halves, so that this file is not its own first finding.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|not (yet )?imple" r"mented)\b")
PRINTS = re.compile(r"\b(v?f?printf|puts|fputs|putchar|perror|warnx?|errx?)\s*\(")
WAITS = re.compile(r"\b(sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep)\s*\(")
EXAMPLE_LINES = 60


def form(path, text):
    """The first lines of a C file."""
    lines = text.splitlines() + ["", ""]
    bad = []
    if lines[0] != SPDX:
        bad.append(f"{path}:1: must be {SPDX}")
    name = re.escape(os.path.basename(path).removesuffix(".in"))
    if path.endswith((".c", ".cc")):
        if not re.match(rf"/\* {name} - \S.*", lines[1]):
            bad.append(f"{path}:2: must be /* {os.path.basename(path)} - one sentence.")
    elif not re.search(rf"^/\* ({name}|lade_\w+) - \S", text, re.M):
        bad.append(f"{path}: has no comment /* {os.path.basename(path)} - one sentence.")
    return bad


def words(path, text):
    """Words and calls that do not belong where they stand."""
    bad = []
    is_test = path.endswith("_test.c") or path.startswith("tests/")
    # The explorer is a program, which comes as a library because its code is the user's.
    library = path.startswith("src/") and not path.startswith("src/explore/")
    code = tap.without_comments(text) if path.endswith((".c", ".h", ".cc")) else ""
    for number, line in enumerate(text.splitlines(), 1):
        if m := UNFINISHED.search(line):
            bad.append(f"{path}:{number}: {m[0]}")
        if len(line.expandtabs(8)) > 100 and path.endswith((".c", ".h", ".cc", ".py")):
            bad.append(f"{path}:{number}: longer than 100 columns")
    for number, line in enumerate(code.splitlines(), 1):
        if library and not is_test and (m := PRINTS.search(line)):
            bad.append(f"{path}:{number}: a library never prints: {m[1]}")
        if is_test and path.endswith(".c") and (m := WAITS.search(line)):
            bad.append(f"{path}:{number}: a test never waits in real time: {m[1]}")
    return bad


def declarations(text):
    """(line, name, comment, head) of each function that a header declares, and of each macro
    that stands for one; the comment is the nearest one above that begins in column 0."""
    code = tap.without_comments(text)
    plain = re.sub(r"^[ \t]*#(?:.*\\\n)*.*", lambda m: re.sub(r"[^\n]", " ", m[0]), code,
                   flags=re.M)
    found = [(m.start(), m[1], "#define")
             for m in re.finditer(r"^#define (lade_[a-z0-9_]+)\(", code, re.M)]
    depth = start = 0  # of braces; where the current declaration begins
    for m in re.finditer(r"[{};]", plain):
        if depth == 0 and m[0] in "{;" and (name := declared(plain[start:m.start()])):
            head = plain[start:m.start()]
            at = start + re.search(rf"\b{name}\s*\(", head).start()
            found.append((at, name, head.strip()))
        depth += (m[0] == "{") - (m[0] == "}")
        if depth == 0:
            start = m.end()
    comments = [(m.start(), m[1]) for m in re.finditer(r"^/\*\s*(.*?)\*/", text, re.M | re.S)]
    return [(text.count("\n", 0, at) + 1, name,
             ([""] + [c for begin, c in comments if begin < at])[-1], head)
            for at, name, head in found]


def declared(text):
    """The function's name, if @text is the head of a function."""
    nested = r"\([^()]*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)[^()]*)*\)"
    text = re.sub(rf"(__attribute__|_Static_assert|_Pragma)\s*{nested}|LADE_API_\w+", " ", text)
    text = " ".join(text.split())  # blanked macros leave long runs, which the match would try
    if "=" in text or text.startswith("typedef"):
        return None
    m = re.match(rf"\s*[\w\s*]*?\b(\w+)\s*{nested}[\w\s]*$", text)
    return m[1] if m else None


def contracts(path, text):
    """Each public function's comment begins with the function's name. The part of a macro that
    is a function ends in _at, where it takes the caller's place, or in _: it stands below the
    macro's contract."""
    bad = []
    for line, name, comment, _ in declarations(text):
        first = (re.match(r"\w*", comment) or [""])[0]
        behind_macro = name.endswith("_") or name.endswith("_at") and first and \
            name.startswith(first + "_")
        if first != name and not behind_macro:
            bad.append(f"{path}:{line}: the comment of {name} must begin with its name")
    return bad


def listed(path, build):
    """A source or test that its folder's meson.build does not name is never built."""
    name = os.path.basename(path)
    if path.endswith("_test.c"):
        name = name.removesuffix("_test.c")
    elif path.startswith("examples/"):
        name = name.removesuffix(".c")
    if f"'{name}'" in build:
        return []
    return [f"{path}: named by no list of {os.path.dirname(path)}/meson.build"]


def self_tests():
    good = SPDX + "\n/* a.c - one sentence. */\n"
    tap.rejects("a file without licence", form("src/base/a.c", good[1:]), "a.c:1")
    tap.rejects("a file without purpose", form("src/base/a.c", SPDX + "\n\n"), "a.c:2")
    tap.rejects("a header without purpose", form("src/base/a.h", SPDX + "\nint a;\n"), "a.h")
    tap.rejects("an unfinished word", words("src/a.c", "\n/* TO" "DO */"), "a.c:2")
    tap.rejects("a long line", words("src/a.c", "\t" * 13), "100 columns")
    tap.rejects("a library that prints", words("src/a.c", 'printf("x");'), "never prints")
    tap.rejects("a test that sleeps", words("src/a_test.c", "usleep(1);"), "never waits")
    tap.point("self-test: a word in a comment is no call",
              words("src/a.c", "/* printf() */ snprintf(a, b);"))
    header = ("/* lade_a - does it. */\nint lade_a(void);\n\nint lade_b(int (*f)(void));\n"
              "/* Wrong word. */\nstatic inline int lade_c(void)\n{\n\treturn lade_d();\n}\n"
              "LADE_API_BEGIN\n/* lade_e - fine */\n"
              "__attribute__((warn_unused_result)) struct e *lade_e(int x);\n"
              "struct s {\n\tint (*f)(void);\n};\n#define lade_f(x) (x)\n"
              "#define lade_e(x) lade_e_at((x), LADE_SITE)\nint lade_e_at(int x);\n")
    bad = contracts("include/lade/a.h", header)
    tap.rejects("a public function without a comment", bad, ":4: .*lade_b")
    tap.rejects("a comment with another first word", bad, ":6: .*lade_c")
    tap.rejects("a macro in a function's place without a comment", bad, ":16: .*lade_f")
    tap.point("self-test: three findings in that header, not more", bad[3:])
    tap.rejects("a file that no list names", listed("src/base/a.c", "['b.c', 'a']"), "a.c")
    tap.rejects("a test that no list names", listed("src/base/b_test.c", "tests = ['a']"), "b_t")


def main():
    self_tests()
    code = [p for p in tap.files(".c", ".h", ".cc", ".h.in")
            if not p.startswith(("tests/compile-fail/", "bench/peers/"))]
    tap.point("each file names its licence and its purpose",
              [c for p in code for c in form(p, tap.read(p))])
    text = code + [p for p in tap.files(".md", "meson.build", ".scd", ".py") + tap.files("script/")
                   if not p.startswith("bench/peers/")]
    tap.point("no unfinished words, long lines, prints or waits where they do not belong",
              [c for p in text for c in words(p, tap.read(p))])
    tap.point("each public function's comment begins with its name",
              [c for p in tap.files(".h") if p.startswith("include/lade/")
               for c in contracts(p, tap.read(p))])
    built = [p for p in tap.files(".c", ".cc")
             if p.startswith(("src/", "services/", "cli/", "examples/"))
             or re.match(r"tests/[^/]+$", p)]
    bad = []
    for p in built:
        build = os.path.dirname(p) + "/meson.build"
        bad += listed(p, tap.read(build) if os.path.exists(f"{tap.ROOT}/{build}") else "")
    for p in tap.files(".h"):
        if p.startswith("include/lade/"):
            bad += listed(p, tap.read("include/lade/meson.build"))
    tap.point("each file is named by the list of its folder", bad)
    tap.point(f"an example has at most {EXAMPLE_LINES} lines",
              [f"{p}: {n} lines" for p in tap.files(".c") if p.startswith("examples/")
               and (n := tap.read(p).count("\n")) > EXAMPLE_LINES])
    tap.done()


if __name__ == "__main__":
    main()
