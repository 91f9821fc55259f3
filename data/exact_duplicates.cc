// Digests of contents, brought together by sorting.
#include "data/exact_duplicates.h"

#include <cstring>

#include "core/digest.h"

namespace moat::data {

ExactDuplicates::ExactDuplicates(const std::filesystem::path& directory, size_t memory_bytes)
    : digests_(directory / "digests", memory_bytes) {}

void ExactDuplicates::Add(const Interaction& interaction) {
  core::Sha256 sha;
  for (const Segment& segment : interaction.segments) {
    struct {  // no padding, so that all bytes are the segment's
      uint64_t bytes;
      uint32_t role;
      float weight;
    } const head = {segment.text.size(), static_cast<uint32_t>(segment.role), segment.weight};
    sha.Update(&head, sizeof head);
    sha.Update(segment.text);
  }
  const core::Sha256Digest digest = sha.Finish();
  ExternalSort<3>::Record record = {};
  std::memcpy(record.data(), digest.data(), 2 * sizeof(uint64_t));
  record[2] = static_cast<uint64_t>(digests_.size());
  digests_.Add(record);
}

int64_t ExactDuplicates::Mark(std::vector<bool>* left_out) {
  digests_.Close();
  int64_t marked = 0;
  ExternalSort<3>::Reader reader(digests_);
  ExternalSort<3>::Record first = {}, record = {};
  for (bool some = false; reader.Next(&record); some = true) {
    if (some && record[0] == first[0] && record[1] == first[1]) {
      (*left_out)[record[2]] = true;
      ++marked;
    } else {
      first = record;
    }
  }
  return marked;
}

}  // namespace moat::data
