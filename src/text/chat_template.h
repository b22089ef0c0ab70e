#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bitcpm {

// A checkpoint's Jinja chat template, run by the `minijinja` crate with Python's string methods.
// Templates come from strangers: a render has a budget of steps and of output bytes, and nothing in
// a template can reach files, network or process. Immutable; any thread.
class ChatTemplate {
 public:
  // Source, in this order: `chat_template_jinja` (the file of that name), the "chat_template" entry
  // of `tokenizer_config_json` (a string, or a list of {name, template} of which "default" is
  // taken), else the built-in ChatML template of MiniCPM. Either argument may be empty.
  // Errors: kCorrupt (JSON or Jinja syntax, with the line).
  static Result<ChatTemplate> load(std::string_view tokenizer_config_json,
                                   std::string_view chat_template_jinja);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `context_json`: one JSON object; its keys become the template's variables, at least "messages"
  // and "add_generation_prompt". bos_token, eos_token and the like are supplied from
  // tokenizer_config.json. The text carries no BOS of its own: the tokenizer adds it.
  // Errors: kInvalid with the template's own reason (raise_exception, a missing field, …).
  Result<std::string> render(std::string_view context_json) const;

  bool is_built_in() const;  // the checkpoint brought no template

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitcpm
