#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "server/choice.h"
#include "server/engine_port.h"
#include "server/event_mailbox.h"
#include "server/metrics.h"
#include "server/openai_json.h"

namespace bitcpm {

// All choices of one HTTP request while the engine works on them. Lives on the server's thread;
// whatever is unfinished when it goes is cancelled. Refers to all that it is given.
class Generation {
 public:
  using Deltas = std::vector<std::pair<std::size_t, ChoiceDelta>>;  // choice index, what it gained

  using Clock = std::chrono::steady_clock;

  // arrived: when the request's head had been read.
  Generation(const boost::asio::any_io_executor& executor, const EnginePort& engine,
             const Tokenizer& tokenizer, const PreparedRequest& request, Metrics& metrics,
             Clock::time_point arrived);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Hands every choice to the engine; all of them or, with the error returned, none.
  std::optional<ApiError> submit();

  // What came since the last call; waits if nothing did. Empty only once !running().
  boost::asio::awaitable<Deltas> next();

  // After either next() waits no longer.
  void abandon();    // the client is gone
  void interrupt();  // the server stops; an engine that stops by itself does the same

  bool finished() const { return unfinished_ == 0; }
  bool abandoned() const { return abandoned_; }
  bool running() const { return !finished() && !abandoned_ && !interrupted_; }

  std::size_t choices() const { return choices_.size(); }
  std::size_t unfinished() const { return unfinished_; }
  const PreparedRequest& request() const { return request_; }
  Usage usage() const;
  Usage usage_of(std::size_t choice) const;
  std::int64_t prompt_tokens() const;      // each prompt once
  std::int64_t completion_tokens() const;  // of all choices
  const PreparedPrompt& prompt_of(std::size_t choice) const;

 private:
  struct Running {
    Choice choice;
    std::optional<RequestId> id;  // none: the engine was not needed
    Clock::time_point first_token{};
    Clock::time_point last_token{};
    std::optional<RequestTimes> times{};  // as last told by the engine
  };

  Result<std::optional<RequestId>> submit(std::size_t choice, SamplingParams&& params);
  void overflow();  // of the mailbox
  Deltas digest();
  void observe_token(Running& running, Clock::time_point now);
  void observe_end(std::size_t index, ChoiceRecord::Finish finish);
  void cancel();

  const EnginePort& engine_;
  const Tokenizer& tokenizer_;
  const PreparedRequest& request_;
  Metrics& metrics_;
  const Clock::time_point arrived_;
  std::shared_ptr<EventMailbox> mailbox_;  // shared with the sinks, see EventMailbox
  std::vector<Running> choices_;           // prompt-major: prompt * n + i
  std::size_t unfinished_ = 0;
  bool abandoned_ = false;
  bool interrupted_ = false;
};

}  // namespace bitcpm
