#include "io/model_files.h"

#include <system_error>
#include <utility>

#include "base/quote.h"

namespace bitcpm {
namespace {

// Longer names exist on no file system we know (NAME_MAX is 255).
constexpr std::size_t kMaxNameBytes = 255;

bool plain_name(std::string_view file) {
  if (file.empty() || file.size() > kMaxNameBytes || file == "." || file == "..") return false;
  return file.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

}  // namespace

Result<ModelFiles> ModelFiles::open_directory(const std::filesystem::path& directory) {
  std::error_code ec;
  const std::filesystem::file_status status = std::filesystem::status(directory, ec);
  if (status.type() == std::filesystem::file_type::not_found) {
    return Error{Errc::kNotFound, directory.string() + ": no such directory"};
  }
  if (!std::filesystem::is_directory(status)) {
    const std::string why = ec ? ec.message() : "not a directory";
    return Error{Errc::kInvalid, directory.string() + ": " + why};
  }
  ModelFiles files;
  files.display_name_ = directory.string();
  files.directory_ = directory;
  return files;
}

ModelFiles ModelFiles::from_memory(
    std::string display_name,
    std::map<std::string, std::span<const std::byte>, std::less<>> files) {
  ModelFiles result;
  result.display_name_ = std::move(display_name);
  result.open_ = std::move(files);
  return result;
}

bool ModelFiles::contains(std::string_view file) const {
  if (!plain_name(file)) return false;
  if (open_.find(file) != open_.end()) return true;
  std::error_code ec;  // a link may point anywhere: hub caches keep their files behind links
  return !directory_.empty() && std::filesystem::exists(directory_ / file, ec);
}

Result<std::span<const std::byte>> ModelFiles::open(std::string_view file) {
  if (!plain_name(file)) {
    return Error{Errc::kCorrupt, escaped(file) + ": not a plain file name"};
  }
  if (const auto known = open_.find(file); known != open_.end()) return known->second;
  if (directory_.empty()) {
    return Error{Errc::kNotFound, escaped(file) + ": no such file"};
  }
  const std::filesystem::path path = directory_ / file;
  Result<MmapFile> mapped = MmapFile::open(path);
  if (!mapped.ok()) {
    Error error = std::move(mapped).error();
    const std::string prefix = path.string();
    if (error.message.starts_with(prefix)) error.message.erase(0, prefix.size());
    error.message.insert(0, escaped(file));
    return error;
  }
  const auto kept = mapped_.emplace(std::string(file), std::move(mapped).value()).first;
  return open_.emplace(std::string(file), kept->second.bytes()).first->second;
}

Result<std::string_view> ModelFiles::open_text(std::string_view file) {
  BITCPM_ASSIGN(const std::span<const std::byte> bytes, open(file));
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<DataFile> ModelFiles::open_data(std::string_view file) const {
  if (!plain_name(file)) {
    return Error{Errc::kCorrupt, escaped(file) + ": not a plain file name"};
  }
  if (directory_.empty()) {
    const auto known = open_.find(file);
    if (known == open_.end()) return Error{Errc::kNotFound, escaped(file) + ": no such file"};
    return DataFile::from_memory(known->second);
  }
  Result<DataFile> opened = DataFile::open(directory_ / file);
  if (!opened.ok()) return std::move(opened).error().within(escaped(file));
  return opened;
}

}  // namespace bitcpm
