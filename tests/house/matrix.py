# SPDX-License-Identifier: MIT
"""matrix.py - runs the tests in each configuration and counts their points.

A point is one line of TAP, or one test that does not speak TAP. The suite `house` looks at
the sources or calls both compilers itself, so it runs in the first configuration alone, and so does
`once`, which takes long; `outside` looks at the command from outside, and `real` at a real Kafka or
PostgreSQL, so one compiler's is enough, with sanitizers and without.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

ASAN = ["-Db_sanitize=address,undefined"]
GCC = ("gcc", "g++")
CLANG = ("clang-14", "clang++-14")

# A test that expects a death looks at a child's; what that child leaves behind is no leak.
MEMCHECK = ("valgrind -q --fair-sched=try --error-exitcode=99 --leak-check=full --num-callers=20 "
            "--errors-for-leak-kinds=definite,indirect,possible --child-silent-after-fork=yes")

# Many tests mostly wait: two more than there are cores keep these busy.
AT_ONCE = str((os.cpu_count() or 1) + 2)

ONCE = ["--no-suite", "house", "--no-suite", "once"]
INSIDE = ["--no-suite", "outside", "--no-suite", "real"]

# name, build directory, compilers, options of meson setup, options of meson test
CONFIGURATIONS = [
    ("gcc", "build", GCC, [], []),
    ("gcc asan+ubsan", "build-gcc-asan", GCC, ASAN, ONCE),
    ("clang", "build-clang", CLANG, [], [*ONCE, *INSIDE]),
    ("clang asan+ubsan", "build-clang-asan", CLANG, ASAN, [*ONCE, *INSIDE]),
    ("clang tsan, threads", "build-clang-tsan", CLANG, ["-Db_sanitize=thread"],
     ["--suite", "threads"]),
]

# Machines and ways to run that share most of their code with the above: one of them each day, in
# turn, so that the daily run stays under 15 minutes on two cores; all with --full.
IN_TURN = [
    ("ucontext", "build-ucontext", GCC, ["-Dswitch=ucontext", "-Dmodules=false"],
     ["--suite", "unit", "--timeout-multiplier", "10"]),
    ("aarch64 under qemu-user", "build-aarch64", GCC,
     ["--cross-file", "tests/ports/aarch64.ini", "-Dmodules=false", "-During=false"],
     ["--suite", "unit", "--timeout-multiplier", "10"]),
    # Not on io_uring: the wrapper of those tests is Python, and Valgrind does not follow it.
    ("gcc under valgrind", "build", GCC, [],
     ["--suite", "base", "--suite", "core", "--suite", "sync", "--no-suite", "uring",
      "--wrapper", MEMCHECK, "--timeout-multiplier", "10"]),
]

POINT = re.compile(r"^(not )?ok\b[^#\n]*(#\s*skip\b)?", re.I | re.M)


def count(test):
    """(passed, failed, skipped) of one entry of meson's testlog.json."""
    passed = failed = skipped = 0
    for bad, skip in POINT.findall(test.get("stdout", "")):
        if skip:
            skipped += 1
        elif bad:
            failed += 1
        else:
            passed += 1
    result = test["result"]
    if result == "SKIP" and skipped == 0:
        skipped = 1
    elif result == "OK" and passed + skipped == 0:
        passed = 1
    elif result not in ("OK", "SKIP") and failed == 0:
        failed = 1  # it crashed, hung, or printed fewer points than it planned
    return passed, failed, skipped


def show(test, words):
    print(f"\n--- {words}: {test['name']} ({test['result']}, "
          f"status {test.get('returncode')})")
    lines = test.get("stdout", "").splitlines()
    print("\n".join(line for line in lines if not line.startswith("ok ")))
    print(test.get("stderr", "").rstrip(), flush=True)


