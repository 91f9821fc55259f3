"""Which sources clang-tidy looks at in tests/run: those that changed, or all of them.

Changed means: against the merge base with the first parent of main, so that a branch is checked whole, and main after
a merge for what the merge brought; what is not committed counts. A header is seen through its source, or through one
that includes it.
"""
import json
import os
import subprocess

SECONDS = 900  # for what changed; far from it in practice
# The build's compiler is GCC, whose warnings count; clang's own (-w) do not. Without OpenMP it needs no omp.h of its own;
# it does not know target_clones on templates, which change no meaning.
COMMAND = ["clang-tidy", "-p", "build", "--quiet", "--extra-arg=-w", "--extra-arg=-fno-openmp",
           "--extra-arg=-Dtarget_clones(...)="]


def lines_of(*command):
    """The lines that a command prints; none where it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def built():
    """C++ sources of the release build, relative to the repository; CUDA's are nvcc's to check."""
    with open("build/compile_commands.json") as file:
        return {os.path.relpath(entry["file"]) for entry in json.load(file) if entry["file"].endswith(".cc")}


def base():
    """The commit that changes are counted from; None where git does not know one."""
    for parent in ("main^1", "origin/main^1", "HEAD^1"):
        if found := lines_of("git", "merge-base", "HEAD", parent):
            return found[0]
    return None


def source_of(header, sources):
    """A source through which the header is checked."""
    sibling = os.path.splitext(header)[0] + ".cc"
    if sibling in sources:
        return sibling
    including = lines_of("git", "grep", "-l", "-F", f'#include "{header}"', "--", "*.cc")
    return next((source for source in including if source in sources), None)


def sources_to_check(everything):
    sources = built()
    since = base()
    if everything or since is None:
        return sorted(sources)
    changed = lines_of("git", "diff", "--name-only", "--diff-filter=d", since, "--", "*.cc", "*.h")
    changed += lines_of("git", "ls-files", "--others", "--exclude-standard", "--", "*.cc", "*.h")
    found = {source_of(path, sources) if path.endswith(".h") else path for path in changed}
    return sorted(found & sources)
