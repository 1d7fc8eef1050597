"""Waiting on a state, with a deadline. Nothing in the suite sleeps for a fixed time."""

import threading
import time


def wait_until(state, what, seconds=10.0):
    """Asks `state` until it gives something true, and gives that; fails when the time is over."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = state()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        pause.wait(0.005)
