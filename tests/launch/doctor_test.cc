// Findings to checks: a machine that can train, and every reason why one cannot, planted one by
// one.
#include "launch/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "core/durable_file.h"
#include "core/error.h"
#include "launch/captured.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

using Json = nlohmann::ordered_json;
using State = Check::State;
using ::testing::HasSubstr;

Json Rank(Json measured) { return {{"ranks", Json::array({std::move(measured)})}}; }

Findings Healthy() {
  Findings found;
  found.machine = {.host = "node",
                   .processor = "A Processor",
                   .cores = 2,
                   .memory = core::Bytes(int64_t{16} << 30),
                   .available_memory = core::Bytes(int64_t{8} << 30),
                   .shared_memory = core::Bytes(int64_t{8} << 30),
                   .instructions = {"avx2", "avx512f"},
                   .nvidia_device = false};
  found.run_root = "runs";
  found.mpi_version = "mpirun (Open MPI) 4.1.4";
  const Json rates = {{"problem", ""}, {"best_gflops", 400.0}};
  found.compute.result = Rank(
      {{"threads", 2}, {"gemm", {{"f32", rates}, {"bf16", rates}}}, {"memory_gb_per_s", 20.0}});
  found.disk.result = Rank({{"disk",
                             {{"free_bytes", int64_t{80} << 30},
                              {"write_mb_per_s", 500.0},
                              {"read_mb_per_s", 900.0},
                              {"sync_seconds", 0.002}}}});
  found.ranks.result["collectives"] = {
      {"barrier_seconds", 3e-6},
      {"rates", Json::array({{{"what", "all_gather"}, {"bytes", 1 << 26}, {"seconds", 0.01}}})}};
  found.cuda.result = Rank({{"cuda",
                             {{"built", false},
                              {"problem", "this build of moat has no CUDA backend"},
                              {"driver", 0},
                              {"runtime", 0},
                              {"cublaslt", 0},
                              {"cudnn", 0},
                              {"nccl", 0},
                              {"devices", Json::array()}}}});
  return found;
}

Json& Cuda(Findings& found) { return found.cuda.result["ranks"][0]["cuda"]; }

void AddDevice(Findings& found, const std::string& product_problem) {
  found.machine.nvidia_device = true;
  Cuda(found) = {{"built", true},    {"problem", ""},           {"driver", 13000},
                 {"runtime", 13000}, {"cublaslt", 130100},      {"cudnn", 91900},
                 {"nccl", 22809},    {"devices", Json::array()}};
  Cuda(found)["devices"].push_back({{"name", "A GPU"},
                                    {"memory", int64_t{80} << 30},
                                    {"free_memory", int64_t{79} << 30},
                                    {"capability", 90},
                                    {"f32_gflops", 50000.0},
                                    {"bf16_gflops", 700000.0},
                                    {"product_problem", product_problem},
                                    {"nccl_problem", ""}});
}

Check Named(const std::vector<Check>& checks, const std::string& name) {
  for (const Check& check : checks) {
    if (check.name == name) return check;
  }
  ADD_FAILURE() << "no check is named " << name;
  return {};
}

TEST(Doctor, FindsNothingWrongWithAHealthyMachine) {
  const auto checks = Diagnose(Healthy());
  for (const Check& check : checks) {
    EXPECT_EQ(check.state, State::kOk) << check.name << ": " << check.what;
    EXPECT_EQ(check.advice, "") << check.name;
    EXPECT_NE(check.what, "") << check.name;
  }
  EXPECT_TRUE(CanTrain(checks));
  const std::string text = ToText(Healthy(), checks);
  EXPECT_THAT(text,
              HasSubstr("\n  ok    products       f32 400 GFLOP/s, bf16 400 GFLOP/s, threads: 2"));
  EXPECT_THAT(text, HasSubstr("This machine can train."));
  const Json json = Json::parse(ToJson(Healthy(), checks));
  EXPECT_EQ(json["can_train"], true);
  EXPECT_EQ(json["checks"].size(), checks.size());
}

