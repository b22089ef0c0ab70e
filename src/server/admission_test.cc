#include "server/admission.h"

#include <gtest/gtest.h>

#include <vector>

namespace bitcpm {
namespace {

// Protects the promise to refuse before work is done: places are counted while a request is
// prepared, while its choices run, and are free when it goes.
TEST(Admission, CountsPlaces) {
  Admission admission;
  EXPECT_TRUE(admission.full());  // no engine yet
  admission.set_capacity(4, 1);
  {
    Admission::Ticket first = admission.enter();
    EXPECT_FALSE(admission.full());
    first.resize(3);
    Admission::Ticket second = admission.enter();
    EXPECT_TRUE(admission.full());
    EXPECT_EQ(admission.requests(), 2u);
    first.resize(1);
    EXPECT_FALSE(admission.full());
    Admission::Ticket moved = std::move(second);
    EXPECT_EQ(admission.requests(), 2u);
  }
  EXPECT_EQ(admission.requests(), 0u);
}

// Protects clients that obey Retry-After: it follows the rate at which requests end, within bounds.
TEST(Admission, MeasuresTheWait) {
  Admission admission;
  admission.set_capacity(100, 10);
  EXPECT_EQ(admission.retry_after_s(), 1);
  Admission::Ticket ending = admission.enter();
  ending.resize(11);
  Admission::Ticket waiting = admission.enter();
  waiting.resize(50);
  const auto begin = Admission::Clock::now();
  ending.resize(1);  // ten ends
  // 51 - 10 = 41 wait; half of them at 10 per 5 s take 10.25 s.
  EXPECT_EQ(admission.retry_after_s(begin + std::chrono::seconds{5}), 11);
  EXPECT_EQ(admission.retry_after_s(begin + std::chrono::hours{1}), 60);
  EXPECT_EQ(admission.retry_after_s(begin + std::chrono::milliseconds{5}), 1);
}

}  // namespace
}  // namespace bitcpm
