#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>

#include "engine/batch_builder.h"
#include "engine/inbox.h"
#include "engine/request_check.h"
#include "engine/row_sampler.h"
#include "engine/scheduler.h"
#include "engine/step_sampler.h"
#include "model/loader.h"
#include "model/model.h"

namespace bitcpm {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

struct Engine::Impl {
  // A request's way out, and what has been computed for it ahead of the next event.
  struct Client {
    EventSink sink;
    RequestTimes times;
    std::vector<TokenLogprobs> prompt_logprobs;
    std::vector<TokenLogprobs> logprobs;  // of the tokens about to be committed
    std::size_t delivered = 0;            // of `logprobs`
  };

  Impl(const Model& engine_model, const EngineConfig& engine_config, Workspace scratch,
       std::unique_ptr<KvCache> kv)
      : model(engine_model),
        config(engine_config),
        workspace(std::move(scratch)),
        cache(std::move(kv)),
        scheduler({.max_model_len = config.max_model_len,
                   .max_num_seqs = config.max_num_seqs,
                   .max_num_batched_tokens = config.max_num_batched_tokens,
                   .enable_prefix_caching = config.enable_prefix_caching,
                   .hash_key = random_hash_key(),
                   .speculation = config.speculation},
                  model.config().eos_token_ids,
                  BlockPool(cache->num_blocks(), model.backend().kv_block_tokens(),
                            config.kv_cache_metrics_sample)),
        sampler(model, RowSampler(model.backend(), model.config().vocab_size,
                                  model.config().eos_token_ids, config.logprobs_mode)),
        batch(config.max_num_batched_tokens, config.max_num_seqs) {
    sampled.reserve(static_cast<std::size_t>(config.max_num_batched_tokens));
    publish();
    thread = std::thread([this] { run(); });
  }

  ~Impl() {
    inbox.stop();
    thread.join();
  }

  void run() {
    std::vector<Command> commands;
    while (inbox.drain(commands, scheduler.idle())) {
      for (Command& command : commands) apply(command);
      publish();
      step();
    }
    for (Command& command : commands) apply(command);
    for (const RequestId request : scheduler.requests()) cancel(request);
  }

  void apply(Command& command) {
    if (SubmitCommand* submit = std::get_if<SubmitCommand>(&command)) {
      Client& client = clients[submit->sequence->id];
      client.sink = std::move(submit->sink);
      client.times.arrival = submit->arrival;
      scheduler.add(std::move(submit->sequence));
    } else if (const CancelCommand* ended = std::get_if<CancelCommand>(&command)) {
      cancel(ended->request);
    } else {
      scheduler.reset_prefix_cache();
    }
  }

  void cancel(RequestId request) {
    if (const std::optional<Outcome> outcome = scheduler.cancel(request)) {
      publish();
      deliver(*outcome);
    }
  }

  // One forward pass: plan, compute, sample, commit.
  void step() {
    StepTotals& totals = counters.steps;
    Stopwatch watch;
    scheduler.set_time(std::chrono::duration<double>(Clock::now() - started).count());
    const StepPlan& plan = scheduler.plan();
    if (plan.empty()) return;
    note_first_steps(plan);
    const BatchView view = batch.build(plan);
    totals.count(static_cast<std::int32_t>(view.tokens.size()));
    watch.lap(totals.host_seconds);
    model.forward(view, *cache, workspace);
    watch.lap(totals.forward_seconds);
    sampled.clear();
    sampler.run(batch.uses(), workspace, totals, watch,
                [&](const LogitsUse& use, const RowResult& result) { keep(use, result); });
    const std::span<const Outcome> outcomes = scheduler.commit(sampled);
    for (const Outcome& outcome : outcomes) {
      counters.generation_tokens_total += outcome.token ? 1 : 0;
    }
    publish();  // first: who sees its last event finds its blocks given back
    for (const Outcome& outcome : outcomes) deliver(outcome);
    watch.lap(totals.host_seconds);
    if (scheduler.idle()) publish();  // the last step's time; else the next one's start does it
  }

  void note_first_steps(const StepPlan& plan) {
    for (const PlannedSequence& planned : plan) {
      if (planned.first) clients[planned.sequence->id].times.scheduled = Clock::now();
    }
  }

