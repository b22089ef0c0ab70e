#include "server/event_mailbox.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <thread>

namespace bitcpm {
namespace {

namespace asio = boost::asio;

EngineEvent token_event(TokenId token) {
  EngineEvent event;
  event.token = token;
  return event;
}

// Protects against an event that comes between an empty take() and the wait: nobody would be woken
// for it.
TEST(EventMailbox, NoEventOfAnotherThreadIsLost) {
  constexpr TokenId kEvents = 20000;
  asio::io_context io{1};
  const auto mailbox = std::make_shared<EventMailbox>(io.get_executor(), [] { FAIL(); });
  std::vector<TokenId> got;
  const auto reader = [&]() -> asio::awaitable<void> {
    while (got.size() < kEvents) {
      const auto items = mailbox->take();
      for (const auto& [choice, event] : items) got.push_back(*event.token);
      if (items.empty()) co_await mailbox->wait();
    }
  };
  asio::co_spawn(io, reader, asio::detached);
  std::thread engine([&] {
    for (TokenId i = 0; i < kEvents; ++i) {
      mailbox->push(0, token_event(i));
      if (i % 64 == 0) std::this_thread::yield();
    }
  });
  io.run();
  engine.join();
  ASSERT_EQ(got.size(), kEvents);
  for (TokenId i = 0; i < kEvents; ++i) ASSERT_EQ(got[i], i);
}

TEST(EventMailbox, WakeEndsAWaitWithoutAnEvent) {
  asio::io_context io{1};
  const auto mailbox = std::make_shared<EventMailbox>(io.get_executor(), [] {});
  bool woken = false;
  const auto reader = [&]() -> asio::awaitable<void> {
    co_await mailbox->wait();
    woken = true;
  };
  asio::co_spawn(io, reader, asio::detached);
  asio::post(io, [&] { mailbox->wake(); });
  io.run();
  EXPECT_TRUE(woken);
  EXPECT_TRUE(mailbox->take().empty());
}

// The engine may speak of a request whose connection is gone.
TEST(EventMailbox, NothingIsKeptOnceClosed) {
  asio::io_context io{1};
  const auto mailbox = std::make_shared<EventMailbox>(io.get_executor(), [] { FAIL(); });
  mailbox->push(0, token_event(1));
  mailbox->close();
  mailbox->push(0, token_event(2));
  EXPECT_TRUE(mailbox->take().empty());
  io.run();
}

// A reader that never takes: told once, and what it missed is not kept.
TEST(EventMailbox, OverflowIsToldOnce) {
  asio::io_context io{1};
  int overflows = 0;
  const auto mailbox = std::make_shared<EventMailbox>(io.get_executor(), [&] { ++overflows; });
  constexpr std::size_t kTooMany = (std::size_t{1} << 17) + 100;
  for (std::size_t i = 0; i < kTooMany; ++i) mailbox->push(0, token_event(1));
  io.run();
  EXPECT_EQ(overflows, 1);
  EXPECT_LT(mailbox->take().size(), kTooMany);
}

}  // namespace
}  // namespace bitcpm
