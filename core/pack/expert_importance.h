#pragma once
// What the encoder is told of an expert's inputs: read from a calibration beside the checkpoint, layer by layer, for
// several threads at once. Without one, all inputs are alike.

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/base/result.h"
#include "core/model/calibration.h"
#include "core/model/config.h"

namespace millrace {

// Mean squares by column; empty: all alike.
struct InputImportance {
    std::vector<float> input;  // of w1 and w3
    std::vector<float> inner;  // of w2
};

class ExpertImportance {
public:
    // Of `directory`'s calibration, if there is one.
    [[nodiscard]] static Result<std::unique_ptr<ExpertImportance>> open(const Path& directory,
                                                                        const ModelConfig& config);

    [[nodiscard]] bool calibrated() const { return calibration_.has_value(); }
    // Of the whole calibration; 0 without one.
    [[nodiscard]] uint64_t checksum() const { return checksum_; }

    // Any thread. Draft blocks are not calibrated.
    [[nodiscard]] Result<InputImportance> of(ExpertKey key);
    // How much of the layer's output each expert makes; they add up to 1.
    [[nodiscard]] Result<std::vector<double>> shares(LayerId layer);

private:
    explicit ExpertImportance(const ModelConfig& config) : config_(config) {}
    // With the lock held.
    [[nodiscard]] Result<const LayerCalibration*> layer(LayerId layer,
                                                        const std::lock_guard<std::mutex>& held);

    struct Kept {
        LayerId layer;
        LayerCalibration calibration;
    };

    const ModelConfig& config_;
    std::optional<Calibration> calibration_;
    uint64_t checksum_ = 0;
    std::mutex mutex_;
    std::array<Kept, 2>
        kept_;  // lanes work on one layer, or on the end of one and the beginning of the next
    size_t next_ = 0;  // the place of the next one
};

}  // namespace millrace