def configure(directory, compilers, options):
    if os.path.exists(f"{directory}/build.ninja"):
        built = open(f"{directory}/lade_config.h").read()
        if f'"{compilers[0].split("-")[0]} ' not in built:
            sys.exit(f"script/test: {directory}/ was not configured with {compilers[0]}: "
                     "remove it")
        return
    ccache = "ccache " if shutil.which("ccache") else ""
    env = dict(os.environ, CC=ccache + compilers[0], CXX=ccache + compilers[1])
    run(["meson", "setup", directory, *options], env)


def run(command, env=None):
    """Runs a quiet step; its output is shown, and the run ends, when it fails."""
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.stdout.write(done.stdout)
        sys.exit(f"script/test: failed: {' '.join(command)}")


def build(directory, options):
    """Builds everything, or what the suites need that the options name."""
    named = {options[i + 1] for i, word in enumerate(options) if word == "--suite"}
    wanted = []
    run(["ninja", "-C", directory, "build.ninja"])
    if named:
        listed = {what: json.loads(subprocess.run(["meson", "introspect", directory, f"--{what}"],
                                                  text=True, stdout=subprocess.PIPE,
                                                  check=True).stdout)
                  for what in ("tests", "targets")}
        files = {t["id"]: os.path.relpath(t["filename"][0], directory)
                 for t in listed["targets"]}
        wanted = sorted({files[target] for t in listed["tests"]
                         if named & {suite.split(":")[-1] for suite in t["suite"]}
                         for target in t["depends"]})
    run(["ninja", "-C", directory, "-j", str(os.cpu_count()), *wanted])


def test(directory, options):
    wrapped = "-valgrind" if MEMCHECK in options else ""
    log = f"{directory}/meson-logs/testlog{wrapped}.json"
    if os.path.exists(log):
        os.remove(log)
    env = dict(os.environ)
    if "clang" in directory:
        symbolizer = shutil.which("llvm-symbolizer-14") or ""
        env.update(ASAN_SYMBOLIZER_PATH=symbolizer, TSAN_SYMBOLIZER_PATH=symbolizer)
    done = subprocess.run(["meson", "test", "-C", directory, "--no-rebuild",
                           "--num-processes", AT_ONCE, *options], env=env, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    tests = [json.loads(line) for line in open(log)] if os.path.exists(log) else []
    if done.returncode != 0 and all(t["result"] in ("OK", "SKIP") for t in tests):
        sys.stdout.write(done.stdout)
        sys.exit(f"script/test: meson test failed in {directory}")
    return tests


def reasons(tests):
    """The skipped points by what they say."""
    found = {}
    for t in tests:
        for why in re.findall(r"#\s*skip\b:?\s*(.*)", t.get("stdout", ""), re.I):
            found[why] = found.get(why, 0) + 1
    return found


def main():
    full = "--full" in sys.argv[1:]
    if set(sys.argv[1:]) - {"--full"}:
        sys.exit("usage: script/test [--full]")
    start = time.monotonic()
    total = [0, 0, 0]
    today = IN_TURN if full else [IN_TURN[int(time.time() // 86400) % len(IN_TURN)]]
    for name, directory, compilers, setup, options in CONFIGURATIONS + today:
        begun = time.monotonic()
        print(f"{name}: building", flush=True)
        configure(directory, compilers, setup)
        build(directory, options)
        built = time.monotonic()
        tests = test(directory, options + ([] if full else ["--no-suite", "full"]))
        sums = [0, 0, 0]
        for t in tests:
            points = count(t)
            sums = [a + b for a, b in zip(sums, points)]
            if points[1]:
                show(t, f"failed under {name}")
        total = [a + b for a, b in zip(total, sums)]
        now = time.monotonic()
        print(f"{name}: {sums[0]} passed, {sums[1]} failed, {sums[2]} skipped in "
              f"{len(tests)} programs (built {built - begun:.0f} s, tested "
              f"{now - built:.0f} s, {now - start:.0f} s so far)")
        for why, n in sorted(reasons(tests).items()):
            print(f"  SKIP {n}: {why}")
    print("{} passed, {} failed, {} skipped".format(*total))
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
