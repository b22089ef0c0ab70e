#include "interrupt.h"

#include <atomic>
#include <csignal>

namespace bitcpm {
namespace {

// A signal handler has no context to be given: the one mutable global of the program.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void set_handler(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: read() must come back
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupted = false;
  set_handler([](int) { interrupted = true; });
}

InterruptGuard::~InterruptGuard() { set_handler(SIG_DFL); }

bool InterruptGuard::take() {
  const bool now = interrupted.exchange(false);
  taken_ = taken_ || now;
  return now;
}

bool InterruptGuard::came() const { return taken_ || interrupted; }

}  // namespace bitcpm
