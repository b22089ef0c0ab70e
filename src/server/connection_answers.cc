#include <fmt/format.h>
#include <malloc.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>
#include <exception>
#include <utility>

#include "base/log.h"
#include "server/connection.h"
#include "server/disconnect_watch.h"
#include "server/openapi.h"
#include "server/page.h"
#include "server/request_body.h"
#include "server/sse.h"
#include "server/stream_writer.h"
#include "server/tokenize_api.h"

// What a connection does once a request has been read.
namespace bitcpm {
namespace asio = boost::asio;

namespace {

constexpr std::size_t kTrimmedBodyBytes = 256 << 10;  // what a smaller one leaves is reused anyway

// glibc keeps what the JSON and the tokens of a large body took, in the arena of each worker.
void give_memory_back() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

ApiError stopping_error() { return unavailable("the server is shutting down"); }

using Prepared = std::variant<PreparedRequest, std::string, ApiError>;

Prepared prepare_unguarded(Route route, std::string_view body, const Service& service,
                           ServerContext& context) {
  const auto widen = [](auto&& parsed) -> Prepared {
    return std::visit([](auto&& value) -> Prepared { return std::move(value); }, std::move(parsed));
  };
  const RequestLimits& limits = service.limits;
  if (route == Route::kTokenize) return widen(answer_tokenize(body, limits, service.tools));
  if (route == Route::kDetokenize) return widen(answer_detokenize(body, limits, service.tools));
  Parsed<PreparedRequest> request = route == Route::kChatCompletions
                                        ? prepare_chat(body, limits, service.tools)
                                        : prepare_completion(body, limits, service.tools);
  if (const auto* good = std::get_if<PreparedRequest>(&request)) {
    context.report_unknown_fields(good->unknown_fields);
  }
  return widen(std::move(request));
}

// What a worker does with a body: a request for the engine, or the answer itself.
Prepared prepare(Route route, std::string_view body, const Service& service,
                 ServerContext& context) {
  try {
    return prepare_unguarded(route, body, service, context);
  } catch (const std::exception& failure) {  // out of memory
    log_error(std::string("a request could not be prepared: ") + failure.what());
    return internal_error();
  }
}

}  // namespace

std::optional<Connection::Reply> Connection::answer_get(Route route) {
  Reply reply;
  const Service* service = context_.service.get();
  switch (route) {
    case Route::kHealth:
    case Route::kPing:
      reply.content_type = {};
      break;
    case Route::kReady:
      reply.body = R"({"status":"ready"})";
      break;
    case Route::kLoad:
      reply.body = json::serialize(json::object{{"server_load", context_.admission.requests()}});
      break;
    case Route::kMetrics:
      reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
      reply.body =
          context_.metrics.text(service == nullptr ? EngineStats() : service->engine.stats());
      break;
    case Route::kOpenApi:
      reply.body = openapi_document();
      break;
    case Route::kVersion:
      reply.body = json::serialize(json::object{{"version", BITCPM_VERSION}});
      break;
    case Route::kPage: {
      const PageFile& file = *find_page_file(path_of(request_.target()));
      reply.body = file.body;
      reply.content_type = file.content_type;
      for (const PageHeader& header : kPageHeaders) {
        reply.headers += fmt::format("{}: {}\r\n", header.name, header.value);
      }
      break;
    }
    case Route::kModels:
      reply.body = models_json(service->limits, service->model.numerics, context_.started);
      break;
    case Route::kModel: {
      const std::string name = valid_utf8(model_of(request_.target()));
      if (const std::optional<ApiError> error = check_model(name, service->limits)) {
        return error_reply(*error);
      }
      reply.body = model_json(service->limits, name, service->model.numerics, context_.started);
      break;
    }
    default:
      return std::nullopt;
  }
  return reply;
}

asio::awaitable<bool> Connection::dispatch(Route route) {
  std::optional<Reply> reply = answer_get(route);
  if (!reply) co_return co_await generate(route);
  co_return co_await send(std::move(*reply));
}

asio::awaitable<bool> Connection::generate(Route route) {
  Admission::Ticket ticket;
  if (uses_engine(route)) ticket = context_.admission.enter();
  const Service& service = *context_.service;
  const auto work = [&]() -> asio::awaitable<Prepared> {
    co_return prepare(route, request_.body(), service, context_);
  };
  Prepared prepared = co_await asio::co_spawn(workers_.get_executor(), work, asio::use_awaitable);
  const std::size_t body_bytes = request_.body().size();
  std::string().swap(request_.body());  // an assignment would keep the memory
  count_body(0);
  if (body_bytes > kTrimmedBodyBytes) give_memory_back();
  if (context_.stopping) prepared = stopping_error();
  if (const auto* error = std::get_if<ApiError>(&prepared)) {
    co_return co_await send(error_reply(*error));
  }
  if (auto* answer = std::get_if<std::string>(&prepared)) {
    Reply reply;
    reply.body = std::move(*answer);
    co_return co_await send(std::move(reply));
  }
  co_return co_await run_generation(std::get<PreparedRequest>(prepared), std::move(ticket));
}

asio::awaitable<bool> Connection::run_generation(const PreparedRequest& request,
                                                 Admission::Ticket ticket) {
  const Service& service = *context_.service;
  const Tokenizer& tokenizer = service.tools.tokenizer;
  Generation generation(transport_.executor(), service.engine, tokenizer, request, context_.metrics,
                        exchange_.began);
  if (const std::optional<ApiError> error = generation.submit()) {
    if (error->status != 503) co_return co_await send(error_reply(*error));
    context_.metrics.rejected();
    co_return co_await send(error_reply(queue_full()));
  }
  ticket.resize(generation.unfinished());
  const std::string& given_id = request.options.request_id;
  const std::string& id = given_id.empty() ? exchange_.id : given_id;
  const AnswerWriter writer(tokenizer, request, id, service.model.fingerprint, std::time(nullptr));
  const DisconnectWatch watch(transport_.socket(), [&generation] { generation.abandon(); });
  generation_ = &generation;
  const bool go_on = request.options.stream ? co_await answer_stream(generation, writer, ticket)
                                            : co_await answer_whole(generation, writer, ticket);
  generation_ = nullptr;
  exchange_.prompt_tokens = generation.prompt_tokens();
  exchange_.completion_tokens = generation.completion_tokens();
  co_return go_on;
}

asio::awaitable<bool> Connection::answer_whole(Generation& generation, const AnswerWriter& writer,
                                               Admission::Ticket& ticket) {
  std::vector<ChoiceDelta> choices(generation.choices());
  while (generation.running()) {
    Generation::Deltas deltas = co_await generation.next();
    for (auto& [index, delta] : deltas) choices[index].merge(std::move(delta));
    ticket.resize(generation.unfinished());
  }
  if (!generation.finished()) {
    if (generation.abandoned()) exchange_.status = 499;
    co_return !generation.abandoned() && co_await send(error_reply(stopping_error()));
  }
  Reply reply;
  reply.body = writer.whole(choices, generation.usage());
  co_return co_await send(std::move(reply));
}

asio::awaitable<bool> Connection::answer_stream(Generation& generation, const AnswerWriter& writer,
                                                Admission::Ticket& ticket) {
  StreamWriter stream(generation, writer);
  if (!co_await send_stream_header()) co_return false;
  while (generation.running()) {
    const Generation::Deltas deltas = co_await generation.next();
    ticket.resize(generation.unfinished());
    const std::string events = stream.events(deltas);
    if (!events.empty() && !co_await send_stream_part(events, false)) co_return false;
  }
  if (generation.abandoned() && !generation.finished()) {
    exchange_.status = 499;
    co_return false;
  }
  const std::string last =
      generation.finished() ? stream.end() : sse_event(to_json(stopping_error()));
  co_return co_await send_stream_part(last + std::string(kSseDone), true) && keep_alive_;
}

}  // namespace bitcpm
