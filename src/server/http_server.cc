#include "server/http_server.h"

#include <fmt/format.h>
#include <pthread.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "server/connection.h"
#include "server/openai_json.h"
#include "server/prompt_text.h"
#include "server/server_context.h"
#include "text/tokenizer.h"

namespace bitcpm {
namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::size_t kWorkers = 2;  // JSON, templates and tokenising; the engine owns the rest
constexpr std::chrono::milliseconds kAcceptPause{100};   // out of descriptors: let some close
constexpr std::chrono::seconds kAcceptReportPeriod{10};  // that state may last
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

RequestLimits make_limits(const ServedModel& model, const EnginePort& engine,
                          const Tokenizer& tokenizer) {
  RequestLimits limits;
  for (const std::string& name : model.names) limits.served_model_names.push_back(valid_utf8(name));
  limits.generation = model.generation;
  limits.max_model_len = engine.max_model_len;
  limits.max_logprobs = engine.max_logprobs;
  limits.vocab_size = tokenizer.vocab_size();
  limits.longest_piece_bytes = longest_piece_bytes(tokenizer);
  const RequestDefaults& defaults = model.defaults;
  if (!defaults.chat_template_kwargs.empty()) {
    limits.template_kwargs = json::parse(defaults.chat_template_kwargs).as_object();
  }
  limits.force_include_usage = defaults.force_include_usage;
  limits.return_tokens_as_token_ids = defaults.return_tokens_as_token_ids;
  limits.exclude_tools_when_tool_choice_none = defaults.exclude_tools_when_tool_choice_none;
  limits.parse_tool_calls = defaults.parse_tool_calls;
  return limits;
}

Result<tcp::endpoint> resolve(asio::io_context& io, const std::string& host, std::uint16_t port) {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (!error) return tcp::endpoint(address, port);
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || found.empty()) return Error{Errc::kIo, error.message()};
  return found.begin()->endpoint();
}

Status listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Error{Errc::kIo, error.message()};
  return {};
}

// Beyond the limit of connections: an answer at once, without a coroutine; under TLS none, which
// would take a handshake.
void refuse(tcp::socket socket, bool is_tls) {
  if (is_tls) return;
  static const std::string body = to_json(unavailable("too many connections"));
  const std::string answer = fmt::format(
      "HTTP/1.1 503 Service Unavailable\r\nServer: bitcpm\r\nRetry-After: 1\r\n"
      "Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.send(asio::buffer(answer), 0, ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> run_connection(tcp::socket socket, ServerContext& context,
                                     asio::thread_pool& workers) {
  Connection connection(std::move(socket), context, workers);
  co_await connection.run();
}

}  // namespace

// Declared so that destruction runs from the users to the used: io's frames hold connections, which
// speak to the context and to the workers.
struct HttpServer::Impl {
  Impl(const ServerConfig& config, std::unique_ptr<asio::ssl::context> tls)
      : context(config, std::move(tls)) {}

  asio::awaitable<void> accept_loop();
  void connection_ended(std::exception_ptr failure);
  void run();
  void take(tcp::socket socket);
  void take_backlog();
  void begin_drain();
  void begin_stop();
  void await_signals();

  ServerContext context;
  asio::io_context io{1};
  asio::thread_pool workers{kWorkers};
  tcp::acceptor acceptor{io};
  asio::steady_timer deadline{io};
  std::optional<asio::signal_set> signals;
  std::uint16_t port = 0;

  std::mutex mutex;
  std::condition_variable ended_changed;
  bool ended = false;
  std::thread thread;
};

asio::awaitable<void> HttpServer::Impl::accept_loop() {
  asio::steady_timer pause(io);
  std::chrono::steady_clock::time_point next_report{};
  while (!context.stopping) {
    auto [error, socket] = co_await acceptor.async_accept(kToken);
    if (error == asio::error::operation_aborted) break;
    if (error) {
      if (const auto now = std::chrono::steady_clock::now(); now >= next_report) {
        log_warning("accept failed, clients must wait: " + error.message());
        next_report = now + kAcceptReportPeriod;
      }
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(kToken);
      continue;
    }
    take(std::move(socket));
  }
}

void HttpServer::Impl::take(tcp::socket socket) {
  if (context.connections.size() >= context.config.max_connections) {
    refuse(std::move(socket), context.tls != nullptr);
    return;
  }
  try {
    asio::co_spawn(io, run_connection(std::move(socket), context, workers),
                   [this](std::exception_ptr failure) { connection_ended(failure); });
  } catch (const std::exception& failure) {  // out of memory; the next one may fit again
    log_error(std::string("a connection could not be taken: ") + failure.what());
  }
}

