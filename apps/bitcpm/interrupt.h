#pragma once

namespace bitcpm {

// While it lives, Ctrl-C (SIGINT) does not end the program but is remembered, and a blocking read
// returns early. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // Whether Ctrl-C came since the last call.
  bool take();

  // Whether it came at all.
  bool came() const;

 private:
  bool taken_ = false;
};

}  // namespace bitcpm
