# SPDX-License-Identifier: MIT
"""docs_code.py COMPILER FLAGS... -- LINK... - compiles every piece of C in the documents and
in the comments of public headers, and runs what is a program. Nothing is left out silently:

	```c                   with /* example: NAME */ as its first line: a complete program;
	                       it is run and must end with status 0; a block ```output that
	                       follows at once is what it must print
	```c in CONTEXT        goes to the line of docs/contexts/CONTEXT.c that is: @code@
	```c ignore REASON     is counted as skipped, with the reason; every line of one that is
	                       "quoted from FILE, ..." must stand in that file
	` * Example:`          in a header's comment: declarations and functions, as they stand
	` * Example in CONTEXT:`     `@code@` of that context
	` * Example, ignored: REASON`

The code of a header's example is the lines after that one that begin with ` *` and a tab. Any
other C block, a block without a language, and other tabbed lines in those comments fail.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

import tap

NOT_C = {"sh", "console", "text", "output", "yaml", "json", "sql", "csharp", "asm", "diff", "ini"}
SECONDS = 60


class Piece:
    """A piece of C: where it is, its kind (program, context, plain, ignore, bad), what it says."""

    def __init__(self, path, line, kind, what, code, output=None):
        self.place, self.path, self.line = f"{path}:{line}", path, line
        self.kind, self.what, self.code, self.output = kind, what, code, output


def of_markdown(path, text):
    pieces = []
    fence = re.compile(r"^```([^\n]*)\n(.*?)^```[ \t]*\n", re.M | re.S)
    for m in fence.finditer(text):
        info, code = m[1].strip(), m[2]
        line = text.count("\n", 0, m.start()) + 2
        word, _, rest = info.partition(" ")
        if word in NOT_C:
            continue
        name = re.match(r"/\* example: (\S+) \*/\n", code)
        output = re.match(r"\s*^```output\n(.*?)^```", text[m.end():], re.M | re.S)
        if word != "c":
            kind = "bad"
            what = f"a block of language {info!r}: one of c, {', '.join(sorted(NOT_C))}"
        elif name and not rest:
            kind, what = "program", name[1]
        elif rest.startswith("in "):
            kind, what = "context", rest[3:].strip()
        elif rest.startswith("ignore ") and rest[7:].strip():
            kind, what = "ignore", rest[7:].strip()
        else:
            kind, what = "bad", ("a C block that is neither /* example: NAME */, nor `c in "
                                 "CONTEXT`, nor `c ignore REASON`")
        pieces.append(Piece(path, line, kind, what, code, output[1] if output else None))
    bare = fence.sub(lambda m: "\n" * m[0].count("\n"), text)
    for number, line in enumerate(bare.splitlines(), 1):
        if re.match(r"(    |\t).*[;{}]\s*(/\*.*)?$", line) or line.lstrip().startswith("```"):
            pieces.append(Piece(path, number, "bad", "code that is not between two fences", ""))
    return pieces


def of_header(path, text):
    pieces = []
    current = None
    for number, line in enumerate(text.splitlines(), 1):
        m = re.match(r" \* Example(?: in (\w+)|, ignored: (.+?)|):?(?: \*/)?$", line)
        if m:
            kind = "context" if m[1] else "ignore" if m[2] else "plain"
            current = Piece(path, number + 1, kind, m[1] or m[2] or "", "")
            pieces.append(current)
        elif re.match(r" \*\t", line):
            if current is None:
                pieces.append(Piece(path, number, "bad", "tabbed lines outside an Example:", ""))
                current = Piece(path, number, "bad", "", "")
            current.code += line[3:].removesuffix("*/").rstrip() + "\n"
        elif re.match(r" \*\s*$", line) and current is not None:
            current.code += "\n"
        else:
            current = None
    return pieces


def source(piece, contexts):
    """The C text to compile; a KeyError or ValueError says what is wrong with the context."""
    placed = f'#line {piece.line} "{piece.path}"\n{piece.code}'
    if piece.kind == "program":
        return placed
    if piece.kind == "plain":
        own = f"#include <lade/{os.path.basename(piece.path)}>\n"
        return own + placed
    if contexts[piece.what].count("@code@\n") != 1:
        raise ValueError(f"{piece.place}: the context {piece.what} has no line @code@")
    return contexts[piece.what].replace("@code@\n", placed)


def complaints(piece, contexts, compiler, link):
    """Compiles the piece, and runs it if it is a program."""
    if piece.kind == "bad":
        return [f"{piece.place}: {piece.what}"]
    try:
        text = source(piece, contexts)
    except KeyError:
        return [f"{piece.place}: there is no docs/contexts/{piece.what}.c"]
    except ValueError as e:
        return [str(e)]
    program = piece.kind == "program"
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/piece.c", "w") as f:
            f.write(text)
        done = subprocess.run(
            compiler + ["-Wall", "-Wextra", "-Werror"] + ([] if program else ["-Wno-unused", "-c"])
            + ["-o", f"{folder}/piece", f"{folder}/piece.c"] + (link if program else []),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            return [f"{piece.place}: does not compile:", done.stdout]
        return run(piece, f"{folder}/piece") if program else []


def run(piece, path):
    try:
        done = subprocess.run([path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return [f"{piece.place}: still runs after {SECONDS} s"]
    if done.returncode != 0:
        return [f"{piece.place}: ended with status {done.returncode}:", done.stderr]
    if piece.output is not None and done.stdout != piece.output:
        return [f"{piece.place}: prints:", done.stdout, "instead of:", piece.output]
    return []


def misquoted(piece):
    """Complaints about a quotation: lines that its file does not have."""
    m = re.match(r"quoted from ([\w/.]+),", piece.what)
    there = {line.strip() for line in tap.read(m[1]).splitlines()} if m else set()
    return [f"{piece.place}: not in {m[1]}: {line.strip()}" for line in piece.code.splitlines()
            if m and line.strip() not in there]


def self_tests(compiler, link):
    contexts = {"body": "int body(void);\nint body(void)\n{\n@code@\n\treturn 0;\n}\n", "none": ""}

    def check(text, of=of_markdown):
        return [c for p in of("sample", text) if p.kind != "ignore"
                for c in complaints(p, contexts, compiler, link)]

    program = "```c\n/* example: a */\n#include <stdio.h>\nint main(void) { %s }\n```\n"
    tap.rejects("a block that says nothing", check("```c\nint a;\n```\n"), "sample:2: a C block")
    tap.rejects("a block without a language", check("```\nint a;\n```\n"), "sample:2: a block")
    tap.rejects("an ignored block without a reason", check("```c ignore\nint\n```\n"), "a C block")
    tap.rejects("code without a fence", check("words\n\n    int a;\n"), "sample:3: code that")
    tap.rejects("a fence that is never closed", check("```c in body\nint a;\n"), "two fences")
    tap.rejects("a program that does not compile", check(program % "return x;"),
                "sample:4:.* undeclared")
    tap.rejects("a program that fails", check(program % "return 3;"), "status 3")
    tap.rejects("a program that prints something else",
                check(program % 'puts(\"a\"); return 0;' + "\n```output\nb\n```\n"), "instead of")
    tap.rejects("a snippet that does not compile", check("```c in body\nint a\n```\n"), "sample")
    tap.rejects("a snippet in no context", check("```c in x\nint a;\n```\n"), "no docs/contexts/x")
    tap.rejects("a context without its place", check("```c in none\nint a;\n```\n"), "no line @c")
    tap.rejects("tabbed lines in a header", check("/* a\n *\n *\tint a;\n */\n", of_header),
                "sample:3: tabbed")
    tap.rejects("a header's example that does not compile",
                check("/* a\n * Example in body:\n *\tint a\n */\n", of_header), "sample:3:")
    tap.point("self-test: good pieces pass", check(
        program % 'puts("a"); return 0;' + "\n```output\na\n```\n```c in body\nint a;\n```\n"
        "```c ignore no such compiler\nx\n```\n```sh\nls;\n```\n") + check(
            "/* a\n * Example in body:\n *\tint a;\n *\n *\ta = 1;\n */\n", of_header))
    tap.rejects("a quotation that has drifted",
                misquoted(Piece("a.md", 1, "ignore", "quoted from README.md, which", "no such;\n")),
                "not in README.md: no such;")


def main():
    split = sys.argv.index("--")
    compiler, link = sys.argv[1:split], sys.argv[split + 1:]
    self_tests(compiler, link)
    contexts = {os.path.basename(p).removesuffix(".c"): tap.read(p)
                for p in tap.files(".c") if p.startswith("docs/contexts/")}
    pieces = [piece for p in tap.files(".md") for piece in of_markdown(p, tap.read(p))]
    pieces += [piece for p in tap.files(".h") if p.startswith("include/lade/")
               for piece in of_header(p, tap.read(p))]
    compiled = [p for p in pieces if p.kind != "ignore"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda p: complaints(p, contexts, compiler, link), compiled)
    for piece, bad in zip(compiled, results):
        tap.point(f"the code at {piece.place}", bad)
    for piece in pieces:
        if piece.kind == "ignore":
            bad = misquoted(piece)
            tap.point(f"the code at {piece.place}", bad, skip=None if bad else piece.what)
    tap.done()


main()
