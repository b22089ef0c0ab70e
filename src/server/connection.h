#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/generation.h"
#include "server/openai_json.h"
#include "server/router.h"
#include "server/server_context.h"
#include "server/transport.h"

namespace bitcpm {

// One HTTP/1.1 connection: requests are answered one after the other. Lives inside its coroutine,
// on the server's thread.
class Connection {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ServerContext& context,
             boost::asio::thread_pool& workers);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  boost::asio::awaitable<void> run();  // until the connection is over

  void drain();  // the server drains: closes if it waits for a next request
  void stop();   // the server stops: a running generation ends in an error, a wait for bytes closes

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using Clock = std::chrono::steady_clock;

  // What a handler says, unless it has streamed.
  struct Reply {
    unsigned status = 200;
    std::string body;
    std::string_view content_type = "application/json";
    int retry_after_s = 0;
    std::string headers;  // further lines
  };

  // Of the request being answered.
  struct Exchange {
    Clock::time_point began;
    std::optional<Route> route;
    std::string id;       // X-Request-Id: the client's, or made up
    std::string cors;     // header lines
    unsigned status = 0;  // as sent; 499: the client left first
    std::size_t sent_bytes = 0;
    std::int64_t prompt_tokens = 0;
    std::int64_t completion_tokens = 0;
  };

  // Those of bool: whether the connection may go on.
  boost::asio::awaitable<bool> serve_one();
  boost::asio::awaitable<boost::system::error_code> fill();
  boost::asio::awaitable<boost::system::error_code> read_head(Parser& parser);
  boost::asio::awaitable<boost::system::error_code> read_body(Parser& parser);
  boost::asio::awaitable<boost::system::error_code> advance(Parser& parser);
  boost::asio::awaitable<bool> refuse_input(boost::system::error_code error);
  boost::asio::awaitable<bool> refuse_unread(Parser& parser, Reply reply);
  std::optional<Reply> refusal(const Parser& parser);
  void begin_exchange(const Parser& parser);
  void end_exchange();
  void count_body(std::size_t bytes);

  boost::asio::awaitable<bool> dispatch(Route route);
  std::optional<Reply> answer_get(Route route);
  boost::asio::awaitable<bool> generate(Route route);
  boost::asio::awaitable<bool> run_generation(const PreparedRequest& request,
                                              Admission::Ticket ticket);
  boost::asio::awaitable<bool> answer_whole(Generation& generation, const AnswerWriter& writer,
                                            Admission::Ticket& ticket);
  boost::asio::awaitable<bool> answer_stream(Generation& generation, const AnswerWriter& writer,
                                             Admission::Ticket& ticket);

  boost::asio::awaitable<bool> send(Reply reply);
  boost::asio::awaitable<bool> send_stream_header();
  boost::asio::awaitable<bool> send_stream_part(std::string_view text, bool is_last);
  boost::asio::awaitable<bool> write(std::string_view head, std::string_view body);
  boost::asio::awaitable<void> linger();

  ApiError queue_full() const;
  static Reply error_reply(const ApiError& error);

  Transport transport_;
  boost::beast::flat_buffer buffer_;
  ServerContext& context_;
  boost::asio::thread_pool& workers_;
  bool is_idle_ = false;     // waits for the first byte of a request
  bool is_reading_ = false;  // waits for bytes
  Generation* generation_ = nullptr;
  std::size_t body_bytes_ = 0;  // of this connection in ServerContext::body_bytes

  boost::beast::http::request<boost::beast::http::string_body> request_;
  Exchange exchange_;
  bool keep_alive_ = false;
};

}  // namespace bitcpm
