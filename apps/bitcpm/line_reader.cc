#include "line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace bitcpm {
namespace {
constexpr std::size_t kMaxLineBytes = std::size_t{1} << 20;
}  // namespace

LineReader::Outcome LineReader::read(std::string& line) {
  for (;;) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos || buffer_.size() > kMaxLineBytes) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end == std::string::npos ? end : end + 1);
      return Outcome::kLine;
    }
    if (ended_) {
      line = std::exchange(buffer_, {});
      return line.empty() ? Outcome::kEnd : Outcome::kLine;
    }
    char chunk[4096];
    const ssize_t count = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (count < 0 && errno == EINTR) {
      buffer_.clear();
      return Outcome::kInterrupted;
    }
    if (count <= 0) ended_ = true;
    if (count > 0) buffer_.append(chunk, static_cast<std::size_t>(count));
  }
}

}  // namespace bitcpm
