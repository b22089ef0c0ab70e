#include "server/engine_port.h"

#include <utility>

#include "engine/engine.h"
#include "server/http_server.h"

namespace bitcpm {

EnginePort engine_port(Engine& engine) {
  EnginePort port;
  port.submit = [&engine](std::vector<TokenId> prompt, SamplingParams params, EventSink sink) {
    return engine.submit(std::move(prompt), std::move(params), std::move(sink));
  };
  port.cancel = [&engine](RequestId request) { engine.cancel(request); };
  port.stats = [&engine] { return engine.stats(); };
  const EngineConfig& config = engine.config();
  port.max_running = config.max_num_seqs;
  port.max_waiting = config.max_waiting_requests;
  port.max_model_len = config.max_model_len;
  port.max_logprobs = config.max_logprobs;
  port.kv_cache = {.dtype = kv_cache_dtype_name(*config.kv_cache_dtype),
                   .bytes = config.kv_cache_bytes,
                   .enable_prefix_caching = config.enable_prefix_caching,
                   .records_residency = config.kv_cache_metrics_sample > 0};
  return port;
}

void HttpServer::serve(ServedModel model, Engine& engine, const Tokenizer& tokenizer,
                       const ChatTemplate& chat_template) {
  serve(std::move(model), engine_port(engine), tokenizer, chat_template);
}

}  // namespace bitcpm
