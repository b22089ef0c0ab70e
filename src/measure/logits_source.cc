#include "measure/logits_source.h"

#include <utility>

#include "measure/model_pass.h"

namespace bitcpm {
namespace {

class ModelSource : public LogitsSource {
 public:
  explicit ModelSource(ModelPass pass) : pass_(std::move(pass)) {}

  std::int32_t vocab_size() const override { return pass_.model().config().vocab_size; }

  Status begin(const EvalWindow& window) override {
    pass_.run(window.ids, window.first_row(), nullptr);
    return {};
  }

  Result<TensorView> rows(std::int32_t first, std::int32_t count) override {
    return pass_.logits(first, count);
  }

 private:
  ModelPass pass_;
};

}  // namespace

Result<std::unique_ptr<LogitsSource>> make_model_source(
    const Model& model, std::size_t longest, std::optional<KvCacheDtype> kv_cache_dtype) {
  BITCPM_ASSIGN(ModelPass pass, ModelPass::make(model, longest, kv_cache_dtype));
  return std::unique_ptr<LogitsSource>(new ModelSource(std::move(pass)));
}

}  // namespace bitcpm
