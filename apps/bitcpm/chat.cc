#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "commands.h"
#include "console.h"
#include "conversation.h"
#include "interrupt.h"
#include "line_reader.h"
#include "model_setup.h"
#include "sampling_options.h"
#include "text_run.h"

namespace bitcpm {
namespace {

constexpr std::string_view kHelp =
    "/reset forgets the conversation, /exit (or Ctrl-D) leaves, Ctrl-C stops an answer";

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  std::string system;
};

class Chat {
 public:
  Chat(const ChatOptions& options, const ModelSetup& setup, Engine& engine)
      : options_(options),
        setup_(setup),
        engine_(engine),
        conversation_(setup.tokenizer, setup.chat_template, options.system),
        interactive_(isatty(STDIN_FILENO) == 1) {}

  // With standard input piped, a message that gets no answer does not keep the others from theirs.
  Result<ExitCode> run() {
    if (interactive_) {
      print_note(fmt::format("{}, context of {} tokens; {}", setup_.name,
                             engine_.config().max_model_len, kHelp));
    }
    bool interrupted_before = false;
    for (;;) {
      if (interactive_) print("> ");
      std::string line;
      const LineReader::Outcome outcome = lines_.read(line);
      interrupt_.take();
      if (outcome == LineReader::Outcome::kEnd) break;
      if (outcome == LineReader::Outcome::kInterrupted) {
        if (interrupted_before || !interactive_) break;
        interrupted_before = true;
        print("\n");
        print_note("once more to leave");
        continue;
      }
      interrupted_before = false;
      if (line == "/exit") return exit_code();
      BITCPM_TRY(take_line(line));
    }
    if (interactive_) print("\n");
    return exit_code();
  }

 private:
  ExitCode exit_code() const {
    return failed_ && !interactive_ ? ExitCode::kFailure : ExitCode::kSuccess;
  }

  // Errors: kIo, which ends the chat.
  Status take_line(const std::string& line) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) return {};
    if (line == "/help") {
      print_note(kHelp);
    } else if (line == "/reset") {
      conversation_.reset();
      if (interactive_) print_note("the conversation is forgotten");
    } else {
      Status answered = answer(line);
      if (answered.ok()) return {};
      if (answered.error().code == Errc::kIo) return answered;
      print_note("error: " + answered.error().message);
      failed_ = true;
    }
    return {};
  }

  Status answer(const std::string& message) {
    const std::int32_t limit = engine_.config().max_model_len;
    const std::int64_t wanted = options_.sampling.max_tokens.value_or(limit);
    BITCPM_ASSIGN(Conversation::Turn turn, conversation_.ask(message, limit, wanted));
    if (turn.dropped_turns > 0) {
      print_note(fmt::format("the context is full: {} oldest turn{} dropped", turn.dropped_turns,
                             turn.dropped_turns == 1 ? "" : "s"));
    }
    TextRequest request;
    request.sampling = make_sampling_params(options_.sampling, setup_.config.generation);
    request.sampling.max_tokens = turn.max_tokens;
    request.prompt = std::move(turn.prompt);
    request.stop = options_.sampling.stop;
    bool output_open = true;
    const auto show = [&](std::string_view piece) {
      output_open = print(piece);
      return output_open && !interrupt_.take();
    };
    BITCPM_ASSIGN(TextResult result, run_text(engine_, setup_.tokenizer, request, show));
    if (!output_open || !print("\n")) return Error{Errc::kIo, "standard output cannot be written"};
    conversation_.answered(std::move(result.text));
    return {};
  }

  const ChatOptions& options_;
  const ModelSetup& setup_;
  Engine& engine_;
  Conversation conversation_;
  LineReader lines_;
  InterruptGuard interrupt_;
  bool interactive_;
  bool failed_ = false;  // some message got no answer
};

Result<ExitCode> run_chat(const ChatOptions& options) {
  BITCPM_TRY(check_utf8(options.system, "--system"));
  note_thread_warning(options.model);
  BITCPM_ASSIGN(const ModelSetup setup, load_model_setup(options.model));
  BITCPM_ASSIGN(const std::unique_ptr<Engine> engine,
                start_single_engine(setup, setup.max_model_len));
  return Chat(options, setup, *engine).run();
}

}  // namespace

Command make_chat_command(CLI::App& root) {
  auto options = std::make_shared<ChatOptions>();  // lives as long as its flags and run
  CLI::App* app = root.add_subcommand("chat", "Talk in the terminal");
  app->footer("In the chat: " + std::string(kHelp) +
              ".\nWith standard input piped, each line is a message and only answers are printed;\n"
              "one that cannot be answered is reported on standard error, and the next follows.\n"
              "Example:\n  bitcpm chat --system 'Answer briefly.' --temperature 0");
  add_running_options(*app, options->model);
  app->add_option("--chat-template", options->model.chat_template_file,
                  "Jinja file instead of the checkpoint's own template")
      ->type_name("FILE");
  app->add_option("--system", options->system, "System message")->type_name("TEXT");
  add_count(*app, "--max-tokens", options->sampling.max_tokens, 1,
            std::numeric_limits<std::int32_t>::max(),
            "Length of an answer (default: what the context leaves)");
  add_sampling_options(*app, options->sampling);
  return {app, [options] { return run_chat(*options); }};
}

}  // namespace bitcpm
