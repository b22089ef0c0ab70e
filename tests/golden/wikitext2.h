#pragma once

#include <string>
#include <vector>

#include "base/types.h"

namespace bitcpm::golden {

// The reference deployment's evaluation texts as the embedded model's token ids, at most 512 each:
// the first 50 lines of WikiText-2 whose stripped length exceeds 50 characters. Empty where the
// file is not on this machine.
std::vector<std::vector<TokenId>> wikitext2_ids();

// What a test says when it was empty.
inline constexpr const char* kNoWikitext2 =
    "SKIPPED: WikiText-2 is not on this machine; set BITCPM_WIKITEXT2 to a file with one "
    "{\"text\"} "
    "per line";

}  // namespace bitcpm::golden