struct Illness {
  const char* check;
  State state;
  const char* what;    // a part of what it says
  const char* advice;  // a part of what to do
  std::function<void(Findings&)> plant;
};

class DoctorTest : public ::testing::TestWithParam<Illness> {};

TEST_P(DoctorTest, FindsTheIllnessAndSaysWhatToDo) {
  Findings found = Healthy();
  GetParam().plant(found);
  const auto checks = Diagnose(found);
  const Check check = Named(checks, GetParam().check);
  EXPECT_EQ(check.state, GetParam().state) << check.what;
  EXPECT_THAT(check.what, HasSubstr(GetParam().what));
  EXPECT_THAT(check.advice, HasSubstr(GetParam().advice));
  EXPECT_EQ(CanTrain(checks), GetParam().state != State::kFail);
  EXPECT_THAT(ToText(found, checks), HasSubstr("-> " + check.advice));
}

TEST(Doctor, SaysNothingOfWhatItCouldNotMeasureForLackOfTheProbe) {
  Findings found = Healthy();
  found.missing_programs = {"moat-probe"};
  found.compute = found.disk = found.ranks = {"no such file", {}};
  const std::vector<Check> checks = Diagnose(found);
  EXPECT_EQ(std::count_if(checks.begin(), checks.end(),
                          [](const Check& check) { return check.state == State::kFail; }),
            1);
  EXPECT_THAT(ToText(found, checks), HasSubstr("cmake --build build --target moat-probe"));
}

INSTANTIATE_TEST_SUITE_P(
    Illnesses, DoctorTest,
    ::testing::Values(
        Illness{"memory", State::kWarn, "1.0 GiB of 16.0 GiB", "end other programs",
                [](Findings& f) { f.machine.available_memory = core::Bytes(1 << 30); }},
        Illness{"instructions", State::kWarn, "no AVX2", "newer processor",
                [](Findings& f) { f.machine.instructions.clear(); }},
        Illness{"programs", State::kFail, "moat-train", "cmake --build",
                [](Findings& f) { f.missing_programs = {"moat-train"}; }},
        Illness{"products", State::kFail, "libdnnl.so.2", "install-deps",
                [](Findings& f) {
                  f.compute = {"libdnnl.so.2: cannot open shared object file", {}};
                }},
        Illness{"products", State::kFail, "unimplemented", "another machine",
                [](Findings& f) {
                  f.compute.result["ranks"][0]["gemm"]["f32"]["problem"] = "unimplemented";
                }},
        Illness{"MPI", State::kFail, "cannot start mpirun", "launch/install-deps",
                [](Findings& f) {
                  f.mpi_version = "";
                  f.ranks = {"cannot start mpirun", {}};
                }},
        Illness{"MPI", State::kFail, "no answer within", "mpirun -np 2 hostname",
                [](Findings& f) {
                  f.ranks = {"no answer within 120 s", {}};
                }},
        Illness{"shared memory", State::kWarn, "1.0 MiB", "--shm-size",
                [](Findings& f) { f.machine.shared_memory = core::Bytes(1 << 20); }},
        Illness{"disk", State::kFail, "Read-only", "--run_root=DIR",
                [](Findings& f) {
                  f.disk = {"runs: Read-only file system", {}};
                }},
        Illness{"disk", State::kWarn, "1.0 GiB free", "12 bytes",
                [](Findings& f) {
                  f.disk.result["ranks"][0]["disk"]["free_bytes"] = int64_t{1} << 30;
                }},
        Illness{"GPU", State::kWarn, "no CUDA backend", "-DMOAT_CUDA=ON",
                [](Findings& f) { f.machine.nvidia_device = true; }},
        Illness{"GPU", State::kWarn, "insufficient", "nvidia-smi",
                [](Findings& f) {
                  AddDevice(f, "");
                  Cuda(f)["problem"] = "driver version is insufficient";
                  Cuda(f)["devices"] = Json::array();
                }},
        Illness{"GPU 0", State::kWarn, "a product of ones is wrong", "another device",
                [](Findings& f) { AddDevice(f, "a product of ones is wrong on this device"); }}));

