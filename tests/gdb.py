# SPDX-License-Identifier: MIT
"""gdb.py SCRIPT PROGRAM GDB SANITIZE - lade's commands in gdb, on a process and a core file."""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
import tap  # noqa: E402

# What "lade tasks" says of tests/gdb_parked.c.
TASKS = [
    r"^loop 1$",
    r"^  app #1, started at .*gdb_parked\.c:\d+: waits for sleep at .*gdb_parked\.c:\d+$",
    r"^    take_pictures #2, started at .*: waits for a camera at .*gdb_parked\.c:\d+, "
    r"asked to end: user at .*gdb_parked\.c:\d+ by app$",
    r"^    join #3, started at .*: a composite$",
    r"^      naps #4, started at .*: waits for sleep at ",
    r"^      naps #5, started at .*: waits for sleep at ",
]

# And "lade bt 2": innermost first, each function on a line of its own.
STACK = r"lade_(park_at|op_wait) .*wait_for_frame .*take_pictures .*lade_task_run "


def gdb(program, script, *commands):
    """The output of a gdb that runs commands on a process or a core file."""
    arguments = [a for c in ("source " + script, *commands) for a in ("-ex", c)]
    return subprocess.run([program[0], "-nx", "-batch", *program[1:], *arguments], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60).stdout


def lacks(said, patterns):
    return [f"no {p!r} in: {said}" for p in patterns if not re.search(p, said, re.M)]


def stack(said):
    """Complaints about a backtrace; inlined frames may stand between its functions."""
    return [] if re.search(STACK, said, re.S) else [f"no {STACK!r} in: {said}"]


def start(program, **environment):
    """A process whose tasks are parked."""
    process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **environment})
    process.stdout.readline()
    return process


def end(process):
    process.kill()
    process.communicate()


def check_live(script, program, debugger, folder):
    process = start(program, LADE_GUARD="mprotect")
    try:
        said = gdb([debugger, "-p", str(process.pid)], script, "lade tasks", "lade bt 2",
                   "lade bt #3", "lade bt 77", "lade bt x", "backtrace 1",
                   f"gcore {folder}/core")
        if "ptrace: Operation not permitted" in said:
            return said
        tap.point("a live process: lade tasks prints the tree", lacks(said, TASKS))
        tap.point("a live process: lade bt prints the stack of a parked task", stack(said))
        tap.point("a task without a stack, without a number and a wrong number are said so", lacks(
            said, ["^it has no stack of its own$", r"^no task #77 is alive$",
                   "^lade bt TASK: a number of lade tasks"]))
        tap.point("the thread's own stack is as it was", lacks(
            said.split("a number of lade tasks")[-1], [r"^#0 "])
            + (["the task's frames are still there"]
               if "take_pictures" in said.split("a number of lade tasks")[-1] else []))
    finally:
        end(process)
    return said


def check_core(script, program, debugger, folder):
    said = gdb([debugger, program, f"{folder}/core"], script, "lade tasks", "lade bt 2")
    tap.point("a core file: lade tasks prints the tree", lacks(said, TASKS))
    tap.point("a core file: lade bt prints the stack of a parked task", stack(said))


def check_without_loops(script, debugger):
    said = gdb([debugger, "/bin/true"], script, "lade tasks")
    tap.point("a program that is not on lade is told from one without tasks",
              lacks(said, ["no symbol lade_known_loops"]))


def main():
    script, program, debugger, sanitize = sys.argv[1:5]
    why = ("gdb is not here" if not debugger else
           "a sanitizer's shadow memory is too much for gdb" if sanitize != "none" else None)
    if why:
        tap.point("lade's commands in gdb", [], skip=why)
        tap.done()
    tap.point("self-test: a tree without a task is found wanting",
              [] if lacks("loop 1\n", TASKS) and stack("#1 main ()") else ["it is not"])
    with tempfile.TemporaryDirectory() as folder:
        said = check_live(script, program, debugger, folder)
        if os.path.exists(f"{folder}/core"):
            check_core(script, program, debugger, folder)
        else:
            tap.point("a core file of a live process", [], skip="gdb may not attach: " + said[-80:])
    check_without_loops(script, debugger)
    tap.done()


if __name__ == "__main__":
    main()
