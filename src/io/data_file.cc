#include "io/data_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace bitcpm {
namespace {

std::string message(int error) { return std::generic_category().message(error); }

}  // namespace

DataFile::DataFile(DataFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      memory_(std::exchange(other.memory_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

DataFile& DataFile::operator=(DataFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(memory_, other.memory_);
  std::swap(size_, other.size_);
  return *this;
}

DataFile::~DataFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<DataFile> DataFile::open(const std::filesystem::path& path) {
  DataFile file;
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // never waits for a FIFO
  if (file.fd_ < 0) {
    return Error{errno == ENOENT ? Errc::kNotFound : Errc::kIo, "cannot open: " + message(errno)};
  }
  struct stat info = {};
  if (::fstat(file.fd_, &info) != 0) return Error{Errc::kIo, "cannot stat: " + message(errno)};
  if (!S_ISREG(info.st_mode)) return Error{Errc::kIo, "not a regular file"};
  file.size_ = static_cast<std::uint64_t>(info.st_size);
  return file;
}

DataFile DataFile::from_memory(std::span<const std::byte> bytes) {
  DataFile file;
  file.memory_ = bytes.data();
  file.size_ = bytes.size();
  return file;
}

Status DataFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  const Error ends{Errc::kCorrupt, "the file ends too early"};
  if (offset > size_ || out.size() > size_ - offset) return ends;
  if (fd_ < 0) {
    if (!out.empty()) std::memcpy(out.data(), memory_ + offset, out.size());
    return {};
  }
  while (!out.empty()) {
    const ssize_t count = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Error{Errc::kIo, "cannot read: " + message(errno)};
    if (count == 0) return ends;
    out = out.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

}  // namespace bitcpm
