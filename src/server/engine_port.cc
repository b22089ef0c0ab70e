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
  port.max_running = engine.config().max_num_seqs;
  port.max_waiting = engine.config().max_waiting_requests;
  port.max_model_len = engine.config().max_model_len;
  port.max_logprobs = engine.config().max_logprobs;
  return port;
}

void HttpServer::serve(ServedModel model, Engine& engine, const Tokenizer& tokenizer,
                       const ChatTemplate& chat_template) {
  serve(std::move(model), engine_port(engine), tokenizer, chat_template);
}

}  // namespace bitcpm
