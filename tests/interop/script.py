"""What the scripts of this folder share: running moat; ending as passed, failed or skipped."""
import importlib
import subprocess
import sys

SKIPPED = 77


def need(*modules):
    """The modules; where one is missing the script ends as a skip that says so."""
    try:
        return [importlib.import_module(module) for module in modules]
    except ImportError as missing:
        print(f"{sys.executable} has no {missing.name}")
        sys.exit(SKIPPED)


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r:.300}, found {found!r:.300}")


def moat(*arguments):
    """What it prints; ends the script unless it exits with 0."""
    done = subprocess.run(["build/bin/moat", *arguments], capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        sys.exit(f"moat {' '.join(arguments)} exits {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
