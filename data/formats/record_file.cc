// From files to records to interactions.
#include "data/formats/record_file.h"

#include <filesystem>
#include <functional>
#include <utility>

#include "core/error.h"
#include "data/formats/json_elements.h"
#include "data/formats/record_shapes.h"
#include "data/formats/table_reader.h"
#include "data/formats/text_stream.h"
#include "data/ordered_pool.h"

namespace moat::data::formats {
namespace {

using configs::RecordConfig;

constexpr const char* kTooLong = "longer than 64 MiB";

json ParseJson(const std::string& text) {
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    Malformed(std::string("not JSON: ") + error.what());
  }
}

[[noreturn]] void UnknownShape(const json& record, const RecordConfig& config) {
  if (!record.is_object()) Malformed("not a JSON object");
  Malformed("no known shape: expected " + config.field_messages +
            ", conversations, chosen and rejected, " + config.field_prompt + " and " +
            config.field_completion + ", instruction and output, or " + config.field_text);
}

// One file's records on their way into the sink: the first ones one by one, until their shape is
// known; the others are parsed with all threads and reach the sink in the file's order.
class RecordImport {
 public:
  RecordImport(const std::string& path, const RecordConfig& config, int threads, ImportSink* sink)
      : path_(path),
        name_(path == kStandardInput ? "stdin" : std::filesystem::path(path).filename().string()),
        config_(config),
        sink_(*sink),
        shape_(ShapeNamed(config.format)),
        forced_(shape_.has_value()),
        pool_(
            threads, [](Record& record) { Parse(&record); },
            [this](Record& record) { Give(&record); }) {}

  void TakeJson(std::string text, int64_t line, std::string problem) {
    Take(std::move(text), line, std::move(problem), [this, line](const std::string& json) {
      return Read(ParseJson(json), {NameOf(line), false});
    });
  }

  // `columns` must outlive Finish.
  void TakeRow(const std::vector<std::string>& columns, std::vector<std::string> row, int64_t line,
               std::string problem) {
    std::string text;
    for (const std::string& field : row) text += (text.empty() ? "" : ",") + field;
    Take(std::move(text), line, std::move(problem),
         [this, line, &columns, row = std::move(row)](const std::string& /*text*/) {
           json record = json::object();
           for (size_t i = 0; i < row.size(); ++i) {
             if (!row[i].empty()) record[columns[i]] = row[i];
           }
           return Read(record, {NameOf(line), true});
         });
  }

  void TakeLine(std::string text, int64_t line, std::string problem) {
    Take(std::move(text), line, std::move(problem), [this, line](const std::string& whole) {
      Interaction interaction;
      interaction.id = NameOf(line);
      interaction.segments = {{Role::kText, 1.0f, whole}};
      return std::vector<Interaction>{std::move(interaction)};
    });
  }

  // Waits until the sink has everything. Throws what it threw.
  void Finish() { pool_.Finish(); }

 private:
  using Reader = std::function<std::vector<Interaction>(const std::string& text)>;
  struct Record {
    std::string text;
    int64_t line = 0;
    std::string problem;  // why it is malformed; "": it is not, as far as one knows
    Reader read;
    std::vector<Interaction> interactions;
  };

  std::string NameOf(int64_t line) const { return name_ + ":" + std::to_string(line); }

  void Take(std::string text, int64_t line, std::string problem, Reader read) {
    const auto bytes = static_cast<int64_t>(text.size());
    Record record = {std::move(text), line, std::move(problem), std::move(read), {}};
    if (shape_) return pool_.Add(std::move(record), bytes);
    Parse(&record);
    Give(&record);
  }

  static void Parse(Record* record) {
    if (!record->problem.empty()) return;
    try {
      record->interactions = record->read(record->text);
    } catch (const core::DataError& error) {
      record->problem = error.what();
    }
  }

  void Give(Record* record) {
    if (!record->problem.empty()) {
      return sink_.Quarantine(path_, record->line, record->problem, record->text);
    }
    for (Interaction& interaction : record->interactions) sink_.Add(std::move(interaction));
  }

