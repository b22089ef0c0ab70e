// The same source with the 256-bit encodings of AVX-512 VNNI, so that a CPU without AVX-VNNI can
// run its arithmetic in a test (test_levels.h). A source, not a header: it brings its own flags.
#define install_avxvnni install_avxvnni_evex
#include "kernels/avxvnni/kernels.cc"
