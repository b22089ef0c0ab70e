#include "new_files.h"

#include <fstream>
#include <system_error>

namespace bitcpm {

namespace fs = std::filesystem;

NewFiles::~NewFiles() {
  if (is_kept_) return;
  std::error_code ignored;
  for (const fs::path& file : files_) fs::remove(file, ignored);
  if (folder_is_new_) fs::remove(folder_, ignored);  // fails if somebody put a file there
}

Status prepare_folder(const fs::path& folder, bool force) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return Error{Errc::kIo, folder.string() + ": " + error.message()};
  const bool is_empty = fs::is_empty(folder, error);
  if (error) return Error{Errc::kIo, folder.string() + ": " + error.message()};
  if (!is_empty && !force) {
    return Error{Errc::kInvalid,
                 folder.string() + " is not empty; --force replaces a checkpoint in it"};
  }
  return {};
}

Status write_text_file(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error{Errc::kIo, path.string() + ": cannot be written"};
  return {};
}

}  // namespace bitcpm
