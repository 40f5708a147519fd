# SPDX-License-Identifier: MIT
"""step_server.py PROGRAM - clients talk to the server of the tutorial's last step."""

import os
import re
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "house"))
import tap  # noqa: E402

SECONDS = 20


class Client:
    """One connection, line by line."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.file = self.socket.makefile("rw", newline="\n")

    def say(self, line):
        self.file.write(line + "\n")
        self.file.flush()
        return self.file.readline().rstrip("\n")

    def hang_up(self):
        """Says that nothing more comes; returns what the server still sends."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.file.read()


def start(program):
    p = subprocess.Popen([program, "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
    return p, int(re.fullmatch(r"listening on port (\d+)\n", p.stderr.readline())[1])


def differs(got, wanted):
    return [] if got == wanted else [f"{got!r} instead of {wanted!r}"]


def main():
    p, port = start(sys.argv[1])
    one, two = Client(port), Client(port)
    said = [one.say("hello"), two.say("here too"), one.say("x" * 2000), two.say("")]
    tap.point("each of two clients gets its own lines back, numbered",
              differs(said, ["1 hello", "1 here too", "2 " + "x" * 1000, "2 "]))
    tap.point("who hangs up is hung up on, the other one goes on",
              differs([one.hang_up(), two.say("still")], ["", "3 still"]))
    p.send_signal(signal.SIGTERM)
    said = [two.say(f"after the signal {i}") for i in range(3)]
    said.append(two.hang_up())
    tap.point("a client that is there at SIGTERM finishes its conversation",
              differs(said, [f"{i + 4} after the signal {i}" for i in range(3)] + [""]))
    tap.point("then the server ends with status 0",
              differs([p.wait(SECONDS), p.stderr.read()], [0, ""]))

    p, port = start(sys.argv[1])
    stays = Client(port)
    stays.say("I do not hang up")
    p.send_signal(signal.SIGTERM)
    p.send_signal(signal.SIGINT)
    tap.point("a second signal does not wait for anybody",  # its 30 s are more than ours
              differs(p.wait(SECONDS) in (0, 130), True) + differs(stays.hang_up(), ""))
    done = subprocess.run([sys.argv[1], "nowhere"], stderr=subprocess.PIPE, timeout=SECONDS)
    tap.point("an address that is none is an error", differs(done.returncode, 1))
    tap.done()


main()
