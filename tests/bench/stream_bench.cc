// Reading samples against the best that the page cache, CRC-32C and HDF5 can do with the same
// bytes.
//
//   build/bin/bench_stream [--json] [--tokens=200000000] [--seq_len=1024] [--threads=N]
//   [--rounds=3]
//                          [--clock=wall|cpu] [--dir=DIR]
//
// It writes a data set of its own (u16 tokens, conversations of 300 tokens on average) and reads it
// warm, best of --rounds, in GB/s of stored bytes:
//   pread     what training reads of the shards, in pieces of 1 MiB, into one buffer of 1 MiB a
//   thread,
//             which stays in the processor's cache
//   kept      the same into memory that holds two groups of windows, as shuffling needs it
//   crc       CRC-32C of memory
//   checked   as pread, then CRC-32C of the piece while it is in the cache
//   windows   the same bytes as windows: read, checked, validated and packed (data/window_store.h)
//   batches   whole micro-batches of an epoch in shuffled order; GB/s of stored tokens, of which
//             each becomes 16 bytes of batch with a hash
//   hdf5      H5Dread of the tokens from a chunked file with Fletcher32
// --threads share the work of each but hdf5, whose library has one lock. --clock=cpu divides by the
// processor time of all threads, as if each had a core to itself: for busy machines.
#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "data/parallel_for.h"
#include "data/sample_stream.h"
#include "data/shard_format.h"
#include "data/window_store.h"
#include "tests/support/synthetic_dataset.h"
#include "tests/support/temporary_directory.h"

namespace moat {
namespace {

constexpr int64_t kPiece = 1 << 20;
using Options = std::map<std::string, std::string>;

Options ParseOptions(int argc, char** argv) {
  Options options = {{"json", "false"}, {"tokens", "200000000"}, {"seq_len", "1024"},
                     {"threads", "0"},  {"rounds", "3"},         {"clock", "wall"},
                     {"dir", ""}};
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    const std::string name = text.rfind("--", 0) == 0 ? text.substr(2, equals - 2) : "";
    if (!options.count(name)) {
      throw core::ConfigError("unknown option " + text + "; see tests/bench/stream_bench.cc");
    }
    options[name] = equals == std::string::npos ? "true" : text.substr(equals + 1);
  }
  return options;
}

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Best rate of several rounds, in GB/s of `bytes`.
class Meter {
 public:
  Meter(int rounds, int threads, bool cpu) : rounds_(rounds), threads_(threads), cpu_(cpu) {}

  double Rate(int64_t bytes, int threads, const std::function<void()>& work) const {
    double best = 0;
    for (int round = 0; round < rounds_; ++round) {
      const double wall = core::MonotonicSeconds(), cpu = CpuSeconds();
      work();
      const double seconds =
          cpu_ ? (CpuSeconds() - cpu) / threads : core::MonotonicSeconds() - wall;
      best = std::max(best, static_cast<double>(bytes) / seconds / 1e9);
    }
    return best;
  }
  int threads() const { return threads_; }

 private:
  int rounds_, threads_;
  bool cpu_;
};

struct Piece {
  const core::FileReader* file = nullptr;
  int64_t offset = 0, size = 0;
};

// What a stream reads of the shards.
std::vector<Piece> PiecesOf(const data::Dataset& dataset,
                            const std::vector<core::FileReader>& files) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < files.size(); ++i) {
    for (const data::shard::Array kind :
         {data::shard::kTokens, data::shard::kSegmentStart, data::shard::kSegmentRole,
          data::shard::kSegmentWeight, data::shard::kFirstSegment}) {
      const data::StoredArray& array = dataset.shards()[i].arrays[kind];
      const int64_t bytes = array.count * core::SizeOf(core::ParseDType(array.dtype));
      for (int64_t at = 0; at < bytes; at += kPiece) {
        pieces.push_back({&files[i], array.offset + at, std::min(kPiece, bytes - at)});
      }
    }
  }
  return pieces;
}

