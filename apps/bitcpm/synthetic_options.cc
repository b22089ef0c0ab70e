#include "synthetic_options.h"

#include <string_view>
#include <vector>

#include "model/synthetic.h"
#include "option_values.h"

namespace bitcpm {

CLI::Option* add_shape_option(CLI::App& app, const std::string& flags, std::string& shape,
                              const std::string& help) {
  std::vector<std::string_view> names;
  for (const SyntheticShape& known : synthetic_shapes()) names.push_back(known.name);
  return add_word(app, flags, shape, names, {}, help);
}

CLI::Option* add_group_option(CLI::App& app, const std::string& flags, std::string& group) {
  return add_word(app, flags, group, {"32", "64", "128", "256", "row", "none"}, {},
                  "In-features per ternary scale; none makes plain bf16 weights (default: 128)");
}

std::int64_t synthetic_group(const std::string& group) {
  if (group == "row") return kSyntheticGroupRow;
  if (group == "none") return kSyntheticPlain;
  return std::stoll(group);  // one of the words the flag allows
}

}  // namespace bitcpm
