// Imports HDF5 files of tokens that others wrote with a tokenizer of moat's.
//
// `tokens`: integers, 1-D. `offsets` (or `first_token`): where each document starts, and the end;
// without it the file is one document. `role` (0 system ... 4 text) and `weight`: one number per
// token, optional; a stretch of tokens with one role and weight is a segment, by default text of
// weight 1. Documents are decoded to text; one whose tokens the text does not give back is
// malformed.
#pragma once

#include <filesystem>

#include "data/import_sink.h"
#include "data/tokenizer.h"

namespace moat::data::formats {

// The whole file, document by document; quarantined ones are named by their number, from 1, in
// place of a line. The file is not trusted. Throws DataError for a file of another make.
void ImportTokens(const std::filesystem::path& path, const Tokenizer& tokenizer, ImportSink* sink);

}  // namespace moat::data::formats
