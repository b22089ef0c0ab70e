#pragma once

#include "kernels/avx512vnni/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/shared/decoded_unsigned.h"

// See shared/decoded_weights.h.
namespace {

using DecodedCodes = DecodedUnsigned<4>;
using DecodedInt8 = DecodedUnsigned<4>;

}  // namespace
