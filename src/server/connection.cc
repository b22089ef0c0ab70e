#include "server/connection.h"

#include <fmt/format.h>
#include <malloc.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <ctime>
#include <exception>
#include <memory>
#include <utility>

#include "base/log.h"
#include "server/disconnect_watch.h"
#include "server/page.h"
#include "server/request_body.h"
#include "server/sse.h"
#include "server/tokenize_api.h"

namespace bitcpm {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kMaxHeaderBytes = 16 << 10;
constexpr std::size_t kReadBufferBytes = 64 << 10;  // holds a whole header; bodies pass through
constexpr std::size_t kMaxDrainedBytes = 8 << 20;
constexpr std::size_t kTrimmedBodyBytes = 256 << 10;  // what a smaller one leaves is reused anyway

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[64];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

bool is_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return type.empty() || beast::iequals(type, "application/json") ||
         (type.size() > 5 && beast::iequals(type.substr(type.size() - 5), "+json"));
}

// glibc keeps what the JSON and the tokens of a large body took, in the arena of each worker.
void give_memory_back() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

ApiError stopping_error() { return unavailable("the server is shutting down"); }

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, ServerContext& context,
                       asio::thread_pool& workers)
    : stream_(std::move(socket)), buffer_(kReadBufferBytes), context_(context), workers_(workers) {
  context_.connections.insert(this);
}

Connection::~Connection() { context_.connections.erase(this); }

void Connection::stop() {
  if (generation_ != nullptr) generation_->interrupt();
  if (waiting_for_client_) stream_.cancel();
}

asio::awaitable<void> Connection::run() {
  error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  while (!context_.stopping && co_await serve_one()) {
  }
  co_await drain();
}

asio::awaitable<bool> Connection::serve_one() {
  sent_status_ = 0;
  Parser parser;
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(context_.config.max_body_bytes);
  if (!co_await read(parser)) co_return false;
  request_ = parser.release();
  keep_alive_ = request_.keep_alive() && !context_.stopping;

  const auto begin = std::chrono::steady_clock::now();
  const std::string_view method = request_.method_string();
  const Parsed<Route> route = find_route(method, request_.target());
  bool go_on = false;
  if (const auto* error = std::get_if<ApiError>(&route)) {
    go_on = co_await send(error_reply(*error));
  } else {
    go_on = co_await dispatch(std::get<Route>(route));
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  const auto* known = std::get_if<Route>(&route);
  log_debug(fmt::format("{} {} {:.1f} ms", known != nullptr ? route_path(*known) : "(no route)",
                        sent_status_, took.count()));
  co_return go_on;
}

asio::awaitable<bool> Connection::read(Parser& parser) {
  waiting_for_client_ = true;
  error_code error;
  std::size_t bytes = 0;
  if (buffer_.size() == 0) {
    stream_.expires_after(context_.config.timeouts.idle);
    std::tie(error, bytes) = co_await stream_.async_read_some(buffer_.prepare(4096), kToken);
    buffer_.commit(bytes);
  }
  if (!error) {
    stream_.expires_after(context_.config.timeouts.request);
    std::tie(error, bytes) = co_await http::async_read_header(stream_, buffer_, parser, kToken);
  }
  if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) co_return false;
  }
  if (!error) {
    stream_.expires_after(context_.config.timeouts.request);
    std::tie(error, bytes) = co_await http::async_read(stream_, buffer_, parser, kToken);
  }
  waiting_for_client_ = false;
  if (!error) co_return true;
  co_return co_await refuse_input(error);
}

asio::awaitable<bool> Connection::refuse_input(error_code error) {
  keep_alive_ = false;
  request_ = {};
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    co_return co_await send(error_reply(http_error(
        431, "BadRequestError", fmt::format("the header exceeds {} bytes", kMaxHeaderBytes))));
  }
  if (error == http::error::body_limit) {
    co_return co_await send(error_reply(
        http_error(413, "BadRequestError",
                   fmt::format("the body exceeds {} bytes", context_.config.max_body_bytes))));
  }
  const bool is_malformed = error.category() == make_error_code(http::error::bad_method).category();
  if (is_malformed && error != http::error::end_of_stream &&
      error != http::error::partial_message) {
    co_return co_await send(error_reply(bad_request("not an HTTP request: " + error.message())));
  }
  co_return false;  // closed, reset or too slow
}

