# The libraries of the machine that is built for. Everything but libc and libm is linked in: the
# binary runs where nothing is installed.
set(Boost_USE_STATIC_LIBS ON)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(fmt REQUIRED)
find_library(XXHASH_LIBRARY NAMES libxxhash.a xxhash REQUIRED)
set(OPENSSL_USE_STATIC_LIBS ON)
find_package(OpenSSL 3.0 REQUIRED)
find_library(ZLIB_LIBRARY NAMES libz.a z REQUIRED)
find_package(GTest REQUIRED)
