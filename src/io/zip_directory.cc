#include "io/zip_directory.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/quote.h"
#include "io/little_endian.h"

namespace bitcpm {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t kLocalSignature = 0x04034b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;
constexpr std::size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;
constexpr std::size_t kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint32_t kIn64 = 0xffffffff;        // "see the zip64 field"
constexpr std::uint16_t kIn64Short = 0xffff;       // the same, of a 16-bit field
constexpr std::uint16_t kEncryptedFlags = 0x2041;  // plain, strong, masked headers
constexpr std::uint16_t kSizesFollowFlag = 0x0008;

// The central directory: [begin, begin + bytes) of the file.
struct Directory {
  std::uint64_t begin, bytes, entries;
};

struct Entry {
  std::string_view name;
  std::uint16_t flags = 0, method = 0;
  std::uint64_t stored_bytes = 0, plain_bytes = 0, local_offset = 0;
};

// One member of the file, header and data.
struct Extent {
  std::uint64_t begin, end;
  std::string_view name;
};

Error corrupt(std::string message) { return Error{Errc::kCorrupt, std::move(message)}; }

Error bad_member(std::string_view name, std::string_view what) {
  return corrupt("member " + quote_name(name) + ": " + std::string(what));
}

std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool fits(Bytes file, std::uint64_t offset, std::uint64_t bytes) {
  return offset <= file.size() && bytes <= file.size() - offset;
}

// The end record is last, but for a comment of at most 65535 bytes that it announces.
std::optional<std::size_t> find_end_record(Bytes file) {
  if (file.size() < kEndBytes) return std::nullopt;
  const std::size_t last = file.size() - kEndBytes;
  for (std::size_t comment = 0; comment <= std::min<std::size_t>(last, 0xffff); ++comment) {
    const std::size_t at = last - comment;
    if (load_le<std::uint32_t>(file, at) == kEndSignature &&
        load_le<std::uint16_t>(file, at + 20) == comment) {
      return at;
    }
  }
  return std::nullopt;
}

// The zip64 end record that the locator just before the end record points at, if there is one.
Result<std::optional<std::uint64_t>> find_end64_record(Bytes file, std::size_t end) {
  if (end < kLocator64Bytes) return std::optional<std::uint64_t>();
  const std::size_t locator = end - kLocator64Bytes;
  if (load_le<std::uint32_t>(file, locator) != kLocator64Signature) {
    return std::optional<std::uint64_t>();
  }
  const auto at = load_le<std::uint64_t>(file, locator + 8);
  if (!fits(file, at, kEnd64Bytes) || at + kEnd64Bytes != locator ||
      load_le<std::uint32_t>(file, at) != kEnd64Signature) {
    return corrupt("the zip64 locator points at no zip64 end record");
  }
  return std::optional<std::uint64_t>(at);
}

// A field that both end records have: they agree, or the short one says "see zip64".
bool agree(std::uint64_t narrow, std::uint64_t placeholder, std::uint64_t wide) {
  return narrow == placeholder || narrow == wide;
}

Result<Directory> find_directory(Bytes file) {
  const std::optional<std::size_t> end = find_end_record(file);
  if (!end) return corrupt("not a zip archive, or truncated: no end record");
  if (load_le<std::uint16_t>(file, *end + 4) != 0 || load_le<std::uint16_t>(file, *end + 6) != 0) {
    return Error{Errc::kUnsupported, "zip archive of several disks"};
  }
  Directory directory{load_le<std::uint32_t>(file, *end + 16),
                      load_le<std::uint32_t>(file, *end + 12),
                      load_le<std::uint16_t>(file, *end + 10)};
  std::uint64_t directory_end = *end;
  BITCPM_ASSIGN(const std::optional<std::uint64_t> end64, find_end64_record(file, *end));
  if (end64) {
    const Directory wide{load_le<std::uint64_t>(file, *end64 + 48),
                         load_le<std::uint64_t>(file, *end64 + 40),
                         load_le<std::uint64_t>(file, *end64 + 32)};
    if (!agree(directory.begin, kIn64, wide.begin) || !agree(directory.bytes, kIn64, wide.bytes) ||
        !agree(directory.entries, kIn64Short, wide.entries)) {
      return corrupt("the zip64 end record contradicts the end record");
    }
    directory = wide;
    directory_end = *end64;
  }
  if (!fits(file, directory.begin, directory.bytes) ||
      directory.begin + directory.bytes != directory_end) {
    return corrupt("the central directory does not end where its end record begins");
  }
  if (directory.entries > directory.bytes / kCentralBytes) {
    return corrupt("the central directory has no room for its " +
                   std::to_string(directory.entries) + " entries");
  }
  return directory;
}

// The 64-bit values stand in the zip64 extra field in this order, only those that are needed.
Status widen(Bytes extra, Entry& entry) {
  std::uint64_t* fields[] = {&entry.plain_bytes, &entry.stored_bytes, &entry.local_offset};
  if (std::ranges::none_of(fields, [](const auto* field) { return *field == kIn64; })) return {};
  while (extra.size() >= 4) {
    const auto tag = load_le<std::uint16_t>(extra, 0);
    const auto bytes = load_le<std::uint16_t>(extra, 2);
    if (bytes > extra.size() - 4) break;
    Bytes body = extra.subspan(4, bytes);
    extra = extra.subspan(4 + std::size_t{bytes});
    if (tag != kZip64Extra) continue;
    for (std::uint64_t* field : fields) {
      if (*field != kIn64) continue;
      if (body.size() < 8) return bad_member(entry.name, "its zip64 sizes are cut short");
      *field = load_le<std::uint64_t>(body, 0);
      body = body.subspan(8);
    }
    return {};
  }
  return bad_member(entry.name, "its zip64 sizes are missing");
}

// Reads the entry at the front of `directory` and removes it from there.
Result<Entry> next_entry(Bytes& directory) {
  if (directory.size() < kCentralBytes ||
      load_le<std::uint32_t>(directory, 0) != kCentralSignature) {
    return corrupt("a central directory entry is cut short or has no signature");
  }
  const std::size_t name_bytes = load_le<std::uint16_t>(directory, 28);
  const std::size_t extra_bytes = load_le<std::uint16_t>(directory, 30);
  const std::size_t comment_bytes = load_le<std::uint16_t>(directory, 32);
  const std::size_t total = kCentralBytes + name_bytes + extra_bytes + comment_bytes;
  if (total > directory.size()) return corrupt("a central directory entry is cut short");
  Entry entry{.name = text(directory.subspan(kCentralBytes, name_bytes)),
              .flags = load_le<std::uint16_t>(directory, 8),
              .method = load_le<std::uint16_t>(directory, 10),
              .stored_bytes = load_le<std::uint32_t>(directory, 20),
              .plain_bytes = load_le<std::uint32_t>(directory, 24),
              .local_offset = load_le<std::uint32_t>(directory, 42)};
  BITCPM_TRY(widen(directory.subspan(kCentralBytes + name_bytes, extra_bytes), entry));
  directory = directory.subspan(total);
  return entry;
}

Status check_stored(const Entry& entry) {
  if ((entry.flags & kEncryptedFlags) != 0) {
    return Error{Errc::kUnsupported, "member " + quote_name(entry.name) + " is encrypted"};
  }
  if (entry.method != 0) {
    return Error{Errc::kUnsupported, "member " + quote_name(entry.name) +
                                         " is compressed (method " + std::to_string(entry.method) +
                                         ")"};
  }
  if (entry.stored_bytes != entry.plain_bytes) {
    return bad_member(entry.name, "stored, yet its two sizes differ");
  }
  return {};
}

// A local size may be absent (0) if it follows the data, or stand in a zip64 field.
bool local_size_agrees(std::uint32_t local, const Entry& entry) {
  if (local == entry.stored_bytes || local == kIn64) return true;
  return local == 0 && (entry.flags & kSizesFollowFlag) != 0;
}

Result<Bytes> member_data(Bytes before_directory, const Entry& entry) {
  const std::uint64_t at = entry.local_offset;
  if (!fits(before_directory, at, kLocalBytes) ||
      load_le<std::uint32_t>(before_directory, at) != kLocalSignature) {
    return bad_member(entry.name, "no local header where the directory says");
  }
  const Bytes local = before_directory.subspan(at);
  const std::size_t name_bytes = load_le<std::uint16_t>(local, 26);
  const std::size_t begin = kLocalBytes + name_bytes + load_le<std::uint16_t>(local, 28);
  if (!fits(local, begin, entry.stored_bytes)) {
    return bad_member(entry.name, "truncated: its data runs into the central directory");
  }
  const bool same = text(local.subspan(kLocalBytes, name_bytes)) == entry.name &&
                    load_le<std::uint16_t>(local, 6) == entry.flags &&
                    load_le<std::uint16_t>(local, 8) == entry.method &&
                    local_size_agrees(load_le<std::uint32_t>(local, 18), entry) &&
                    local_size_agrees(load_le<std::uint32_t>(local, 22), entry);
  if (!same) return bad_member(entry.name, "its local header contradicts the directory");
  return local.subspan(begin, entry.stored_bytes);
}

Status check_no_overlap(std::vector<Extent> extents) {
  std::ranges::sort(extents, {}, &Extent::begin);
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end) {
      return bad_member(extents[i].name, "overlaps another member");
    }
  }
  return {};
}

}  // namespace

Result<ZipDirectory> read_zip_directory(Bytes file) {
  BITCPM_ASSIGN(const Directory directory, find_directory(file));
  const Bytes before_directory = file.first(directory.begin);
  Bytes rest = file.subspan(directory.begin, directory.bytes);
  ZipDirectory members;
  std::vector<Extent> extents;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    BITCPM_ASSIGN(const Entry entry, next_entry(rest));
    BITCPM_TRY(check_stored(entry));
    BITCPM_ASSIGN(const Bytes data, member_data(before_directory, entry));
    if (!members.emplace(entry.name, data).second) {
      return bad_member(entry.name, "occurs twice");
    }
    const auto end = static_cast<std::uint64_t>(data.data() + data.size() - file.data());
    extents.push_back({entry.local_offset, end, entry.name});
  }
  if (!rest.empty()) return corrupt("the central directory holds more than its entries");
  BITCPM_TRY(check_no_overlap(std::move(extents)));
  return members;
}

}  // namespace bitcpm
