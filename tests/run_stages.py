"""The stages of tests/run: build, format, unit tests, tests over ranks, integration tests, sanitizers; counted.

A stage's tests:
  unit         every GoogleTest binary in build/tests, two at a time
  ranks        those with a .ranks file beside them, under mpirun, for each number of ranks in it
  integration  every executable tests/{faults,integration,interop,slurm}/*_test.{sh,py}: exit 0 passes, 77 skips (the last line of
               its output says why), anything else fails; its working directory is the repository, and
               MOAT_BUILD, where it is set, the folder of the build to use instead of build/
  asan, tsan   tests/sanitizer_stages.py: what can go wrong with memory and threads, built and run again
  lint         clang-tidy with .clang-tidy over the sources that changed; all of them under --all
Suites whose names contain "Sweep" run under --all only.
"""
import argparse
import concurrent.futures
import fnmatch
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint_stage  # noqa: E402
import sanitizer_stages  # noqa: E402

UNIT_SECONDS = 900
ALL_SECONDS = 7200
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none"]
# Each rank writes a report of its own.
RANK_SHELL = 'report=$1; shift; exec "$0" --gtest_output="json:$report.$OMPI_COMM_WORLD_RANK" "$@"'


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []
        self.minutes = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def run(command, seconds, env=None):
    """(exit code, output); a command that runs out of time has code 124."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=seconds, env={**os.environ, **(env or {})}, errors="replace")
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        text = late.stdout or b""
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        return 124, text + f"\nout of time after {seconds} s\n"


def read_reports(paths):
    """{test: (failed, skip reason or None)} over the reports of all ranks; None when one is missing or torn."""
    tests = {}
    for path in paths:
        try:
            with open(path) as file:
                report = json.load(file)
        except (OSError, ValueError):
            return None
        for suite in report["testsuites"]:
            for test in suite["testsuite"]:
                name = f'{suite["name"]}.{test["name"]}'
                if test.get("status") == "NOTRUN":
                    continue
                skip = None
                if test.get("result") == "SKIPPED":
                    skip = "; ".join(s.get("message", "").strip().split("\n")[-1] for s in test.get("skipped", []))
                failed, before = tests.get(name, (False, None))
                tests[name] = (failed or bool(test.get("failures")), skip if skip is not None else before)
    return tests


def count(label, code, output, tests):
    tally = Tally()
    for name, (failed, skip) in (tests or {}).items():
        if failed:
            tally.failed.append(f"{label}: {name}")
        elif skip is not None:
            tally.skipped.append((name, skip or "no reason given"))
        else:
            tally.passed += 1
    # Died, hung, or failed without saying which test: one failure, so that a crash never counts as nothing.
    if tests is None or (code != 0 and not tally.failed):
        tally.failed.append(f"{label}: ended with code {code}")
    if not tests and tests is not None and code == 0:
        tally.failed.append(f"{label}: ran no test")
    if tally.failed:
        said = [line for line in output.splitlines() if "logging.cc:" not in line]  # tests of bad input warn hundreds of times
        print(f"--- {label}", *said[-150:], sep="\n")
    return tally


def gtest_flags(options, leave_out=()):
    left_out = list(leave_out) + ([] if options.all else ["*Sweep*"])
    return ["--gtest_brief=1"] + (["--gtest_filter=-" + ":".join(left_out)] if left_out else [])


def run_binary(binary, options, env=None, leave_out=()):
    label = os.path.basename(binary)
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report")
        code, output = run([binary, f"--gtest_output=json:{report}"] + gtest_flags(options, leave_out),
                           ALL_SECONDS if options.all else UNIT_SECONDS, env)
        return count(label, code, output, read_reports([report]))


def run_ranks(binary, ranks, options, env=None):
    label = f"{os.path.basename(binary)} on {ranks} ranks"
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report")
        command = MPIRUN + ["-np", str(ranks), "sh", "-c", RANK_SHELL, binary, report] + gtest_flags(options)
        code, output = run(command, ALL_SECONDS if options.all else UNIT_SECONDS, {**MPI_ENV, **(env or {})})
        return count(label, code, output, read_reports([f"{report}.{rank}" for rank in range(ranks)]))


def run_script(script, options, env=None):
    name = os.path.splitext(os.path.relpath(script, "tests"))[0]
    code, output = run([script], ALL_SECONDS if options.all else UNIT_SECONDS, env)
    if code == 77:
        lines = output.strip().splitlines()
        return count(name, 0, output, {name: (False, lines[-1] if lines else "")})
    return count(name, code, output, {name: (code != 0, None)})


def binaries(folder="build"):
    """(plain, [(binary, ranks)]) of what build/tests holds and the build still makes."""
    known = subprocess.run(["ninja", "-C", folder, "-t", "targets", "all"], capture_output=True, text=True).stdout
    made = set(re.findall(r"^(tests/[^/:\s]+_test):", known, re.M))
    plain, ranked = [], []
    for binary in sorted(glob.glob(f"{folder}/tests/*_test")):
        if os.path.relpath(binary, folder) not in made:
            continue
        binary = os.path.abspath(binary)
        if os.path.exists(binary + ".ranks"):
            with open(binary + ".ranks") as file:
                ranked += [(binary, int(n)) for n in file.read().split()]
        else:
            plain.append(binary)
    return plain, ranked


def make(preset, folder, targets=()):
    """Configures and builds; a failure of either is one failed test."""
    target = ["--target", *targets] if targets else []
    for command in (["cmake", "--preset", preset, "-DMOAT_TESTS=ON"], ["cmake", "--build", folder, *target]):
        code, output = run(command, ALL_SECONDS)
        if code != 0:
            print(*output.splitlines()[-80:], sep="\n")
            tally = Tally()
            tally.failed.append("build: " + " ".join(command))
            return tally
    return Tally()


def build(options):
    return make("release", "build")


def check_format(options):
    listed = subprocess.run(["git", "ls-files", "*.h", "*.cc", "*.cu", "*.cuh"], capture_output=True, text=True)
    files = [f for f in listed.stdout.split() if os.path.exists(f)]
    if listed.returncode != 0:  # sources without git
        files = [f for f in glob.glob("**/*.h", recursive=True) + glob.glob("**/*.cc", recursive=True)
                 if not f.startswith("build")]
    code, output = run(["clang-format", "--dry-run", "-Werror"] + files, UNIT_SECONDS)
    return count("format", code, output, {"format.clang-format": (code != 0, None)})


def in_parallel(jobs, workers):
    tally = Tally()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(*job) for job in jobs]:
            tally.add(done.result())
    return tally


def unit(options):
    return in_parallel([(run_binary, b, options) for b in binaries()[0] if options.filter in b], 2)


def ranks(options):
    return in_parallel([(run_ranks, b, n, options) for b, n in binaries()[1] if options.filter in b], 1)


def integration(options):
    scripts = [s for folder in ("faults", "integration", "interop", "slurm") for s in glob.glob(f"tests/{folder}/*_test.*")]
    scripts = [s for s in sorted(scripts) if os.access(s, os.X_OK) and s.endswith((".sh", ".py")) and options.filter in s]

    def one_by_one(chosen):
        return in_parallel([(run_script, os.path.abspath(s), options) for s in chosen], 1)

    # Jobs of Slurm mostly wait for it: they do that beside the others.
    of_slurm = [s for s in scripts if s.startswith("tests/slurm/")]
    return in_parallel([(one_by_one, of_slurm), (one_by_one, [s for s in scripts if s not in of_slurm])], 2)


def sanitizer(name, options):
    stage = sanitizer_stages.STAGES[name]
    folder = f"build-{name}"
    tally = make(name, folder, stage.targets)
    if tally.failed:
        return tally
    env = {"MOAT_BUILD": folder, "OMP_NUM_THREADS": "1", **stage.env}
    for bug, saying in stage.planted.items():
        code, output = run([f"{folder}/tests/planted_bugs", bug], UNIT_SECONDS, env)
        caught = code == 0 if saying is None else code != 0 and saying in output
        tally.add(count(f"{name}: planted {bug}", 0, output, {f"{name}.{bug}": (not caught, None)}))
    plain, ranked = binaries(folder)
    chosen = [b for b in plain if os.path.basename(b) in stage.targets and options.filter in b]
    tally.add(in_parallel([(run_binary, b, options, env, stage.leave_out) for b in chosen], 2))
    tally.add(in_parallel([(run_ranks, b, n, options, env) for b, n in ranked
                           if n in stage.ranks and os.path.basename(b) in stage.targets and options.filter in b], 1))
    tally.add(in_parallel([(run_script, os.path.abspath(s), options, env) for s in stage.scripts
                           if options.filter in s], 1))
    tally.failed = [failure if failure.startswith(name) else f"{name}: {failure}" for failure in tally.failed]
    return tally


def asan(options):
    return sanitizer("asan", options)


def tsan(options):
    return sanitizer("tsan", options)


def lint(options):
    deadline = time.monotonic() + (ALL_SECONDS if options.all else lint_stage.SECONDS)

    def check(source):
        left = deadline - time.monotonic()
        code, output = run(lint_stage.COMMAND + [source], left) if left > 0 else (124, "out of time before its turn")
        return count(f"lint {source}", code, output, {f"lint.{source}": (code != 0, None)})

    return in_parallel([(check, s) for s in lint_stage.sources_to_check(options.all) if options.filter in s], 2)


STAGES = (build, check_format, unit, ranks, integration, asan, tsan, lint)


def allowed_skips():
    with open("tests/allowed_skips.txt") as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [line for line in lines if line]


def main():
    sys.stdout.reconfigure(line_buffering=True)  # what failed is seen while the rest goes on, in a file, too
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="long sweeps too")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only binaries and scripts whose path contains TEXT")
    parser.add_argument("--sanitizers", action="store_true",
                        help="asan and tsan too, as .ci/run does: the same tests in builds that watch memory and threads")
    parser.add_argument("--stages", default="", metavar="A,B",
                        help="only these, in their order: " + ",".join(stage.__name__ for stage in STAGES))
    options = parser.parse_args()
    everything = options.sanitizers or options.all
    usual = [stage.__name__ for stage in STAGES if everything or stage not in (asan, tsan)]
    wanted = options.stages.split(",") if options.stages else usual
    if unknown := set(wanted) - {stage.__name__ for stage in STAGES}:
        parser.error(f"no stage is called {', '.join(sorted(unknown))}")
    total = Tally()
    for stage in [stage for stage in STAGES if stage.__name__ in wanted]:
        begin = time.monotonic()
        tally = stage(options)
        total.add(tally)
        total.minutes.append((stage.__name__, (time.monotonic() - begin) / 60))
        print(f"{stage.__name__}: {tally.passed} passed, {len(tally.failed)} failed, {total.minutes[-1][1]:.1f} minutes")
        if stage is build and tally.failed:
            break
    allowed = allowed_skips()
    for name, reason in total.skipped:
        known = any(fnmatch.fnmatch(name, pattern) for pattern in allowed)
        print(f"skipped: {name}: {reason}" + ("" if known else " (not in tests/allowed_skips.txt)"))
        if not known:
            total.failed.append(f"skip that is not allowed: {name}")
    for failure in total.failed:
        print(f"failed: {failure}")
    print("minutes: " + ", ".join(f"{name} {minutes:.1f}" for name, minutes in total.minutes))
    print(f"tests: {total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
