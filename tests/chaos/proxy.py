# SPDX-License-Identifier: MIT
"""proxy.py - stands between a client and a server, and cuts connections in the middle of what is
sent."""

import random
import socket
import struct
import threading


class Proxy:
    """`Proxy(port, seed)` listens at .port; while .cutting each connection ends after a random
    number of bytes."""

    def __init__(self, target, seed, mean_bytes=200_000):
        self.target, self.mean_bytes = target, mean_bytes
        self.chance = random.Random(seed)
        self.cutting = False
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            left = [int(self.chance.expovariate(1 / self.mean_bytes))]
            for way in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(*way, left), daemon=True).start()

    def pump(self, a, b, left):
        """From @a to @b, until one of them ends or the connection's bytes are used up."""
        try:
            while data := a.recv(65536):
                if self.cutting and len(data) > left[0]:
                    b.sendall(data[:max(0, left[0])])
                    self.cuts += 1
                    self.cut(a, b)
                    return
                left[0] -= len(data)
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut(a, b)

    @staticmethod
    def cut(*ends):
        """Each end is told by a reset."""
        for end in ends:
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def close(self):
        self.listener.close()
