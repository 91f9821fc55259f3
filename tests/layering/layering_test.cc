// The house rules: a folder includes only what the table allows, and every file says what it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"

namespace moat {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

// docs/architecture.md shows the same table to people.
struct Row {
  Names folders;  // it may include, besides itself
  Names outside;  // libraries it may include
};

const std::map<std::string, Row>& Table() {
  static const auto* const table = new std::map<std::string, Row>{
      {"core", {{}, {"glog", "crypto"}}},
      {"configs", {{"core"}, {"gflags", "json", "re2"}}},
      {"parallel", {{"core"}, {}}},
      {"rundir", {{"core", "configs"}, {"json"}}},
      {"tensor", {{"core"}, {"dnnl", "openmp", "cuda"}}},
      {"comm", {{"core", "parallel", "tensor", "rundir"}, {"mpi", "nccl"}}},
      {"data",
       {{"core", "configs", "tensor"},
        {"hdf5", "sentencepiece", "simdjson", "compression", "re2", "json"}}},
      {"model/architecture", {{"core", "configs", "parallel"}, {}}},
      {"model",
       {{"core", "configs", "parallel", "tensor", "comm", "model/architecture"}, {"openmp"}}},
      {"checkpoint/manifest", {{"core", "parallel"}, {"json"}}},
      {"checkpoint", {{"core", "parallel", "tensor", "comm", "checkpoint/manifest"}, {"json"}}},
      {"convert",
       {{"core", "configs", "parallel", "tensor", "data", "model/architecture", "checkpoint",
         "checkpoint/manifest"},
        {"json"}}},
      {"trainer",
       {{"core", "configs", "parallel", "rundir", "tensor", "comm", "data", "model",
         "model/architecture", "checkpoint", "checkpoint/manifest"},
        {"json", "openmp"}}},
      {"launch",
       {{"core", "configs", "parallel", "rundir", "model/architecture", "checkpoint/manifest"},
        {"json", "re2"}}},
  };
  return *table;
}

// Outside headers by the library they belong to; a header of none is the standard's or the
// system's.
std::string LibraryOf(const std::string& header) {
  static const std::pair<const char*, const char*> kPrefixes[] = {
      {"mpi", "mpi"},           {"hdf5", "hdf5"},
      {"H5", "hdf5"},           {"gflags/", "gflags"},
      {"glog/", "glog"},        {"dnnl", "dnnl"},
      {"oneapi/", "dnnl"},      {"nlohmann/", "json"},
      {"simdjson", "simdjson"}, {"sentencepiece", "sentencepiece"},
      {"openssl/", "crypto"},   {"omp.h", "openmp"},
      {"cuda", "cuda"},         {"cublas", "cuda"},
      {"cudnn", "cuda"},        {"nccl", "nccl"},
      {"lzma", "compression"},  {"zlib", "compression"},
      {"zstd", "compression"},  {"re2/", "re2"}};
  for (const auto& [prefix, library] : kPrefixes) {
    if (header.starts_with(prefix)) return library;
  }
  return "";
}

// "model/architecture" for model/architecture/x.h, "model" for model/layers/x.h; "" outside the
// table.
std::string FolderOf(const std::string& path) {
  std::string best;
  for (const auto& [folder, row] : Table()) {
    if (path.starts_with(folder + "/") && folder.size() > best.size()) best = folder;
  }
  return best;
}

bool IsSource(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".h" || extension == ".cc" || extension == ".cu" || extension == ".cuh";
}

void CheckFile(const fs::path& root, const std::string& file,
               std::vector<std::string>& violations) {
  const std::string folder = FolderOf(file);
  const Row& row = Table().at(folder);
  static const std::regex include(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::ifstream text(root / file);
  int number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    std::smatch match;
    if (!std::regex_search(line, match, include)) continue;
    const std::string header = match[2];
    const std::string library = match[1] == "<" ? LibraryOf(header) : "";
    const std::string target = match[1] == "\"" ? FolderOf(header) : "";
    const bool allowed = match[1] == "<"
                             ? library.empty() || row.outside.count(library)
                             : target == folder || (!target.empty() && row.folders.count(target));
    if (!allowed) {
      violations.push_back(file + ":" + std::to_string(number) + ": " + folder +
                           " may not include " + header);
    }
  }
}

std::vector<std::string> Violations(const fs::path& root) {
  std::vector<std::string> violations;
  for (const auto& [folder, row] : Table()) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string file = fs::relative(entry.path(), root).generic_string();
      // A nested row's files are looked at under their own row.
      if (IsSource(entry.path()) && FolderOf(file) == folder) CheckFile(root, file, violations);
    }
  }
  return violations;
}

TEST(Layering, FoldersIncludeOnlyWhatTheTableAllows) {
  EXPECT_THAT(Violations(MOAT_SOURCE_DIR), ::testing::IsEmpty());
}

class PlantedTest : public ::testing::Test {
 protected:
  void Plant(const std::string& file, const std::string& text) {
    fs::create_directories((directory_ / file).parent_path());
    std::ofstream(directory_ / file) << text;
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(PlantedTest, ViolationsAreFound) {
  Plant("core/a.h", "// A.\n#include <vector>\n#include \"configs/b.h\"\n");
  Plant("trainer/b.cc", "// B.\n#include <mpi.h>\n");
  Plant("model/architecture/c.h", "// C.\n#include \"tensor/tensor.h\"\n");
  Plant("launch/d.cc", "// D.\n  #  include <hdf5.h>\n#include \"nowhere.h\"\n");
  Plant("model/e.cc", "// E.\n#include \"model/architecture/c.h\"\n#include <omp.h>\n");
  EXPECT_THAT(Violations(directory_.path()),
              ::testing::UnorderedElementsAre("core/a.h:3: core may not include configs/b.h",
                                              "trainer/b.cc:2: trainer may not include mpi.h",
                                              "model/architecture/c.h:2: model/architecture may "
                                              "not include tensor/tensor.h",
                                              "launch/d.cc:2: launch may not include hdf5.h",
                                              "launch/d.cc:3: launch may not include nowhere.h"));
}

bool SaysWhatItIs(const fs::path& path) {
  std::ifstream text(path);
  std::string line;
  std::getline(text, line);
  return line.starts_with("//") || line.starts_with("/*");
}

std::vector<std::string> FilesWithoutAFirstLine(const fs::path& root) {
  static const Names kNot = {".git", "datasets", "runs"};
  std::vector<std::string> silent;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator();
       ++it) {
    const std::string name = it->path().filename();
    if (it->is_directory() && (kNot.count(name) || name.starts_with("build"))) {
      it.disable_recursion_pending();
      continue;
    }
    if (it->is_regular_file() && IsSource(it->path()) && !SaysWhatItIs(it->path())) {
      silent.push_back(fs::relative(it->path(), root).generic_string());
    }
  }
  return silent;
}

TEST(FirstLine, EverySourceSaysWhatItIs) {
  EXPECT_THAT(FilesWithoutAFirstLine(MOAT_SOURCE_DIR), ::testing::IsEmpty());
}

TEST_F(PlantedTest, SilentFilesAreFound) {
  Plant("core/a.h", "#pragma once\n");
  Plant("core/b.cc", "\n// Late.\n");
  Plant("core/c.cc", "// C.\n");
  EXPECT_THAT(FilesWithoutAFirstLine(directory_.path()),
              ::testing::UnorderedElementsAre("core/a.h", "core/b.cc"));
}

}  // namespace
}  // namespace moat
