#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string_view>

#include "base/result.h"

namespace bitcpm {

// Members of a zip archive: name to its bytes. Both view the file.
using ZipDirectory = std::map<std::string_view, std::span<const std::byte>>;

// Reads the central directory of a zip file, zip64 included (PKWARE APPNOTE 6.3, section 4.3).
// Every entry is held against its local header; members lie before the directory, end to end
// without overlap, and no name occurs twice. CRCs are not computed: that would read every page of
// the weights, and the other checkpoint format has none either.
// Errors: kCorrupt; kUnsupported for what a stored, single-volume archive cannot be (compressed or
// encrypted members, several disks). The message names the member.
Result<ZipDirectory> read_zip_directory(std::span<const std::byte> file);

}  // namespace bitcpm
