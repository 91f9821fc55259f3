// Power loss at every moment of three saves: only what was synced is there, and the newest
// committed checkpoint is among it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "comm/self.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// What tests/faults/bad_disk.cc wrote down of one fsync.
struct Synced {
  bool directory = false;
  std::string inode;
  std::string copy;                            // of a file's bytes
  std::map<std::string, std::string> entries;  // of a directory: name, inode
};

std::vector<Synced> ReadRecord(const fs::path& record) {
  std::vector<Synced> log;
  std::ifstream file(record / "log");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string kind, name, inode;
    Synced synced;
    words >> kind >> synced.inode;
    synced.directory = kind == "dir";
    if (!synced.directory) words >> synced.copy;
    while (synced.directory && words >> name >> inode) synced.entries[name] = inode;
    log.push_back(synced);
  }
  return log;
}

// The disk after the first `count` syncs. What was never synced has no bytes and no entries; an
// inode may come back as something else, so its last sync says what it is.
class Disk {
 public:
  Disk(const fs::path& record, const std::vector<Synced>& log, size_t count) : record_(record) {
    for (size_t i = 0; i < count; ++i) last_[log[i].inode] = &log[i];
  }
  void RestoreDirectory(const std::string& inode, const fs::path& to) const {
    fs::create_directories(to);
    const auto found = last_.find(inode);
    if (found == last_.end()) return;
    for (const auto& [name, entry] : found->second->entries) Restore(entry, to / name);
  }

 private:
  void Restore(const std::string& inode, const fs::path& to) const {
    const auto found = last_.find(inode);
    if (found == last_.end()) {
      std::ofstream(to).flush();
    } else if (found->second->directory) {
      RestoreDirectory(inode, to);
    } else {
      fs::copy_file(record_ / found->second->copy, to);
    }
  }
  fs::path record_;
  std::map<std::string, const Synced*> last_;
};

TEST(PowerLoss, AtAnyMomentTheNewestCommittedCheckpointIsIntact) {
  testing::TemporaryDirectory work;
  const fs::path root = work / "ckpt", record = work / "record";
  fs::create_directories(record);
  fs::create_directories(root);
  std::vector<size_t> committed;  // how many syncs when the save of step 10, 20, ... returned
  for (int step = 10; step <= 50; step += 10) {
    const std::string command =
        "LD_PRELOAD=" MOAT_BINARY_DIR "/tests/libbad_disk.so BAD_DISK_RECORD=" + record.string() +
        " " MOAT_BINARY_DIR "/tests/save_once " + root.string() + " " + std::to_string(step) +
        " 3 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
    committed.push_back(ReadRecord(record).size());
  }
  struct stat status;
  ASSERT_EQ(stat(root.c_str(), &status), 0);
  const std::vector<Synced> log = ReadRecord(record);
  ASSERT_GT(log.size(), 5u * 6);  // three files, a manifest and two directories a save
  for (size_t count = 0; count <= log.size(); ++count) {
    int64_t step = 0;  // that was promised
    for (const size_t then : committed) step += then <= count ? 10 : 0;
    const fs::path after = work / ("after-" + std::to_string(count));
    Disk(record, log, count).RestoreDirectory(std::to_string(status.st_ino), after);
    const auto newest = ChooseNewest(after, *comm::MakeSelf());
    if (step == 0 && !newest) continue;
    ASSERT_TRUE(newest.has_value()) << count << " syncs";
    const int64_t found = ReadManifest(*newest).position.step;
    EXPECT_GE(found, step) << count << " syncs";
    EXPECT_TRUE(testing::HoldsStep(*newest, found)) << count << " syncs";
    fs::remove_all(after);
  }
}

}  // namespace
}  // namespace moat::checkpoint