  // Called by many threads once shape_ is known, and changes nothing then.
  std::vector<Interaction> Read(const json& record, const RecordOrigin& origin) {
    const std::optional<Shape> shape = shape_ ? shape_ : DetectShape(record, config_);
    if (!shape) UnknownShape(record, config_);
    try {
      std::vector<Interaction> interactions = InteractionsOf(record, *shape, config_, origin);
      if (!shape_) shape_ = shape;
      return interactions;
    } catch (const core::DataError& error) {
      const std::optional<Shape> other = forced_ ? shape : DetectShape(record, config_);
      if (!other || other == shape) throw;
      Malformed(std::string("a ") + Name(*other) + " record among " + Name(*shape) +
                " records: " + error.what());
    }
  }

  std::string path_, name_;
  const RecordConfig& config_;
  ImportSink& sink_;
  std::optional<Shape> shape_;
  bool forced_;
  OrderedPool<Record> pool_;  // last: its threads use all of the above
};

bool IsBlank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

// An array is '[' and then, before anything else, an element that may be a record, or nothing. A
// malformed line that begins with '[' is no array.
bool BeginsWithArray(std::string_view start) {
  constexpr const char* kBlank = " \t\r\n";
  const size_t first = start.find_first_not_of(kBlank);
  if (first == std::string_view::npos || start[first] != '[') return false;
  const size_t second = start.find_first_not_of(kBlank, first + 1);
  return second != std::string_view::npos && (start[second] == '{' || start[second] == ']');
}

void ImportLines(TextStream* stream, FileKind kind, RecordImport* records) {
  std::string line;
  bool too_long = false;
  for (int64_t number = 1; stream->ReadLine(&line, &too_long); ++number) {
    if (IsBlank(line)) continue;
    const std::string problem = too_long ? kTooLong : "";
    if (kind == FileKind::kLines) {
      records->TakeLine(line, number, problem);
    } else {
      records->TakeJson(line, number, problem);
    }
  }
  records->Finish();
}

void ImportArray(TextStream* stream, RecordImport* records) {
  JsonElements elements(stream);
  std::string text, problem;
  while (elements.Next(&text, &problem)) records->TakeJson(text, elements.line(), problem);
  records->Finish();
}

void ImportTable(TextStream* stream, char separator, const std::string& path,
                 RecordImport* records) {
  TableReader table(stream, separator, path);
  std::vector<std::string> row;
  std::string problem;
  while (table.Next(&row, &problem)) {
    records->TakeRow(table.columns(), row, table.line(), problem);
  }
  records->Finish();
}

// Nobody named what comes from standard input.
void CheckLooksLikeJson(std::string_view start) {
  const size_t first = start.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || start[first] == '{' || start[first] == '[') return;
  throw core::ConfigError(
      "--in=-: standard input does not begin as JSON; say what it is with --format=csv, tsv or "
      "lines");
}

}  // namespace

std::vector<Interaction> ParseRecord(const std::string& text, const RecordConfig& config,
                                     const std::string& name) {
  const json record = ParseJson(text);
  const std::optional<Shape> forced = ShapeNamed(config.format);
  const std::optional<Shape> shape = forced ? forced : DetectShape(record, config);
  if (!shape) UnknownShape(record, config);
  return InteractionsOf(record, *shape, config, {name, false});
}

void ImportRecords(const std::string& path, FileKind kind, const RecordConfig& config, int threads,
                   ImportSink* sink) {
  TextStream stream(OpenBytes(path));
  RecordImport records(path, config, threads, sink);
  if (kind == FileKind::kCsv || kind == FileKind::kTsv) {
    return ImportTable(&stream, kind == FileKind::kCsv ? ',' : '\t', path, &records);
  }
  if (kind == FileKind::kJson && path == kStandardInput && config.format == "auto") {
    CheckLooksLikeJson(stream.Ahead());
  }
  if (kind == FileKind::kJson && BeginsWithArray(stream.Ahead())) {
    return ImportArray(&stream, &records);
  }
  ImportLines(&stream, kind, &records);
}

}  // namespace moat::data::formats
