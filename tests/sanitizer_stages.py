"""What the sanitizer stages of tests/run build and run, and the bugs that show they are not blind."""
import dataclasses
import os

SUPPRESSIONS = os.path.abspath("tests/sanitizers")
PROGRAMS = ["moat", "moat-data", "moat-model", "moat-train"]

# Slow here, and nothing in them that others do not do, too: equal bits over many runs, sums over long inputs, arithmetic that is
# mostly the reference's.
REPEATED = ["*EveryGridAndThreadCountEndsWithTheSameBits*", "GridsTest.*", "TensorAxisTest.EveryDp*", "*InBf16GridsAndResumesKeepTheBits*",
            "*EveryParametersGradientEqualsFiniteDifferences*", "ImportResumeTest.Killed*", "ImportResumeTest.*Anew*",
            "ImportResumeTest.WhatAnotherVersionLeft*", "ImportResumeTest.SealedShards*", "Windows.*"]


@dataclasses.dataclass
class Stage:
    targets: list  # what is built; of it, every *_test is run
    env: dict
    planted: dict  # bug of tests/sanitizers/planted_bugs.cc -> what is said about it; None: it must end well
    ranks: list = dataclasses.field(default_factory=list)  # numbers of ranks for binaries that run under mpirun
    scripts: list = dataclasses.field(default_factory=list)
    leave_out: list = dataclasses.field(default_factory=list)  # GoogleTest patterns


STAGES = {
    # Memory and undefined behaviour: everything that parses, packs, casts or counts, and whole runs over MPI.
    "asan": Stage(
        targets=PROGRAMS + ["planted_bugs", "keep_plugins", "checkpoint_test", "comm_test", "comm_mpi_test", "configs_test",
                            "core_test", "data_test", "launch_test", "model_test", "parallel_test", "rundir_test",
                            "tensor_test", "trainer_test"],
        env={
            # Exit code 99 is nobody's, so that a process that a test expects to fail is not taken for failing well.
            "ASAN_OPTIONS": "detect_leaks=1:exitcode=99:strict_string_checks=1:verify_asan_link_order=0:"
                            "allocator_may_return_null=1",
            "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}/lsan.supp:print_suppressions=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "LD_PRELOAD": os.path.abspath("build-asan/tests/libkeep_plugins.so"),
        },
        planted={
            "none": None,
            "heap_overflow": "AddressSanitizer: heap-buffer-overflow",
            "use_after_free": "AddressSanitizer: heap-use-after-free",
            "leak": "LeakSanitizer: detected memory leaks",
            "signed_overflow": "runtime error: signed integer overflow",
            "shift_too_far": "runtime error: shift exponent",
        },
        ranks=[2],
        scripts=["tests/integration/launch_train_test.sh"],
        # A process that forks beside its threads to look at a rewritten shard; GCC 12's sanitizers may leave the child a lock.
        leave_out=["StreamFault.ShardsRewrittenWithCompression*", *REPEATED],
    ),
    # Threads: prefetching and writing shards, ranks as threads, boards read while they are written.
    "tsan": Stage(
        targets=["planted_bugs", "checkpoint_test", "comm_test", "data_test", "rundir_test", "trainer_test"],
        # Thread leaks: a child that checks a shard has the threads that its parent had not joined yet.
        env={"TSAN_OPTIONS": f"halt_on_error=1:report_thread_leaks=0:suppressions={SUPPRESSIONS}/tsan.supp"},
        planted={"none": None, "race": "ThreadSanitizer: data race"},
        # Processes over MPI, whose locks ThreadSanitizer has not seen made; a fork beside threads, as above; and bytes that one thread
        # reads, which AddressSanitizer sees.
        leave_out=["*JobWhoseRank*", "JobThatEndsWell*", "StreamFault.ShardsRewrittenWithCompression*", "Fuzz.*", "DamagedRecords.*",
                   "RecordFile.WhatIsTooLong*", "Shard.EveryFlipped*", "StreamOfLittle.OneGiant*", *REPEATED],
    ),
}
