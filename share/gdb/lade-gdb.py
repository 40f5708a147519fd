# SPDX-License-Identifier: MIT
"""lade-gdb.py - the tasks of a program on lade, in gdb: a live process or a core file.

    lade tasks      the tree of tasks: start line, what each waits for, who asked it to end
    lade bt TASK    the backtrace of a task that is parked or ready, by its number

It walks what the scheduler itself uses (<lade/layout.h>) and calls nothing in the program. The
types come from the program's or liblade's debug information, the loops from the symbol
lade_known_loops: a liblade that was stripped of its symbols hides them.
"""

import gdb
import gdb.unwinder

LOOPS_MAX = 64
TASKS_MAX = 100000  # more are not listed
LEVELS_MAX = 200
NODE_BLOCK, NODE_GROUP = 1, 2
LEVEL_SOFT, LEVEL_HARD = 1, 2
REASONS = ("none", "user", "deadline", "sibling", "race lost", "parent", "shutdown")
GCORE = ("; gcore leaves out what lies beside guarded pages, a core of the kernel's does not, nor "
         "one of a program that was started with LADE_GUARD=mprotect")
REGISTERS = {"i386:x86-64": ("rip", "rsp", "rbp"), "aarch64": ("pc", "sp", "x29")}


def struct(name):
    """A type of <lade/layout.h>."""
    try:
        return gdb.lookup_type(f"struct {name}")
    except gdb.error:
        raise gdb.GdbError(f"no debug information knows struct {name}: compile with -g")