// Every thread reads its share into `memory` bytes of its own, again and again.
double PreadRate(const Meter& meter, const data::Dataset& dataset, int64_t memory, bool check,
                 int64_t* bytes) {
  std::vector<core::FileReader> files;
  for (const data::ShardEntry& entry : dataset.shards()) {
    files.emplace_back(dataset.directory() / entry.file);
  }
  const std::vector<Piece> pieces = PiecesOf(dataset, files);
  *bytes = 0;
  for (const Piece& piece : pieces) *bytes += piece.size;
  std::vector<uint32_t> crcs(pieces.size());
  std::vector<std::vector<uint8_t>> buffers(static_cast<size_t>(meter.threads()),
                                            std::vector<uint8_t>(static_cast<size_t>(memory)));
  return meter.Rate(*bytes, meter.threads(), [&] {
    data::ParallelFor(meter.threads(), meter.threads(), [&](int64_t thread) {
      std::vector<uint8_t>& buffer = buffers[static_cast<size_t>(thread)];
      size_t at = 0;
      for (auto i = static_cast<size_t>(thread); i < pieces.size();
           i += static_cast<size_t>(meter.threads()), at = (at + kPiece) % buffer.size()) {
        pieces[i].file->ReadAt(pieces[i].offset, buffer.data() + at,
                               static_cast<size_t>(pieces[i].size));
        if (check) crcs[i] = core::Crc32c(buffer.data() + at, static_cast<size_t>(pieces[i].size));
      }
    });
  });
}

double CrcRate(const Meter& meter) {
  const std::vector<uint8_t> memory(64 << 20, 7);
  uint32_t crc = 0;
  const double rate = meter.Rate(static_cast<int64_t>(memory.size()), 1, [&] {
    for (size_t at = 0; at < memory.size(); at += kPiece) {
      crc ^= core::Crc32c(memory.data() + at, kPiece);
    }
  });
  MOAT_CHECK(crc == 0, "an even number of equal pieces");
  return rate * meter.threads();  // it shares nothing
}

double WindowRate(const Meter& meter, const data::Dataset& dataset, int64_t seq_len,
                  int64_t bytes) {
  const data::WindowStore windows(dataset, "train", {seq_len, data::PackMode::kSeparate});
  const auto count = static_cast<int64_t>(windows.RowsPerWindow().size());
  if (count <= 2 * static_cast<int64_t>(data::WindowStore::kKept)) {
    throw core::ConfigError("--tokens is too small: more than " +
                            std::to_string(2 * data::WindowStore::kKept) +
                            " windows are needed, or they stay in memory");
  }
  return meter.Rate(bytes, meter.threads(), [&] {
    data::ParallelFor(count, meter.threads(), [&](int64_t i) { windows.Get(i); });
  });
}

double BatchRate(const Meter& meter, const data::Dataset& dataset, int64_t seq_len,
                 int64_t token_bytes) {
  constexpr uint64_t kRows = 8;
  data::StreamOptions options;
  options.packing.seq_len = seq_len;
  const data::SampleStream stream(dataset, "train", options);
  const int64_t batches = stream.samples_per_epoch() / static_cast<int64_t>(kRows);
  return meter.Rate(token_bytes, meter.threads(), [&] {
    data::ParallelFor(batches, meter.threads(), [&](int64_t i) {
      std::vector<uint64_t> numbers(kRows);
      for (uint64_t row = 0; row < kRows; ++row)
        numbers[row] = static_cast<uint64_t>(i) * kRows + row;
      stream.Read(numbers);
    });
  });
}

