#include "tests/support/synthetic.h"

#include <doctest/doctest.h>

#include <fstream>
#include <utility>

#include "core/base/strings.h"
#include "tests/support/synthetic_files.h"
#include "tests/support/synthetic_recipe.h"

namespace millrace::test {
namespace {

// Not write_file(): syncing every shard of every test to the disk takes longer than the tests.
void write_or_fail(const Path& path, std::string_view bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    REQUIRE_MESSAGE(file.good(), path.string());
}

}  // namespace

SyntheticTensors synthetic_tensors(const Json& config) {
    const auto recipes = synthetic_recipes(config);
    REQUIRE_MESSAGE(recipes.ok(), (recipes.ok() ? "" : recipes.error().message));
    const auto seed = static_cast<uint64_t>(*config.find("synthetic_seed")->as_int());
    SyntheticTensors tensors;
    for (const SyntheticRecipe& recipe : *recipes) {
        SyntheticTensor& tensor = tensors[recipe.name];
        tensor = {recipe.dtype, recipe.shape, std::vector<std::byte>(recipe.bytes())};
        synthesise(recipe, seed, 0, tensor.bytes);
    }
    return tensors;
}

std::vector<int32_t> synthetic_tokens(uint64_t seed, int index, int64_t count, int64_t modulus) {
    const SyntheticStream stream(seed, cat("tokens.", index));
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        tokens.push_back(static_cast<int32_t>(stream.at(i) % static_cast<uint64_t>(modulus)));
    }
    return tokens;
}

void write_safetensors(const Path& path, const SyntheticTensors& tensors) {
    std::vector<ShardTensor> stored;
    for (const auto& [name, tensor] : tensors) {
        stored.push_back({name, tensor.dtype, tensor.shape, tensor.bytes.size()});
    }
    std::string file = safetensors_opening(stored);
    for (const auto& [name, tensor] : tensors) {
        file.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
    write_or_fail(path, file);
}

void write_checkpoint(const Path& directory, const Json& config, const SyntheticTensors& tensors,
                      int shards) {
    std::filesystem::create_directories(directory);
    Json::Object map;
    uint64_t total = 0;
    auto next = tensors.begin();
    size_t done = 0;
    for (int s = 1; s <= shards; ++s) {
        const std::string file = shard_name(s, shards);
        SyntheticTensors part;
        const size_t end = static_cast<size_t>(s) * tensors.size() / static_cast<size_t>(shards);
        for (; done < end; ++done, ++next) {
            part.insert(*next);
            map.emplace_back(next->first, file);
            total += next->second.bytes.size();
        }
        write_safetensors(directory / file, part);
    }
    write_or_fail(directory / "model.safetensors.index.json",
                  shard_index(std::move(map), total).dump());
    write_or_fail(directory / "config.json", config.dump());
}

void write_synthetic(const Path& config_json, const Path& out_dir, int shards) {
    const auto text = read_text_file(config_json, 1 << 20);
    REQUIRE_MESSAGE(text.ok(), (text.ok() ? "" : text.error().message));
    const auto config = Json::parse_unique(*text);
    REQUIRE(config.ok());
    write_checkpoint(out_dir, *config, synthetic_tensors(*config), shards);
}

}  // namespace millrace::test