def container(link, name, field):
    """The object in which a link lies."""
    kind = struct(name)
    offset = [f.bitpos // 8 for f in kind.fields() if f.name == field][0]
    return gdb.Value(int(link) - offset).cast(kind.pointer())


def text(pointer):
    try:
        return pointer.string() if int(pointer) else "?"
    except gdb.error:
        return "?"


def readable(link):
    """Whether a list goes on there."""
    try:
        return int(link) and int(link.dereference()["next"])
    except gdb.MemoryError:
        return False


class Task:
    """A task that has not ended."""

    def __init__(self, ctl, depth, running):
        self.ctl, self.depth = ctl, depth
        self.number = int(ctl["number"])
        self.runs = int(ctl) == running
        self.name = text(ctl["head"]["type"]["name"])

    def request(self):
        """Why it was asked to end, or ""."""
        innermost = node = self.ctl["scope"]
        for _ in range(LEVELS_MAX):
            if not int(node):
                return ""
            if int(node["level"]):
                break
            node = node["outer"]
        else:
            return ""
        why, eff = node["reason"], int(innermost["eff"])
        held = {LEVEL_HARD: "", LEVEL_SOFT: " softly"}.get(eff, " (held back by a shield)")
        by = text(why["task"])
        return (f", asked to end{held}: {REASONS[int(why['root'])]} at {text(why['site'])}"
                + (f" by {by}" if by not in ("", "?") else ""))

    def does(self):
        if self.runs:
            return "runs"
        op = self.ctl["wait"]
        if int(op):
            return f"waits for {text(op['what'])} at {text(op['site'])}"
        return "ready" if int(self.ctl["context"]["sp"]) else "a composite"

    def line(self):
        return (f"{'  ' * self.depth}{self.name} #{self.number}, "
                f"started at {text(self.ctl['head']['site'])}: {self.does()}{self.request()}")


def children(scope, depth, running, left):
    """The tasks in a scope and below, with at most @left[0] of them."""
    head = scope["children"].address
    link = head.dereference()["next"]
    while int(link) != int(head) and left[0] > 0 and depth < LEVELS_MAX:
        left[0] -= 1
        if not readable(link):
            raise gdb.GdbError(f"the stacks of tasks are not in this core file{GCORE}")
        task = Task(container(link, "lade_ctl", "sibling"), depth, running)
        yield task
        node = task.ctl["root"]
        while int(node):
            if int(node["kind"]) in (NODE_BLOCK, NODE_GROUP):
                inside = container(node, "lade_scope", "head")
                yield from children(inside.dereference(), depth + 1, running, left)
            node = node["inner"]
        link = link.dereference()["next"]


def loops():
    """(number, tasks) of each loop of the process."""
    try:
        table = int(gdb.parse_and_eval("(unsigned long)&lade_known_loops"))
    except gdb.error:
        raise gdb.GdbError("no symbol lade_known_loops: not a program on lade, or stripped")
    word = gdb.lookup_type("unsigned long")
    found = 0
    for i in range(LOOPS_MAX):
        place = gdb.Value(table + 2 * word.sizeof * i).cast(word.pointer())
        root, cur = int(place[0]), int(place[1])
        if not root:
            continue
        found += 1
        running = int(gdb.Value(cur).cast(word.pointer()).dereference())
        scope = gdb.Value(root).cast(struct("lade_scope").pointer()).dereference()
        yield found, children(scope, 1, running, [TASKS_MAX])


class LadePrefix(gdb.Command):
    """Tasks of a program on lade: "lade tasks", "lade bt TASK"."""

    def __init__(self):
        super().__init__("lade", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


class LadeTasks(gdb.Command):
    """lade tasks - the tree of tasks, with what each waits for and where."""

    def __init__(self):
        super().__init__("lade tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        for number, tasks in loops():
            print(f"loop {number}")
            for task in tasks:
                print(task.line())


class Suspended(gdb.unwinder.Unwinder):
    """Lets the caller of the innermost frame be where a task goes on. No register is written, so
    it works on a core file too."""

    class Id:
        def __init__(self, sp, pc):
            self.sp, self.pc = sp, pc

    def __init__(self):
        super().__init__("lade: a suspended task")
        self.context = None  # of the task to show, or None
        self.names = None

    def __call__(self, pending):
        if self.context is None:
            return None
        context, self.context = self.context, None
        pc, sp, bp = self.names
        info = pending.create_unwind_info(self.Id(pending.read_register(sp),
                                                  pending.read_register(pc)))
        info.add_saved_register(pc, context["pc"])
        info.add_saved_register(sp, context["sp"])
        info.add_saved_register(bp, context["bp"])
        return info


suspended = Suspended()
gdb.unwinder.register_unwinder(None, suspended, True)


def backtrace(task):
    """Prints where a task goes on, innermost frame first."""
    machine = gdb.selected_inferior().architecture().name()
    if machine not in REGISTERS:
        raise gdb.GdbError(f"how a task is suspended on {machine} is not known here")
    suspended.names = REGISTERS[machine]
    suspended.context = task.ctl["context"]
    gdb.execute("select-frame 0", to_string=True)
    gdb.invalidate_cached_frames()
    try:
        # Frame 0 is the thread's own; the task's begin after it.
        said = gdb.execute("backtrace -past-main on", to_string=True)
    finally:
        suspended.context = None
        gdb.invalidate_cached_frames()
    lines = said.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith("#1 ")), len(lines))
    print("\n".join(lines[first:]))


class LadeBt(gdb.Command):
    """lade bt TASK - the backtrace of the task of that number, on each loop that has one."""

    def __init__(self):
        super().__init__("lade bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip().lstrip("#")
        if not wanted.isdigit():
            raise gdb.GdbError("lade bt TASK: a number of lade tasks")
        found = False
        for number, tasks in loops():
            for task in tasks:
                if task.number != int(wanted):
                    continue
                found = True
                print(f"loop {number}: {task.line().strip()}")
                if task.runs:
                    print("it runs: thread apply all bt shows it")
                elif not int(task.ctl["context"]["sp"]):
                    print("it has no stack of its own")
                else:
                    backtrace(task)
        if not found:
            raise gdb.GdbError(f"no task #{wanted} is alive")


LadePrefix()
LadeTasks()
LadeBt()
