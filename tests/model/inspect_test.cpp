// What `inspect` says, from headers alone.

#include "core/model/inspect.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <string>

#include "core/base/strings.h"
#include "core/model/expert_locator.h"
#include "tests/support/golden.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {
namespace {

Inspection inspected(const Path& directory) {
    auto inspection = inspect(directory);
    REQUIRE_MESSAGE(inspection.ok(), (inspection.ok() ? "" : inspection.error().message));
    return *std::move(inspection);
}

bool says(const Inspection& inspection, std::string_view words) {
    return inspection.text().find(words) != std::string::npos;
}

std::string with_length(std::string_view header) {
    std::string file(8, '\0');
    for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
    return file + std::string(header);
}

// The seven released shards as far as their headers, sparse up to their whole length or cut off
// behind the header.
enum class Length { kSparse, kCut };
void write_released_headers(const Path& directory, Length length) {
    REQUIRE(write_file(directory / "config.json", read_golden("config/v4-flash-0731.config.json"))
                .ok());
    for (const char* shard : {"00001", "00002", "00004", "00005", "00045", "00046", "00048"}) {
        const std::string name = cat("model-", shard, "-of-00048");
        const std::string header =
            read_golden("safetensors-headers/v4-flash-0731." + name + ".json");
        const Path path = directory / (name + ".safetensors");
        const std::string file = with_length(header);
        REQUIRE(write_file(path, std::string_view(file)).ok());
        if (length == Length::kCut) continue;
        auto parsed = parse_safetensors_header(header, 0, FileLength::kAny);
        REQUIRE(parsed.ok());
        REQUIRE(::truncate(path.c_str(), static_cast<off_t>(parsed->file_bytes)) == 0);
    }
}

uint64_t part(const Inspection& inspection, TensorClass kind) {
    return inspection.token_bytes[static_cast<size_t>(kind)];
}

// A config with no shard worth mentioning: everything else is then the released form.
Inspection inspected_config(const Json& config) {
    const TempDirectory directory;
    REQUIRE(write_file(directory.path() / "config.json", config.dump()).ok());
    const std::string file = with_length("{}");
    REQUIRE(write_file(directory.path() / "model.safetensors", std::string_view(file)).ok());
    return inspected(directory.path());
}

// In units of 10^9, as the spec's table has it.
void check_billions(uint64_t bytes, double wanted) {
    CHECK(std::fabs(static_cast<double>(bytes) * 1e-9 - wanted) < 0.00051);
}

}  // namespace

TEST_CASE("seven shards of an expert-pruned Flash-0731, sparse and header-only") {
    for (const Length length : {Length::kSparse, Length::kCut}) {
        const TempDirectory directory;
        write_released_headers(directory.path(), length);
        const Inspection i = inspected(directory.path());
        INFO(i.text());
        CHECK(i.release.find("DeepSeek-V4-Flash-0731") == 0);
        CHECK(i.release.find("160 of 256 experts") != std::string::npos);
        CHECK(i.files == 7);
        CHECK(i.missing_files.size() == 41);
        CHECK(i.missing_files.front() == "model-00003-of-00048.safetensors");
        CHECK(i.cut_files.size() == (length == Length::kSparse ? 0U : 7U));
        CHECK(i.drafts.kind == DraftKind::kDspark);
        CHECK(i.drafts.count == 3);
        CHECK(i.expert_format == "FP4 with E8M0 scales");
        CHECK(i.expert_bytes == 13369344);
        CHECK(i.total().tensors == 4976);
        CHECK(i.total().bytes == 13730870112);
        // Three layers and two draft stages of 160 experts each.
        const auto routed = static_cast<size_t>(TensorClass::kRoutedExpert);
        CHECK(i.trunk[routed].bytes == 3 * 160 * uint64_t{13369344});
        CHECK(i.draft[routed].bytes == 2 * 160 * uint64_t{13369344});
        CHECK(i.missing.size() == 41);  // 40 layers and mtp.1
        CHECK(i.missing.back() == "mtp.1: all 501 matrices and vectors");
        CHECK(i.misshapen.empty());
        CHECK(i.unknown.empty());
        CHECK(says(i, "43: 2 window, 21 sparse (ratio 4), 20 heavy (ratio 128)"));
        CHECK(says(i, "7 of 48"));
        CHECK(says(i, "DSpark, 3 stages"));
    }
}

TEST_CASE("an expert of the released shards is two ranges") {
    const TempDirectory directory;
    write_released_headers(directory.path(), Length::kCut);
    auto table = ShardTable::read(directory.path(), Completeness::kPartial);
    REQUIRE(table.ok());
    auto config = read_config(directory.path());
    REQUIRE(config.ok());
    std::array<FoundTensor, 3> matrices;
    size_t filled = 0, experts = 0;
    for (const ExpectedTensor& t : make_inventory(*config, {DraftKind::kDspark, 3})) {
        if (t.kind != TensorClass::kRoutedExpert) continue;
        auto found = find_tensor(*table, t);
        if (!found) continue;
        matrices[filled++] = *found;
        if (filled < 3) continue;
        filled = 0;
        ++experts;
        const ExpertRecord record = make_expert_record(matrices);
        REQUIRE(record.range_count == 2);
        CHECK(record.bytes() == 13369344);
        CHECK(record.ranges[0].bytes == 786432);    // scales
        CHECK(record.ranges[1].bytes == 12582912);  // codes
        CHECK(record.w1.scales_range == 0);
        CHECK(record.w1.codes_range == 1);
        CHECK(record.w3.codes_offset == 2 * uint64_t{4194304});
    }
    CHECK(experts == 5 * 160);
}

