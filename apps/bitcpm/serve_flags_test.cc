#include "serve_flags.h"

#include <gtest/gtest.h>
#include "commands.h"

#include <algorithm>
#include <sstream>

namespace bitcpm {
namespace {

struct Parsed {
  ServeOptions options;
  std::vector<std::string> ignored;
  std::string error;
};

// Parses "serve" and the flags in `line`, split at spaces.
Parsed parse(const std::string& line) {
  std::vector<std::string> arguments{"serve"};
  std::istringstream words(line);
  for (std::string word; words >> word;) arguments.push_back(word);
  normalise_arguments(arguments);
  arguments.erase(arguments.begin());
  std::reverse(arguments.begin(), arguments.end());

  Parsed parsed;
  CLI::App app;
  add_serve_options(app, parsed.options);
  try {
    app.parse(arguments);
    parsed.ignored = ignored_flags(app);
  } catch (const CLI::ParseError& error) {
    parsed.error = error.what();
  }
  return parsed;
}

// Protects the drop-in promise: the reference deployment's command line, verbatim.
TEST(ServeFlags, TakesTheReferenceDeploymentsFlags) {
  const Parsed parsed = parse(
      "/some/model/ --trust-remote-code --tensor-parallel-size 1 --gpu-memory-utilization 0.85 "
      "--max-model-len 2048 --enforce-eager --dtype bfloat16 --port 8000 --host 0.0.0.0");
  ASSERT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.options.model.model, "/some/model/");
  EXPECT_EQ(parsed.options.model.max_model_len, 2048);
  EXPECT_EQ(parsed.options.edge.port, 8000);
  EXPECT_EQ(parsed.options.edge.host, "0.0.0.0");
  EXPECT_EQ(parsed.ignored, (std::vector<std::string>{"--trust-remote-code", "--enforce-eager"}));
  EXPECT_EQ(parsed.options.gpu_memory_utilization, 0.85f);
}

// Protects vLLM's spellings: underscores, '=', the two-letter -tp, sizes with suffixes, many names.
TEST(ServeFlags, TakesVllmsSpellings) {
  const Parsed parsed = parse(
      "--model m --max_model_len=2k -tp 1 -pp=1 --kv-cache-memory 1G --kv_cache_dtype int8 "
      "--chat-template=a_b.j --served-model-name one two_2 --max-num-seqs 8 "
      "--max_num_queued_reqs=1k");
  ASSERT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.options.model.model, "m");
  EXPECT_EQ(parsed.options.model.max_model_len, 2000);
  EXPECT_EQ(parsed.options.kv_cache_bytes, 1 << 30);
  EXPECT_EQ(parsed.options.model.kv_cache_dtype, KvCacheDtype::kInt8);
  EXPECT_EQ(parsed.options.model.chat_template_file, "a_b.j");
  EXPECT_EQ(parsed.options.served_model_names, (std::vector<std::string>{"one", "two_2"}));
  EXPECT_EQ(parsed.options.max_num_seqs, 8);
  EXPECT_EQ(parsed.options.max_num_queued_reqs, 1000);
}

// Protects users from settings that would silently not hold: refused, and named.
TEST(ServeFlags, RefusesWhatItCannotHonour) {
  struct Case {
    const char* line;
    const char* named;
  };
  constexpr Case kCases[] = {
      {"-tp 2", "--tensor-parallel-size"},
      {"--pipeline-parallel-size 2", "--pipeline-parallel-size"},
      {"--dtype float16", "would round"},
      {"--dtype int4", "int4"},
      {"--quantization awq", "--quantization"},
      {"--kv-cache-dtype fp8", "the 8-bit type here is int8"},
      {"--kv-cache-dtype float16", "the 16-bit type here is bfloat16"},
      {"--gpu-memory-utilization 1.1", "--gpu-memory-utilization"},
      {"--gpu-memory-utilization 0", "--gpu-memory-utilization"},
      {"--max-logprobs -2", "--max-logprobs"},
      {"--logprobs-mode cooked", "--logprobs-mode"},
      {"--numerics quick", "--numerics"},
      {"--max-model-len 1", "less than 2"},
      {"--max-model-len 1.5K", "lower-case"},
      {"--port 65536", "--port"},
      {"--allowed-origins [x", "--allowed-origins"},
      {"--ssl-cert-reqs 3", "--ssl-cert-reqs"},
      {"--log-format xml", "--log-format"},
      {"--default-chat-template-kwargs [1]", "--default-chat-template-kwargs"},
      {"--response-role user", "--response-role"},
      {"--tool-call-parser minicpm5", "--tool-call-parser"},
      {"--unheard-of 1", "--unheard-of"},
      {"--generation-config /elsewhere", "--generation-config"},
  };
  for (const Case& c : kCases) {
    const std::string error = parse(c.line).error;
    EXPECT_NE(error.find(c.named), std::string::npos) << c.line << ": " << error;
  }
}

