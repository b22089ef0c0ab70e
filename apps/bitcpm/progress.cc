#include "progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "console.h"

namespace bitcpm {
namespace {

constexpr auto kSilentFor = std::chrono::seconds(2);
constexpr auto kRedrawEvery = std::chrono::milliseconds(100);
constexpr std::size_t kBarColumns = 24;

std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string bar(double share) {
  const auto filled = static_cast<std::size_t>(share * kBarColumns);
  return std::string(filled, '=') + std::string(kBarColumns - filled, ' ');
}

}  // namespace

Progress::Progress(std::string label)
    : label_(std::move(label)), on_terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(std::size_t bytes_done, std::size_t bytes_total, std::string_view detail) {
  if (bytes_total == 0 || !is_due()) return;
  draw(static_cast<double>(bytes_done) / static_cast<double>(bytes_total),
       fmt::format("{} of {}  {}", human_bytes(bytes_done), human_bytes(bytes_total), detail));
}

void Progress::update_share(double share, std::string_view detail) {
  if (is_due()) draw(share, detail);
}

bool Progress::is_due() {
  if (!on_terminal_) return false;
  const Clock::time_point now = Clock::now();
  if (now - start_ < kSilentFor || now - last_drawn_ < kRedrawEvery) return false;
  last_drawn_ = now;
  return true;
}

void Progress::draw(double share, std::string_view detail) {
  drawn_ = true;
  share = std::clamp(share, 0.0, 1.0);
  const std::string line =
      fmt::format("{} [{}] {:3.0f} %  {}", label_, bar(share), share * 100, detail);
  const std::string shown = padded(line, terminal_columns() - 1);
  std::fprintf(stderr, "\r%s\x1b[K", shown.c_str());
}

}  // namespace bitcpm
