// Saving and loading checkpoints beside writing, syncing and reading the same bytes without moat.
//
//   build/bin/bench_checkpoint [--dir=.] [--megabytes=512] [--rounds=7]
//       [--clock=wall|cpu] [--json]
//
// Ranks are threads. The state is of a transformer of width 1024 with AdamW's moments, in f32. In
// each round everything is done once, ours and the raw ceiling one after the other, in another
// order in the next; the figures are medians over the rounds of the ratios within one, so that
// another program's disturbance strikes both sides. Cold reads ask the kernel to forget its cached
// pages first; a file system may not.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/delivery.h"
#include "checkpoint/saver.h"
#include "comm/threads.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/logging.h"
#include "parallel/optimizer_range.h"
#include "tensor/tensor.h"

namespace moat {
namespace {

namespace fs = std::filesystem;
using parallel::Slice;
using parallel::SplitSpec;

struct NamedTensor {
  std::string name;
  SplitSpec split;
};

std::vector<NamedTensor> Tensors(int64_t layers) {
  constexpr int64_t kWidth = 1024;
  std::vector<NamedTensor> tensors;
  for (const char* state : {"model", "adam_m", "adam_v"}) {
    for (int64_t layer = 0; layer < layers; ++layer) {
      const std::string at = std::string(state) + "." + std::to_string(layer) + ".";
      tensors.push_back({at + "norm", SplitSpec::Replicated({kWidth})});
      tensors.push_back({at + "qkv", SplitSpec::Split({3 * kWidth, kWidth}, 0)});
      tensors.push_back({at + "out", SplitSpec::Split({kWidth, kWidth}, 1)});
      tensors.push_back({at + "up", SplitSpec::Split({4 * kWidth, kWidth}, 0)});
      tensors.push_back({at + "down", SplitSpec::Split({kWidth, 4 * kWidth}, 1)});
    }
  }
  return tensors;
}

struct Part {
  const NamedTensor* tensor;
  Slice slice;
};
using Parts = std::vector<Part>;

// Grid 1 x `tp`: what is replicated is written by the first rank alone.
Parts OfTensorRank(const std::vector<NamedTensor>& tensors, int index, int tp, bool to_save) {
  Parts parts;
  for (const NamedTensor& tensor : tensors) {
    if (to_save && tensor.split.dim < 0 && index > 0) continue;
    parts.push_back({&tensor, parallel::LocalSlice(tensor.split, index, tp)});
  }
  return parts;
}

// Grid `dp` x 1: each rank's optimizer range.
Parts OfDataRank(const std::vector<NamedTensor>& tensors, int index, int dp) {
  std::vector<Slice> whole;
  int64_t elements = 0;
  for (const NamedTensor& tensor : tensors) {
    whole.push_back(Slice::Whole(tensor.split.global));
    elements += whole.back().elements();
  }
  Parts parts;
  for (const auto& part :
       parallel::OptimizerRange(whole, parallel::BucketPlan(elements, dp), index)) {
    const NamedTensor& tensor = tensors[static_cast<size_t>(part.parameter)];
    for (const Slice& slice : part.slices) parts.push_back({&tensor, slice});
  }
  return parts;
}

// A rank's memory, touched once.
class RankMemory {
 public:
  explicit RankMemory(const Parts& parts) : parts_(parts) {
    int64_t elements = 0;
    for (const Part& part : parts) elements += part.slice.elements();
    memory_.resize(static_cast<size_t>(elements));
    for (size_t i = 0; i < memory_.size(); ++i) memory_[i] = static_cast<float>(i & 0xffff);
  }
  std::vector<checkpoint::SliceToSave> ToSave() { return Slices<checkpoint::SliceToSave>(); }
  std::vector<checkpoint::SliceToLoad> ToLoad() { return Slices<checkpoint::SliceToLoad>(); }
  char* bytes() { return reinterpret_cast<char*>(memory_.data()); }
  int64_t size() const { return static_cast<int64_t>(memory_.size()) * 4; }

