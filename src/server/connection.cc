#include "server/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <ctime>
#include <utility>

#include "base/log.h"
#include "server/access_log.h"
#include "server/request_id.h"

namespace bitcpm {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

namespace {

constexpr std::uint32_t kMaxHeaderBytes = 16 << 10;
constexpr std::size_t kReadBufferBytes = 64 << 10;  // holds a whole header; bodies pass through
constexpr std::size_t kFirstReadBytes = 4 << 10;
constexpr std::size_t kNextReadBytes = 16 << 10;
constexpr std::size_t kMaxLingerBytes = 8 << 20;
constexpr std::size_t kSkippedBodyBytes = 64 << 10;  // read for a client that is refused anyway
constexpr std::size_t kMaxBodyBytesHeld = std::size_t{256} << 20;  // of all connections
constexpr unsigned kClientGone = 499;                              // nginx's name for it

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

ApiError shutting_down() { return unavailable("the server is shutting down"); }

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, ServerContext& context,
                       asio::thread_pool& workers)
    : transport_(std::move(socket), context.tls.get()),
      buffer_(kReadBufferBytes),
      context_(context),
      workers_(workers) {
  context_.connections.insert(this);
}

Connection::~Connection() {
  count_body(0);
  context_.connections.erase(this);
}

void Connection::drain() {
  if (is_idle_) transport_.cancel();
}

void Connection::stop() {
  if (generation_ != nullptr) generation_->interrupt();
  if (is_reading_) transport_.cancel();
}

asio::awaitable<void> Connection::run() {
  is_reading_ = true;
  const error_code failed = co_await transport_.handshake(context_.config.timeouts.request);
  is_reading_ = false;
  if (failed) {
    log_debug("TLS handshake with " + transport_.peer() + ": " + failed.message());
    co_return transport_.close();
  }
  while (!context_.stopping && co_await serve_one()) {
  }
  co_await linger();
}

asio::awaitable<bool> Connection::serve_one() {
  exchange_ = {};
  request_ = {};
  Parser parser;
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(context_.config.max_body_bytes);
  if (const error_code error = co_await read_head(parser)) {
    co_await refuse_input(error);
    if (exchange_.status != kClientGone) end_exchange();
    co_return false;
  }
  begin_exchange(parser);
  bool go_on = false;
  if (std::optional<Reply> reply = refusal(parser)) {
    go_on = co_await refuse_unread(parser, std::move(*reply));
  } else if (const error_code error = co_await read_body(parser)) {
    go_on = co_await refuse_input(error);
  } else {
    request_ = parser.release();
    go_on = co_await dispatch(*exchange_.route);
  }
  count_body(0);
  end_exchange();
  co_return go_on;
}

void Connection::count_body(std::size_t bytes) {
  context_.body_bytes += bytes - body_bytes_;  // modulo 2^n
  body_bytes_ = bytes;
}

asio::awaitable<error_code> Connection::fill() {
  const std::size_t wanted = is_idle_ ? kFirstReadBytes : kNextReadBytes;
  const std::size_t room = std::min(kReadBufferBytes - buffer_.size(), wanted);
  if (room == 0) co_return http::error::buffer_overflow;
  is_reading_ = true;
  const auto [error, bytes] = co_await transport_.read_some(buffer_.prepare(room));
  is_reading_ = false;
  buffer_.commit(bytes);
  co_return error;
}

// Gives the parser what is there; reads if that is not enough.
asio::awaitable<error_code> Connection::advance(Parser& parser) {
  if (buffer_.size() > 0) {
    error_code error;
    buffer_.consume(parser.put(buffer_.data(), error));
    if (error != http::error::need_more) co_return error;
  }
  co_return co_await fill();
}

asio::awaitable<error_code> Connection::read_head(Parser& parser) {
  if (buffer_.size() == 0) {
    if (buffer_.capacity() > kFirstReadBytes) buffer_.shrink_to_fit();
    const ServerTimeouts& timeouts = context_.config.timeouts;
    transport_.expires_after(context_.draining ? timeouts.linger : timeouts.idle);
    is_idle_ = true;
    error_code error = co_await fill();
    is_idle_ = false;
    // A draining server ended the wait; what had arrived by then is answered all the same.
    error_code ignored;
    const bool is_late = error == asio::error::operation_aborted && context_.draining &&
                         transport_.socket().available(ignored) > 0;
    if (error && !is_late) co_return error;
  }
  exchange_.began = Clock::now();
  transport_.expires_after(context_.config.timeouts.request);
  while (!parser.is_header_done()) {
    if (const error_code error = co_await advance(parser)) co_return error;
  }
  co_return error_code();
}

asio::awaitable<error_code> Connection::read_body(Parser& parser) {
  if (parser.is_done()) co_return error_code();
  if (beast::iequals(parser.get()[http::field::expect], "100-continue") &&
      !co_await write("HTTP/1.1 100 Continue\r\n\r\n", {})) {
    co_return asio::error::broken_pipe;
  }
  transport_.expires_after(context_.config.timeouts.request);
  parser.eager(true);
  while (!parser.is_done()) {
    if (const error_code error = co_await advance(parser)) co_return error;
    count_body(parser.get().body().size());
    if (context_.body_bytes > kMaxBodyBytesHeld) co_return asio::error::no_memory;
  }
  co_return error_code();
}

asio::awaitable<bool> Connection::refuse_input(error_code error) {
  keep_alive_ = false;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    co_return co_await send(error_reply(http_error(
        431, "BadRequestError", fmt::format("the header exceeds {} bytes", kMaxHeaderBytes))));
  }
  if (error == http::error::body_limit) {
    co_return co_await send(error_reply(
        http_error(413, "BadRequestError",
                   fmt::format("the body exceeds {} bytes", context_.config.max_body_bytes))));
  }
  if (error == asio::error::no_memory) {
    co_return co_await send(error_reply(unavailable("too many requests are being read")));
  }
  if (error.category() == make_error_code(http::error::bad_method).category()) {
    co_return co_await send(error_reply(bad_request("not an HTTP request: " + error.message())));
  }
  exchange_.status = kClientGone;
  co_return false;  // closed, reset or too slow
}

