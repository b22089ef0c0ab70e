#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "backend/cpu/cpu_backend.h"
#include "golden_data.h"
#include "golden_model.h"
#include "kernels/dispatch.h"
#include "model/packer.h"

namespace bitcpm::golden {
namespace {

namespace fs = std::filesystem;

// The embedded model as `bitcpm pack` writes it, in a folder of its own.
class PackedModelFolder {
 public:
  PackedModelFolder() {
    std::string pattern = (fs::temp_directory_path() / "bitcpm_golden_XXXXXX").string();
    BITCPM_CHECK(mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    ModelFiles source = embedded_model_files();
    const auto backend = make_cpu_backend({.threads = 2, .numerics = Numerics::kFast}).value();
    const ModelConfig config = read_model_config(source).value();
    PackedWriter writer = PackedWriter::create(folder_).value();
    const auto go_on = [](std::size_t, std::size_t, std::string_view) { return true; };
    const PackedModel packed = pack_weights(source, config, *backend, writer, go_on).value();
    BITCPM_CHECK(writer.finish().ok());
    write("packed.json", manifest_text(packed.manifest));
    for (const char* name : {"config.json", "generation_config.json"}) {
      write(name, std::string(source.open_text(name).value()));
    }
  }
  ~PackedModelFolder() { fs::remove_all(folder_); }

  ModelFiles files() const { return ModelFiles::open_directory(folder_).value(); }

 private:
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  fs::path folder_;
};

// Protects what docs/formats/packed.md promises: one packed directory gives the bits of the
// checkpoint on every CPU level, in both numerics.
TEST(Packed, GivesTheBitsOfTheCheckpoint) {
  const PackedModelFolder folder;
  const std::vector<Prompt> prompts = load_prompts();
  for (const std::string& isa : kernels::runnable_levels(kernels::detect_cpu_features())) {
    for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
      const GoldenModel source(isa, 2, numerics);
      const GoldenModel packed(folder.files(), isa, numerics);
      for (const int id : {1, 12}) {
        const auto& ids = prompts[static_cast<std::size_t>(id)].ids;
        const std::vector<float> want = source.logits(ids);
        const std::vector<float> got = packed.logits(ids);
        EXPECT_EQ(std::memcmp(want.data(), got.data(), 4 * want.size()), 0)
            << isa << " " << numerics_name(numerics) << " " << id;
      }
    }
  }
}

}  // namespace
}  // namespace bitcpm::golden
