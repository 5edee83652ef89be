"""A road to a network namespace, on which packets are late or lost: the kernel's TCP repeats them.

    with Road() as road:
        subprocess.run([*road.leading, "program"])  # reaches this namespace at `road.near` alone
        road.set(delay_ms=100, loss=0.01)

It takes root, `ip` and `/dev/net/tun`. Packets are carried by a process of its own, this file as a
program; when that ends, so does the road.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PACKET_BYTES_MAX = 65_536
QUEUE_PACKETS = 10_000
NETWORKS_COUNT = 1 << 15


def is_possible():
    """Whether this machine lets us build one."""
    return os.geteuid() == 0 and shutil.which("ip") is not None and TUN.exists()


class Road:
    """The road; a context manager. Each process that builds one has a network of its own."""

    def __init__(self):
        self.name = f"saga{os.getpid() % NETWORKS_COUNT}"
        # 198.18.0.0/15 is for tests of networks (RFC 2544); four addresses of it are ours.
        base = (198 << 24 | 18 << 16) + 4 * (os.getpid() % NETWORKS_COUNT)
        self.near, self.far = (".".join(map(str, (base + n).to_bytes(4))) for n in (1, 2))
        self.leading = ("ip", "netns", "exec", self.name)

    def __enter__(self):
        command = [sys.executable, __file__, self.name]
        pipe = subprocess.PIPE
        self._carrier = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._carrier.stdout.readline()  # both ends are there
        ip("netns", "add", self.name)
        ip("link", "set", f"{self.name}b", "netns", self.name)
        for end, address, where in (("a", self.near, ()), ("b", self.far, ("-n", self.name))):
            device = f"{self.name}{end}"
            ip(*where, "addr", "add", f"{address}/30", "dev", device)
            ip(*where, "link", "set", device, "up", "txqueuelen", str(QUEUE_PACKETS))
        ip("-n", self.name, "link", "set", "lo", "up")
        self._tell(0, 0.0)
        return self

    def __exit__(self, *_):
        self._carrier.communicate()  # which ends its input, and so it
        ip("netns", "delete", self.name)

    def set(self, *, delay_ms=0, loss=0.0):
        """Make packets late, each way, and lose such a share; give how many came and were lost before."""
        self._tell(delay_ms, loss)
        return json.loads(self._carrier.stdout.readline())

    def _tell(self, delay_ms, loss):
        self._carrier.stdin.write(json.dumps([delay_ms, loss]) + "\n")
        self._carrier.stdin.flush()


def ip(*words):
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


class Lane:
    """One direction."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.packets = deque()
        """When each arrives, and what it is."""

    def take(self, delay_s, loss):
        """Take what was sent; give how many packets came, and how many of them are lost."""
        count = lost_count = 0
        due_s = time.monotonic() + delay_s
        while True:
            try:
                packet = os.read(self.source, PACKET_BYTES_MAX)
            except BlockingIOError:
                return count, lost_count
            count += 1
            if random.random() < loss:
                lost_count += 1
            else:
                self.packets.append((due_s, packet))

    def deliver(self):
        """Hand over what has arrived; give when the next does."""
        now_s = time.monotonic()
        while self.packets and self.packets[0][0] <= now_s:
            os.write(self.target, self.packets.popleft()[1])
        return self.packets[0][0] if self.packets else now_s + 3_600


def carry(name):
    """Carry packets, once it is told how good the road is, until the standard input ends."""
    ends = [_device(f"{name}{end}") for end in "ab"]
    lanes = [Lane(*ends), Lane(*reversed(ends))]
    _say("devices made")
    while line := sys.stdin.readline():
        delay_ms, loss = json.loads(line)
        _say(_carry_until_told(lanes, delay_ms / 1_000, loss))


def _say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _carry_until_told(lanes, delay_s, loss):
    """Carry until the standard input has a line; give how many packets came and were lost."""
    counts = [0, 0]
    while True:
        next_s = min(lane.deliver() for lane in lanes)
        patience_s = max(0.0, next_s - time.monotonic())
        sources = [lane.source for lane in lanes]
        readable, _, _ = select.select([*sources, sys.stdin], [], [], patience_s)
        for lane in lanes:
            if lane.source in readable:
                counts = [sum(pair) for pair in zip(counts, lane.take(delay_s, loss), strict=True)]
        if sys.stdin in readable:
            return counts


def _device(name):
    device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return device


if __name__ == "__main__":
    carry(sys.argv[1])
