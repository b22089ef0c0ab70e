#include "sampling_options.h"

#include <limits>
#include <random>

namespace bitcpm {
namespace {

// 32 bits: enough to differ, short enough to type again.
std::uint64_t random_seed() { return std::random_device()(); }

}  // namespace

void add_distribution_options(CLI::App& app, SamplingOptions& options,
                              const std::string& temperature_default,
                              const std::string& otherwise) {
  constexpr auto kAnyK = std::numeric_limits<std::int32_t>::max();
  const auto defaults = [&](const char* value) { return " (default: " + otherwise + value + ")"; };
  add_real(app, "--temperature", options.temperature, 0, 2,
           "0 is greedy (default: " + temperature_default + ")");
  add_real(app, "--top-p", options.top_p, 0, 1, "Nucleus mass" + defaults("1"));
  add_count(app, "--top-k", options.top_k, -1, kAnyK,
            "Most likely tokens to draw from, 0 or -1 for all" + defaults("0"));
  add_real(app, "--min-p", options.min_p, 0, 1,
           "Least probability relative to the likeliest token" + defaults("0"));
  add_real(app, "--presence-penalty", options.presence_penalty, -2, 2, "(default: 0)");
  add_real(app, "--frequency-penalty", options.frequency_penalty, -2, 2, "(default: 0)");
  add_real(app, "--repetition-penalty", options.repetition_penalty, 0, 10,
           "(default: " + otherwise + "1)");
}

void add_sampling_options(CLI::App& app, SamplingOptions& options) {
  add_distribution_options(app, options, "the model's generation_config.json, else 1",
                           "the model's, else ");
  app.add_option("--seed", options.seed, "Decides every draw (default: a random one)");
  app.add_option("--stop", options.stop, "Text that ends the answer; may be given several times")
      ->expected(1)
      ->take_all()
      ->type_name("TEXT");
  app.add_flag("--ignore-eos", options.ignore_eos, "Generate until --max-tokens");
}

SamplingParams make_sampling_params(const SamplingOptions& options,
                                    const GenerationDefaults& defaults) {
  SamplingParams params;
  const auto choose = [](const auto& given, const auto& of_model, auto otherwise) {
    using Value = decltype(otherwise);
    if (given) return static_cast<Value>(*given);
    return of_model ? static_cast<Value>(*of_model) : otherwise;
  };
  params.temperature = choose(options.temperature, defaults.temperature, params.temperature);
  params.top_p = choose(options.top_p, defaults.top_p, params.top_p);
  params.top_k = choose(options.top_k, defaults.top_k, params.top_k);
  params.min_p = choose(options.min_p, defaults.min_p, params.min_p);
  params.presence_penalty = options.presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = options.frequency_penalty.value_or(params.frequency_penalty);
  params.repetition_penalty =
      choose(options.repetition_penalty, defaults.repetition_penalty, params.repetition_penalty);
  params.seed = options.seed.value_or(random_seed());
  params.ignore_eos = options.ignore_eos;
  return params;
}

}  // namespace bitcpm
