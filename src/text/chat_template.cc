#include "text/chat_template.h"

#include <utility>

#include "text/bridge.h"
#include "text/tokenizer_config.h"

namespace bitcpm {
namespace {

// ChatML as MiniCPM4 and BitCPM publish it, for checkpoints that bring no template.
constexpr std::string_view kBuiltIn =
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

}  // namespace

struct ChatTemplate::Impl {
  BridgeTemplate bridge;
  bool is_built_in = false;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::load(std::string_view tokenizer_config_json,
                                        std::string_view chat_template_jinja) {
  auto config = parse_tokenizer_config(tokenizer_config_json);
  if (!config) return std::move(config).error().within("tokenizer_config.json");
  std::string_view source = chat_template_jinja;
  std::string_view origin = "chat_template.jinja";
  if (source.empty() && !config->chat_template.empty()) {
    source = config->chat_template;
    origin = "tokenizer_config.json: chat_template";
  }
  const bool is_built_in = source.empty();
  if (is_built_in) source = kBuiltIn;
  const std::string defaults = json::serialize(config->special_tokens);
  TbText error{};
  BridgeTemplate bridge(
      tb_template_load(source.data(), source.size(), defaults.data(), defaults.size(), &error));
  if (!bridge) return Error{Errc::kCorrupt, std::string(origin) + ": " + take(error)};
  return ChatTemplate(std::make_unique<Impl>(Impl{std::move(bridge), is_built_in}));
}

Result<std::string> ChatTemplate::render(std::string_view context_json) const {
  TbText text{};
  const bool ok =
      tb_template_render(impl_->bridge.get(), context_json.data(), context_json.size(), &text);
  std::string result = take(text);
  if (!ok) return Error{Errc::kInvalid, "chat template: " + result};
  return result;
}

bool ChatTemplate::is_built_in() const { return impl_->is_built_in; }

}  // namespace bitcpm
