#include "core/model/store_manifest.h"

#include <doctest/doctest.h>

#include <array>

#include <set>

#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"

namespace millrace {
namespace {

constexpr ExpertFormat kF4{WeightFormat::kFp4, ScaleFormat::kE8m0};
constexpr ExpertFormat kF8{WeightFormat::kFp8, ScaleFormat::kF32};

StoreManifest sample() {
    StoreManifest manifest;
    StorePlan& plan = manifest.plan;
    plan.id = 0xFEDCBA9876543210;
    plan.source_variant = "a \"sample\"";
    plan.source_fingerprint = 7;
    plan.options = "--experts f4";
    plan.shape = {256, 128};
    plan.layers = 2;
    plan.experts = 5;
    plan.parts = {".", "/b", "/c d"};
    plan.formats.assign(10, kF4);
    plan.formats[7] = kF8;
    plan.dense_bytes = kDenseChunkBytes + 1;
    for (uint64_t i = 0; i < 10; ++i) manifest.expert_checksums.push_back(mix64(i));
    manifest.dense_checksums = {1, UINT64_MAX};
    manifest.files = {{"config.json", 12, 34}};
    return manifest;
}

std::string with(std::string_view from, std::string_view to) {
    std::string text = manifest_text(sample());
    const size_t at = text.find(from);
    REQUIRE_MESSAGE(at != std::string::npos, from);
    return text.replace(at, from.size(), to);
}

void check_refused(const std::string& text, std::string_view part,
                   ErrorCode code = ErrorCode::kCorrupt) {
    const auto manifest = parse_manifest(text);
    REQUIRE_MESSAGE(!manifest.ok(), part);
    CHECK(manifest.error().code == code);
    CHECK_MESSAGE(manifest.error().message.find(part) != std::string::npos,
                  manifest.error().message);
}

}  // namespace

TEST_CASE("a manifest reads back as it was") {
    const StoreManifest manifest = sample();
    const std::string text = manifest_text(manifest);
    const auto back = parse_manifest(text);
    REQUIRE_MESSAGE(back.ok(), (back.ok() ? "" : back.error().message));
    CHECK(manifest_text(*back) == text);
    CHECK(back->plan.id == manifest.plan.id);
    CHECK(back->plan.source_variant == manifest.plan.source_variant);
    CHECK(back->plan.parts == manifest.plan.parts);
    CHECK(back->plan.formats == manifest.plan.formats);
    CHECK(back->expert_checksums == manifest.expert_checksums);
    CHECK(back->dense_checksums == manifest.dense_checksums);
    CHECK(back->files.at(0).checksum == 34);
}

TEST_CASE("records lie side by side in their files, aligned, in the order of their ids") {
    const StorePlan plan = sample().plan;
    for (int32_t l = 0; l < plan.layers; ++l) {
        const std::vector<uint64_t> offsets = plan.record_offsets({l});
        std::vector<uint64_t> end(3, kStoreBlockBytes);
        for (int32_t e = 0; e < plan.experts; ++e) {
            const auto part = static_cast<size_t>(plan.part_of({e}));
            CHECK(part == static_cast<size_t>(e) % 3);
            CHECK(offsets[static_cast<size_t>(e)] == end[part]);
            end[part] += record_layout(plan.format({{l}, {e}}), plan.shape).stride;
        }
        for (int32_t p = 0; p < 3; ++p) {
            CHECK(plan.file_bytes({l}, p) == end[static_cast<size_t>(p)]);
        }
    }
    // Flash: 3 · 4096 · 2048 weights of 4.25 bits are whole blocks already.
    const RecordLayout flash = record_layout(kF4, {4096, 2048});
    CHECK(flash.bytes == 13'369'344);
    CHECK(flash.stride == flash.bytes);
    // Pro's: 3 · 7168 · 3072.
    CHECK(record_layout(kF4, {7168, 3072}).bytes == 35'094'528);
}

TEST_CASE("a record holds its parts apart, scales first, down last") {
    for (const ExpertFormat format :
         {kF4, kF8, ExpertFormat{WeightFormat::kBf16, ScaleFormat::kNone}}) {
        const RecordLayout layout = record_layout(format, {160, 96});
        const std::array parts = {layout.w1_scales, layout.w3_scales, layout.w1_codes,
                                  layout.w3_codes,  layout.w2_scales, layout.w2_codes};
        uint64_t end = 0;
        for (const RecordPart& part : parts) {
            CHECK(part.offset >= end);
            CHECK(part.offset % 64 == 0);
            end = part.offset + part.bytes;
        }
        CHECK(layout.bytes >= end);
        CHECK(layout.bytes < end + 64);
        CHECK(layout.stride % 4096 == 0);
    }
}

TEST_CASE("what a manifest may not say") {
    check_refused("", "not valid JSON");
    check_refused("[]", "no store's manifest");
    check_refused("{\"format\": \"millrace store\", \"version\": 0}", "\"version\" is 0");
    check_refused(with("\"version\": 1", "\"version\": 2"), "use a newer millrace",
                  ErrorCode::kUnsupported);
    // A newer one may say anything else.
    check_refused("{\"format\": \"millrace store\", \"version\": 9}", "use a newer millrace",
                  ErrorCode::kUnsupported);
    check_refused(with("fedcba9876543210", "FEDCBA9876543210"), "16 hexadecimal");
    check_refused(with("\"layers\":2,", "\"layers\":-2,"), "\"layers\" is -2");
    check_refused(with("\"layers\":2,", "\"layers\":1000000000000,"), "1000000000000");
    check_refused(with("\"layers\":2,", "\"layers\":3,"), "\"layers\" describes 2 of 3");
    check_refused(with("\"count\":5", "\"count\":65536"), "formats");
    check_refused(with("\"layers\":2,\"count\":5", "\"layers\":1024,\"count\":65536"), "records");
    check_refused(with("\"hidden\":256", "\"hidden\":255"), "blocks of 32");
    check_refused(with("\"hidden\":256", "\"hidden\":1.5"), "\"hidden\" is 1.5");
    check_refused(with("\"hidden\":256", "\"hidden\":9223372036854775807"), "hidden");
    check_refused(with("\"f4\":{\"bytes\":52224", "\"f4\":{\"bytes\":52225"), "52224");
    check_refused(with("[\".\",", "[\"..\","), "parts");
    check_refused(with("\"/b\"", "\"b\""), "absolute");
    check_refused(with("\"/b\"", "\"/c d\""), "different");
    check_refused(with("\"/b\",", ""), "parts");
    check_refused(with("experts-001.bin", "experts-000.bin"), "layer 1: \"file\"");
    check_refused(with("experts-001.bin", "../experts-001.bin"), "layer 1");
    check_refused(with("\"f8-f32\"", "\"q7\""), "f4, ");
    check_refused(with("[\"f4\",", "["), "5 experts");
    check_refused(with(hex16(mix64(3)), "xyz"), "16 hexadecimal");
    check_refused(with(cat("\"", hex16(mix64(3)), "\","), ""), "has 4 checksums, wanted 5");
    check_refused(with("\"chunk\":16777216", "\"chunk\":4096"), "chunk");
    check_refused(with("\"bytes\":16777217", "\"bytes\":4398046511105"), "bytes");
    check_refused(with("\"bytes\":16777217", "\"bytes\":16777216"), "checksums, wanted 1");
    check_refused(with("\"name\":\"config.json\"", "\"name\":\"../config.json\""), "name");
    check_refused(with("\"name\":\"config.json\"", "\"name\":\"\""), "name");
    check_refused(with("\"bytes\":12", "\"bytes\":-1"), "bytes");
    check_refused(with("\"files\"", "\"fils\""), "\"files\" is nothing");
}

TEST_CASE("a header block is known again, and any changed byte makes it none") {
    const ExpertFileHeader header{.store = 0x1122334455667788, .layer = 43, .part = 1, .parts = 3};
    auto block = encode_header(header);
    const auto same = decode_header(block);
    REQUIRE(same.has_value());
    CHECK(*same == header);
    for (const size_t at : std::to_array<size_t>({0, 7, 8, 16, 20, 24, 31, 32, 39, 40, 4095})) {
        block[at] ^= std::byte{1};
        CHECK(!decode_header(block).has_value());
        block[at] ^= std::byte{1};
    }
}

TEST_CASE("checksums are XXH3 and written as 16 digits") {
    CHECK(checksum_of(std::string_view()) ==
          0x2D06800538D394C2);  // XXH3 of nothing, by its specification
    CHECK(hex16(0x0123456789ABCDEF) == "0123456789abcdef");
    CHECK(parse_hex16("0123456789abcdef") == 0x0123456789ABCDEF);
    for (const char* wrong : {"", "0", "0123456789abcde", "0123456789abcdefa", "0123456789ABCDEF",
                              "0x23456789abcdef", " 123456789abcdef"}) {
        CHECK(!parse_hex16(wrong).has_value());
    }
}

TEST_CASE("every format has a name of its own that leads back to it") {
    std::set<std::string_view> names;
    const std::string all = expert_format_names() + ", ";
    for (size_t at = 0, comma = 0; (comma = all.find(", ", at)) != std::string::npos;
         at = comma + 2) {
        const std::string name = all.substr(at, comma - at);
        const auto format = expert_format_of(name);
        REQUIRE(format.has_value());
        CHECK(expert_format_name(*format) == name);
        CHECK(names.insert(expert_format_name(*format)).second);
    }
    CHECK(names.contains("f4"));
    CHECK(!expert_format_of("f5").has_value());
}

}  // namespace millrace
