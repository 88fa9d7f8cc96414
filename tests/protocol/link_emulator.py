"""Joins two TAP devices by a link that delays and loses frames, where the kernel has no netem.

    link_emulator.py NEAR FAR DELAY_MS LOSS_PERCENT SEED

Creates both devices, writes "ready" and forwards until it is killed. Python's standard library only.
"""

import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000

# Of an Ethernet frame at the default MTU, with room for a VLAN tag.
FRAME_BYTES = 2048
# Frames under way in one direction; netem's own default. More are lost, as on a full router.
LIMIT = 1000


def open_tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def send(tap: int, frame: bytes) -> None:
    try:
        os.write(tap, frame)
    except OSError:
        pass  # the other side's link is down, or its queue is full: the frame is lost


def main() -> None:
    near, far = open_tap(sys.argv[1]), open_tap(sys.argv[2])
    delay, loss = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100
    chance = random.Random(int(sys.argv[5]))
    queues = {near: collections.deque(), far: collections.deque()}
    other = {near: far, far: near}
    # In one piece: who has read it closes the pipe.
    os.write(sys.stdout.fileno(), b"ready\n")
    while True:
        heads = [queue[0][0] for queue in queues.values() if queue]
        wait = max(0.0, min(heads) - time.monotonic()) if heads else None
        readable, _, _ = select.select([near, far], [], [], wait)
        for tap in readable:
            queue = queues[other[tap]]
            while True:
                try:
                    frame = os.read(tap, FRAME_BYTES)
                except OSError:
                    break  # nothing more has come
                if chance.random() >= loss and len(queue) < LIMIT:
                    queue.append((time.monotonic() + delay, frame))
        now = time.monotonic()
        for tap, queue in queues.items():
            while queue and queue[0][0] <= now:
                send(tap, queue.popleft()[1])


main()
