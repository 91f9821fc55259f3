// Showing an interaction.
#include "data/show.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/clock.h"
#include "core/error.h"
#include "data/dataset_walk.h"
#include "data/tokenizer.h"

namespace moat::data {
namespace {

using nlohmann::json;

std::string HexOf(uint64_t value) {
  std::ostringstream out;
  out << std::hex << value;
  return out.str();
}

}  // namespace

std::string Show(const Dataset& dataset, const std::string& split, int64_t number, bool as_json) {
  const Tokenizer tokenizer = Tokenizer::Load(dataset.tokenizer_path());
  StoredKeys keys;
  const StoredInteractions one = ReadOne(dataset, split, number, &keys);
  const bool known_user = keys.user[0] != keys.id[0];
  json value = {{"number", number}, {"split", split}, {"id", HexOf(keys.id[0])}};
  if (known_user) value["user"] = HexOf(keys.user[0]);
  if (keys.time[0] != 0) value["time"] = core::FormatUtc(keys.time[0]);
  std::ostringstream text;
  text << "== " << split << " " << number << ", id " << HexOf(keys.id[0]);
  if (known_user) text << ", user " << HexOf(keys.user[0]);
  if (keys.time[0] != 0) text << ", " << core::FormatUtc(keys.time[0]);
  text << ", " << one.tokens.size() << " tokens\n";
  for (size_t s = 0; s < one.role.size(); ++s) {
    const std::vector<int32_t> tokens(one.tokens.begin() + one.segment_start[s],
                                      one.tokens.begin() + one.segment_start[s + 1]);
    const std::string content = tokenizer.Decode(tokens);
    text << "-- " << Name(one.role[s]) << ", weight " << one.weight[s] << "\n" << content << "\n";
    value["messages"].push_back(
        {{"role", Name(one.role[s])}, {"weight", one.weight[s]}, {"content", content}});
  }
  if (as_json) return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return text.str();
}

}  // namespace moat::data
