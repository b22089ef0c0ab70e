#include "measure/http_client.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <optional>
#include <random>
#include <utility>

#include "base/quote.h"
#include "measure/client_connection.h"
#include "measure/event_lines.h"

namespace bitcpm {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr auto kToken = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMaxReplyBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxErrorBytes = 4096;
constexpr auto kLookEvery = std::chrono::milliseconds(100);

http::request<http::string_body> to_beast(const HttpBase& base, const HttpRequest& request) {
  http::request<http::string_body> out;
  out.method_string(request.method);
  out.target(base.path + request.target);
  out.version(11);
  out.set(http::field::host, base.authority());
  out.set(http::field::user_agent, "bitcpm");
  out.set(http::field::connection, "close");
  if (!request.api_key.empty()) {
    out.set(http::field::authorization, "Bearer " + request.api_key);
  }
  if (request.method == "POST") out.set(http::field::content_type, "application/json");
  out.body() = request.body;
  out.prepare_payload();
  return out;
}

std::string status_error(int status, std::string_view body) {
  return "HTTP " + std::to_string(status) + ": " + escaped(body, 200);
}

Result<tcp::resolver::results_type> resolve(asio::io_context& context, const HttpBase& base) {
  tcp::resolver resolver(context);
  error_code error;
  auto endpoints = resolver.resolve(base.host, base.port, error);
  if (error) return Error{Errc::kIo, base.text() + ": " + error.message()};
  return endpoints;
}

// A stream's body, bit by bit as it comes.
asio::awaitable<std::string> read_events(ClientConnection& connection, beast::flat_buffer& buffer,
                                         http::response_parser<http::buffer_body>& parser,
                                         FunctionRef<void(std::string_view)> use) {
  EventLines lines;
  std::string chunk(std::size_t{16} << 10, '\0');
  std::string error_body;
  const int status = parser.get().result_int();
  while (!parser.is_done()) {
    parser.get().body().data = chunk.data();
    parser.get().body().size = chunk.size();
    const auto [error, bytes] = co_await connection.on_stream(
        [&](auto& stream) { return http::async_read_some(stream, buffer, parser, kToken); });
    if (error && error != http::error::need_buffer) co_return connection_error(error);
    const std::string_view part(chunk.data(), chunk.size() - parser.get().body().size);
    if (status != 200) {
      error_body.append(
          part.substr(0, kMaxErrorBytes - std::min(error_body.size(), kMaxErrorBytes)));
    } else if (!lines.push(part, use)) {
      co_return "an event of more than 16 MiB";
    }
  }
  co_return status == 200 ? std::string() : status_error(status, error_body);
}

asio::awaitable<std::string> stream_once(const HttpBase& base, asio::ssl::context* tls,
                                         const tcp::resolver::results_type& endpoints,
                                         const http::request<http::string_body>& request,
                                         std::chrono::seconds patience,
                                         FunctionRef<void(std::string_view)> use) {
  ClientConnection connection(co_await asio::this_coro::executor, tls);
  if (std::string failure = co_await connection.open(base, endpoints, patience); !failure.empty()) {
    co_return failure;
  }
  if (const auto [error, sent] = co_await connection.on_stream(
          [&](auto& stream) { return http::async_write(stream, request, kToken); });
      error) {
    co_return connection_error(error);
  }
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  if (const auto [error, got] = co_await connection.on_stream(
          [&](auto& stream) { return http::async_read_header(stream, buffer, parser, kToken); });
      error) {
    co_return connection_error(error);
  }
  co_return co_await read_events(connection, buffer, parser, use);
}

// Sends requests as the schedule says.
class LoadRun {
 public:
  LoadRun(asio::io_context& context, tcp::resolver::results_type endpoints, const HttpBase& base,
          asio::ssl::context* tls, std::span<const HttpRequest> requests,
          const LoadSchedule& schedule, StreamObserver& observer)
      : context_(context),
        tls_(tls),
        endpoints_(std::move(endpoints)),
        base_(base),
        requests_(requests),
        schedule_(schedule),
        observer_(observer),
        slot_free_(context) {
    slot_free_.expires_at(asio::steady_timer::time_point::max());
  }

  asio::awaitable<void> dispatch() {
    std::mt19937_64 rng(schedule_.seed);
    std::optional<std::gamma_distribution<double>> gaps;
    if (schedule_.request_rate > 0) {
      gaps.emplace(schedule_.burstiness, 1 / (schedule_.request_rate * schedule_.burstiness));
    }
    asio::steady_timer clock(context_);
    auto next = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (gaps && i > 0) {
        next += std::chrono::duration_cast<std::chrono::nanoseconds>(
            std::chrono::duration<double>((*gaps)(rng)));
        clock.expires_at(next);
        co_await clock.async_wait(kToken);
      }
      while (schedule_.max_concurrency > 0 && running_ >= schedule_.max_concurrency) {
        co_await slot_free_.async_wait(kToken);
      }
      ++running_;
      asio::co_spawn(context_, run(i), asio::detached);
    }
  }

