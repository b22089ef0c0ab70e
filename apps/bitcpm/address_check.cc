#include "address_check.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace bitcpm {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

// As the server does it: an address whose last connections are still closing is free.
int try_bind(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int on = 1;
  const bool bound = ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                     ::bind(fd, address.ai_addr, address.ai_addrlen) == 0;
  const int failure = bound ? 0 : errno;
  ::close(fd);
  return failure;
}

}  // namespace

Status check_address(const std::string& host, std::uint16_t port) {
  const std::string scope = fmt::format("cannot listen on {}:{}", host, port);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int unresolved = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (unresolved != 0) return Error{Errc::kIo, gai_strerror(unresolved)}.within(scope);
  const std::unique_ptr<addrinfo, FreeAddresses> addresses(found);
  const int failure = try_bind(*addresses);
  if (failure != 0) return Error{Errc::kIo, std::system_category().message(failure)}.within(scope);
  return {};
}

}  // namespace bitcpm