  void keep(const LogitsUse& use, const RowResult& result) {
    Client& client = clients[use.sequence->id];
    if (result.token) {
      if (result.logprobs) client.logprobs.push_back(*result.logprobs);
      sampled.push_back(*result.token);
    } else {
      client.prompt_logprobs.push_back(*result.logprobs);
      use.sequence->prompt_scored = use.prompt_index;
    }
  }

  // What was kept for the tokens of this step, in order; nothing if the request wants none.
  static std::optional<TokenLogprobs> next_logprobs(Client& client) {
    if (client.delivered == client.logprobs.size()) return std::nullopt;
    TokenLogprobs next = std::move(client.logprobs[client.delivered++]);
    if (client.delivered == client.logprobs.size()) {
      client.logprobs.clear();
      client.delivered = 0;
    }
    return next;
  }

  void deliver(const Outcome& outcome) {
    const auto found = clients.find(outcome.request);
    BITCPM_CHECK(found != clients.end());
    Client& client = found->second;
    EngineEvent event{.request = outcome.request,
                      .token = outcome.token,
                      .logprobs = next_logprobs(client),
                      .prompt_logprobs = std::exchange(client.prompt_logprobs, {}),
                      .finish = outcome.finish,
                      .stop_token = outcome.stop_token,
                      .cached_tokens = outcome.cached_tokens};
    RequestTimes& times = client.times;
    times.preemptions = outcome.preemptions;
    const bool is_first = outcome.token && !times.first_token;
    if (is_first) times.first_token = Clock::now();
    if (outcome.finish) times.finished = Clock::now();
    if (is_first || outcome.finish) event.times = times;
    client.sink(std::move(event));
    if (!outcome.finish) return;
    clients.erase(found);
    --in_flight;
  }

  // Copies the counters to where other threads may read them.
  void publish() {
    counters.running = scheduler.running();
    counters.waiting = scheduler.waiting();
    counters.deferred = scheduler.deferred();
    counters.kv_blocks_used = scheduler.pool().used();
    counters.kv_blocks_total = scheduler.pool().total();
    counters.kv_block_tokens = scheduler.pool().block_tokens();
    counters.preemptions_total = scheduler.counters().preemptions;
    counters.prompt_tokens_total = scheduler.counters().prompt_tokens;
    counters.prefix_cache_queries = scheduler.counters().prefix_queries;
    counters.prefix_cache_hits = scheduler.counters().prefix_hits;
    counters.speculation = scheduler.counters().speculation;
    counters.residency = scheduler.pool().residency();
    const std::lock_guard lock(published_mutex);
    published = counters;
  }

  const Model& model;
  const EngineConfig config;
  const Clock::time_point started = Clock::now();

  // Engine thread only.
  Workspace workspace;
  std::unique_ptr<KvCache> cache;
  Scheduler scheduler;
  StepSampler sampler;
  BatchBuilder batch;
  std::vector<TokenId> sampled;
  std::unordered_map<RequestId, Client> clients;
  EngineStats counters;

  // Any thread.
  Inbox inbox;
  std::atomic<RequestId> next_request{1};
  std::atomic<std::int64_t> in_flight{0};  // accepted, terminal event not yet delivered
  mutable std::mutex published_mutex;
  EngineStats published;

