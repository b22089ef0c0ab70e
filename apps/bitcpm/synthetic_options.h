#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

namespace bitcpm {

// A published shape by its name.
CLI::Option* add_shape_option(CLI::App& app, const std::string& flags, std::string& shape,
                              const std::string& help);

// In-features per ternary scale, as a word: 32, 64, 128, 256, row or none.
CLI::Option* add_group_option(CLI::App& app, const std::string& flags, std::string& group);

// Such a word as fill_synthetic() wants it.
std::int64_t synthetic_group(const std::string& group);

}  // namespace bitcpm