 private:
  template <typename T>
  std::vector<T> Slices() {
    std::vector<T> slices;
    float* at = memory_.data();
    for (const Part& part : parts_) {
      const int64_t count = part.slice.elements();
      slices.push_back(
          {part.tensor->name, part.tensor->split.global, part.slice, tensor::HostView(at, count)});
      at += count;
    }
    return slices;
  }
  Parts parts_;
  std::vector<float> memory_;
};
using Memories = std::vector<std::unique_ptr<RankMemory>>;

Memories MakeMemories(int ranks, const std::function<Parts(int rank)>& parts_of) {
  Memories memories;
  for (int rank = 0; rank < ranks; ++rank) {
    memories.push_back(std::make_unique<RankMemory>(parts_of(rank)));
  }
  return memories;
}

// --clock=cpu counts what this process computes and copies, whatever else the machine does; waiting
// for the disk is then left out.
double Now(bool cpu) {
  if (!cpu) return core::MonotonicSeconds();
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Seconds until the last rank is through.
double Timed(int ranks, bool cpu, const std::function<void(comm::Communicator& world)>& work) {
  double seconds = 0;
  comm::ThreadGroup::Run(ranks, [&](comm::Communicator& world) {
    world.Barrier();
    const double start = Now(cpu);
    work(world);
    world.Barrier();
    if (world.rank() == 0) seconds = Now(cpu) - start;
  });
  return seconds;
}

void Need(bool done, const fs::path& path) {
  if (!done) throw core::StorageError("cannot write or read " + path.string());
}

constexpr int64_t kStretch = 1 << 20;

void RawWrite(const fs::path& path, const char* bytes, int64_t size) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  for (int64_t at = 0; at < size; at += kStretch) {
    const int64_t n = std::min(kStretch, size - at);
    Need(write(fd, bytes + at, static_cast<size_t>(n)) == n, path);
  }
  Need(fsync(fd) == 0 && close(fd) == 0, path);
}

// All of a file, over the memory again and again where that is smaller.
void RawRead(const fs::path& path, char* bytes, int64_t size) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto file_size = static_cast<int64_t>(fs::file_size(path));
  const int64_t whole = size / kStretch * kStretch;
  for (int64_t at = 0; at < file_size; at += kStretch) {
    const int64_t n = std::min(kStretch, file_size - at);
    Need(pread(fd, bytes + at % whole, static_cast<size_t>(n), at) == n, path);
  }
  close(fd);
}

void Forget(const fs::path& directory) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

std::string FileOf(int rank) {
  char name[64];
  std::snprintf(name, sizeof name, "rank-%05d.safetensors", rank);
  return name;
}

class Bench {
 public:
  Bench(fs::path root, int64_t layers, bool cpu)
      : root_(std::move(root)), cpu_(cpu), tensors_(Tensors(layers)) {
    fs::create_directories(root_);
    two_ = MakeMemories(2, [&](int rank) { return OfTensorRank(tensors_, rank, 2, true); });
    four_ = MakeMemories(4, [&](int rank) { return OfDataRank(tensors_, rank, 4); });
    loaded_ = MakeMemories(2, [&](int rank) { return OfTensorRank(tensors_, rank, 2, false); });
  }
  ~Bench() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }

  void Round(int number) {
    double raw = 0;
    std::pair<fs::path, double> ours;
    if (number % 2 == 0) raw = WriteRaw();
    ours = Save("same", two_);
    if (number % 2 != 0) raw = WriteRaw();
    const fs::path same = ours.first, other = Save("other", four_).first;
    Note("write", raw / ours.second);
    NoteStop(number);
    for (const bool cold : {false, true}) {
      const std::string where = cold ? " cold" : " warm";
      double read = 0, loaded = 0, resharded = 0;
      std::vector<std::function<void()>> turns = {[&] { read = Read(same, cold); },
                                                  [&] { loaded = Load(same, cold); },
                                                  [&] { resharded = Load(other, cold); }};
      std::rotate(turns.begin(), turns.begin() + number % 3, turns.end());
      for (const auto& turn : turns) turn();
      Note("load" + where, read / loaded);
      Note("reshard" + where, resharded / loaded);
      Note("read_gb_s" + where, Gigabytes() / read);
    }
    Note("raw_write_gb_s", Gigabytes() / raw);
    for (const char* name : {"same", "other", "raw-0", "raw-1"}) fs::remove_all(root_ / name);
  }

  double Gigabytes() const { return static_cast<double>(two_[0]->size() + two_[1]->size()) / 1e9; }
  std::map<std::string, double> Medians() const {
    std::map<std::string, double> medians;
    for (auto [name, values] : notes_) {
      std::sort(values.begin(), values.end());
      medians[name] = values[values.size() / 2];
    }
    return medians;
  }

