#pragma once

#include "kernels/avxvnni/dot16.h"
// After dot16.h, on which it is written.
#include "kernels/shared/decoded_unsigned.h"

// See shared/decoded_weights.h.
namespace {

using DecodedCodes = DecodedUnsigned<1>;
using DecodedInt8 = DecodedUnsigned<1>;

}  // namespace