// Protects the edge's flags: vLLM's spellings end up where the server reads them.
TEST(ServeFlags, ConfiguresTheEdge) {
  const Parsed parsed = parse(
      "model --api-key one --api-key two --ssl-certfile c.pem --ssl-keyfile k.pem "
      "--allowed-origins [\"https://a\",\"https://b\"] --allow-credentials --shutdown-timeout 5 "
      "--disable-uvicorn-access-log --disable-access-log-for-endpoints /health,/x");
  ASSERT_EQ(parsed.error, "");
  const ServerConfig config = edge_config(parsed.options.edge);
  EXPECT_EQ(config.api_keys, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(config.tls.certfile, "c.pem");
  EXPECT_EQ(config.tls.keyfile, "k.pem");
  EXPECT_EQ(config.cors.allowed_origins, (std::vector<std::string>{"https://a", "https://b"}));
  EXPECT_EQ(config.cors.allowed_methods, std::vector<std::string>{"*"});
  EXPECT_TRUE(config.cors.allow_credentials);
  EXPECT_EQ(config.timeouts.shutdown, std::chrono::seconds(5));
  EXPECT_FALSE(config.access_log);
  EXPECT_EQ(config.unlogged_paths, (std::vector<std::string>{"/health", "/x"}));

  EXPECT_EQ(edge_usage_error(parsed.options.edge), "");
  EXPECT_NE(edge_usage_error(parse("--ssl-keyfile k.pem").options.edge), "");
  EXPECT_NE(edge_usage_error(parse("--ssl-certfile c --ssl-cert-reqs 2").options.edge), "");
}

// Protects the start-up: what the engine would refuse once the model is loaded is told at once, in
// terms of the flags, defaults included.
TEST(ServeFlags, StepsHoldEverySequence) {
  struct Case {
    std::vector<std::string> flags;  // last one first
    const char* complaint;
  };
  const Case kCases[] = {
      {{}, ""},
      {{"8", "--max-num-seqs", "8", "--max-num-batched-tokens"}, ""},
      {{"8", "--max-num-seqs", "4", "--max-num-batched-tokens"},
       "--max-num-batched-tokens 4 is less than --max-num-seqs 8"},
      {{"1000", "--max-num-seqs"},
       "--max-num-batched-tokens 512 (the default) is less than --max-num-seqs 1000"},
  };
  for (const Case& c : kCases) {
    CLI::App root;
    const Command serve = make_serve_command(root);
    std::vector<std::string> arguments = c.flags;
    arguments.emplace_back("serve");
    ASSERT_NO_THROW(root.parse(arguments)) << c.complaint;
    EXPECT_EQ(serve.usage_error(), c.complaint);
  }
}

// Protects speed from a thread count that the machine does not have: said, with both numbers.
TEST(ServeFlags, WarnsOfMoreThreadsThanCpus) {
  const ModelOptions three = parse("--threads 3").options.model;
  EXPECT_EQ(thread_warning(three, 3), "");
  const std::string warning = thread_warning(three, 2);
  EXPECT_NE(warning.find("--threads 3"), std::string::npos) << warning;
  EXPECT_NE(warning.find("2 CPUs"), std::string::npos) << warning;
}

// Protects text arguments of the other commands: only `serve` has vLLM's spellings.
TEST(ServeFlags, OtherCommandsAreLeftAlone) {
  std::vector<std::string> arguments{"complete", "--prompt", "--snake_case", "-tp"};
  const std::vector<std::string> before = arguments;
  normalise_arguments(arguments);
  EXPECT_EQ(arguments, before);
}

}  // namespace
}  // namespace bitcpm
