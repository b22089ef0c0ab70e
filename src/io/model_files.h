#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/mmap_file.h"
#include "base/result.h"
#include "io/data_file.h"

namespace bitcpm {

// The files of one checkpoint, by plain name: those of a directory, mapped when asked for, or a set
// of byte ranges built into the program. The bytes live as long as the object.
class ModelFiles {
 public:
  // Errors: kNotFound (no such directory), kInvalid (not a directory).
  static Result<ModelFiles> open_directory(const std::filesystem::path& directory);

  // `files` must outlive the program, as embedded data does.
  static ModelFiles from_memory(
      std::string display_name,
      std::map<std::string, std::span<const std::byte>, std::less<>> files);

  // How the user knows it: the directory as given, or the embedded model's name.
  const std::string& display_name() const { return display_name_; }

  bool contains(std::string_view file) const;

  // The bytes of one file. `file` must be a plain name: no '/', '\\', NUL, and not "." or "..";
  // anything else is kCorrupt, since such names come from untrusted indexes. The message of every
  // error starts with the file's name.
  Result<std::span<const std::byte>> open(std::string_view file);

  // Same, as text.
  Result<std::string_view> open_text(std::string_view file);

  // A file to be read at positions instead of mapped; same rules.
  Result<DataFile> open_data(std::string_view file) const;

  // `bytes`, part of a file opened here, will not be read again soon: a mapped file's whole pages
  // leave memory. No effect on files given as memory.
  void release_pages(std::span<const std::byte> bytes) const {
    if (!directory_.empty()) release_mapped_pages(bytes);
  }

 private:
  std::string display_name_;
  std::filesystem::path directory_;                                      // empty: from memory
  std::map<std::string, std::span<const std::byte>, std::less<>> open_;  // by name
  std::map<std::string, MmapFile, std::less<>> mapped_;
};

}  // namespace bitcpm
