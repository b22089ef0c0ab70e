#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string>
#include <string_view>

#include "server/generation.h"
#include "server/openai_json.h"
#include "server/router.h"
#include "server/server_context.h"

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

  // The server stops: a running generation ends in an error, a connection waiting for its client
  // closes.
  void stop();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // What a handler says, unless it has streamed.
  struct Reply {
    unsigned status = 200;
    std::string body;
    std::string_view content_type = "application/json";
    int retry_after_s = 0;
    std::string allow;
    bool is_page = false;  // with the headers that keep a page to itself
  };

  // Each returns whether the connection may go on.
  boost::asio::awaitable<bool> serve_one();
  boost::asio::awaitable<bool> read(Parser& parser);
  boost::asio::awaitable<bool> refuse_input(boost::system::error_code error);
  boost::asio::awaitable<bool> dispatch(Route route);
  boost::asio::awaitable<bool> generate(Route route);
  boost::asio::awaitable<bool> answer_whole(Generation& generation, const AnswerWriter& writer);
  boost::asio::awaitable<bool> answer_stream(Generation& generation, const AnswerWriter& writer,
                                             const PreparedRequest& request);
  boost::asio::awaitable<bool> send(Reply reply);
  boost::asio::awaitable<bool> send_stream_header();
  boost::asio::awaitable<bool> send_stream_part(std::string_view text, bool is_last);
  boost::asio::awaitable<bool> write(std::string_view bytes);
  boost::asio::awaitable<void> drain();

  static Reply error_reply(const ApiError& error);

  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  ServerContext& context_;
  boost::asio::thread_pool& workers_;
  bool waiting_for_client_ = false;
  Generation* generation_ = nullptr;

  // Of the request being answered.
  boost::beast::http::request<boost::beast::http::string_body> request_;
  bool keep_alive_ = false;
  unsigned sent_status_ = 0;
};

}  // namespace bitcpm
