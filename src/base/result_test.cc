#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace bitcpm {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{Errc::kInvalid, std::to_string(n) + " is odd"};
  return n / 2;
}

Result<int> quarter(int n) {
  BITCPM_ASSIGN(const int once, half(n));
  BITCPM_ASSIGN(const int twice, half(once));
  return twice;
}

Status check_quarter(int n) {
  BITCPM_TRY(quarter(n));
  return {};
}

// Protects: the macros hand on the first error unchanged and evaluate their expression once.
TEST(Result, MacrosPropagateTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message, "3 is odd");
  EXPECT_TRUE(check_quarter(4).ok());
  EXPECT_EQ(check_quarter(5).error().code, Errc::kInvalid);
}

// Protects: within() prefixes the scope, outermost first.
TEST(Result, WithinNamesTheScope) {
  Error error = Error{Errc::kCorrupt, "truncated"}.within("model.safetensors").within("load");
  EXPECT_EQ(error.message, "load: model.safetensors: truncated");
}

// Protects: move-only values travel.
TEST(Result, CarriesMoveOnlyValues) {
  Result<std::unique_ptr<int>> made(std::make_unique<int>(7));
  EXPECT_EQ(*std::move(made).value(), 7);
}

// Protects: reading the wrong side aborts instead of returning garbage.
TEST(ResultDeathTest, WrongSideAborts) {
  EXPECT_DEATH((void)half(3).value(), "check failed");
  EXPECT_DEATH((void)half(4).error(), "check failed");
}

}  // namespace
}  // namespace bitcpm
