// The shapes of record that people have, and a record of each as interactions. Included by sources
// only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/import_config.h"
#include "data/formats/record_fields.h"
#include "data/interaction.h"

namespace moat::data::formats {

enum class Shape { kChat, kShareGpt, kPreference, kPrompt, kAlpaca, kText };
constexpr int kShapes = 6;
const char* Name(Shape shape);  // as --format knows it
std::optional<Shape> ShapeNamed(const std::string& name);

// The first shape whose fields the record has, in the order above; none: it has no known shape.
std::optional<Shape> DetectShape(const json& record, const configs::RecordConfig& config);

struct RecordOrigin {
  std::string name;         // "file:line": the id of a record without one
  bool from_table = false;  // all values are strings
};

// One interaction; a preference gives two, of one request. Throws DataError with the reason the
// record is malformed.
std::vector<Interaction> InteractionsOf(const json& record, Shape shape,
                                        const configs::RecordConfig& config,
                                        const RecordOrigin& origin);

}  // namespace moat::data::formats
