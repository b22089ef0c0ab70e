#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace bitcpm {

// A bar on standard error for work of known size. Drawn only on a terminal and only once the work
// has taken two seconds: short work and logs stay clean. The destructor wipes it.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` is what is being worked on; cut to the width of the terminal.
  void update(std::size_t bytes_done, std::size_t bytes_total, std::string_view detail);

  // The same for work that is not counted in bytes.
  void update_share(double share, std::string_view detail);

 private:
  bool is_due();
  void draw(double share, std::string_view detail);

  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool on_terminal_;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_drawn_;
};

}  // namespace bitcpm
