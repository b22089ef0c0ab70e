#pragma once

#include <string>

#include "engine/engine_config.h"
#include "memory_plan.h"
#include "model_setup.h"
#include "serve_flags.h"

namespace bitcpm {

// What the flags alone say of the engine's limits: neither lengths nor memory.
EngineConfig engine_limits(const ServeOptions& options);

// The engine's own condition on them, in terms of the flags: empty, or what is wrong.
std::string step_size_error(const ServeOptions& options);

// A loaded model, and how the server that these flags ask for would use the memory.
struct ServePlan {
  ModelSetup setup;
  MemoryPlan memory;
  EngineConfig config;
};

// Loads the model and plans. Errors: those of load_model_setup() and plan_memory().
Result<ServePlan> plan_serving(const ServeOptions& options);

}  // namespace bitcpm
