# SPDX-License-Identifier: MIT
"""counts.py - the sum at the end of script/test is the sum of what ran."""

import matrix
import tap


def counted(result, stdout=""):
    return matrix.count({"result": result, "stdout": stdout})


def equal(name, got, want):
    tap.point(name, [] if got == want else [f"got {got}, not {want}"])


equal("points of TAP are counted one by one",
      counted("OK", "ok 1 - a\nok 2 - b # SKIP no reason\n1..2\n"), (1, 0, 1))
equal("a failed point is counted", counted("FAIL", "ok 1 - a\nnot ok 2 - b\n1..2\n"), (1, 1, 0))
equal("a crash after good points is a failure", counted("ERROR", "ok 1 - a\n"), (1, 1, 0))
equal("a test that hangs is a failure", counted("TIMEOUT"), (0, 1, 0))
equal("a test that does not speak TAP is one point", counted("OK", "hello\n"), (1, 0, 0))
equal("a program that is skipped whole is one point", counted("SKIP", "1..0 # SKIP x\n"), (0, 0, 1))
equal("a word that begins with ok is no point", counted("FAIL", "okay\n"), (0, 1, 0))
tap.done()
