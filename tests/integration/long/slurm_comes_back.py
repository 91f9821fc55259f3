#!/usr/bin/python3
"""A job of two nodes is preempted twice and runs out of time, comes back each time, and ends with the bits of an undisturbed run."""
import signal
import sys

sys.path.insert(0, "tests/slurm")
from slurm_test import come_back  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
come_back()