 private:
  double WriteRaw() const {
    return Timed(2, cpu_, [&](comm::Communicator& world) {
      RankMemory& mine = *two_[static_cast<size_t>(world.rank())];
      RawWrite(root_ / ("raw-" + std::to_string(world.rank())), mine.bytes(), mine.size());
    });
  }
  std::pair<fs::path, double> Save(const std::string& name, const Memories& memories) {
    fs::path saved;
    const double seconds =
        Timed(static_cast<int>(memories.size()), cpu_, [&](comm::Communicator& world) {
          const auto rank = static_cast<size_t>(world.rank());
          const fs::path committed = checkpoint::Save({root_ / name}, {"bench", 1, {}, {}},
                                                      memories[rank]->ToSave(), world);
          if (rank == 0) saved = committed;
        });
    return {saved, seconds};
  }
  // How long training stands still for a save, beside copying the same bytes to memory as warm.
  void NoteStop(int number) {
    double copied = 0, begun = 0;
    comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
      RankMemory& mine = *two_[static_cast<size_t>(world.rank())];
      const std::vector<checkpoint::SliceToSave> slices = mine.ToSave();
      checkpoint::Saver saver({root_ / "stop"}, "bench", world);
      saver.Reserve(slices);
      std::vector<char> copy(static_cast<size_t>(mine.size()));
      const auto timed = [&](double* seconds, const auto& work) {
        world.Barrier();
        const double start = Now(cpu_);
        work();
        world.Barrier();
        if (world.rank() == 0) *seconds = Now(cpu_) - start;
      };
      const auto raw = [&] {
        timed(&copied, [&] { std::memcpy(copy.data(), mine.bytes(), copy.size()); });
      };
      if (number % 2 == 0) raw();
      timed(&begun, [&] { saver.Begin({"bench", 1, {}, {}}, slices, {}, 1); });
      if (number % 2 != 0) raw();
      saver.Finish();
    });
    Note("stop", begun / copied);
    Note("copy_gb_s", Gigabytes() / copied);
    fs::remove_all(root_ / "stop");
  }
  double Read(const fs::path& directory, bool cold) const {
    if (cold) Forget(directory);
    return Timed(2, cpu_, [&](comm::Communicator& world) {
      RankMemory& mine = *loaded_[static_cast<size_t>(world.rank())];
      RawRead(directory / FileOf(world.rank()), mine.bytes(), mine.size());
    });
  }
  double Load(const fs::path& directory, bool cold) const {
    if (cold) Forget(directory);
    return Timed(2, cpu_, [&](comm::Communicator& world) {
      const checkpoint::Manifest manifest = checkpoint::ReadManifest(directory);
      checkpoint::Deliver(manifest, checkpoint::AllIn(directory, manifest),
                          loaded_[static_cast<size_t>(world.rank())]->ToLoad(), world);
    });
  }
  void Note(const std::string& name, double value) { notes_[name].push_back(value); }

  fs::path root_;
  bool cpu_;
  std::vector<NamedTensor> tensors_;
  Memories two_, four_, loaded_;
  std::map<std::string, std::vector<double>> notes_;
};

int Main(int argc, char** argv) {
  std::map<std::string, std::string> options = {
      {"dir", "."}, {"megabytes", "512"}, {"rounds", "7"}, {"clock", "wall"}, {"json", "false"}};
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    const std::string name = text.starts_with("--") ? text.substr(2, equals - 2) : "";
    if (!options.contains(name)) {
      throw core::ConfigError("unknown option " + text + "; see tests/bench/checkpoint_bench.cc");
    }
    options[name] = equals == std::string::npos ? "true" : text.substr(equals + 1);
  }
  constexpr int64_t kLayerMegabytes = 3 * 12 * 4;  // three states of 12 x 1024 x 1024 f32
  const int64_t layers = std::max<int64_t>(1, std::stoll(options["megabytes"]) / kLayerMegabytes);
  const std::string folder = "bench-checkpoint-" + std::to_string(getpid());
  Bench bench(fs::path{options["dir"]} / folder, layers, options["clock"] == "cpu");
  for (int round = 0; round < std::stoi(options["rounds"]); ++round) bench.Round(round);
  if (options["json"] == "true") {
    nlohmann::json json = bench.Medians();
    json["gigabytes"] = bench.Gigabytes();
    std::printf("%s\n", json.dump().c_str());
    return 0;
  }
  std::printf("%.2f GB, 2 ranks; medians of %s rounds\n", bench.Gigabytes(),
              options["rounds"].c_str());
  for (const auto& [name, median] : bench.Medians()) {
    std::printf("  %-16s %7.3f\n", name.c_str(), median);
  }
  std::printf(
      "write and load: their rate as a share of raw writing with fsync and of raw reading;\n"
      "reshard: 4x1 -> 1x2, time of a load in that of a same-grid load\n"
      "stop: training stands still for a save, in the time of copying the same bytes\n");
  return 0;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  moat::core::StartLogging("bench_checkpoint");
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
