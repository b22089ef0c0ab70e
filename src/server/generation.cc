#include "server/generation.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>

namespace bitcpm {
namespace asio = boost::asio;
namespace {

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace

Generation::Generation(const asio::any_io_executor& executor, const EnginePort& engine,
                       const Tokenizer& tokenizer, const PreparedRequest& request)
    : engine_(engine),
      tokenizer_(tokenizer),
      request_(request),
      wake_(executor, asio::steady_timer::time_point::max()),
      mailbox_(std::make_shared<EventMailbox>(executor, [this] { wake_.cancel(); })) {}

Generation::~Generation() {
  cancel();
  mailbox_->close();
}

std::optional<ApiError> Generation::submit() {
  const auto n = static_cast<std::size_t>(request_.options.n);
  const std::size_t total = request_.prompts.size() * n;
  choices_.reserve(total);
  const bool is_seeded = request_.options.seed.has_value();
  const std::uint64_t seed =
      is_seeded ? static_cast<std::uint64_t>(*request_.options.seed) : random_seed();
  for (std::size_t index = 0; index < total; ++index) {
    SamplingParams params = request_.options.sampling;
    // With a seed of the client's, a prompt's draws do not depend on its place in the list.
    params.seed = seed + (is_seeded ? index % n : index);
    const Result<std::optional<RequestId>> id = submit(index, std::move(params));
    if (!id.ok()) {
      cancel();
      return from_error(id.error());
    }
    choices_.push_back({Choice(tokenizer_, request_, prompt_of(index)), *id});
    ++unfinished_;
  }
  return std::nullopt;
}

Result<std::optional<RequestId>> Generation::submit(std::size_t choice, SamplingParams&& params) {
  if (!request_.needs_engine()) {
    EngineEvent end;
    end.finish = FinishReason::kLength;
    mailbox_->push(choice, std::move(end));
    return std::optional<RequestId>();
  }
  Result<RequestId> id = engine_.submit(prompt_of(choice).ids, std::move(params),
                                        [mailbox = mailbox_, choice](EngineEvent&& event) {
                                          mailbox->push(choice, std::move(event));
                                        });
  if (!id.ok()) return std::move(id).error();
  return std::optional<RequestId>(*id);
}

asio::awaitable<Generation::Deltas> Generation::next() {
  while (true) {
    Deltas deltas = digest();
    if (!deltas.empty() || !running()) co_return deltas;
    co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

Generation::Deltas Generation::digest() {
  Deltas deltas;
  for (auto& [index, event] : mailbox_->take()) {
    Running& running = choices_[index];
    if (running.choice.finished()) continue;
    if (event.finish == FinishReason::kCancelled) {
      interrupted_ = true;
      continue;
    }
    const bool engine_is_done = event.finish.has_value();
    deltas.emplace_back(index, running.choice.accept(std::move(event)));
    if (!running.choice.finished()) continue;
    --unfinished_;
    if (!engine_is_done) engine_.cancel(*running.id);  // a stop string
  }
  return deltas;
}

void Generation::abandon() {
  abandoned_ = true;
  wake_.cancel();
}

void Generation::interrupt() {
  interrupted_ = true;
  cancel();
  wake_.cancel();
}

void Generation::cancel() {
  for (const Running& running : choices_) {
    if (running.id && !running.choice.finished()) engine_.cancel(*running.id);
  }
}

std::int64_t Generation::prompt_tokens() const {
  std::int64_t sum = 0;
  for (const PreparedPrompt& prompt : request_.prompts) {
    sum += static_cast<std::int64_t>(prompt.ids.size());
  }
  return sum;
}

std::int64_t Generation::completion_tokens() const {
  std::int64_t sum = 0;
  for (const Running& running : choices_) sum += running.choice.completion_tokens();
  return sum;
}

const PreparedPrompt& Generation::prompt_of(std::size_t choice) const {
  return request_.prompts[choice / static_cast<std::size_t>(request_.options.n)];
}

std::int32_t Generation::completion_tokens_of(std::size_t choice) const {
  return choices_[choice].choice.completion_tokens();
}

}  // namespace bitcpm
