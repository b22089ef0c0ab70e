#include "address_check.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bitcpm {
namespace {

// Protects the wait for a large model: a port that somebody listens on is noticed beforehand, and
// one that nobody uses is not touched.
TEST(CheckAddress, FindsTakenPorts) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::uint16_t port = ntohs(address.sin_port);

  const Status taken = check_address("127.0.0.1", port);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().message,
            "cannot listen on 127.0.0.1:" + std::to_string(port) + ": Address already in use");
  ::close(fd);
  for (int again = 0; again < 2; ++again) {
    const Status free = check_address("127.0.0.1", port);
    EXPECT_TRUE(free.ok()) << free.error().message;
  }
}

// Protects users from a typing mistake in --host: it is named.
TEST(CheckAddress, NamesAnAddressThatIsNotOurs) {
  const Status foreign = check_address("192.0.2.1", 8000);  // TEST-NET-1 (RFC 5737)
  ASSERT_FALSE(foreign.ok());
  EXPECT_TRUE(foreign.error().message.starts_with("cannot listen on 192.0.2.1:8000: "))
      << foreign.error().message;
}

}  // namespace
}  // namespace bitcpm
