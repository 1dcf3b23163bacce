// Stores with fewer bits: encoded as the quantizer would alone, weighed by a calibration, mixed to fit a size.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/base/strings.h"
#include "core/model/calibration.h"
#include "core/model/store.h"
#include "core/pack/block_reader.h"
#include "core/pack/expert_bytes.h"
#include "core/pack/manifest_file.h"
#include "quant/encode.h"
#include "quant/error.h"
#include "tests/pack/pack_rig.h"

namespace millrace::test {
namespace {

// Every expert of a checkpoint or store, one after the other.
class Experts {
public:
    explicit Experts(const Path& directory)
        : checkpoint_(*Checkpoint::open(directory)),
          reader_(*BlockReader::open(disk_, checkpoint_.experts().files())),
          memory_(*PageBuffer::create(read_memory_for(checkpoint_.experts()), HugePages::kNo)) {}

    [[nodiscard]] const Checkpoint& checkpoint() const { return checkpoint_; }
    [[nodiscard]] ExpertWeights read(ExpertKey key) {
        const auto weights = read_expert(checkpoint_.experts(), key, reader_, memory_.bytes());
        REQUIRE(weights.ok());
        return *weights;
    }

private:
    SystemDisk disk_;
    Checkpoint checkpoint_;
    BlockReader reader_;
    PageBuffer memory_;
};

// What encode_rows makes of one matrix, in one piece.
std::vector<std::byte> encoded(const LinearWeight& matrix, WeightFormat format,
                               std::span<const float> importance) {
    LinearWeight made = matrix;
    made.format = format;
    const auto codes = static_cast<size_t>(weight_codes_bytes(made));
    std::vector<std::byte> out(codes + static_cast<size_t>(weight_scales_bytes(made)));
    encode_rows(matrix, importance, {format, out.data(), out.data() + codes}, 0, matrix.rows);
    return out;
}

std::vector<std::byte> bytes_of(const LinearWeight& matrix) {
    std::vector<std::byte> out(matrix.codes, matrix.codes + weight_codes_bytes(matrix));
    out.insert(out.end(), matrix.scales, matrix.scales + weight_scales_bytes(matrix));
    return out;
}

uint64_t total_bytes(SimulatedDisk& disk, const Path& store) {
    uint64_t sum = 0;
    const std::vector<std::string> names = *disk.list(store);
    for (const std::string& name : names) sum += disk.bytes(store / name)->size();
    return sum;
}

StoreManifest manifest_of(SimulatedDisk& disk, const Path& store) {
    auto manifest = find_manifest(disk, store);
    REQUIRE(manifest.ok());
    REQUIRE(manifest->has_value());
    return **std::move(manifest);
}

std::map<std::string_view, int> count_formats(const StoreManifest& manifest) {
    std::map<std::string_view, int> counts;
    for (const ExpertFormat format : manifest.plan.formats) ++counts[expert_format_name(format)];
    return counts;
}

// Some columns large and some experts busy.
void write_sample_calibration(const Path& directory, float scale) {
    const auto config = read_config(directory);
    REQUIRE(config.ok());
    std::vector<LayerCalibration> layers;
    for (int32_t l = 0; l < config->layer_count(); ++l) {
        LayerCalibration layer = LayerCalibration::zero(*config);
        for (size_t i = 0; i < layer.input.size(); ++i) {
            layer.input[i] = i % 5 == 0 ? 40 * scale : 1;
        }
        for (size_t i = 0; i < layer.inner.size(); ++i) layer.inner[i] = i % 7 == 0 ? 9 : scale;
        for (size_t e = 0; e < layer.tokens.size(); ++e) {
            layer.tokens[e] = e == 1 ? 9000 : 10;
            layer.weight[e] = 0.25F;
        }
        layers.push_back(std::move(layer));
    }
    REQUIRE(write_calibration(directory, *config, layers).ok());
}

}  // namespace

TEST_CASE("low-bit stores hold what the encoder makes, open, verify and pack on") {
    SmallSource source;
    Experts original(source.path());
    for (const auto& [name, bound] :
         {std::pair{"q3s", 0.04}, std::pair{"q2s", 0.16}, std::pair{"q2v", 0.14}}) {
        CAPTURE(name);
        const TempDirectory room;
        PackOptions options = pack_options(source.path(), room.path() / "store");
        options.experts = name;
        pack_to(options);
        Experts store(room.path() / "store");
        SquaredError error;
        for (int32_t l = 0; l < store.checkpoint().experts().layers(); ++l) {
            for (int32_t e = 0; e < store.checkpoint().experts().experts(); ++e) {
                const ExpertKey key{{l}, {e}};
                const ExpertWeights have = store.read(key), had = original.read(key);
                const WeightFormat format = have.w1.format;
                CHECK(expert_format_name({format, have.w1.scale_format}) == name);
                CHECK(bytes_of(have.w1) == encoded(had.w1, format, {}));
                CHECK(bytes_of(have.w2) == encoded(had.w2, format, {}));
                CHECK(bytes_of(have.w3) == encoded(had.w3, format, {}));
                error += squared_error(had.w1, have.w1, {}, 0, had.w1.rows);
            }
        }
        CHECK(error.relative() > 0);
        CHECK(error.relative() < bound);

        // Another pack keeps the bits it finds; it cannot give back those that are gone.
        PackOptions again = pack_options(room.path() / "store", room.path() / "again");
        pack_to(again);
        Experts second(room.path() / "again");
        CHECK(bytes_of(second.read({{1}, {2}}).w2) == bytes_of(store.read({{1}, {2}}).w2));
        SystemDisk system;
        SimulatedDisk disk(1);
        for (const std::string other : {"f4", "q2s", "q3s", "q2v"}) {
            if (other == name) continue;
            again.experts = other;
            again.destination = "/no";
            const auto refused = pack_quietly(system, disk, again);
            REQUIRE(!refused.ok());
            CHECK(refused.error().code == ErrorCode::kUnsupported);
        }
    }
}

TEST_CASE("a calibration weighs what is encoded, goes along, and is what repairs use") {
    SmallSource source;
    PackOptions options = pack_options(source.path(), "/store");
    options.experts = "q2s";
    SimulatedDisk flat(1), disk(1);
    pack_or_fail(source.disk(), flat, options);
    write_sample_calibration(source.path(), 1);
    SystemDisk system;
    pack_or_fail(system, disk, options);
    CHECK(disk.bytes("/store/experts-000.bin") != nullptr);
    CHECK(*disk.bytes("/store/experts-000.bin") != *flat.bytes("/store/experts-000.bin"));
    // Draft blocks have none.
    CHECK(*disk.bytes("/store/experts-003.bin") == *flat.bytes("/store/experts-003.bin"));
    CHECK(disk.bytes("/store/calibration.millrace") != nullptr);
    CHECK(manifest_of(disk, "/store").plan.options.find("calibrated by") != std::string::npos);

    // The source learns something else: another store, but what is there can still be mended.
    const TempDirectory room;
    give_out_as(disk, "/store", room.path() / "store");
    write_sample_calibration(source.path(), 3);
    const auto other = pack_quietly(system, disk, options);
    REQUIRE(!other.ok());
    CHECK(other.error().message.find("calibrated by") != std::string::npos);
    std::filesystem::resize_file(room.path() / "store" / "experts-000.bin", 5000);
    VerifyOptions repair;
    repair.directory = room.path() / "store";
    repair.repair_from = source.path();
    const VerifyResult mended = verify_or_fail(system, system, repair);
    CHECK(!mended.broken.empty());
    CHECK(mended.still_broken() == 0);
}

TEST_CASE("auto fits the size and spends it where it counts") {
    SmallSource source;
    SystemDisk system;
    write_sample_calibration(source.path(), 1);
    const auto pack_at = [&](uint64_t size, SimulatedDisk& disk) {
        PackOptions options = pack_options(source.path(), "/store");
        options.experts = "auto";
        options.size_bytes = size;
        return pack_quietly(system, disk, options);
    };
    const auto bytes_with = [&](const std::string& format) {
        SimulatedDisk disk(1);
        PackOptions options = pack_options(source.path(), "/store");
        options.experts = format;
        pack_or_fail(system, disk, options);
        return total_bytes(disk, "/store");
    };
    const uint64_t least = bytes_with("q2v"), most = bytes_with("f4");
    REQUIRE(least < most);
    SimulatedDisk nothing(1);
    const auto small = pack_at(least / 2, nothing);
    REQUIRE(!small.ok());
    CHECK(small.error().code == ErrorCode::kCapacity);
    const std::string& sentence = small.error().message;
    const size_t number = sentence.find("the least is ") + 13;
    const uint64_t told = std::stoull(sentence.substr(number));
    CHECK(told >= least);
    CHECK(told < least + 4096);  // the manifest may be shorter than was feared
    CHECK(pack_at(told, nothing).ok());

    int last_f4 = -1, mixtures = 0;
    for (uint64_t size = told; size < most + 8192; size += (most - least) / 9) {
        SimulatedDisk disk(1);
        REQUIRE(pack_at(size, disk).ok());
        CHECK(total_bytes(disk, "/store") <= size);
        auto counts = count_formats(manifest_of(disk, "/store"));
        CHECK(counts["f4"] >= last_f4);
        last_f4 = counts["f4"];
        mixtures += counts.size() > 1 ? 1 : 0;
    }
    SimulatedDisk all(1);
    REQUIRE(pack_at(most + 8192, all).ok());
    CHECK(count_formats(manifest_of(all, "/store"))["f4"] == 12);
    CHECK(mixtures > 4);

    PackOptions senseless = pack_options(source.path(), "/other");
    senseless.size_bytes = most;
    CHECK(!pack_quietly(system, nothing, senseless).ok());
    senseless.size_bytes.reset();
    senseless.experts = "auto";
    CHECK(!pack_quietly(system, nothing, senseless).ok());
}

TEST_CASE("an auto pack that was cut off goes on with the formats it began with") {
    SmallSource source;
    PackOptions options = pack_options(source.path(), "/store");
    options.experts = "auto";
    options.size_bytes = uint64_t{1} << 40;
    SimulatedDisk whole(1);
    pack_or_fail(source.disk(), whole, options);
    options.size_bytes = total_bytes(whole, "/store") - 30'000;
    SimulatedDisk straight(1), disk(1);
    pack_or_fail(source.disk(), straight, options);
    disk.stop_after(30, Stop::kPower);
    REQUIRE(!pack_quietly(source.disk(), disk, options).ok());
    disk.restart();
    pack_or_fail(source.disk(), disk, options);
    CHECK(disk.fingerprint() == straight.fingerprint());
}

}  // namespace millrace::test
