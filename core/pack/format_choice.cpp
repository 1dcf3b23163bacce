#include "core/pack/format_choice.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "core/base/strings.h"
#include "core/pack/allocation.h"
#include "core/pack/expert_bytes.h"
#include "core/pack/lanes.h"
#include "quant/encode.h"
#include "quant/error.h"

namespace millrace {
namespace {

// What "auto" chooses from, smallest first. Of the two formats with 2.25 bits the one with the smaller error.
constexpr std::array kLevels = {ExpertFormat{WeightFormat::kQ2v, ScaleFormat::kE8m0},
                                ExpertFormat{WeightFormat::kQ3s, ScaleFormat::kE8m0},
                                ExpertFormat{WeightFormat::kFp4, ScaleFormat::kE8m0}};

constexpr int32_t kSampledExperts = 2;  // of a layer
constexpr int64_t kSampledRows = 64;    // of a matrix

// An error in the last layers is not mended by any later one: published 2-bit models gained most from raising the last
// six of 43. So many times the loss of others, they go two steps up before others go one.
constexpr double kLastLayersWeight = 4;
constexpr int32_t kLastLayersOf = 7;  // the last seventh
// Drafts decide how often a guess is right, never what is said.
constexpr double kDraftWeight = 0.25;

LinearWeight rows_of(const LinearWeight& matrix, int64_t rows) {
    LinearWeight part = matrix;
    part.rows = std::min(rows, matrix.rows);
    return part;
}

// The error that encoding the first rows of a matrix makes.
SquaredError sample_error(const LinearWeight& matrix, WeightFormat format,
                          std::span<const float> importance) {
    const LinearWeight source = rows_of(matrix, kSampledRows);
    LinearWeight made = source;
    made.format = format;
    made.scale_format = ScaleFormat::kE8m0;
    std::vector<std::byte> codes(static_cast<size_t>(weight_codes_bytes(made)));
    std::vector<std::byte> scales(static_cast<size_t>(weight_scales_bytes(made)));
    encode_rows(source, importance, {format, codes.data(), scales.data()}, 0, source.rows);
    made.codes = codes.data();
    made.scales = scales.data();
    return squared_error(source, made, importance, 0, source.rows);
}

// Relative errors of an expert's output by level: those of its three matrices add up, each as if the others were exact.
Status add_errors(const ExpertWeights& weights, const InputImportance& importance,
                  std::vector<double>& errors) {
    for (size_t level = 0; level + 1 < kLevels.size(); ++level) {
        const WeightFormat format = kLevels[level].weights;
        errors[level] += sample_error(weights.w1, format, importance.input).relative() +
                         sample_error(weights.w3, format, importance.input).relative() +
                         sample_error(weights.w2, format, importance.inner).relative();
    }
    return {};
}

Result<LayerDemand> measure_layer(PackSource& source, LayerId layer, std::span<std::byte> memory) {
    const ModelConfig& config = source.parts().config;
    const int32_t experts = config.experts;
    LayerDemand demand;
    demand.error.resize(kLevels.size());
    const int32_t samples = std::min(kSampledExperts, experts);
    for (int32_t i = 0; i < samples; ++i) {
        const ExpertKey key{layer, {(2 * i + 1) * experts / (2 * samples)}};
        const ExpertWeights weights = TRY(source.read(key, memory));
        TRY(add_errors(weights, TRY(source.importance().of(key)), demand.error));
    }
    for (double& error : demand.error) error /= samples;
    demand.expert_share = TRY(source.importance().shares(layer));
    const int32_t layers = config.layer_count();
    const int32_t last = std::max(1, layers / kLastLayersOf);
    demand.weight = layer.value >= layers          ? kDraftWeight
                    : layer.value >= layers - last ? kLastLayersWeight
                                                   : 1;
    return demand;
}

Result<std::vector<LayerDemand>> measure_layers(PackSource& source, int lanes) {
    std::vector<LayerDemand> demands(static_cast<size_t>(source.parts().routed_layers()));
    std::vector<PageBuffer> memory;
    for (int i = 0; i < lanes; ++i) {
        memory.push_back(TRY(PageBuffer::create(source.memory_bytes(), HugePages::kNo)));
    }
    TRY(run_lanes(lanes, demands.size(), [&](size_t layer, int lane) -> Status {
        demands[layer] = TRY(measure_layer(source, {static_cast<int32_t>(layer)},
                                           memory[static_cast<size_t>(lane)].bytes()));
        return {};
    }));
    return demands;
}

// Everything but the records: what a store of any formats has in common.
Result<uint64_t> other_bytes(PackSource& source, size_t parts) {
    StoreManifest manifest;
    StorePlan& plan = manifest.plan;
    const CheckpointParts& found = source.parts();
    plan.source_variant = source.variant();
    plan.shape = {found.config.hidden, found.config.expert_inner};
    plan.layers = found.routed_layers();
    plan.experts = found.config.experts;
    plan.dense_bytes = source.plan_dense(0);
    constexpr size_t kPathBytes = 256;  // no path is longer, or hardly
    plan.parts.resize(parts, std::string(kPathBytes, '/'));
    const auto records = static_cast<size_t>(plan.layers) * static_cast<size_t>(plan.experts);
    // Mixed, so that every expert's format is spelled out.
    for (size_t i = 0; i < records; ++i) plan.formats.push_back(kLevels[i % 2]);
    manifest.expert_checksums.resize(records);
    manifest.dense_checksums.resize(static_cast<size_t>(plan.dense_chunks()));
    uint64_t bytes = plan.dense_bytes;
    for (const std::string& name : TRY(source.files_to_copy())) {
        const uint64_t file_bytes = TRY(source.file_bytes(name));
        manifest.files.push_back({name, file_bytes, 0});
        bytes += file_bytes;
    }
    bytes += static_cast<uint64_t>(plan.layers) * parts * kStoreBlockBytes;
    return bytes + manifest_text(manifest).size();
}

Result<std::vector<ExpertFormat>> choose_by_size(PackSource& source, const FormatWish& wish) {
    const CheckpointParts& parts = source.parts();
    const ExpertShape shape{parts.config.hidden, parts.config.expert_inner};
    std::vector<uint64_t> level_bytes;
    for (const ExpertFormat level : kLevels) {
        level_bytes.push_back(record_layout(level, shape).stride);
    }
    const uint64_t others = TRY(other_bytes(source, wish.parts));
    const uint64_t records =
        static_cast<uint64_t>(parts.routed_layers()) * static_cast<uint64_t>(parts.config.experts);
    const uint64_t least = others + records * level_bytes.front();
    if (*wish.size_bytes < least) {
        return Error{ErrorCode::kCapacity,
                     cat("--size ", *wish.size_bytes, " bytes (", human_bytes(*wish.size_bytes),
                         ") is too small: the least is ", least, " bytes (", human_bytes(least),
                         "), ", human_bytes(others), " of it without the experts")};
    }
    const std::vector<LayerDemand> demands = TRY(measure_layers(source, wish.lanes));
    const Allocation allocation = TRY(allocate(level_bytes, demands, *wish.size_bytes - others));
    std::vector<ExpertFormat> formats;
    for (const std::vector<uint8_t>& layer : allocation.levels) {
        for (const uint8_t level : layer) formats.push_back(kLevels[level]);
    }
    return formats;
}

// Why experts of one format cannot become another; "" if they can.
std::string hindrance(ExpertFormat from, ExpertFormat to) {
    if (from == to || can_encode(from, to)) return {};
    return cat("are ", expert_format_name(from), ", which cannot become ", expert_format_name(to),
               can_encode(kLevels.back(), to) ? ": only f4 can" : " without loss");
}

}  // namespace

Result<std::vector<ExpertFormat>> choose_formats(PackSource& source, const FormatWish& wish) {
    std::vector<ExpertFormat> formats = TRY(source.formats());
    const bool by_size = wish.experts == "auto";
    if (by_size != wish.size_bytes.has_value()) {
        return Error{ErrorCode::kInvalid,
                     by_size ? "--experts auto needs --size, the bytes that the store may take"
                             : "--size belongs to --experts auto"};
    }
    if (wish.experts == "released") return formats;
    const std::optional<ExpertFormat> wanted =
        by_size ? kLevels.front() : expert_format_of(wish.experts);
    if (!wanted) {
        return Error{ErrorCode::kInvalid,
                     cat("there is no format ", quote_text(wish.experts),
                         " for experts; known are released, auto, ", expert_format_names())};
    }
    for (const ExpertFormat format : formats) {
        const std::string problem = hindrance(format, *wanted);
        if (problem.empty()) continue;
        return Error{ErrorCode::kUnsupported,
                     cat("the experts of ", source.directory().string(), " ", problem,
                         "; --experts released keeps them as they are")};
    }
    if (by_size) return choose_by_size(source, wish);
    std::ranges::fill(formats, *wanted);
    return formats;
}

}  // namespace millrace
