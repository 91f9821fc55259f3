// The library's header, and that its large templates are compiled once (json.cc) instead of in every source that
// reads JSON: half of the time to compile those.
#pragma once

#include_next <nlohmann/json.hpp>

#ifndef MOAT_JSON_ONCE
#define MOAT_JSON_ONCE extern template class
#endif

MOAT_JSON_ONCE nlohmann::basic_json<>;
MOAT_JSON_ONCE nlohmann::basic_json<nlohmann::ordered_map>;

namespace nlohmann::detail {
MOAT_JSON_ONCE serializer<json>;
MOAT_JSON_ONCE serializer<ordered_json>;
MOAT_JSON_ONCE lexer_base<json>;
MOAT_JSON_ONCE lexer<json, iterator_input_adapter<std::string::const_iterator>>;
MOAT_JSON_ONCE parser<json, iterator_input_adapter<std::string::const_iterator>>;
MOAT_JSON_ONCE json_sax_dom_parser<json>;
MOAT_JSON_ONCE json_sax_dom_callback_parser<json>;
}  // namespace nlohmann::detail