TEST(Doctor, DescribesAGpu) {
  Findings found = Healthy();
  AddDevice(found, "");
  const auto checks = Diagnose(found);
  EXPECT_THAT(Named(checks, "GPU").what,
              HasSubstr("CUDA 13.0, driver for 13.0, cuBLASLt 13.1.0, NCCL 2.28.9, cuDNN 9.19.0"));
  const Check gpu = Named(checks, "GPU 0");
  EXPECT_EQ(gpu.state, State::kOk);
  EXPECT_THAT(gpu.what, HasSubstr("A GPU, 80.0 GiB, sm_90: products f32 50 TFLOP/s, bf16 700"));
}

TEST(Doctor, ADirectoryWithoutProgramsLacksTheProgramsAndCannotTrain) {
  testing::TemporaryDirectory empty;
  const auto checks = Diagnose(Examine(empty.path(), empty.path(), 1));
  EXPECT_EQ(Named(checks, "programs").state, State::kFail);
  EXPECT_FALSE(CanTrain(checks));
}

TEST(Captured, GivesOutputErrorsAndCode) {
  const Captured done =
      RunCaptured({"sh", "-c", "echo out $X; echo err >&2; exit 7"}, {{"X", "1"}}, 30);
  EXPECT_EQ(done.code, 7);
  EXPECT_EQ(done.output, "out 1\n");
  EXPECT_EQ(done.errors, "err\n");
  EXPECT_EQ(RunCaptured({"sh", "-c", "kill -9 $$"}, {}, 30).code, 128 + 9);
  EXPECT_THROW(RunCaptured({"/nowhere/at/all"}, {}, 30), core::ConfigError);
}

TEST(Captured, EndsWhatDoesNotEnd) {
  EXPECT_EQ(RunCaptured({"sh", "-c", "while :; do read -r x < /dev/zero; done"}, {}, 0.2).code,
            124);
}

TEST(MpiInstall, StartsRanksWithoutAWayToOtherNodes) {
  testing::TemporaryDirectory tree;
  core::MakeDirectories(tree / "path");
  const std::string before = std::getenv("PATH");
  setenv("PATH", (tree / "path").c_str(), 1);
  const MpiInstall alone = FindMpi(tree / "bin");
  core::WriteFileAtomically(tree / "path/ssh", "", 0755);
  const MpiInstall connected = FindMpi(tree / "bin");
  setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(alone.env.at("OMPI_MCA_plm"), "isolated");
  EXPECT_TRUE(connected.env.empty());
}

TEST(MpiInstall, IsTheSystemsUnlessTheTreeSaysOtherwise) {
  testing::TemporaryDirectory tree;
  core::MakeDirectories(tree / "share/moat");
  EXPECT_EQ(FindMpi(tree / "bin").mpirun, "mpirun");
  EXPECT_EQ(FindMpi(tree / "bin").env.count("OPAL_PREFIX"), 0u);
  core::WriteFileAtomically(tree / "share/moat/mpi.env",
                            "OPAL_PREFIX=.\nPMIX_PKGLIBDIR=lib/pmix\n");
  const MpiInstall own = FindMpi(tree / "bin");
  EXPECT_EQ(own.mpirun, (tree / "bin/mpirun"));
  EXPECT_EQ(own.env.at("OPAL_PREFIX"), tree.path());
  EXPECT_EQ(own.env.at("PMIX_PKGLIBDIR"), tree / "lib/pmix");
  core::WriteFileAtomically(tree / "share/moat/mpi.env", "OPAL_PREFIX\n");
  EXPECT_THROW(FindMpi(tree / "bin"), core::ConfigError);
}

}  // namespace
}  // namespace moat::launch
