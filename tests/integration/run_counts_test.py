#!/usr/bin/python3
"""tests/run counts what happened: a crash, a hang or a torn report is a failure, never nothing."""
import contextlib
import io
import json
import os
import stat
import sys
import tempfile

sys.path.insert(0, "tests")
import run_stages  # noqa: E402

OPTIONS = type("Options", (), {"all": False, "filter": ""})


def binary(folder, body):
    path = os.path.join(folder, "fake_test")
    with open(path, "w") as file:
        file.write('#!/bin/bash\nout=$(echo "$1" | sed s/--gtest_output=json://)\n' + body)
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
    return path


def report(*tests):
    return json.dumps({"testsuites": [{"name": "S", "testsuite": [{"name": n, "status": "RUN", **t} for n, t in tests]}]})


def counts(body, ranks=0):
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = binary(folder, body)
        tally = run_stages.run_ranks(path, ranks, OPTIONS) if ranks else run_stages.run_binary(path, OPTIONS)
        return tally.passed, len(tally.failed), len(tally.skipped)


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: expected (passed, failed, skipped) = {expected}, found {found}")


good = ("a", {"result": "COMPLETED"})
bad = ("b", {"result": "COMPLETED", "failures": [{"failure": "x"}]})
skipped = ("c", {"result": "SKIPPED", "skipped": [{"message": "f.cc:1\nno device"}]})

expect("all kinds", counts(f"echo '{report(good, bad, skipped)}' > $out; exit 1"), (1, 1, 1))
expect("crash without a report", counts("kill -SEGV $$"), (0, 1, 0))
expect("crash after a report", counts(f"echo '{report(good)}' > $out; kill -ABRT $$"), (1, 1, 0))
expect("torn report", counts("echo '{' > $out"), (0, 1, 0))
expect("no test at all", counts(f"echo '{report()}' > $out"), (0, 1, 0))
run_stages.UNIT_SECONDS = 1
expect("hang", counts("exec sleep 60"), (0, 1, 0))
run_stages.UNIT_SECONDS = 60
one_rank_fails = (f'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then echo \'{report(good, ("d", bad[1]))}\' > $out; exit 1; fi; '
                  f"echo '{report(good, ('d', good[1]))}' > $out")
expect("a failure on one rank", counts(one_rank_fails, ranks=2), (1, 1, 0))
print("ok")
