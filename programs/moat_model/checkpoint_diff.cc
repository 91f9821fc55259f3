// moat checkpoint diff: what differs, and by how much.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/compare.h"
#include "programs/moat_model/checkpoint_commands.h"

namespace moat::programs {
namespace {

using checkpoint::CheckpointDifference;
using checkpoint::TensorDifference;
using nlohmann::ordered_json;
using Pairs = std::map<std::string, std::pair<std::string, std::string>>;

ordered_json ToJson(const TensorDifference& tensor) {
  return {{"tensor", tensor.tensor},
          {"elements", tensor.elements},
          {"differing", tensor.differing},
          {"not_comparable", tensor.not_comparable},
          {"max_absolute", tensor.max_absolute},
          {"max_relative", tensor.max_relative},
          {"first", tensor.first},
          {"first_a", tensor.first_a},
          {"first_b", tensor.first_b}};
}

ordered_json ToJson(const Pairs& pairs) {
  ordered_json json = ordered_json::object();
  for (const auto& [name, values] : pairs) {
    json[name] = {{"a", values.first}, {"b", values.second}};
  }
  return json;
}

ordered_json ToJson(const CheckpointDifference& difference) {
  ordered_json json = {{"same", difference.SameTensors()},
                       {"same_tensors", difference.same},
                       {"tensors", ordered_json::array()},
                       {"only_a", difference.only_a},
                       {"only_b", difference.only_b},
                       {"kinds", ToJson(difference.kinds)},
                       {"position", ToJson(difference.position)}};
  for (const TensorDifference& tensor : difference.tensors) {
    json["tensors"].push_back(ToJson(tensor));
  }
  return json;
}

std::string IndexText(const std::vector<int64_t>& index) {
  std::string text = "[";
  for (size_t d = 0; d < index.size(); ++d) text += (d ? ", " : "") + std::to_string(index[d]);
  return text + "]";
}

void Print(const TensorDifference& tensor) {
  char text[256];
  std::snprintf(text, sizeof text,
                ": %lld of %lld elements differ, by at most %.6g (relative %.6g); first ",
                static_cast<long long>(tensor.differing), static_cast<long long>(tensor.elements),
                tensor.max_absolute, tensor.max_relative);
  std::cout << tensor.tensor << text << IndexText(tensor.first);
  std::snprintf(text, sizeof text, ": %.9g and %.9g", tensor.first_a, tensor.first_b);
  std::cout << text;
  if (tensor.not_comparable > 0) {
    std::cout << "; " << tensor.not_comparable << " are NaN or infinite on a side";
  }
  std::cout << "\n";
}

void Print(const CheckpointDifference& difference, const std::string& a, const std::string& b) {
  for (const TensorDifference& tensor : difference.tensors) Print(tensor);
  for (const auto& [name, kinds] : difference.kinds) {
    std::cout << name << ": " << kinds.first << " and " << kinds.second << "\n";
  }
  for (const std::string& name : difference.only_a) std::cout << name << ": only in " << a << "\n";
  for (const std::string& name : difference.only_b) std::cout << name << ": only in " << b << "\n";
  for (const auto& [name, values] : difference.position) {
    std::cout << "(" << name << ": " << values.first << " and " << values.second << ")\n";
  }
  const size_t others = difference.tensors.size() + difference.kinds.size() +
                        difference.only_a.size() + difference.only_b.size();
  std::cout << difference.same << " tensors are equal, " << others << " differ\n";
}

}  // namespace

int CheckpointDiff(const configs::CommandLine& line) {
  const std::string &a = line.positional()[0], &b = line.positional()[1];
  const CheckpointDifference difference = checkpoint::Compare(a, b);
  if (line.Bool("json")) {
    std::cout << ToJson(difference).dump() << "\n";
  } else {
    Print(difference, a, b);
  }
  return difference.SameTensors() ? 0 : kTensorsDiffer;
}

}  // namespace moat::programs
