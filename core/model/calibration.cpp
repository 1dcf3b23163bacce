#include "core/model/calibration.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "core/base/disk.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

// A tensor of a layer: its name and what it must look like.
struct Part {
    std::string name;
    DType dtype;
    Shape shape;
};

std::array<Part, 4> parts_of(int32_t layer, const ModelConfig& config) {
    const int64_t experts = config.experts;
    const auto name = [&](std::string_view what) { return cat("layers.", layer, ".", what); };
    return {{{name("input"), DType::kF32, {experts, config.hidden}},
             {name("inner"), DType::kF32, {experts, config.expert_inner}},
             {name("tokens"), DType::kI64, {experts}},
             {name("weight"), DType::kF32, {experts}}}};
}

// In the order of parts_of; of a const layer they are const.
template <class Layer, class Bytes>
std::array<std::span<Bytes>, 4> bytes_of(Layer& layer) {
    const auto bytes = [](auto& numbers) {
        return std::span(reinterpret_cast<Bytes*>(numbers.data()),
                         numbers.size() * sizeof(numbers[0]));
    };
    return {bytes(layer.input), bytes(layer.inner), bytes(layer.tokens), bytes(layer.weight)};
}

// The expert's own mean squares, with as many tokens of the layer's mean mixed in as make it steady.
std::vector<float> leaning_on_layer(std::span<const float> squares, std::span<const int64_t> tokens,
                                    ExpertId expert) {
    constexpr double kTokensOfLayer = 64;
    const auto width = squares.size() / tokens.size();
    std::vector<double> mean(width, 0.0);
    const auto total =
        static_cast<double>(std::accumulate(tokens.begin(), tokens.end(), int64_t{0}));
    for (size_t e = 0; e < tokens.size() && total > 0; ++e) {
        const double share = static_cast<double>(tokens[e]) / total;
        for (size_t c = 0; c < width; ++c) mean[c] += share * squares[e * width + c];
    }
    const auto own = static_cast<double>(tokens[static_cast<size_t>(expert.value)]);
    const auto mine = squares.subspan(static_cast<size_t>(expert.value) * width, width);
    std::vector<float> out(width);
    for (size_t c = 0; c < width; ++c) {
        out[c] =
            static_cast<float>((own * mine[c] + kTokensOfLayer * mean[c]) / (own + kTokensOfLayer));
    }
    return out;
}

}  // namespace

LayerCalibration LayerCalibration::zero(const ModelConfig& config) {
    const auto experts = static_cast<size_t>(config.experts);
    LayerCalibration layer;
    layer.input.resize(experts * static_cast<size_t>(config.hidden));
    layer.inner.resize(experts * static_cast<size_t>(config.expert_inner));
    layer.tokens.resize(experts);
    layer.weight.resize(experts);
    return layer;
}

std::vector<float> LayerCalibration::importance_of_input(ExpertId expert) const {
    return leaning_on_layer(input, tokens, expert);
}

std::vector<float> LayerCalibration::importance_of_inner(ExpertId expert) const {
    return leaning_on_layer(inner, tokens, expert);
}

double LayerCalibration::importance(ExpertId expert) const {
    const int64_t total = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
    if (total == 0) return 0;
    const auto e = static_cast<size_t>(expert.value);
    return static_cast<double>(tokens[e]) / static_cast<double>(total) * weight[e];
}

Result<Calibration> Calibration::open(const Path& directory, const ModelConfig& config) {
    const Path path = directory / kCalibrationFile;
    File file = TRY(File::open(path));
    SafetensorsHeader header = TRY(read_safetensors_header(file, FileLength::kExact));
    return Calibration(std::move(file), std::move(header), config);
}

Result<LayerCalibration> Calibration::layer(LayerId layer) const {
    LayerCalibration out = LayerCalibration::zero(config_);
    const auto parts = parts_of(layer.value, config_);
    const auto memory = bytes_of<LayerCalibration, std::byte>(out);
    for (size_t i = 0; i < parts.size(); ++i) {
        const Part& part = parts[i];
        const auto found = std::ranges::find(header_.tensors, part.name, &StoredTensor::name);
        if (found == header_.tensors.end() || found->dtype != part.dtype ||
            !(found->shape == part.shape)) {
            return Error{ErrorCode::kCorrupt,
                         cat(file_.path().string(), " has ",
                             found == header_.tensors.end() ? "no" : "another", " tensor ",
                             part.name, " than this model asks for, ", dtype_name(part.dtype), " ",
                             part.shape.text(), "; run millrace calibrate again")};
        }
        TRY(file_.read_at(found->offset, memory[i]));
    }
    const auto sane = [](float value) { return value >= 0 && value <= 1e30F; };
    const bool good =
        std::ranges::all_of(out.input, sane) && std::ranges::all_of(out.inner, sane) &&
        std::ranges::all_of(out.weight, sane) &&
        std::ranges::all_of(out.tokens, [](int64_t n) { return n >= 0 && n >> 48 == 0; });
    if (good) return out;
    return Error{ErrorCode::kCorrupt,
                 cat(file_.path().string(), " holds numbers in layer ", layer.value,
                     " that are no mean squares or counts; "
                     "run millrace calibrate again")};
}

Status write_calibration(const Path& directory, const ModelConfig& config,
                         std::span<const LayerCalibration> layers) {
    ENSURE(static_cast<int32_t>(layers.size()) == config.layer_count());
    std::vector<StoredTensor> tensors;
    for (int32_t l = 0; l < config.layer_count(); ++l) {
        for (const Part& part : parts_of(l, config)) {
            StoredTensor tensor;
            tensor.name = part.name;
            tensor.dtype = part.dtype;
            tensor.shape = part.shape;
            tensors.push_back(std::move(tensor));
        }
    }
    const std::string header = safetensors_header(tensors);
    const Path path = directory / kCalibrationFile;
    const Path beside = path.string() + ".part";
    SystemDisk disk;
    const auto write = [&]() -> Status {
        const auto file = TRY(disk.open(beside, OpenFor::kWriting, Through::kPageCache));
        TRY(file->resize(0));
        TRY(file->write(0, std::as_bytes(std::span(header))));
        uint64_t at = header.size();
        for (const LayerCalibration& layer : layers) {
            for (const auto bytes : bytes_of<const LayerCalibration, const std::byte>(layer)) {
                TRY(file->write(at, bytes));
                at += bytes.size();
            }
        }
        TRY(file->sync());
        return disk.rename(beside, path);
    };
    const Status done = write();
    if (!done.ok()) {
        (void)disk.remove(beside);
        return done;
    }
    return disk.sync_directory(directory);
}

}  // namespace millrace