  std::thread thread;  // last: everything above exists when it starts
};

namespace {

Result<EngineConfig> validated(EngineConfig config, const ModelConfig& model) {
  const auto refuse = [](std::string message) -> Result<EngineConfig> {
    return Error{Errc::kInvalid, std::move(message)};
  };
  if (config.max_model_len < 2 || config.max_model_len > model.max_position_embeddings) {
    return refuse("max_model_len must be in [2, " + std::to_string(model.max_position_embeddings) +
                  "], the model's max_position_embeddings; got " +
                  std::to_string(config.max_model_len));
  }
  if (config.max_num_seqs < 1 || config.max_num_seqs > 4096) {
    return refuse("max_num_seqs must be in [1, 4096], got " + std::to_string(config.max_num_seqs));
  }
  if (config.max_num_batched_tokens < config.max_num_seqs ||
      config.max_num_batched_tokens > 65536) {
    return refuse("max_num_batched_tokens must be in [" + std::to_string(config.max_num_seqs) +
                  " (max_num_seqs), 65536], got " + std::to_string(config.max_num_batched_tokens));
  }
  const SpeculationConfig& speculation = config.speculation;
  if (speculation.num_speculative_tokens < 0 ||
      speculation.num_speculative_tokens > SpeculationConfig::kMaxTokens) {
    return refuse("num_speculative_tokens must be in [0, " +
                  std::to_string(SpeculationConfig::kMaxTokens) + "], got " +
                  std::to_string(speculation.num_speculative_tokens));
  }
  if (speculation.prompt_lookup_min < 1 ||
      speculation.prompt_lookup_max < speculation.prompt_lookup_min ||
      speculation.prompt_lookup_max > SpeculationConfig::kMaxLookup) {
    return refuse("prompt_lookup_min and prompt_lookup_max must be in [1, " +
                  std::to_string(SpeculationConfig::kMaxLookup) +
                  "], the first not above the second; got " +
                  std::to_string(speculation.prompt_lookup_min) + " and " +
                  std::to_string(speculation.prompt_lookup_max));
  }
  if (config.max_waiting_requests < 0) {
    return refuse("max_waiting_requests must not be negative");
  }
  if (config.max_logprobs < -1) {
    return refuse("max_logprobs must be at least 0, or -1 for the vocabulary");
  }
  if (!(config.kv_cache_metrics_sample >= 0 && config.kv_cache_metrics_sample <= 1)) {
    return refuse("kv_cache_metrics_sample must be in [0, 1]");
  }
  if (config.max_logprobs == -1) config.max_logprobs = model.vocab_size;
  return config;
}

}  // namespace

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::start(const Model& model, const EngineConfig& wanted) {
  BITCPM_ASSIGN(EngineConfig config, validated(wanted, model.config()));
  Backend& backend = model.backend();
  const KvShape shape = model.kv_shape(config.kv_cache_dtype);
  config.kv_cache_dtype = shape.dtype;
  const std::size_t block_bytes =
      kv_bytes_per_token(shape) * static_cast<std::size_t>(backend.kv_block_tokens());
  const std::size_t blocks = std::min<std::size_t>(config.kv_cache_bytes / block_bytes, 1u << 24);
  const std::size_t block_tokens = static_cast<std::size_t>(backend.kv_block_tokens());
  if (blocks * block_tokens < static_cast<std::size_t>(config.max_model_len)) {
    return Error{Errc::kExhausted, "a KV cache of " + std::to_string(config.kv_cache_bytes) +
                                       " bytes holds " + std::to_string(blocks * block_tokens) +
                                       " tokens, less than max_model_len " +
                                       std::to_string(config.max_model_len)};
  }
  BITCPM_ASSIGN(std::unique_ptr<KvCache> cache,
                backend.allocate_kv(shape, static_cast<std::int32_t>(blocks)));
  BITCPM_ASSIGN(Workspace workspace,
                model.make_workspace(config.max_num_batched_tokens, config.max_model_len));
  return std::unique_ptr<Engine>(
      new Engine(std::make_unique<Impl>(model, config, std::move(workspace), std::move(cache))));
}

Result<RequestId> Engine::submit(std::vector<TokenId> prompt, SamplingParams params,
                                 EventSink sink) {
  BITCPM_TRY(check_request(prompt, params, impl_->config, impl_->model.config().vocab_size));
  const std::int64_t most =
      std::int64_t{impl_->config.max_num_seqs} + impl_->config.max_waiting_requests;
  if (impl_->in_flight.fetch_add(1) >= most) {
    --impl_->in_flight;
    return Error{Errc::kExhausted, "the server is busy: " + std::to_string(most) +
                                       " requests are running or waiting"};
  }
  const RequestId id = impl_->next_request++;
  impl_->inbox.push(
      SubmitCommand{std::make_unique<Sequence>(id, std::move(prompt), std::move(params)),
                    std::move(sink), Clock::now()});
  return id;
}

void Engine::cancel(RequestId request) { impl_->inbox.push(CancelCommand{request}); }

void Engine::reset_prefix_cache() { impl_->inbox.push(ResetPrefixCacheCommand{}); }

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->published_mutex);
  return impl_->published;
}

const EngineConfig& Engine::config() const { return impl_->config; }

}  // namespace bitcpm
