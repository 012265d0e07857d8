"""Checks rate limits with the package `limits` on Redis: 10 a second and 100 a minute, in order, as the reference does.

Arguments: Redis URL, prefix of the callers, number of callers, seconds, strategy (`fixed` or `moving`), threads.
Prints `ready`, waits for a line, then prints {"checks", "seconds", "allowed", "version"}: how many of each caller were allowed.
"""

import json
import sys
import threading
import time
from importlib.metadata import version

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

url, prefix, callers, seconds, strategy, threads = sys.argv[1:7]
callers, seconds, threads = int(callers), float(seconds), int(threads)
storage = RedisStorage(url)
limiter = {"fixed": FixedWindowRateLimiter, "moving": MovingWindowRateLimiter}[strategy](storage)
items = (RateLimitItemPerSecond(10), RateLimitItemPerMinute(100))
allowed = [[0] * callers for _ in range(threads)]
checks = [0] * threads


def check(thread, until):
    mine, number = allowed[thread], thread
    while time.monotonic() < until:
        caller = number % callers
        who = f"{prefix}:{caller}"
        if all(limiter.hit(item, "auth_uid", who) for item in items):
            mine[caller] += 1
        number += threads
        checks[thread] += 1


storage.check()
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic()
running = [threading.Thread(target=check, args=(thread, begun + seconds)) for thread in range(threads)]
for thread in running:
    thread.start()
for thread in running:
    thread.join()
spent = time.monotonic() - begun
total = [sum(counts) for counts in zip(*allowed)]
about = f"limits {version('limits')}, redis {version('redis')}, Python {sys.version.split()[0]}"
print(json.dumps({"checks": sum(checks), "seconds": spent, "allowed": total, "version": about}))
