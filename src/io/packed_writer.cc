#include "io/packed_writer.h"

#include <array>
#include <utility>
#include <vector>

#include "io/packed_data.h"

namespace bitcpm {

Result<PackedWriter> PackedWriter::create(const std::filesystem::path& folder) {
  BITCPM_ASSIGN(PartialFile file, PartialFile::create(folder / kPackedDataFile));
  const std::array<std::byte, kPackedHeaderBytes> room{};  // finish() knows what goes there
  BITCPM_TRY(file.append(room));
  PackedWriter writer(std::move(file));
  writer.bytes_ = room.size();
  return writer;
}

Result<PackedSection> PackedWriter::append(std::string name, std::span<const std::byte> bytes) {
  PackedSection section{std::move(name), bytes_, padded_section(bytes.size()), 0};
  if (section.length == bytes.size()) {
    section.checksum = section_checksum(bytes);
    BITCPM_TRY(file_.append(bytes));
  } else {  // small, or of an odd shape: a copy does not matter
    std::vector<std::byte> padded(bytes.begin(), bytes.end());
    padded.resize(static_cast<std::size_t>(section.length));
    section.checksum = section_checksum(padded);
    BITCPM_TRY(file_.append(padded));
  }
  bytes_ += section.length;
  return section;
}

Status PackedWriter::finish() {
  BITCPM_TRY(file_.overwrite(0, packed_header(bytes_)));
  return file_.finish();
}

}  // namespace bitcpm
