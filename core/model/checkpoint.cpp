#include "core/model/checkpoint.h"

#include <utility>

#include "core/model/bind_weights.h"
#include "core/model/checkpoint_parts.h"
#include "core/model/dense_tensors.h"

namespace millrace {

struct Checkpoint::Parts {
    ModelConfig config;
    DenseTensors bytes;
    ModelWeights weights;  // points into `bytes`
    ExpertSource experts;
    std::vector<std::string> unknown;
    uint64_t dense_bytes = 0;
};

Checkpoint::Checkpoint(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

Result<Checkpoint> Checkpoint::open(const Path& directory) {
    CheckpointParts found = TRY(find_checkpoint_parts(directory));
    DenseTensors bytes = TRY(DenseTensors::map(found.table, found.dense_entries));
    uint64_t dense_bytes = 0;
    for (const TensorEntry* entry : found.dense_entries) dense_bytes += entry->bytes;
    ModelWeights weights = TRY(bind_weights(found.config, found.drafts, found.dense, bytes));
    return Checkpoint(std::make_unique<Parts>(Parts{std::move(found.config), std::move(bytes),
                                                    std::move(weights), std::move(found.experts),
                                                    std::move(found.unknown), dense_bytes}));
}

const ModelConfig& Checkpoint::config() const { return parts_->config; }
const ModelWeights& Checkpoint::weights() const { return parts_->weights; }
ModelWeights& Checkpoint::weights() { return parts_->weights; }
void Checkpoint::give_back(std::span<const std::byte> mapped) const {
    DenseTensors::give_back(mapped);
}
const ExpertSource& Checkpoint::experts() const { return parts_->experts; }
uint64_t Checkpoint::dense_bytes() const { return parts_->dense_bytes; }
const std::vector<std::string>& Checkpoint::unknown() const { return parts_->unknown; }

}  // namespace millrace
