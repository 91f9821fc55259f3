// What an import would read: its inputs, looked at but not read, and a digest that identifies them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "configs/import_config.h"
#include "data/file_tree.h"
#include "data/formats/file_kind.h"
#include "data/git_history.h"
#include "data/import_sink.h"

namespace moat::data {

struct ImportSource {
  enum class Kind { kRecords, kTextFile, kTree };
  Kind kind = Kind::kTextFile;
  std::filesystem::path path;  // "-": standard input, which a process can read once
  formats::FileKind file = formats::FileKind::kText;  // of records
  GitWorkTree git;                                    // of a tree
  std::vector<TreeFile> files;                        // of a tree
  int64_t bytes = 0;                                  // of the files
};

struct ImportPlan {
  std::vector<ImportSource> sources;
  // Hex SHA-256 of the flags that matter and the sources' sizes and times. What standard input
  // holds cannot be known before it is read: with it, every digest is a new one.
  std::string digest;
};

// Expands globs and directories of records. Throws ConfigError for an input that does not exist.
// `excluded`: see ListTree.
ImportPlan PlanImport(const configs::ImportConfig& config,
                      const std::vector<std::filesystem::path>& excluded);

// Reads one source into the sink.
void ReadSource(const ImportSource& source, const configs::ImportConfig& config, ImportSink* sink);

}  // namespace moat::data
