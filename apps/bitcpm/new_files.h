#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bitcpm {

// The files that a command makes in one folder. Unless they are kept, all of them go away again,
// and the folder if it is new and nobody else's: the same command can be run once more.
class NewFiles {
 public:
  NewFiles(std::filesystem::path folder, bool folder_is_new)
      : folder_(std::move(folder)), folder_is_new_(folder_is_new) {}
  ~NewFiles();
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;

  // The path of a file about to be written.
  std::filesystem::path add(std::string_view name) { return files_.emplace_back(folder_ / name); }
  void keep() { is_kept_ = true; }

 private:
  std::filesystem::path folder_;
  bool folder_is_new_;
  bool is_kept_ = false;
  std::vector<std::filesystem::path> files_;
};

// Creates the folder where there is none. Errors: kInvalid (something is in it, unless `force`),
// kIo.
Status prepare_folder(const std::filesystem::path& folder, bool force);

// Errors: kIo.
Status write_text_file(const std::filesystem::path& path, std::string_view text);

}  // namespace bitcpm
