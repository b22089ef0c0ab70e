#include "server/generation.h"

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
                       const Tokenizer& tokenizer, const PreparedRequest& request, Metrics& metrics,
                       Clock::time_point arrived)
    : engine_(engine),
      tokenizer_(tokenizer),
      request_(request),
      metrics_(metrics),
      arrived_(arrived),
      mailbox_(std::make_shared<EventMailbox>(executor, [this] { overflow(); })) {}

// A reader that does not read: cut before its write times out.
void Generation::overflow() {
  cancel();
  abandon();
}

Generation::~Generation() {
  cancel();
  mailbox_->close();
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (!choices_[i].choice.finished()) observe_end(i, ChoiceRecord::kAbort);
  }
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
    co_await mailbox_->wait();
  }
}

Generation::Deltas Generation::digest() {
  Deltas deltas;
  const Clock::time_point now = Clock::now();
  for (auto& [index, event] : mailbox_->take()) {
    Running& running = choices_[index];
    if (running.choice.finished()) continue;
    if (event.finish == FinishReason::kCancelled) {
      interrupted_ = true;
      continue;
    }
    const bool engine_is_done = event.finish.has_value();
    if (event.token) observe_token(running, now);
    if (event.times) running.times = event.times;
    deltas.emplace_back(index, running.choice.accept(std::move(event)));
    if (!running.choice.finished()) continue;
    --unfinished_;
    const bool is_stop = deltas.back().second.finish_reason != "length";
    observe_end(index, is_stop ? ChoiceRecord::kStop : ChoiceRecord::kLength);
    if (!engine_is_done) engine_.cancel(*running.id);  // a stop string
  }
  return deltas;
}

void Generation::observe_token(Running& running, Clock::time_point now) {
  using Seconds = std::chrono::duration<double>;
  if (running.first_token == Clock::time_point()) {
    running.first_token = now;
    metrics_.first_token(Seconds(now - arrived_).count());
  } else {
    metrics_.next_token(Seconds(now - running.last_token).count());
  }
  running.last_token = now;
}

void Generation::observe_end(std::size_t index, ChoiceRecord::Finish finish) {
  using Seconds = std::chrono::duration<double>;
  const Running& running = choices_[index];
  const std::optional<RequestTimes>& times = running.times;
  ChoiceRecord record;
  record.finish = finish;
  record.prompt_tokens = static_cast<std::int64_t>(prompt_of(index).ids.size());
  record.generation_tokens = running.choice.completion_tokens();
  record.max_tokens = request_.options.sampling.max_tokens;
  record.n = request_.options.n;
  record.e2e = Seconds(Clock::now() - arrived_).count();
  if (running.first_token != Clock::time_point()) {
    record.decode = Seconds(running.last_token - running.first_token).count();
  }
  if (times && times->scheduled) {
    record.cached_tokens = running.choice.cached_tokens();
    record.preemptions = times->preemptions;
    record.queue = Seconds(*times->scheduled - times->arrival).count();
    if (times->first_token) {
      record.prefill = Seconds(*times->first_token - *times->scheduled).count();
      // A stop string ends a request before the engine does.
      const Clock::time_point end =
          times->finished == Clock::time_point() ? Clock::now() : times->finished;
      record.decode = Seconds(end - *times->first_token).count();
    }
  }
  metrics_.choice_ended(record);
}

void Generation::abandon() {
  abandoned_ = true;
  mailbox_->wake();
}

void Generation::interrupt() {
  interrupted_ = true;
  cancel();
  mailbox_->wake();
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

Usage Generation::usage_of(std::size_t choice) const {
  return {static_cast<std::int64_t>(prompt_of(choice).ids.size()),
          choices_[choice].choice.completion_tokens(), choices_[choice].choice.cached_tokens()};
}

// A prompt's first choice tells what the cache held when the request came: later ones find the
// first one's blocks.
Usage Generation::usage() const {
  Usage usage{prompt_tokens(), completion_tokens(), 0};
  const auto n = static_cast<std::size_t>(request_.options.n);
  for (std::size_t i = 0; i < choices_.size(); i += n) {
    usage.cached_tokens += choices_[i].choice.cached_tokens();
  }
  return usage;
}

}  // namespace bitcpm