asio::awaitable<bool> Connection::dispatch(Route route) {
  Reply reply;
  switch (route) {
    case Route::kHealth:
      reply.content_type = {};
      break;
    case Route::kModels:
      reply.body = models_json(context_.limits, context_.config.numerics, context_.started);
      break;
    case Route::kModel: {
      const std::string name = valid_utf8(model_of(request_.target()));
      if (const std::optional<ApiError> error = check_model(name, context_.limits)) {
        co_return co_await send(error_reply(*error));
      }
      reply.body = model_json(context_.limits, name, context_.config.numerics, context_.started);
      break;
    }
    case Route::kVersion:
      reply.body = json::serialize(json::object{{"version", BITCPM_VERSION}});
      break;
    case Route::kPage: {
      const PageFile& file = *find_page_file(path_of(request_.target()));
      reply.body = file.body;
      reply.content_type = file.content_type;
      reply.is_page = true;
      break;
    }
    default:
      co_return co_await generate(route);
  }
  co_return co_await send(std::move(reply));
}

namespace {

using Prepared = std::variant<PreparedRequest, std::string, ApiError>;

Prepared prepare_unguarded(Route route, std::string_view body, ServerContext& context) {
  const auto widen = [](auto&& parsed) -> Prepared {
    return std::visit([](auto&& value) -> Prepared { return std::move(value); }, std::move(parsed));
  };
  if (route == Route::kTokenize) return widen(answer_tokenize(body, context.limits, context.tools));
  if (route == Route::kDetokenize) {
    return widen(answer_detokenize(body, context.limits, context.tools));
  }
  Parsed<PreparedRequest> request = route == Route::kChatCompletions
                                        ? prepare_chat(body, context.limits, context.tools)
                                        : prepare_completion(body, context.limits, context.tools);
  if (const auto* good = std::get_if<PreparedRequest>(&request)) {
    context.report_unknown_fields(good->unknown_fields);
  }
  return widen(std::move(request));
}

// What a worker does with a body: a request for the engine, or the answer itself.
Prepared prepare(Route route, std::string_view body, ServerContext& context) {
  try {
    return prepare_unguarded(route, body, context);
  } catch (const std::exception& failure) {  // out of memory
    log_error(std::string("a request could not be prepared: ") + failure.what());
    return internal_error();
  }
}

}  // namespace

asio::awaitable<bool> Connection::generate(Route route) {
  if (!is_json(request_[http::field::content_type])) {
    co_return co_await send(error_reply(http_error(
        415, "BadRequestError", "Unsupported Media Type: only 'application/json' is allowed")));
  }
  const auto work = [&]() -> asio::awaitable<Prepared> {
    co_return prepare(route, request_.body(), context_);
  };
  Prepared prepared = co_await asio::co_spawn(workers_.get_executor(), work, asio::use_awaitable);
  const std::size_t body_bytes = request_.body().size();
  std::string().swap(request_.body());  // an assignment would keep the memory
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
  const PreparedRequest& request = std::get<PreparedRequest>(prepared);
  Generation generation(stream_.get_executor(), context_.engine, context_.tools.tokenizer, request);
  if (const std::optional<ApiError> error = generation.submit()) {
    co_return co_await send(error_reply(*error));
  }
  const AnswerWriter writer(context_.tools.tokenizer, request, std::time(nullptr));
  const DisconnectWatch watch(stream_.socket(), [&generation] { generation.abandon(); });
  generation_ = &generation;
  const bool go_on = request.options.stream ? co_await answer_stream(generation, writer, request)
                                            : co_await answer_whole(generation, writer);
  generation_ = nullptr;
  co_return go_on;
}

asio::awaitable<bool> Connection::answer_whole(Generation& generation, const AnswerWriter& writer) {
  std::vector<ChoiceDelta> choices(generation.choices());
  while (generation.running()) {
    Generation::Deltas deltas = co_await generation.next();
    for (auto& [index, delta] : deltas) choices[index].merge(std::move(delta));
  }
  if (!generation.finished()) {
    co_return !generation.abandoned() && co_await send(error_reply(stopping_error()));
  }
  Reply reply;
  reply.body = writer.whole(choices, {generation.prompt_tokens(), generation.completion_tokens()});
  co_return co_await send(std::move(reply));
}