// A short body is skipped, so that the connection lives on; for a longer one it would cost more
// than a new connection.
asio::awaitable<bool> Connection::refuse_unread(Parser& parser, Reply reply) {
  const bool expects = parser.get().count(http::field::expect) > 0;
  const bool is_short = parser.is_done() || (!expects && parser.content_length() &&
                                             *parser.content_length() <= kSkippedBodyBytes);
  if (!is_short) keep_alive_ = false;
  if (is_short && !parser.is_done()) {
    if (co_await read_body(parser)) co_return false;
  }
  co_return co_await send(std::move(reply));
}

void Connection::begin_exchange(const Parser& parser) {
  const auto& head = parser.get();
  const std::string_view given = head["X-Request-Id"];
  exchange_.id = is_request_id(given) ? std::string(given) : random_hex();
  exchange_.cors = context_.cors.headers(head[http::field::origin]);
  keep_alive_ = head.keep_alive() && !context_.draining;
  request_.base() = head.base();
}

void Connection::end_exchange() {
  const std::chrono::duration<double> took = Clock::now() - exchange_.began;
  const std::string_view path = exchange_.route ? route_path(*exchange_.route) : "none";
  const std::string method(request_.method_string());
  context_.metrics.http_request(path, known_method(method), exchange_.status, took.count());
  log_access(context_.config, {method, request_.target(), path, exchange_.status, took.count(),
                               exchange_.sent_bytes, exchange_.prompt_tokens,
                               exchange_.completion_tokens, transport_.peer(), exchange_.id});
}

ApiError Connection::queue_full() const {
  ApiError error = unavailable("the server is busy: its queue is full");
  error.retry_after_s = context_.admission.retry_after_s();
  return error;
}

// What can be refused by its head alone. Costs neither a body nor a token.
std::optional<Connection::Reply> Connection::refusal(const Parser& parser) {
  const auto& head = parser.get();
  const std::string_view origin = head[http::field::origin];
  const std::string_view wanted_method = head[http::field::access_control_request_method];
  if (head.method() == http::verb::options && !origin.empty() && !wanted_method.empty()) {
    Cors::Preflight answer = context_.cors.preflight(
        origin, wanted_method, head[http::field::access_control_request_headers]);
    exchange_.cors.clear();  // they are among its own
    return Reply{answer.status, std::move(answer.text), "text/plain; charset=utf-8", 0,
                 std::move(answer.headers)};
  }
  const Parsed<Route> found = find_route(head.method_string(), head.target());
  if (const auto* route = std::get_if<Route>(&found);
      route != nullptr && (context_.config.docs || *route != Route::kOpenApi)) {
    exchange_.route = *route;
  }
  const bool is_open = exchange_.route && is_public(*exchange_.route);
  if (context_.keys.required() && !is_open &&
      (head.count(http::field::authorization) != 1 ||
       !context_.keys.accept(head[http::field::authorization]))) {
    Reply reply = error_reply(http_error(401, "AuthenticationError", "Unauthorized"));
    reply.headers += "WWW-Authenticate: Bearer\r\n";
    return reply;
  }
  if (const auto* error = std::get_if<ApiError>(&found)) return error_reply(*error);
  if (!exchange_.route) return error_reply(not_found("Not Found"));
  const Route route = *exchange_.route;
  if (needs_model(route) && context_.service == nullptr) {
    return error_reply(unavailable("the model is being loaded"));
  }
  if (context_.draining && (is_generate(route) || route == Route::kReady)) {
    return error_reply(shutting_down());
  }
  if (!is_generate(route)) return std::nullopt;
  if (!is_json(head[http::field::content_type])) {
    return error_reply(http_error(415, "BadRequestError",
                                  "Unsupported Media Type: only 'application/json' is allowed"));
  }
  if (uses_engine(route) && context_.admission.full()) {
    context_.metrics.rejected();
    return error_reply(queue_full());
  }
  return std::nullopt;
}

