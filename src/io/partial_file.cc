#include "io/partial_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace bitcpm {

PartialFile::PartialFile(const std::filesystem::path& path) : path_(path), partial_(path) {
  partial_ += ".partial";
}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      fd_(std::exchange(other.fd_, -1)) {}

PartialFile& PartialFile::operator=(PartialFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(partial_, other.partial_);
  std::swap(fd_, other.fd_);
  return *this;
}

PartialFile::~PartialFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(partial_.c_str());
}

Result<PartialFile> PartialFile::create(const std::filesystem::path& path) {
  PartialFile file(path);
  file.fd_ = ::open(file.partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file.fd_ < 0) return file.failure("create", errno);
  return file;
}

Status PartialFile::append(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::write(fd_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure("write", errno);
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status PartialFile::overwrite(std::uint64_t offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t written = ::pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure("write", errno);
    data = data.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Status PartialFile::finish() {
  // A network file system may report a failed write only here.
  if (::close(std::exchange(fd_, -1)) != 0) return abandon("close", errno);
  if (::rename(partial_.c_str(), path_.c_str()) != 0) return abandon("rename", errno);
  return {};
}

Error PartialFile::failure(std::string_view what, int error) const {
  return Error{Errc::kIo, partial_.string() + ": " + std::string(what) + ": " +
                              std::generic_category().message(error)};
}

Error PartialFile::abandon(std::string_view what, int error) {
  ::unlink(partial_.c_str());
  return failure(what, error);
}

}  // namespace bitcpm
