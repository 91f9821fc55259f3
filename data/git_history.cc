// Git history through `git log -p`, parsed so that no message or file content can be mistaken for
// structure: messages end at NUL, which git forbids in them, and hunks are read by their counts.
#include "data/git_history.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>

#include "core/durable_file.h"
#include "core/error.h"
#include "data/child_process.h"

namespace moat::data {
namespace {

constexpr size_t kMaxMessageBytes = 1 << 16;
constexpr std::string_view kRecordMark{"\0", 1};  // a line of its own opens each commit

// Undoes git's C-style quoting of awkward paths: "a/tab\there".
std::string Unquote(std::string_view text) {
  if (text.size() < 2 || text.front() != '"') return std::string(text);
  std::string path;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] != '\\') {
      path += text[i];
      continue;
    }
    constexpr std::string_view letters = "abtnvfr";
    constexpr std::string_view meanings = "\a\b\t\n\v\f\r";
    const char c = text[++i];
    if (c >= '0' && c <= '3' && i + 3 < text.size()) {
      path += static_cast<char>((c - '0') * 64 + (text[i + 1] - '0') * 8 + (text[i + 2] - '0'));
      i += 2;
    } else {
      const size_t letter = letters.find(c);
      path += letter == std::string_view::npos ? c : meanings[letter];
    }
  }
  return path;
}

// "--- a/path" or "+++ b/path"; "" for /dev/null.
std::string PathOf(std::string_view line) {
  line.remove_prefix(4);
  if (!line.empty() && line.back() == '\t') line.remove_suffix(1);  // git marks paths with spaces
  const std::string path = Unquote(line);
  return path == "/dev/null" ? "" : path.substr(std::min<size_t>(2, path.size()));
}

struct HunkCounts {
  int64_t old_lines = 1;
  int64_t new_lines = 1;
};

// "@@ -12,3 +12,4 @@ ...": a count that is not written is 1.
HunkCounts ParseHunk(const std::string& line) {
  const auto count_after = [&](char sign) {
    const size_t at = line.find(sign);
    const size_t end = line.find(' ', at);
    const size_t comma = line.find(',', at);
    int64_t count = 1;
    if (comma < end) std::from_chars(line.data() + comma + 1, line.data() + end, count);
    return count;
  };
  return {count_after('-'), count_after('+')};
}

struct Commit {
  std::string hash, author, message;
  int64_t seconds = 0;
};

// What follows the plus signs of a diff that creates a file.
std::string CreatedText(std::string_view change) {
  std::string text;
  while (!change.empty()) {
    const size_t end = change.find('\n');
    const std::string_view line = change.substr(0, end);
    change.remove_prefix(std::min(change.size(), end + 1));
    if (line.starts_with('+')) (text += line.substr(1)) += '\n';
    if (line.starts_with('\\')) text.pop_back();  // \ No newline at end of file
  }
  return text;
}

// The work tree's texts, each of which is given once.
class WorkTreeTexts {
 public:
  WorkTreeTexts(const std::filesystem::path& directory, const std::vector<TreeFile>& files)
      : directory_(directory) {
    for (const TreeFile& file : files) sizes_[file.path] = file.bytes;
  }

  // Whether `text` is what the file at `path` holds, asked for the first time.
  bool Take(const std::string& path, const std::string& text) {
    const auto size = sizes_.find(path);
    if (size == sizes_.end() || size->second != static_cast<int64_t>(text.size())) return false;
    try {
      if (core::ReadWholeFile(directory_ / path) != text) return false;
    } catch (const core::StorageError&) {
      return false;
    }
    return given_.insert(path).second;
  }
  std::set<std::string> given() const { return given_; }

 private:
  std::filesystem::path directory_;
  std::map<std::string, int64_t> sizes_;
  std::set<std::string> given_;
};

class LogParser {
 public:
  LogParser(ChildProcess* child, WorkTreeTexts* texts, int64_t max_bytes, ImportSink* sink)
      : child_(child), texts_(texts), limit_(static_cast<size_t>(max_bytes)), sink_(sink) {}

  void Run() {
    std::string line;
    while (ReadLine(&line)) TakeLine(line);
    Flush();
  }

 private:
  // One byte more than the limit tells a line that is too long from one that just fits.
  bool ReadLine(std::string* line) { return child_->ReadUntil('\n', line, limit_ + 1); }

  void TakeLine(const std::string& line) {
    const auto starts = [&](std::string_view text) { return line.starts_with(text); };
    if (line == kRecordMark) {
      Flush();
      ReadCommit();
    } else if (starts("diff --git ")) {
      Flush();
    } else if (starts("--- ")) {
      old_path_ = PathOf(line);
    } else if (starts("+++ ")) {
      new_path_ = PathOf(line);
    } else if (starts("@@ ")) {
      ReadHunk(line);
    } else if (starts("\\ ") && !change_.empty()) {
      Append(line);
    } else if (starts("Binary files ")) {
      sink_->Count("binary changes skipped");
    }
  }

