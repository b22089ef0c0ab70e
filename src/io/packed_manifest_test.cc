#include "io/packed_manifest.h"

#include <gtest/gtest.h>

#include "io/reader_testing.h"

namespace bitcpm {
namespace {

TEST(Placeholder, X) {}

}  // namespace
}  // namespace bitcpm
