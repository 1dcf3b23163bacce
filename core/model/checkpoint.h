#pragma once
// An official checkpoint directory, opened: config, every tensor checked, dense tensors mapped,
// experts located.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/model/expert_source.h"
#include "core/model/weights.h"

namespace millrace {

class Checkpoint {
public:
    // Reads headers and maps the dense tensors; reads no expert byte. Fails on the first missing or
    // misshapen tensor; tensors nobody expects are listed by `unknown()`.
    [[nodiscard]] static Result<Checkpoint> open(const Path& directory);

    Checkpoint(Checkpoint&&) noexcept;
    Checkpoint& operator=(Checkpoint&&) noexcept;
    ~Checkpoint();

    // As config.json says, except for the drafts: mtp_blocks is the number of blocks the index
    // names (also DSpark stages), and dspark is empty when the index has no such drafter.
    [[nodiscard]] const ModelConfig& config() const;
    [[nodiscard]] const ModelWeights& weights() const;  // valid as long as this object
    // To point weights at copies of their bytes, which must outlive this object.
    [[nodiscard]] ModelWeights& weights();
    // Mapped bytes that are not needed now: their memory is free, they are read again if somebody wants them.
    void give_back(std::span<const std::byte> mapped) const;
    [[nodiscard]] const ExpertSource& experts() const;
    // Tensors nobody expects, as the files spell them, sorted; also those that the index leaves
    // out.
    [[nodiscard]] const std::vector<std::string>& unknown() const;
    // Of all tensors that are not routed experts: what stays mapped.
    [[nodiscard]] uint64_t dense_bytes() const;

private:
    struct Parts;
    explicit Checkpoint(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