TEST_CASE("what a token reads, by part, of Flash and Pro (spec 3.4)") {
    Json flash = read_golden_json("config/v4-flash-0731.config.json");
    flash.set("n_routed_experts", 256);
    const Inspection f = inspected_config(flash);
    CHECK(f.release == "DeepSeek-V4-Flash");
    check_billions(part(f, TensorClass::kAttention), 4.599);
    check_billions(part(f, TensorClass::kIndexer), 0.275);
    check_billions(part(f, TensorClass::kRoutedExpert), 3.449);
    check_billions(part(f, TensorClass::kSharedExpert), 1.082);
    check_billions(part(f, TensorClass::kRouter), 0.090);
    check_billions(part(f, TensorClass::kHyperConnections), 0.136);
    check_billions(part(f, TensorClass::kHead), 1.059);
    // The spec counts the matrices of compressors only; these have 20 tables [128, 512] and 21 of
    // [4, 1024] in F32 and norms beside them.
    check_billions(part(f, TensorClass::kCompressor) - 20 * (128 * 512 * 4 + 1024) -
                       21 * (4 * 1024 * 4 + 1024),
                   0.520);
    CHECK(std::fabs(static_cast<double>(f.token_bytes_total()) * 1e-9 - 11.2) < 0.05);

    const Inspection p = inspected_config(read_golden_json("config/v4-pro.config.json"));
    CHECK(p.release == "DeepSeek-V4-Pro");
    CHECK(std::fabs(static_cast<double>(part(p, TensorClass::kAttention)) * 1e-9 - 18.294) < 0.001);
    check_billions(part(p, TensorClass::kIndexer), 0.625);
    check_billions(part(p, TensorClass::kRoutedExpert), 12.845);
    check_billions(part(p, TensorClass::kSharedExpert), 4.030);
    check_billions(part(p, TensorClass::kRouter), 0.336);
    check_billions(part(p, TensorClass::kHyperConnections), 0.336);
    check_billions(part(p, TensorClass::kHead), 1.853);
    CHECK(std::fabs(static_cast<double>(p.token_bytes_total()) * 1e-9 - 39.7) < 0.05);
}

TEST_CASE("Base is recognised by its experts") {
    Json config = read_golden_json("config/v4-pro.config.json");
    config.set("expert_dtype", "fp8");
    CHECK(inspected_config(config).release == "DeepSeek-V4-Pro-Base");
}

TEST_CASE("a whole small checkpoint") {
    const Json config = small_config();
    const SyntheticTensors tensors = synthetic_tensors(config);
    uint64_t bytes = 0;
    for (const auto& [name, tensor] : tensors) bytes += tensor.bytes.size();
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 3);
    const Inspection i = inspected(directory.path());
    CHECK(i.release.find("synthetic") != std::string::npos);
    CHECK(i.total().tensors == static_cast<int64_t>(tensors.size()));
    CHECK(i.total().bytes == bytes);
    CHECK(i.complete.bytes == bytes);
    CHECK(i.missing.empty());
    CHECK(i.drafts.kind == DraftKind::kMtp);
    CHECK(part(i, TensorClass::kEmbedding) == 2 * 128);
    CHECK(part(i, TensorClass::kHashTable) == 2 * 8);
    CHECK(part(i, TensorClass::kRoutedExpert) == 3 * 2 * i.expert_bytes);
    CHECK(says(i, "3 a layer, 2 a token, 1 shared; FP4 with E8M0 scales, 26,112 bytes each"));
    CHECK(!says(i, "complete"));
}

TEST_CASE("an incomplete or strange checkpoint is described, not refused") {
    const Json config = small_config();
    SyntheticTensors tensors = synthetic_tensors(config);
    tensors.erase("layers.2.attn.wkv.scale");
    tensors["strange\n\xFF"] = {DType::kU8, {1}, std::vector<std::byte>(1)};
    tensors["layers.1.attn_norm.weight"].shape = {64, 2};
    const TempDirectory directory;
    write_checkpoint(directory.path(), config, tensors, 3);
    std::filesystem::remove(directory.path() / "model-00003-of-00003.safetensors");
    // Invalid UTF-8 would not survive the index and the header; leave it to the name with a line
    // break.
    const auto broken = inspect(directory.path());
    CHECK(!broken.ok());

    tensors.erase("strange\n\xFF");
    tensors["strange\n"] = {DType::kU8, {1}, std::vector<std::byte>(1)};
    write_checkpoint(directory.path(), config, tensors, 3);
    const Path third = directory.path() / "model-00003-of-00003.safetensors";
    const Inspection whole = inspected(directory.path());
    CHECK(whole.missing == std::vector<std::string>{"layers.2: layers.2.attn.wkv.scale"});
    REQUIRE(whole.misshapen.size() == 1);
    CHECK(whole.misshapen[0].find("layers.1.attn_norm.weight") != std::string::npos);
    CHECK(whole.unknown == std::vector<std::string>{"strange\n"});
    CHECK(says(whole, "\"strange?\""));

    std::filesystem::remove(third);
    const Inspection partial = inspected(directory.path());
    CHECK(partial.files == 2);
    CHECK(partial.missing_files == std::vector<std::string>{third.filename().string()});
    CHECK(partial.drafts.kind == DraftKind::kMtp);  // the index still names it
    CHECK(partial.complete.tensors > partial.total().tensors);
    CHECK(says(partial, "2 of 3"));
    CHECK(says(partial, "mtp.0"));
}

TEST_CASE("inspect needs a config and a shard") {
    const TempDirectory directory;
    CHECK(inspect(directory.path()).error().message.find("config.json") != std::string::npos);
    REQUIRE(write_file(directory.path() / "config.json", small_config().dump()).ok());
    CHECK(inspect(directory.path()).error().message.find("no *.safetensors") != std::string::npos);
}

}  // namespace millrace::test