double Hdf5Rate(const Meter& meter, const std::filesystem::path& path, int64_t tokens) {
  const auto count = static_cast<hsize_t>(tokens);
  const hsize_t chunk = kPiece / 2;
  std::vector<uint16_t> values(static_cast<size_t>(tokens));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<uint16_t>(i * 2654435761u >> 8);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(1, &count, nullptr);
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(properties, 1, &chunk);
  H5Pset_fletcher32(properties);
  const hid_t dataset =
      H5Dcreate2(file, "tokens", H5T_STD_U16LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
  if (H5Dwrite(dataset, H5T_STD_U16LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) {
    throw core::StorageError("cannot write " + path.string());
  }
  H5Fflush(file, H5F_SCOPE_LOCAL);
  std::vector<uint16_t> buffer(chunk);
  const double rate = meter.Rate(tokens * 2, 1, [&] {
    for (hsize_t at = 0; at < count; at += chunk) {
      const hsize_t size = std::min(chunk, count - at);
      const hid_t to = H5Screate_simple(1, &size, nullptr);
      H5Sselect_hyperslab(space, H5S_SELECT_SET, &at, nullptr, &size, nullptr);
      if (H5Dread(dataset, H5T_STD_U16LE, to, space, H5P_DEFAULT, buffer.data()) < 0) {
        throw core::DataError("cannot read " + path.string());
      }
      H5Sclose(to);
    }
  });
  H5Pclose(properties);
  H5Sclose(space);
  H5Dclose(dataset);
  H5Fclose(file);
  std::filesystem::remove(path);
  return rate;
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  const int64_t wanted = std::stoll(options.at("tokens")),
                seq_len = std::stoll(options.at("seq_len"));
  const int threads =
      options.at("threads") == "0" ? core::Cores() : std::stoi(options.at("threads"));
  const Meter meter(std::stoi(options.at("rounds")), threads, options.at("clock") == "cpu");
  const testing::TemporaryDirectory temporary;
  const std::filesystem::path directory =
      (options.at("dir").empty() ? temporary.path() : std::filesystem::path(options.at("dir"))) /
      "set";
  testing::SyntheticData data;
  data.shards = std::max<int64_t>(1, wanted / (32 << 20));
  data.interactions = wanted / data.shards / data.mean_tokens;
  data.vocab_size = 50000;
  testing::MakeSyntheticDataset(directory, data);
  const data::Dataset dataset = data::Dataset::Open(directory);
  int64_t tokens = 0, bytes = 0;
  for (const data::ShardEntry& entry : dataset.shards()) tokens += entry.tokens;

  const double pread = PreadRate(meter, dataset, kPiece, false, &bytes);
  const double kept = PreadRate(
      meter, dataset, data::WindowStore::kKept * data::kWindowBytes / threads, false, &bytes);
  const double checked = PreadRate(meter, dataset, kPiece, true, &bytes);
  const double crc = CrcRate(meter);
  const double windows = WindowRate(meter, dataset, seq_len, bytes);
  const double batches = BatchRate(meter, dataset, seq_len, tokens * 2);
  const double hdf5 =
      Hdf5Rate(meter, directory / "fletcher32.h5", std::min<int64_t>(tokens, 1 << 27));
  std::filesystem::remove_all(directory);
  if (options.at("json") == "true") {
    std::printf("%s\n", nlohmann::json{{"tokens", tokens},
                                       {"stored_bytes", bytes},
                                       {"seq_len", seq_len},
                                       {"threads", threads},
                                       {"clock", options.at("clock")},
                                       {"pread_gb_s", pread},
                                       {"kept_gb_s", kept},
                                       {"crc_gb_s", crc},
                                       {"checked_gb_s", checked},
                                       {"checked_of_pread", checked / pread},
                                       {"checked_over_hdf5", checked / hdf5},
                                       {"windows_gb_s", windows},
                                       {"windows_of_pread", windows / pread},
                                       {"windows_of_kept", windows / kept},
                                       {"windows_over_hdf5", windows / hdf5},
                                       {"batches_gb_s", batches},
                                       {"batches_gb_s_per_thread", batches / threads},
                                       {"batches_of_pread", batches / pread},
                                       {"batches_tokens_s", batches * 1e9 / 2},
                                       {"hdf5_gb_s", hdf5}}
                            .dump()
                            .c_str());
    return 0;
  }
  std::printf("%lld tokens, %.0f MB, seq_len %lld, %d threads, %s clock, GB/s of stored bytes\n",
              static_cast<long long>(tokens), static_cast<double>(bytes) / 1e6,
              static_cast<long long>(seq_len), threads, options.at("clock").c_str());
  std::printf("  pread    %7.2f\n  kept     %7.2f\n  crc      %7.2f\n", pread, kept, crc);
  std::printf("  checked  %7.2f  %.0f%% of pread, %.1f x hdf5\n", checked, 100 * checked / pread,
              checked / hdf5);
  std::printf("  windows  %7.2f  %.0f%% of pread, %.0f%% of kept, %.1f x hdf5\n", windows,
              100 * windows / pread, 100 * windows / kept, windows / hdf5);
  std::printf("  batches  %7.2f  %.0f%% of pread, %.2f a thread, %.0fM tokens/s\n", batches,
              100 * batches / pread, batches / threads, batches * 500);
  std::printf("  hdf5     %7.2f  H5Dread with Fletcher32, one thread\n", hdf5);
  return 0;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  moat::core::StartLogging("bench_stream");
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