// Those that wait in the kernel: a closed acceptor would reset them.
void HttpServer::Impl::take_backlog() {
  error_code error;
  acceptor.non_blocking(true, error);
  while (!error) {
    tcp::socket socket(io);
    acceptor.accept(socket, error);
    if (!error) take(std::move(socket));
  }
}

void HttpServer::Impl::connection_ended(std::exception_ptr failure) {
  error_code ignored;
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const std::exception& reason) {
    log_error(std::string("a connection failed: ") + reason.what());
  }
  if (context.draining && context.connections.empty()) {
    deadline.cancel();
    if (signals) signals->cancel(ignored);
  }
}

void HttpServer::Impl::run() {
  ::pthread_setname_np(::pthread_self(), "bitcpm-http");
  bool is_over = false;
  while (!is_over) {
    try {
      io.run();
      is_over = true;
    } catch (const std::exception& failure) {
      log_error(std::string("server thread: ") + failure.what());
    }
  }
  const std::lock_guard lock(mutex);
  ended = true;
  ended_changed.notify_all();
}

void HttpServer::Impl::begin_drain() {
  if (std::exchange(context.draining, true)) return;
  take_backlog();
  error_code ignored;
  acceptor.close(ignored);
  for (Connection* connection : context.connections) connection->drain();
  if (context.connections.empty()) {
    if (signals) signals->cancel(ignored);
    return;
  }
  if (const std::size_t requests = context.admission.requests(); requests > 0) {
    const auto limit =
        std::chrono::duration_cast<std::chrono::seconds>(context.config.timeouts.shutdown);
    log_info(fmt::format("stopping: requests that are finished first, for at most {} s: {}",
                         limit.count(), requests));
  }
  deadline.expires_after(context.config.timeouts.shutdown);
  deadline.async_wait([this](error_code error) {
    if (!error) begin_stop();
  });
}

void HttpServer::Impl::begin_stop() {
  if (std::exchange(context.stopping, true)) return;
  context.draining = true;
  error_code ignored;
  acceptor.close(ignored);
  if (signals) signals->cancel(ignored);
  deadline.cancel();
  for (Connection* connection : context.connections) connection->stop();
  if (context.connections.empty()) return;
  deadline.expires_after(context.config.timeouts.stop);
  deadline.async_wait([this](error_code error) {
    if (!error) io.stop();
  });
}

void HttpServer::Impl::await_signals() {
  if (context.stopping) return;
  if (!signals) signals.emplace(io, SIGINT, SIGTERM);
  signals->async_wait([this](error_code error, int) {
    if (error) return;
    if (context.draining) return begin_stop();
    begin_drain();
    if (!context.connections.empty()) await_signals();  // the second one
  });
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const ServerConfig& config) {
  try {
    std::unique_ptr<asio::ssl::context> tls;
    if (!config.tls.certfile.empty()) {
      BITCPM_ASSIGN(tls, make_tls_context(config.tls));
    }
    auto impl = std::make_unique<Impl>(config, std::move(tls));
    const std::string scope = fmt::format("cannot listen on {}:{}", config.host, config.port);
    Result<tcp::endpoint> endpoint = resolve(impl->io, config.host, config.port);
    if (!endpoint.ok()) return std::move(endpoint).error().within(scope);
    if (Status status = bitcpm::listen(impl->acceptor, *endpoint); !status.ok()) {
      return std::move(status).error().within(scope);
    }
    impl->port = impl->acceptor.local_endpoint().port();
    asio::co_spawn(impl->io, impl->accept_loop(), asio::detached);
    impl->thread = std::thread([raw = impl.get()] { raw->run(); });
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& failure) {
    return Error{Errc::kIo, std::string("cannot start the server: ") + failure.what()};
  }
}

void HttpServer::serve(ServedModel model, EnginePort engine, const Tokenizer& tokenizer,
                       const ChatTemplate& chat_template) {
  BITCPM_CHECK(!model.names.empty());
  RequestLimits limits = make_limits(model, engine, tokenizer);
  auto service = std::make_unique<Service>(Service{
      std::move(model), std::move(limits), TextTools{tokenizer, chat_template}, std::move(engine)});
  asio::post(impl_->io, [impl = impl_.get(), ready = std::move(service)]() mutable {
    impl->context.start_service(std::move(ready));
  });
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  stop();
  impl_->thread.join();
  impl_->workers.join();
}

std::uint16_t HttpServer::port() const { return impl_->port; }

void HttpServer::heed_signals() {
  asio::post(impl_->io, [this] { impl_->await_signals(); });
}

void HttpServer::wait() {
  std::unique_lock lock(impl_->mutex);
  impl_->ended_changed.wait(lock, [this] { return impl_->ended; });
}

void HttpServer::stop() {
  asio::post(impl_->io, [this] { impl_->begin_stop(); });
}

}  // namespace bitcpm
