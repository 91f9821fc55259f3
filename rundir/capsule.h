// capsule.json: what made each attempt of a run: source, build, libraries, host, data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "rundir/layout.h"

namespace moat::rundir {

struct CapsuleEntry {
  int attempt = 0;
  std::string time;        // UTC
  std::string version;     // of moat: "0.1.0"
  std::string git;         // git describe of the sources; "" where there is none
  std::string build_type;  // "Release"
  std::string cuda;        // the version its CUDA backend was built with; "" where it has none
  std::string compiler;
  std::string host;
  int cores = 0;
  std::string cpu;                               // its model
  std::string instruction_set;                   // core::InstructionSet()
  std::map<std::string, std::string> libraries;  // name to version
  // "content", "tokenizer", "template": digests; "version"; "weights" of several data sets. What is
  // of each of several stands in the order of --data, with commas.
  std::map<std::string, std::string> data;
  bool operator==(const CapsuleEntry&) const = default;
};

// What this program was compiled with and where it runs; the caller adds attempt, git, libraries
// and data.
CapsuleEntry DescribeBuild();

// Adds an entry, or the libraries and data digests to the attempt's entry if there is one (the
// supervisor writes it, rank 0 adds what only it knows). Replaces the file whole.
void AppendCapsule(const RunLayout& layout, const CapsuleEntry& entry);

// An absent file has no entries. Throws DataError.
std::vector<CapsuleEntry> ReadCapsule(const RunLayout& layout);

}  // namespace moat::rundir
