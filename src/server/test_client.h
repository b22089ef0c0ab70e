#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace bitcpm {

struct TestResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined

  json::value json() const { return json::parse(body); }
};

// A blocking HTTP client that sends exactly the bytes it is told to. Times out after 10 s.
class TestClient {
 public:
  // receive_buffer_bytes: how much a client that does not read lets the kernel hold; 0: its
  // default.
  explicit TestClient(std::uint16_t port, int receive_buffer_bytes = 0)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer_bytes > 0) {
      ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
    }
    const timeval timeout{10, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~TestClient() { close(); }
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void reset() {  // RST instead of FIN
    const linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server may refuse to read on
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  void post(std::string_view path, std::string_view body) {
    send("POST " + std::string(path) +
         " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }

  // Status 0: the connection ended first.
  TestResponse receive(bool has_body = true) {
    TestResponse response;
    if (!read_until("\r\n\r\n")) return response;
    const std::size_t end = input_.find("\r\n\r\n");
    std::string head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    response.status = std::stoi(head.substr(9, 3));
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const std::size_t stop = head.find("\r\n", at);
      const std::size_t colon = head.find(':', at);
      std::string name = head.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      response.headers[name] = head.substr(colon + 2, stop - colon - 2);
      at = stop + 2;
    }
    if (!has_body || response.status == 100) return response;
    if (response.headers.count("transfer-encoding") != 0) {
      read_chunks(response.body);
    } else if (response.headers.count("content-length") != 0) {
      read_bytes(std::stoul(response.headers["content-length"]), response.body);
    } else {
      while (fill()) {
      }
      response.body = std::exchange(input_, {});
    }
    return response;
  }

  TestResponse ask(std::string_view path, std::string_view body) {
    post(path, body);
    return receive();
  }

  bool read_until(std::string_view mark) {
    while (input_.find(mark) == std::string::npos) {
      if (!fill()) return false;
    }
    return true;
  }
  bool at_end() { return input_.empty() && !fill(); }

 private:
  bool fill() {
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof bytes, 0);
    if (count > 0) input_.append(bytes, static_cast<std::size_t>(count));
    return count > 0;
  }
  bool read_bytes(std::size_t count, std::string& to) {
    while (input_.size() < count) {
      if (!fill()) return false;
    }
    to += input_.substr(0, count);
    input_.erase(0, count);
    return true;
  }
  void read_chunks(std::string& to) {
    while (read_until("\r\n")) {
      const std::size_t size = std::stoul(input_, nullptr, 16);
      input_.erase(0, input_.find("\r\n") + 2);
      std::string line_end;
      if (!read_bytes(size, to) || !read_bytes(2, line_end) || size == 0) return;
    }
  }

  int socket_;
  std::string input_;
};

}  // namespace bitcpm
