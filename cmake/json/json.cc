// What nlohmann/json.hpp beside this says is compiled elsewhere.
#define MOAT_JSON_ONCE template class
#include <nlohmann/json.hpp>