  bool finished() const { return ended_ == requests_.size(); }

 private:
  asio::awaitable<void> run(std::size_t index) {
    const auto request = to_beast(base_, requests_[index]);
    observer_.started(index);
    const auto use = [&](std::string_view data) { observer_.event(index, data); };
    const std::string error =
        co_await stream_once(base_, tls_, endpoints_, request, schedule_.patience, use);
    observer_.ended(index, error);
    --running_;
    ++ended_;
    slot_free_.cancel();
  }

  asio::io_context& context_;
  asio::ssl::context* tls_;
  tcp::resolver::results_type endpoints_;
  const HttpBase& base_;
  std::span<const HttpRequest> requests_;
  const LoadSchedule& schedule_;
  StreamObserver& observer_;
  asio::steady_timer slot_free_;  // never expires; cancelled when a request ends
  int running_ = 0;
  std::size_t ended_ = 0;
};

}  // namespace

Result<HttpBase> parse_http_base(std::string_view url) {
  const std::string shown = quote_name(url);
  HttpBase base;
  base.is_https = url.starts_with("https://");
  if (base.is_https || url.starts_with("http://")) url.remove_prefix(base.is_https ? 8 : 7);
  const std::size_t slash = std::min(url.find('/'), url.size());
  std::string_view place = url.substr(0, slash);
  base.path = url.substr(slash);
  while (base.path.ends_with('/')) base.path.pop_back();
  if (base.path.ends_with("/v1")) base.path.resize(base.path.size() - 3);
  const std::size_t colon = place.ends_with(']') ? std::string_view::npos : place.rfind(':');
  base.port = std::string(base.is_https ? "443" : "80");
  if (colon != std::string_view::npos) base.port = place.substr(colon + 1);
  base.host = place.substr(0, colon);
  if (base.host.starts_with('[') && base.host.ends_with(']')) {
    base.host = base.host.substr(1, base.host.size() - 2);
  }
  const bool digits = !base.port.empty() && base.port.size() <= 5 &&
                      std::all_of(base.port.begin(), base.port.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  const auto printable = [](unsigned char c) { return c > 0x20 && c < 0x7f; };
  if (base.host.empty() || !digits || !std::all_of(url.begin(), url.end(), printable)) {
    return Error{Errc::kInvalid, shown + " is no address such as http://127.0.0.1:8000"};
  }
  return base;
}

Result<HttpReply> http_call(const HttpBase& base, const HttpRequest& request,
                            std::chrono::seconds patience) {
  asio::io_context context;
  BITCPM_ASSIGN(const auto tls, make_client_tls(base));
  BITCPM_ASSIGN(const auto endpoints, resolve(context, base));
  HttpReply reply;
  std::string failure;
  const auto call = [&]() -> asio::awaitable<void> {
    ClientConnection connection(context.get_executor(), tls.get());
    failure = co_await connection.open(base, endpoints, patience);
    if (!failure.empty()) co_return;
    const auto out = to_beast(base, request);
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMaxReplyBytes);
    auto [error, bytes] = co_await connection.on_stream(
        [&](auto& stream) { return http::async_write(stream, out, kToken); });
    if (!error) {
      error = std::get<0>(co_await connection.on_stream(
          [&](auto& stream) { return http::async_read(stream, buffer, parser, kToken); }));
    }
    if (error) {
      failure = connection_error(error);
      co_return;
    }
    reply = {static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
  };
  asio::co_spawn(context, call(), asio::detached);
  context.run();
  if (!failure.empty()) return Error{Errc::kIo, base.text() + ": " + failure};
  return reply;
}

Status run_load(const HttpBase& base, std::span<const HttpRequest> requests,
                const LoadSchedule& schedule, StreamObserver& observer,
                FunctionRef<bool()> keep_on) {
  asio::io_context context;
  BITCPM_ASSIGN(const auto tls, make_client_tls(base));
  BITCPM_ASSIGN(auto endpoints, resolve(context, base));
  LoadRun run(context, std::move(endpoints), base, tls.get(), requests, schedule, observer);
  asio::co_spawn(context, run.dispatch(), asio::detached);
  while (!run.finished()) {
    context.run_for(kLookEvery);
    if (!keep_on()) return {};
  }
  return {};
}

}  // namespace bitcpm