asio::awaitable<bool> Connection::answer_stream(Generation& generation, const AnswerWriter& writer,
                                                const PreparedRequest& request) {
  const GenerationOptions& options = request.options;
  std::vector<bool> begun(generation.choices(), false);
  if (!co_await send_stream_header()) co_return false;
  while (generation.running()) {
    const Generation::Deltas deltas = co_await generation.next();
    std::string events;
    for (const auto& [index, delta] : deltas) {
      const PreparedPrompt& prompt = generation.prompt_of(index);
      const Usage usage{static_cast<std::int64_t>(prompt.ids.size()),
                        generation.completion_tokens_of(index)};
      const Usage* shown_usage = options.continuous_usage_stats ? &usage : nullptr;
      const std::vector<TokenId>* prompt_ids =
          options.return_token_ids && !begun[index] ? &prompt.ids : nullptr;
      if (request.is_chat && !begun[index]) {
        events += sse_event(writer.role_chunk(index, prompt_ids, shown_usage));
        prompt_ids = nullptr;
      }
      begun[index] = true;
      const bool says_nothing = delta.text.empty() && delta.finish_reason.empty() &&
                                delta.rows.empty() && !options.return_token_ids;
      if (says_nothing) continue;  // in the middle of a character or of a stop string
      events += sse_event(writer.delta_chunk(index, delta, prompt_ids, shown_usage));
    }
    if (!events.empty() && !co_await send_stream_part(events, false)) co_return false;
  }
  if (generation.abandoned() && !generation.finished()) co_return false;
  std::string last;
  if (!generation.finished()) {
    last += sse_event(to_json(stopping_error()));
  } else if (options.include_usage) {
    last +=
        sse_event(writer.usage_chunk({generation.prompt_tokens(), generation.completion_tokens()}));
  }
  last += kSseDone;
  co_return co_await send_stream_part(last, true) && keep_alive_;
}

Connection::Reply Connection::error_reply(const ApiError& error) {
  Reply reply;
  reply.status = error.status;
  reply.body = to_json(error);
  reply.retry_after_s = error.retry_after_s;
  reply.allow = error.allow;
  return reply;
}

asio::awaitable<bool> Connection::send(Reply reply) {
  const bool is_head = request_.method() == http::verb::head;
  http::response<http::string_body> response{http::int_to_status(reply.status), 11};
  response.set(http::field::server, "bitcpm");
  response.set(http::field::date, http_date());
  if (!reply.content_type.empty()) response.set(http::field::content_type, reply.content_type);
  if (reply.retry_after_s > 0) {
    response.set(http::field::retry_after, std::to_string(reply.retry_after_s));
  }
  if (!reply.allow.empty()) response.set(http::field::allow, reply.allow);
  if (reply.is_page) {
    for (const PageHeader& header : kPageHeaders) response.set(header.name, header.value);
  }
  response.version(request_.version() == 10 ? 10 : 11);
  response.keep_alive(keep_alive_ && !context_.stopping);
  response.content_length(reply.body.size());
  sent_status_ = reply.status;
  if (!is_head) response.body() = std::move(reply.body);
  http::response_serializer<http::string_body> serializer(response);
  stream_.expires_after(context_.config.timeouts.write);
  error_code error;
  std::size_t bytes = 0;
  if (is_head) {
    std::tie(error, bytes) = co_await http::async_write_header(stream_, serializer, kToken);
  } else {
    std::tie(error, bytes) = co_await http::async_write(stream_, serializer, kToken);
  }
  co_return !error && response.keep_alive();
}

asio::awaitable<bool> Connection::send_stream_header() {
  // HTTP/1.0 knows no chunks: there the stream ends with the connection.
  if (request_.version() == 10) keep_alive_ = false;
  const std::string_view framing =
      request_.version() == 10 ? "Connection: close\r\n" : "Transfer-Encoding: chunked\r\n";
  const std::string_view closing =
      request_.version() != 10 && !keep_alive_ ? "Connection: close\r\n" : "";
  sent_status_ = 200;
  const std::string header = fmt::format(
      "HTTP/1.{} 200 OK\r\nServer: bitcpm\r\nDate: {}\r\nContent-Type: text/event-stream; "
      "charset=utf-8\r\nCache-Control: no-cache\r\n{}{}\r\n",
      request_.version() % 10, http_date(), framing, closing);
  co_return co_await write(header);
}

asio::awaitable<bool> Connection::send_stream_part(std::string_view text, bool is_last) {
  if (request_.version() == 10) co_return co_await write(text);
  const std::string chunk =
      fmt::format("{:x}\r\n{}\r\n{}", text.size(), text, is_last ? "0\r\n\r\n" : "");
  co_return co_await write(chunk);
}

asio::awaitable<bool> Connection::write(std::string_view bytes) {
  stream_.expires_after(context_.config.timeouts.write);
  const auto [error, count] =
      co_await asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()), kToken);
  co_return !error;
}

// A close while the client still sends would reset the connection and may destroy the answer before
// it is read (RFC 9112, section 9.6).
asio::awaitable<void> Connection::drain() {
  error_code error;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
  buffer_.consume(buffer_.size());
  stream_.expires_after(context_.config.timeouts.drain);
  waiting_for_client_ = true;
  for (std::size_t total = 0; !error && !context_.stopping && total < kMaxDrainedBytes;) {
    std::size_t bytes = 0;
    std::tie(error, bytes) =
        co_await stream_.async_read_some(buffer_.prepare(kReadBufferBytes), kToken);
    total += bytes;
  }
  stream_.close();
}

}  // namespace bitcpm
