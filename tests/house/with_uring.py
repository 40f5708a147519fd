# SPDX-License-Identifier: MIT
"""with_uring.py - becomes the test program it is given, or skips where io_uring is refused."""

import ctypes
import os
import sys

IO_URING_SETUP = 425  # the same number on every architecture

libc = ctypes.CDLL(None, use_errno=True)
fd = libc.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(256))
if fd < 0:
    print(f"1..0 # SKIP io_uring is refused here: {os.strerror(ctypes.get_errno())}")
    sys.exit(0)
os.close(fd)
os.environ["LADE_BACKEND"] = "uring"
os.execv(sys.argv[1], sys.argv[1:])