  void ReadCommit() {
    std::string time;
    child_->ReadUntil('\0', &commit_.hash, 128);
    child_->ReadUntil('\0', &commit_.author, 1024);
    child_->ReadUntil('\0', &time, 32);
    child_->ReadUntil('\0', &commit_.message, kMaxMessageBytes);
    commit_.seconds = 0;
    std::from_chars(time.data(), time.data() + time.size(), commit_.seconds);
    std::string& message = commit_.message;
    while (!message.empty() && message.back() == '\n') message.pop_back();
  }

  void ReadHunk(const std::string& header) {
    HunkCounts left = ParseHunk(header);
    Append(header);
    std::string line;
    while ((left.old_lines > 0 || left.new_lines > 0) && ReadLine(&line)) {
      const char mark = line.empty() ? ' ' : line[0];
      if (mark == '-' || mark == ' ') --left.old_lines;
      if (mark == '+' || mark == ' ') --left.new_lines;
      Append(line);
    }
  }

  void Append(const std::string& line) {
    if (change_.size() > limit_) return;  // already too large
    change_ += line;
    change_ += '\n';
  }

  // Hands over the file whose change was read, if there is one.
  void Flush() {
    const std::string path = new_path_.empty() ? old_path_ : new_path_;
    if (change_.size() > limit_) {
      sink_->Count("changes skipped: larger than --max_file_bytes");
    } else if (change_.find('\0') != std::string::npos) {
      sink_->Count("binary changes skipped");
    } else if (!change_.empty() && !path.empty()) {
      AddChange(path);
    }
    change_.clear();
    old_path_.clear();
    new_path_.clear();
  }

  void AddChange(const std::string& path) {
    Segment change = {Role::kAssistant, 1.0f, std::move(change_)};
    if (new_path_.empty()) return sink_->Count("deletions of files left out");
    if (old_path_.empty()) {
      change = {Role::kText, 1.0f, CreatedText(change.text)};
      if (!texts_->Take(path, change.text)) {
        return sink_->Count("creations of files left out: their text is another by now, or gone");
      }
    }
    Interaction interaction;
    interaction.id = commit_.hash + ":" + path;
    interaction.user = commit_.author;
    interaction.path = path;
    interaction.time_micros = commit_.seconds * 1'000'000;
    interaction.segments = {
        {Role::kSystem, 1.0f, path}, {Role::kUser, 1.0f, commit_.message}, std::move(change)};
    sink_->Add(std::move(interaction));
  }

  ChildProcess* child_;
  WorkTreeTexts* texts_;
  size_t limit_;
  ImportSink* sink_;
  Commit commit_;
  std::string old_path_, new_path_, change_;
};

std::vector<std::string> LogCommand(const std::filesystem::path& directory) {
  // What a user's configuration could change about the output is named here.
  return {"git",
          "-C",
          directory.string(),
          "-c",
          "core.quotePath=false",
          "-c",
          "log.showRoot=true",
          "-c",
          "core.fsmonitor=false",
          "log",
          "--reverse",
          "--format=tformat:%x00%n%H%x00%ae%x00%ct%x00%B%x00",
          "-p",
          "--relative",
          "--no-color",
          "--no-ext-diff",
          "--no-textconv",
          "--no-show-signature",
          "--no-notes",
          "--no-mailmap",
          "--encoding=UTF-8",
          "--find-renames",
          "--diff-algorithm=myers",
          "--unified=3",
          "--inter-hunk-context=0",
          "--src-prefix=a/",
          "--dst-prefix=b/",
          "--ignore-submodules=all",
          "--no-decorate",
          "--",
          "."};
}

}  // namespace

GitWorkTree InspectGit(const std::filesystem::path& directory) {
  int status = 0;
  std::string errors;
  const bool marked = std::filesystem::exists(directory / ".git");
  std::string answer;
  try {
    answer = OutputOf({"git", "-C", directory.string(), "rev-parse", "--is-inside-work-tree"},
                      &status, &errors);
  } catch (const core::ConfigError&) {
    if (marked) throw;  // git is not installed, and would be needed
    return {};
  }
  if (status != 0 && marked) {
    throw core::ConfigError(directory.string() + " holds a .git that git cannot read: " + errors);
  }
  GitWorkTree tree;
  tree.inside = status == 0 && answer == "true\n";
  if (!tree.inside) return tree;
  tree.head =
      OutputOf({"git", "-C", directory.string(), "rev-parse", "--verify", "-q", "HEAD"}, &status);
  if (status != 0) tree.head.clear();
  if (!tree.head.empty()) tree.head.pop_back();
  return tree;
}

std::set<std::string> ImportGitHistory(const std::filesystem::path& directory,
                                       const std::vector<TreeFile>& files, int64_t max_bytes,
                                       ImportSink* sink) {
  ChildProcess child(LogCommand(directory));
  WorkTreeTexts texts(directory, files);
  LogParser(&child, &texts, max_bytes, sink).Run();
  const int status = child.Wait();
  if (status != 0) {
    throw core::DataError(directory.string() + ": git log ended with " + std::to_string(status) +
                          ": " + child.ErrorText() + "; repair the repository or use --nohistory");
  }
  return texts.given();
}

}  // namespace moat::data
