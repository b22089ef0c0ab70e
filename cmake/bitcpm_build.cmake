# Compiler settings and the functions every CMakeLists.txt here uses.

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH BITCPM_ROOT)  # the checkout

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# No -march=native and no -ffast-math, ever; no contraction, so that an FMA stands only where the
# source says so (docs/numerics.md).
add_compile_options(-Wall -Wextra -ffp-contract=off)
if(BITCPM_WERROR)
  add_compile_options(-Werror)
endif()
if(BITCPM_SANITIZE)
  add_compile_options(-fsanitize=${BITCPM_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BITCPM_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 misreads instrumented code (Asio's coroutine frames: half of a new and delete inlined),
    # and says of Asio's fences that tsan ignores them.
    add_compile_options(-Wno-maybe-uninitialized -Wno-tsan
                        $<$<COMPILE_LANGUAGE:CXX>:-Wno-mismatched-new-delete>)
  endif()
endif()

# Environment of every test, also of those in Python.
set(BITCPM_TEST_ENVIRONMENT "")
if(BITCPM_SANITIZE STREQUAL "thread")
  set(BITCPM_TEST_ENVIRONMENT
      "TSAN_OPTIONS=suppressions=${BITCPM_ROOT}/tests/tsan_suppressions.txt exitcode=66")
endif()

# bitcpm_module(name SOURCES a.cc … [TESTS a_test.cc …] [DEPS module-or-library …])
#   Defines the static library bitcpm_<name> of this folder, and <name>_test from TESTS.
function(bitcpm_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;TESTS;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(bitcpm_${name} STATIC ${ARG_SOURCES})
    set(scope PUBLIC)
  else()
    add_library(bitcpm_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(bitcpm_${name} ${scope} ${BITCPM_ROOT}/src)
  target_link_libraries(bitcpm_${name} ${scope} ${ARG_DEPS})
  if(ARG_TESTS)
    bitcpm_test(${name}_test SOURCES ${ARG_TESTS} DEPS bitcpm_${name})
  endif()
endfunction()

# bitcpm_test(name SOURCES … DEPS … [ENV VAR=value …] [TIMEOUT seconds])
#   One GoogleTest binary, registered as one ctest case. BITCPM_SOURCE_DIR names the checkout, for
#   tests that read assets/ or tests/golden/.
function(bitcpm_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;ENV" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(BITCPM_SANITIZE)
    math(EXPR ARG_TIMEOUT "10 * ${ARG_TIMEOUT}")
  endif()
  if(NOT TARGET ${name})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
    target_compile_definitions(${name} PRIVATE BITCPM_SOURCE_DIR="${BITCPM_ROOT}")
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${ARG_ENV};${BITCPM_TEST_ENVIRONMENT}")
endfunction()

# bitcpm_isa(level FLAGS … SOURCES …)
#   Adds the sources of one CPU level to bitcpm_kernels, compiled with that level's flags.
function(bitcpm_isa level)
  cmake_parse_arguments(ARG "" "" "FLAGS;SOURCES" ${ARGN})
  target_sources(bitcpm_kernels PRIVATE ${ARG_SOURCES})
  set_source_files_properties(${ARG_SOURCES} PROPERTIES COMPILE_OPTIONS "${ARG_FLAGS}")
endfunction()
