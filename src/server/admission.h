#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <utility>

namespace bitcpm {

// Counts what the engine has and will have to do, so that a full queue is known before a request is
// tokenised, and for how long it will be full. The server's thread.
class Admission {
 public:
  using Clock = std::chrono::steady_clock;

  // A request's places in the queue: one while it is prepared, then one per unfinished choice.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)), places_(other.places_) {}
    Ticket& operator=(Ticket&& other) noexcept {
      resize(0);
      admission_ = std::exchange(other.admission_, nullptr);
      places_ = other.places_;
      return *this;
    }
    ~Ticket() { resize(0); }
    void resize(std::size_t places);

   private:
    friend class Admission;
    explicit Ticket(Admission* admission) : admission_(admission) { resize(1); }
    Admission* admission_ = nullptr;
    std::size_t places_ = 0;
  };

  // capacity: requests that the engine takes, running or waiting; running: at once.
  void set_capacity(std::size_t capacity, std::size_t running);

  bool full() const { return occupied_ >= capacity_; }
  std::size_t requests() const { return tickets_; }
  Ticket enter();

  // Seconds until half of the queue has gone, at the rate at which requests have been ending; 1 to
  // 60.
  int retry_after_s(Clock::time_point now = Clock::now()) const;

 private:
  void ended(Clock::time_point when);

  static constexpr std::size_t kRemembered = 64;
  std::size_t capacity_ = 0;
  std::size_t running_ = 1;
  std::size_t occupied_ = 0;
  std::size_t tickets_ = 0;
  std::array<Clock::time_point, kRemembered> ends_{};  // the newest, as a ring
  std::size_t ends_count_ = 0;
};

}  // namespace bitcpm
