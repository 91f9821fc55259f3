// Verification. HDF5 opens a shard only after its bytes match their CRCs where CRCs cover them, and
// in a child process, which is forked while no other thread runs: one that held an allocator's lock
// would not be there to give it back.
#include "data/verify.h"

#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/host.h"
#include "data/chat_template.h"
#include "data/dataset.h"
#include "data/hdf5_shard.h"
#include "data/isolation.h"
#include "data/parallel_for.h"
#include "data/progress.h"
#include "data/shard_format.h"
#include "data/shard_reader.h"
#include "data/tokenizer.h"
#include "data/windows.h"

namespace moat::data {
namespace {

// <s> opens an interaction, a role token each segment, <|end|> closes it, and neither <s>, <pad>
// nor a role token lies inside. (An <|end|> inside would be a control token in text.)
void CheckTemplate(const std::string& file, const StoredInteractions& run,
                   const Tokenizer& tokenizer, int64_t first_interaction) {
  for (int64_t i = 0; i < run.size(); ++i) {
    const auto fail = [&](const std::string& what) {
      throw core::DataError(file + ", interaction " + std::to_string(first_interaction + i) +
                            " does not follow the template: " + what);
    };
    for (int64_t s = run.first_segment[static_cast<size_t>(i)];
         s < run.first_segment[static_cast<size_t>(i) + 1]; ++s) {
      const auto segment = static_cast<size_t>(s);
      const bool first = s == run.first_segment[static_cast<size_t>(i)];
      const auto begin = static_cast<size_t>(run.segment_start[segment]);
      const auto end = static_cast<size_t>(run.segment_start[segment + 1]);
      const auto header = static_cast<size_t>(HeaderTokens(first));
      if (end - begin < header + 1) fail("a segment is too short");
      if (first && run.tokens[begin] != tokenizer.begin_token()) fail("it does not start with <s>");
      if (run.tokens[begin + header - 1] != tokenizer.role_token(run.role[segment])) {
        fail("a segment does not start with its role's token");
      }
      if (run.tokens[end - 1] != tokenizer.end_token()) fail("a segment does not end with <|end|>");
      for (size_t t = begin + header; t + 1 < end; ++t) {
        if (run.tokens[t] < 3 + kRoles) fail("a control token lies inside a text");
      }
    }
  }
}

// HDF5's view of the file, which no CRC covers. Numbers and digests first: they say best what is
// wrong.
void CheckContainer(const Dataset& dataset, const ShardReader& reader) {
  const ShardEntry& entry = reader.entry();
  const Hdf5Shard file(dataset.directory() / entry.file);
  file.CheckText("format", shard::kFormat);
  file.CheckNumber("version", shard::kVersion);
  file.CheckNumber("vocab_size", static_cast<uint64_t>(dataset.vocab_size()));
  file.CheckText("tokenizer_digest", dataset.tokenizer_digest());
  file.CheckText("template_digest", dataset.template_digest());
  file.CheckEntry(entry);
  for (const StoredArray& array : entry.arrays) {
    file.CheckCrcs(array);
    if (!reader.rewritten()) file.CheckAddress(array);
  }
}

// A problem as a message that begins with the file.
std::string Named(const std::string& problem, const std::string& path) {
  return problem.rfind(path, 0) == 0 ? problem : path + ": " + problem;
}

void VerifyContent(const Dataset& dataset, const ShardEntry& entry, const Tokenizer& tokenizer) {
  const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
  const std::filesystem::path path = dataset.directory() / entry.file;
  const std::string digest = reader.ComputeContentDigest();  // checks the CRCs of what it covers
  for (const shard::Array array : {shard::kId, shard::kUser}) reader.VerifyArray(array);
  if (digest != entry.content_digest) {
    throw core::DataError(path.string() + ": its content digest is not the one in the index");
  }
  for (const ShardWindow& window : WindowsOf(reader, nullptr)) {
    CheckTemplate(path.string(), reader.ReadInteractions(window.first, window.count), tokenizer,
                  window.first);
  }
}

// Returns whether another program rewrote the shard.
bool VerifyContainer(const Dataset& dataset, const ShardEntry& entry) {
  const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
  const std::string problem = ProblemInChild([&] { CheckContainer(dataset, reader); });
  if (!problem.empty()) {
    throw core::DataError(Named(problem, (dataset.directory() / entry.file).string()));
  }
  return reader.rewritten();
}

void VerifyDigests(const Dataset& dataset, const Tokenizer& tokenizer) {
  if (tokenizer.digest() != dataset.tokenizer_digest() ||
      tokenizer.vocab_size() != dataset.vocab_size()) {
    throw core::DataError(dataset.tokenizer_path().string() +
                          ": not the tokenizer that the shards were encoded with (digest " +
                          tokenizer.digest() + ", expected " + dataset.tokenizer_digest() + ")");
  }
  if (Tokenizer::template_digest() != dataset.template_digest()) {
    throw core::DataError(dataset.directory().string() +
                          ": encoded with another chat template; import the data again");
  }
}

}  // namespace

VerifyReport Verify(const std::filesystem::path& directory, int threads) {
  const Dataset dataset = Dataset::Open(directory);
  const Tokenizer tokenizer = Tokenizer::Load(dataset.tokenizer_path());
  VerifyDigests(dataset, tokenizer);
  const std::vector<ShardEntry>& shards = dataset.shards();
  VerifyReport report;
  for (const ShardEntry& entry : shards) {
    ++report.shards;
    report.interactions += entry.interactions;
    report.tokens += entry.tokens;
    report.bytes += entry.bytes;
  }
  std::mutex mutex;  // guards what follows
  Progress progress("verified", report.bytes, report.interactions);
  int64_t interactions = 0, bytes = 0;
  ParallelFor(static_cast<int64_t>(shards.size()), core::ThreadsOf(threads), [&](int64_t i) {
    const ShardEntry& entry = shards[static_cast<size_t>(i)];
    VerifyContent(dataset, entry, tokenizer);
    const std::lock_guard lock(mutex);
    progress.Report(interactions += entry.interactions, bytes += entry.bytes);
  });
  for (const ShardEntry& entry : shards) report.rewritten += VerifyContainer(dataset, entry);
  return report;
}

}  // namespace moat::data
