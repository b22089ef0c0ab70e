#include "io/model_config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/json.h"
#include "io/reader_testing.h"

namespace bitcpm {
namespace {

// One published model, as its config.json says it.
struct Published {
  const char* name;
  bool mup;
  int hidden, layers, heads, kv_heads, head_dim, intermediate;
  const char* eps;  // nothing: left to the class default
  int max_position, original;
  const char* tie;  // likewise
  const char* rope_key;
  const char* rope_type;
};

constexpr Published kPublished[] = {
    {"BitCPM4-0.5B", true, 1024, 24, 16, 2, 64, 4096, "1e-05", 32768, 32768, "", "rope_type",
     "longrope"},
    {"BitCPM4-1B", true, 1536, 52, 24, 8, 64, 3840, "1e-05", 32768, 32768, "true", "type", "su"},
    {"BitCPM-CANN-1B", false, 2048, 28, 16, 2, 128, 6144, "1e-06", 32768, 32768, "false",
     "rope_type", "longrope"},
    {"BitCPM-CANN-3B", false, 2560, 32, 32, 2, 128, 10240, "", 32768, 32786, "false", "rope_type",
     "longrope"},
    {"MiniCPM4-8B", true, 4096, 32, 32, 2, 128, 16384, "1e-6", 32768, 32768, "false", "rope_type",
     "longrope"},
    {"MiniCPM4.1-8B", true, 4096, 32, 32, 2, 128, 16384, "1e-6", 65536, 65536, "false", "type",
     "longrope"},
};

// first, first + 1, …
std::string factor_list(int pairs, double first) {
  std::string list = "[";
  for (int i = 0; i < pairs; ++i) list += fmt::format("{}{}", i ? "," : "", first + i);
  return list + "]";
}

std::string config_of(const Published& p) {
  json::object config;
  config["architectures"] = json::array(1, p.mup ? "MiniCPMForCausalLM" : "LlamaForCausalLM");
  config["torch_dtype"] = "bfloat16";
  config["hidden_act"] = "silu";
  config["attention_bias"] = false;
  config["pretraining_tp"] = 1;
  config["num_experts"] = 0;
  config["hidden_size"] = p.hidden;
  config["intermediate_size"] = p.intermediate;
  config["num_hidden_layers"] = p.layers;
  config["num_attention_heads"] = p.heads;
  config["num_key_value_heads"] = p.kv_heads;
  if (!p.mup) config["head_dim"] = p.head_dim;
  config["vocab_size"] = 73448;
  config["max_position_embeddings"] = p.max_position;
  if (*p.eps) config["rms_norm_eps"] = json::parse(p.eps);
  if (*p.tie) config["tie_word_embeddings"] = json::parse(p.tie);
  config["bos_token_id"] = 1;
  config["eos_token_id"] = {2, 73440};
  if (p.mup) {
    config["scale_emb"] = 12;
    config["scale_depth"] = 1.4;
    config["dim_model_base"] = 256;
    config["mup_denominator"] = 32;
  }
  json::object rope;
  rope[p.rope_key] = p.rope_type;
  rope["short_factor"] = json::parse(factor_list(p.head_dim / 2, 0.9977997200264581));
  rope["long_factor"] = json::parse(factor_list(p.head_dim / 2, 2.0));
  rope["original_max_position_embeddings"] = p.original;
  config["rope_scaling"] = rope;
  return json::serialize(config);
}

// Protects: every published shape comes through, with the scales of its class and no others.
TEST(ModelConfig, ReadsThePublishedModels) {
  for (const Published& p : kPublished) {
    const auto config = parse_model_config(config_of(p), "");
    ASSERT_TRUE(config.ok()) << p.name << ": " << config.error().message;
    EXPECT_EQ(config->hidden_size, p.hidden) << p.name;
    EXPECT_EQ(config->intermediate_size, p.intermediate) << p.name;
    EXPECT_EQ(config->num_hidden_layers, p.layers) << p.name;
    EXPECT_EQ(config->num_attention_heads, p.heads) << p.name;
    EXPECT_EQ(config->num_key_value_heads, p.kv_heads) << p.name;
    EXPECT_EQ(config->head_dim, p.head_dim) << p.name;
    EXPECT_EQ(config->vocab_size, 73448) << p.name;
    EXPECT_EQ(config->max_position_embeddings, p.max_position) << p.name;
    EXPECT_EQ(config->rms_norm_eps, *p.eps ? std::stof(p.eps) : 1e-6f) << p.name;
    EXPECT_EQ(config->tie_word_embeddings, *p.tie ? p.tie == std::string("true") : p.mup) << p.name;
    EXPECT_EQ(config->torch_dtype, "bfloat16") << p.name;
    EXPECT_EQ(config->bos_token_id, 1) << p.name;
    EXPECT_EQ(config->eos_token_ids, (std::vector<TokenId>{2, 73440})) << p.name;
    EXPECT_EQ(config->rope.theta, 10000.0f) << p.name;
    ASSERT_EQ(config->rope.short_factor.size(), p.head_dim / 2u) << p.name;
    EXPECT_EQ(config->rope.short_factor[0], 0.9977997200264581f) << p.name;
    EXPECT_EQ(config->rope.long_factor[1], 3.0f) << p.name;
    EXPECT_EQ(config->rope.original_max_position, p.original) << p.name;
    EXPECT_EQ(config->rope.attention_factor, 1.0f) << p.name;  // 32768 / 32786 counts as 1
    const float layers = static_cast<float>(p.layers);
    EXPECT_FLOAT_EQ(config->residual_scale, p.mup ? 1.4f / std::sqrt(layers) : 1.0f) << p.name;
    EXPECT_EQ(config->embedding_scale, p.mup ? 12.0f : 1.0f) << p.name;
    EXPECT_EQ(config->logit_divisor, p.mup ? p.hidden / 256.0f : 1.0f) << p.name;
  }
}

// Protects: the embedded model's own files.
TEST(ModelConfig, ReadsTheEmbeddedModel) {
  const auto config =
      parse_model_config(read_source_file("assets/bitcpm-tiny/config.json"),
                         read_source_file("assets/bitcpm-tiny/generation_config.json"));
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->head_dim, 64);
  EXPECT_EQ(config->logit_divisor, 4.0f);
  EXPECT_EQ(config->rope.short_factor[31], 49.85338592529297f);
  EXPECT_EQ(config->eos_token_ids, (std::vector<TokenId>{2, 6000}));
  EXPECT_EQ(config->generation.temperature, 0.8f);
  EXPECT_EQ(config->generation.top_p, 0.8f);
  EXPECT_FALSE(config->generation.top_k.has_value());
}

// Protects: a context extended by config, 32 K to 128 K, scales cos and sin as transformers does.
TEST(ModelConfig, ScalesAttentionOfAnExtendedContext) {
  Published p = kPublished[4];
  p.max_position = 131072;
  EXPECT_NEAR(parse_model_config(config_of(p), "")->rope.attention_factor, 1.0646, 5e-5);
  p.original = 65536;
  EXPECT_NEAR(parse_model_config(config_of(p), "")->rope.attention_factor, 1.0308, 5e-5);
}

// A small Llama config without any optional field.
constexpr char kMinimal[] = R"({"architectures":["LlamaForCausalLM"],"hidden_size":64,)"
                            R"("intermediate_size":128,"num_hidden_layers":2,)"
                            R"("num_attention_heads":4,"vocab_size":100,)"
                            R"("max_position_embeddings":512})";

// kMinimal with further fields.
std::string with(const std::string& fields) {
  return replaced(kMinimal, "{", "{" + fields + (fields.empty() ? "" : ","));
}

// kMinimal with one of its own fields changed.
std::string having(std::string_view part, std::string_view instead) {
  return replaced(kMinimal, part, instead);
}

std::string rope(const std::string& fields) { return with("\"rope_scaling\":{" + fields + "}"); }

std::string longrope(const std::string& fields) {
  return rope(R"("type":"longrope","short_factor":)" + factor_list(8, 1) +
              ",\"long_factor\":" + factor_list(8, 2) + "," + fields);
}

// Protects: what a config leaves out is what the class of transformers would take.
TEST(ModelConfig, FillsDefaults) {
  const auto llama = parse_model_config(kMinimal, "");
  ASSERT_TRUE(llama.ok()) << llama.error().message;
  EXPECT_EQ(llama->num_key_value_heads, 4);
  EXPECT_EQ(llama->head_dim, 16);
  EXPECT_EQ(llama->rms_norm_eps, 1e-6f);
  EXPECT_FALSE(llama->tie_word_embeddings);
  EXPECT_EQ(llama->rope.original_max_position, 512);
  EXPECT_EQ(llama->rope.short_factor, std::vector<float>(8, 1.0f));
  EXPECT_FALSE(llama->bos_token_id.has_value());
  const auto minicpm = parse_model_config(having("Llama", "MiniCPM"), "");
  ASSERT_TRUE(minicpm.ok()) << minicpm.error().message;
  EXPECT_TRUE(minicpm->tie_word_embeddings);
  EXPECT_EQ(minicpm->embedding_scale, 1.0f);
  EXPECT_FLOAT_EQ(minicpm->residual_scale, 1.0f / std::sqrt(2.0f));
  EXPECT_EQ(minicpm->logit_divisor, 64.0f);
}

// Protects: every spelling of plain and LongRoPE embedding that transformers 4 and 5 write.
TEST(ModelConfig, ReadsEverySpellingOfRope) {
  struct Case {
    const char* name;
    std::string config;
    float theta, second_long_factor;
    int original;
  };
  const std::string lists =
      R"("short_factor":)" + factor_list(8, 1) + ",\"long_factor\":" + factor_list(8, 2);
  const Case kCases[] = {
      {"null", with("\"rope_scaling\":null"), 1e4f, 1, 512},
      {"default", rope("\"rope_type\":\"default\""), 1e4f, 1, 512},
      {"empty", rope(""), 1e4f, 1, 512},
      {"theta as an integer", with("\"rope_theta\":500000"), 5e5f, 1, 512},
      {"both spellings of one type", longrope("\"rope_type\":\"su\""), 1e4f, 3, 512},
      {"original inside", longrope("\"original_max_position_embeddings\":256"), 1e4f, 3, 256},
      {"original at the top",
       replaced(longrope("\"factor\":1.0"), "{", "{\"original_max_position_embeddings\":128,"),
       1e4f, 3, 128},
      {"transformers 5, plain", with(R"("rope_parameters":{"rope_theta":7e5})"), 7e5f, 1, 512},
      {"transformers 5, longrope",
       with(R"("rope_parameters":{"rope_type":"longrope","rope_theta":7e5,)" + lists + "}"), 7e5f,
       3, 512},
      {"whole rotation", with("\"partial_rotary_factor\":1.0"), 1e4f, 1, 512},
  };
  for (const Case& c : kCases) {
    const auto config = parse_model_config(c.config, "");
    ASSERT_TRUE(config.ok()) << c.name << ": " << config.error().message;
    EXPECT_EQ(config->rope.theta, c.theta) << c.name;
    EXPECT_EQ(config->rope.long_factor[1], c.second_long_factor) << c.name;
    EXPECT_EQ(config->rope.original_max_position, c.original) << c.name;
  }
}

// Protects: stop ids of both files are united, generation_config.json's first; greedy by default
// when that file says so.
TEST(ModelConfig, UnitesGenerationConfig) {
  const std::string config = with("\"eos_token_id\":[2,9]");
  const auto united = parse_model_config(
      config, R"({"eos_token_id":[7,2],"bos_token_id":5,"do_sample":false,"temperature":0.6,)"
              R"("top_k":20,"top_p":null,"min_p":0.05,"repetition_penalty":1.02})");
  ASSERT_TRUE(united.ok()) << united.error().message;
  EXPECT_EQ(united->eos_token_ids, (std::vector<TokenId>{7, 2, 9}));
  EXPECT_EQ(united->bos_token_id, 5);
  EXPECT_FALSE(united->generation.temperature.has_value());
  EXPECT_EQ(united->generation.top_k, 20);
  EXPECT_FALSE(united->generation.top_p.has_value());
  EXPECT_EQ(united->generation.min_p, 0.05f);
  EXPECT_EQ(united->generation.repetition_penalty, 1.02f);
  EXPECT_EQ(parse_model_config(config, R"({"eos_token_id":9})")->eos_token_ids,
            (std::vector<TokenId>{9, 2}));
}

struct HostileCase {
  const char* name;
  std::string config;
  const char* reason;  // part of the message
};

// Protects: a config that is broken, or out of the range that later code relies on, is refused.
TEST(ModelConfig, RefusesHostileConfigs) {
  std::string many_ids = "\"eos_token_id\":[0";
  for (int i = 0; i < 64; ++i) many_ids += ",0";
  const std::string huge_field = '"' + std::string(9999, 'k') + "\":1";
  const HostileCase kCases[] = {
      {"empty", "", "config.json: invalid JSON"},
      {"no JSON", "hello", "config.json: invalid JSON"},
      {"cut short", having("}", ""), "config.json: invalid JSON"},
      {"list", "[]", "config.json: not a JSON object"},
      {"deep", with("\"x\":" + std::string(99, '[') + std::string(99, ']')), "invalid JSON"},
      {"a field twice", with("\"vocab_size\":1"), "'vocab_size' twice"},
      {"a huge field twice", with(huge_field + "," + huge_field), "names the key"},
      {"too long", std::string(5 << 20, ' '), "exceeds the limit"},
      {"no architectures", "{}", "architectures: missing"},
      {"architectures is a name", "{\"architectures\":\"LlamaForCausalLM\"}", "a list of one name"},
      {"two architectures", having("[\"", "[\"X\",\""), "a list of one name"},
      {"no hidden_size", having("\"hidden_size\":64,", ""), "hidden_size: missing"},
      {"null hidden_size", having(":64", ":null"), "hidden_size: missing"},
      {"text for a number", having(":64", ":\"64\""), "hidden_size: expected an integer"},
      {"fraction", having(":64", ":64.0"), "hidden_size: expected an integer from 1 to 65536"},
      {"zero", having(":64", ":0"), "hidden_size: expected"},
      {"negative", having(":64", ":-64"), "hidden_size: expected"},
      {"above int32", having(":64", ":4294967360"), "hidden_size: expected"},
      {"above int64", having(":64", ":18446744073709551615"), "hidden_size: expected"},
      {"huge vocabulary", having(":100", ":100000000"), "vocab_size: expected"},
      {"endless layers", having(":2,", ":1000000,"), "num_hidden_layers: expected"},
      {"endless positions", having(":512", ":2147483647"), "max_position_embeddings: expected"},
      {"heads do not divide", having("heads\":4", "heads\":3"), "does not divide hidden_size"},
      {"kv heads do not divide", with("\"num_key_value_heads\":3"),
       "num_key_value_heads: does not"},
      {"kv heads of zero", with("\"num_key_value_heads\":0"), "num_key_value_heads: expected"},
      {"odd head_dim", with("\"head_dim\":15"), "head_dim: 15 is not an even number"},
      {"derived head_dim of 1", having("heads\":4", "heads\":64"), "head_dim: 1 is not"},
      {"heads too wide", replaced(with("\"head_dim\":1024"), "heads\":4", "heads\":1024"),
       "times num_attention_heads exceeds"},
      {"eps of zero", with("\"rms_norm_eps\":0"), "rms_norm_eps: expected a number"},
      {"eps beyond f32", with("\"rms_norm_eps\":1e-300"), "rms_norm_eps: expected a number"},
      {"infinite eps", with("\"rms_norm_eps\":1e999"), "rms_norm_eps: expected"},
      {"tie as a number", with("\"tie_word_embeddings\":1"), "expected true or false"},
      {"bias as a text", with("\"attention_bias\":\"no\""), "attention_bias: expected true"},
      {"dtype as a number", with("\"torch_dtype\":16"), "torch_dtype: expected a string"},
      {"bos beyond the vocabulary", with("\"bos_token_id\":100"), "bos_token_id: expected"},
      {"eos beyond the vocabulary", with("\"eos_token_id\":[2,100]"), "below vocab_size, 100"},
      {"negative eos", with("\"eos_token_id\":-1"), "eos_token_id: expected token ids"},
      {"eos of lists", with("\"eos_token_id\":[[2]]"), "eos_token_id: expected token ids"},
      {"flood of eos", with(many_ids + "]"), "more than 64 ids"},
      {"negative depth", replaced(with("\"scale_depth\":-1.4"), "Llama", "MiniCPM"),
       "scale_depth: expected a number"},
      {"base of zero", replaced(with("\"dim_model_base\":0"), "Llama", "MiniCPM"),
       "dim_model_base: expected a number"},
      {"rope_scaling is a text", with("\"rope_scaling\":\"su\""),
       "rope_scaling: expected an object"},
      {"theta of zero", with("\"rope_theta\":0"), "rope_theta: expected a number"},
      {"types contradict", longrope("\"rope_type\":\"default\""), "type: contradicts rope_type"},
      {"both objects", with("\"rope_scaling\":{},\"rope_parameters\":{}"), "beside rope_scaling"},
      {"no factors", rope("\"type\":\"su\""), "short_factor: expected a list of head_dim / 2 = 8"},
      {"no long factors", rope("\"type\":\"su\",\"short_factor\":" + factor_list(8, 1)),
       "long_factor: expected a list"},
      {"factors of another head_dim", replaced(longrope("\"x\":1"), "[1,", "[1.5,1,"),
       "short_factor: expected a list"},
      {"factor of zero", replaced(longrope("\"x\":1"), "[1,", "[0.0,"), "short_factor: holds"},
      {"factor of text", replaced(longrope("\"x\":1"), "[2,", "[\"2.0\","), "long_factor: "},
      {"denormal factor", replaced(longrope("\"x\":1"), "[1,", "[1e-40,"), "short_factor: hol"},
      {"original of one", longrope("\"original_max_position_embeddings\":1"), "from 2 to"},
      {"attention_factor of text", longrope("\"attention_factor\":\"1\""), "attention_factor: exp"},
  };
  for (const HostileCase& c : kCases) {
    const auto config = parse_model_config(c.config, "");
    expect_refused(config, c.reason, c.name);
    EXPECT_EQ(config.error().code, Errc::kCorrupt) << c.name;
    EXPECT_TRUE(config.error().message.starts_with("config.json: ")) << c.name;
  }
}

// Protects: what bitcpm does not run is refused by name, never run as something else.
TEST(ModelConfig, RefusesWhatItDoesNotRun) {
  const HostileCase kCases[] = {
      {"architecture", having("LlamaForCausalLM", "MiniCPM3ForCausalLM"), "'MiniCPM3ForCausalLM'"},
      {"architecture of line breaks", having("LlamaForCausalLM", "a\\n\\u001b"), "'a\\x0a\\x1b'"},
      {"huge architecture", having("LlamaForCausalLM", std::string(9999, 'A')), "AAA...'"},
      {"yarn", rope("\"type\":\"yarn\",\"factor\":4"), "rope_type: 'yarn' is not supported"},
      {"linear", rope("\"rope_type\":\"linear\",\"factor\":4"), "'linear'"},
      {"a factor without a type", rope("\"factor\":4"), "rope_type: missing"},
      {"mscale", longrope("\"short_mscale\":1.1"), "short_mscale: not supported"},
      {"partial rotation", with("\"partial_rotary_factor\":0.5"), "partial_rotary_factor: only 1"},
      {"partial rotation, inside", rope("\"partial_rotary_factor\":0.5"), "only 1"},
      {"sparse attention", with("\"sparse_config\":{\"topk\":64}"), "InfLLM-v2) is asked for"},
      {"GPTQ", with(R"("quantization_config":{"quant_method":"gptq"})"), "quantised by 'gptq'"},
      {"Marlin", with(R"("quantization_config":{"quant_method":"gptq_marlin"})"), "'gptq_marlin'"},
      {"quantised, nameless", with("\"quantization_config\":{}"), "unnamed method"},
      {"attention bias", with("\"attention_bias\":true"), "attention_bias: true"},
      {"mlp bias", with("\"mlp_bias\":true"), "mlp_bias: true"},
      {"activation", with("\"hidden_act\":\"gelu\""), "hidden_act: 'gelu'"},
      {"sliding window", with("\"use_sliding_window\":true"), "use_sliding_window: true"},
      {"pretraining_tp", with("\"pretraining_tp\":2"), "pretraining_tp: more than 1"},
      {"experts", with("\"num_experts\":8"), "num_experts: a mixture of experts"},
  };
  for (const HostileCase& c : kCases) {
    const auto config = parse_model_config(c.config, "");
    expect_refused(config, c.reason, c.name);
    EXPECT_EQ(config.error().code, Errc::kUnsupported) << c.name;
  }
}

// Protects: the optional file is held to the same rules, under its own name.
TEST(ModelConfig, RefusesHostileGenerationConfigs) {
  const HostileCase kCases[] = {
      {"no JSON", "x", "generation_config.json: invalid JSON"},
      {"list", "[]", "generation_config.json: not a JSON object"},
      {"eos beyond the vocabulary", R"({"eos_token_id":100})", "below vocab_size, 100"},
      {"negative temperature", R"({"temperature":-1})", "temperature: expected a number"},
      {"temperature of text", R"({"temperature":"hot"})", "temperature: expected a number"},
      {"top_p of 2", R"({"top_p":2})", "top_p: expected a number"},
      {"fractional top_k", R"({"top_k":2.5})", "top_k: expected an integer"},
      {"penalty of zero", R"({"repetition_penalty":0})", "repetition_penalty: expected"},
      {"do_sample of 1", R"({"do_sample":1})", "do_sample: expected true or false"},
  };
  for (const HostileCase& c : kCases) {
    const auto config = parse_model_config(kMinimal, c.config);
    expect_refused(config, c.reason, c.name);
    EXPECT_TRUE(config.error().message.starts_with("generation_config.json: ")) << c.name;
  }
}

}  // namespace
}  // namespace bitcpm
