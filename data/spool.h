// A spool: interactions on the disk between the two passes of an import, in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/durable_file.h"
#include "data/interaction.h"

namespace moat::data {

class SpoolWriter {
 public:
  explicit SpoolWriter(const std::filesystem::path& path) : file_(path) {}
  void Add(const Interaction& interaction);
  void Close();  // once, before reading

 private:
  core::FileWriter file_;
  std::string buffer_;
};

// Reads a spool from its start. Throws DataError when the file is not what a SpoolWriter closed.
class SpoolReader {
 public:
  explicit SpoolReader(const std::filesystem::path& path) : file_(path) {}
  bool Next(Interaction* interaction);  // false at the end

 private:
  void Take(void* out, size_t size);
  template <typename T>
  T TakeNumber();
  std::string TakeText();

  core::FileReader file_;
  std::string buffer_;
  size_t in_buffer_ = 0;  // position
  int64_t at_ = 0;        // of the file, behind the buffer
};

}  // namespace moat::data