Connection::Reply Connection::error_reply(const ApiError& error) {
  Reply reply;
  reply.status = error.status;
  reply.body = to_json(error);
  reply.retry_after_s = error.retry_after_s;
  if (!error.allow.empty()) reply.headers = "Allow: " + error.allow + "\r\n";
  return reply;
}

asio::awaitable<bool> Connection::send(Reply reply) {
  const bool is_old = request_.version() == 10;
  keep_alive_ = keep_alive_ && !context_.draining;
  std::string head =
      fmt::format("HTTP/1.{} {} {}\r\nServer: bitcpm\r\nDate: {}\r\n", is_old ? 0 : 1, reply.status,
                  std::string_view(http::obsolete_reason(static_cast<http::status>(reply.status))),
                  http_date());
  if (!reply.content_type.empty()) {
    head += fmt::format("Content-Type: {}\r\n", reply.content_type);
  }
  if (reply.retry_after_s > 0) head += fmt::format("Retry-After: {}\r\n", reply.retry_after_s);
  if (!exchange_.id.empty()) head += fmt::format("X-Request-Id: {}\r\n", exchange_.id);
  head += exchange_.cors;
  head += reply.headers;
  if (keep_alive_ == is_old) {
    head += fmt::format("Connection: {}\r\n", keep_alive_ ? "keep-alive" : "close");
  }
  head += fmt::format("Content-Length: {}\r\n\r\n", reply.body.size());
  exchange_.status = reply.status;
  const bool is_head = request_.method() == http::verb::head;
  const bool sent =
      co_await write(head, is_head ? std::string_view() : std::string_view(reply.body));
  co_return sent&& keep_alive_;
}

asio::awaitable<bool> Connection::send_stream_header() {
  // HTTP/1.0 knows no chunks: there the stream ends with the connection.
  const bool is_old = request_.version() == 10;
  if (is_old) keep_alive_ = false;
  exchange_.status = 200;
  const std::string head = fmt::format(
      "HTTP/1.{} 200 OK\r\nServer: bitcpm\r\nDate: {}\r\nContent-Type: text/event-stream; "
      "charset=utf-8\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\nX-Request-Id: {}\r\n"
      "{}{}{}\r\n",
      is_old ? 0 : 1, http_date(), exchange_.id, exchange_.cors,
      is_old ? "" : "Transfer-Encoding: chunked\r\n", keep_alive_ ? "" : "Connection: close\r\n");
  co_return co_await write(head, {});
}

asio::awaitable<bool> Connection::send_stream_part(std::string_view text, bool is_last) {
  if (request_.version() == 10) co_return co_await write(text, {});
  const std::string chunk =
      fmt::format("{:x}\r\n{}\r\n{}", text.size(), text, is_last ? "0\r\n\r\n" : "");
  co_return co_await write(chunk, {});
}

asio::awaitable<bool> Connection::write(std::string_view head, std::string_view body) {
  const error_code error = co_await transport_.write(head, body, context_.config.timeouts.write);
  if (error) {
    exchange_.status = kClientGone;
  } else {
    exchange_.sent_bytes += head.size() + body.size();
  }
  co_return !error;
}

// A close while the client still sends would reset the connection and may destroy the answer before
// it is read (RFC 9112, section 9.6).
asio::awaitable<void> Connection::linger() {
  is_reading_ = true;
  error_code error = co_await transport_.finish(context_.config.timeouts.linger);
  is_reading_ = false;
  buffer_.consume(buffer_.size());
  transport_.expires_after(context_.config.timeouts.linger);
  const bool is_readable = !transport_.is_tls();
  for (std::size_t total = 0;
       is_readable && !error && !context_.stopping && total < kMaxLingerBytes;) {
    error = co_await fill();
    total += buffer_.size();
    buffer_.consume(buffer_.size());
  }
  transport_.close();
}

}  // namespace bitcpm
