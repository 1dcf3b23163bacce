#include "core/pack/expert_importance.h"

#include <algorithm>
#include <numeric>

#include "core/base/strings.h"
#include "core/model/checksum.h"

namespace millrace {

Result<std::unique_ptr<ExpertImportance>> ExpertImportance::open(const Path& directory,
                                                                 const ModelConfig& config) {
    std::unique_ptr<ExpertImportance> importance(new ExpertImportance(config));
    Result<Calibration> calibration = Calibration::open(directory, config);
    if (!calibration) {
        if (calibration.error().code == ErrorCode::kNotFound) return importance;
        return calibration.error();
    }
    importance->calibration_ = *std::move(calibration);
    const File file = TRY(File::open(directory / kCalibrationFile));
    const MappedFile mapped = TRY(MappedFile::map(file));
    importance->checksum_ = checksum_of(mapped.bytes());
    return importance;
}

Result<const LayerCalibration*> ExpertImportance::layer(LayerId layer,
                                                        const std::lock_guard<std::mutex>&) {
    for (const Kept& kept : kept_) {
        if (kept.layer == layer) return &kept.calibration;
    }
    Kept& place = kept_[next_];
    next_ = (next_ + 1) % kept_.size();
    place.layer = {};
    place.calibration = TRY(calibration_->layer(layer));
    place.layer = layer;
    return &place.calibration;
}

Result<InputImportance> ExpertImportance::of(ExpertKey key) {
    if (!calibration_ || key.layer.value >= config_.layer_count()) return InputImportance{};
    const std::lock_guard lock(mutex_);
    const LayerCalibration& calibration = *TRY(layer(key.layer, lock));
    return InputImportance{calibration.importance_of_input(key.expert),
                           calibration.importance_of_inner(key.expert)};
}

Result<std::vector<double>> ExpertImportance::shares(LayerId layer_id) {
    const auto experts = static_cast<size_t>(config_.experts);
    const double alike = 1.0 / static_cast<double>(experts);
    std::vector<double> shares(experts, alike);
    if (!calibration_ || layer_id.value >= config_.layer_count()) return shares;
    const std::lock_guard lock(mutex_);
    const LayerCalibration& calibration = *TRY(layer(layer_id, lock));
    for (size_t e = 0; e < experts; ++e) {
        shares[e] = calibration.importance({static_cast<int32_t>(e)});
    }
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    // Experts that no text has chosen still get something: another text will.
    constexpr double kUnseen = 0.1;
    for (double& share : shares) {
        share = sum > 0 ? (1 - kUnseen) * share / sum + kUnseen * alike : alike;
    }
    return shares;
}

}  // namespace millrace
