# SPDX-License-Identifier: MIT
"""with.py COMPONENT... -- COMMAND - runs a test of TAP with components in its environment.

A component is kafka or postgres; LADE_TEST_KAFKA and LADE_TEST_POSTGRES say where they are. Where
one cannot be had the whole test is skipped, or fails if LADE_COMPONENTS=required.
"""

import contextlib
import os
import subprocess
import sys

from component import Unavailable
from kafka import Kafka
from postgres import Postgres

KINDS = {"kafka": Kafka, "postgres": Postgres}


def main():
    at = sys.argv.index("--")
    env = dict(os.environ)
    with contextlib.ExitStack() as stack:
        try:
            for name in sys.argv[1:at]:
                env.update(stack.enter_context(KINDS[name]()).env)
        except Unavailable as e:
            print(f"not ok 1 - {e}\n1..1" if e.is_failure() else f"1..0 # SKIP {e}")
            return
        sys.exit(subprocess.run(sys.argv[at + 1:], env=env, check=False).returncode)


main()
