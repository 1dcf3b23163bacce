// The synthetic checkpoints made here are byte for byte those the goldens were made from.

#include "tests/support/synthetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/model/shard_table.h"
#include "tests/support/golden.h"
#include "tests/support/sha256.h"
#include "tests/support/synthetic_recipe.h"
#include "tests/support/synthetic_writer.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {

TEST_CASE("sha256 meets the published examples") {
    const auto hex = [](std::string_view text) {
        return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
    };
    CHECK(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hex(std::string(1000000, 'a')) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

namespace {

bool is_golden(const Json& facts, std::string_view dtype, std::span<const int64_t> shape,
               std::span<const std::byte> bytes) {
    const Json::Array& extents = facts.items()[1].items();
    bool equal = *facts.items()[0].as_string() == dtype && extents.size() == shape.size() &&
                 sha256_hex(bytes).substr(0, 16) == *facts.items()[2].as_string();
    for (size_t i = 0; equal && i < shape.size(); ++i) equal = extents[i].as_int() == shape[i];
    return equal;
}

}  // namespace

TEST_CASE("every synthetic tensor has the golden type, shape and digest") {
    for (const std::string model :
         {"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp", "tiny-0731"}) {
        CAPTURE(model);
        const SyntheticTensors tensors =
            synthetic_tensors(read_golden_json("model/" + model + "/config.json"));
        const Json truth = read_golden_json("model/" + model + "/tensors.json");
        REQUIRE(truth.members().size() > 300);
        REQUIRE(tensors.size() == truth.members().size());
        for (const auto& [name, facts] : truth.members()) {
            const auto at = tensors.find(name);
            REQUIRE_MESSAGE(at != tensors.end(), name);
            const SyntheticTensor& tensor = at->second;
            INFO(name);
            CHECK(is_golden(facts, dtype_name(tensor.dtype), tensor.shape, tensor.bytes));
        }
    }
}

TEST_CASE("a checkpoint written by several threads holds the golden tensors") {
    const Json config = read_golden_json("model/tiny-flash/config.json");
    const Json truth = read_golden_json("model/tiny-flash/tensors.json");
    const TempDirectory directory;
    const auto totals =
        write_synthetic_stream(config, directory.path() / "new", {.shards = 5, .threads = 3});
    REQUIRE_MESSAGE(totals.ok(), (totals.ok() ? "" : totals.error().message));
    CHECK(totals->tensors == truth.members().size());
    const auto table = ShardTable::read(directory.path() / "new", Completeness::kWhole);
    REQUIRE_MESSAGE(table.ok(), (table.ok() ? "" : table.error().message));
    REQUIRE(table->files().size() == 5);
    CHECK(table->unindexed().empty());
    uint64_t bytes = 0, largest_shard = 0;
    for (const Path& path : table->files()) {
        largest_shard = std::max<uint64_t>(largest_shard, std::filesystem::file_size(path));
    }
    for (const auto& [name, facts] : truth.members()) {
        INFO(name);
        const TensorEntry* entry = table->find(name);
        REQUIRE(entry != nullptr);
        const auto file = File::open(table->files()[static_cast<size_t>(entry->file)]);
        std::vector<std::byte> found(entry->bytes);
        REQUIRE(file.ok());
        REQUIRE(file->read_at(entry->offset, found).ok());
        CHECK(is_golden(facts, dtype_name(entry->dtype),
                        std::span(entry->shape.dims).first(facts.items()[1].items().size()),
                        found));
        bytes += entry->bytes;
    }
    CHECK(bytes == totals->bytes);
    CHECK(largest_shard < totals->bytes / 5 + totals->bytes / 10);
}

TEST_CASE("any range of a synthetic tensor can be had alone") {
    const Json config = read_golden_json("model/tiny-flash/config.json");
    const auto recipes = synthetic_recipes(config);
    REQUIRE(recipes.ok());
    for (const SyntheticRecipe& recipe : *recipes) {
        INFO(recipe.name);
        std::vector<std::byte> whole(recipe.bytes());
        synthesise(recipe, 7, 0, whole);
        const uint64_t first = recipe.count() / 3;
        std::vector<std::byte> part((recipe.count() - first) * dtype_bytes(recipe.dtype));
        synthesise(recipe, 7, first, part);
        CHECK(
            std::ranges::equal(part, std::span(whole).subspan(first * dtype_bytes(recipe.dtype))));
    }
}

TEST_CASE("a config that cannot be followed is named by what it lacks") {
    const TempDirectory directory;
    const auto why = [&](Json config) {
        const auto totals = write_synthetic_stream(config, directory.path() / "never", {});
        CHECK_FALSE(std::filesystem::exists(directory.path() / "never"));
        return totals.ok() ? std::string() : totals.error().message;
    };
    const Json sound = read_golden_json("model/tiny-flash/config.json");
    Json config = sound;
    std::erase_if(config.members(), [](const auto& m) { return m.first == "synthetic_seed"; });
    CHECK(why(config).find("lacks synthetic_seed") != std::string::npos);
    config = sound;
    config.set("hidden_size", "wide");
    CHECK(why(config).find("lacks hidden_size") != std::string::npos);
    config = sound;
    config.set("compress_ratios", Json::Array{4});
    CHECK(why(config).find("lacks compress_ratios") != std::string::npos);
    config = sound;
    config.set("n_routed_experts", 1);
    CHECK(why(config).find("lacks n_routed_experts") != std::string::npos);
}

}  // namespace millrace::test
