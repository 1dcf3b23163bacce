#pragma once
// What is packed: a checkpoint or a store whose bytes can be read by several threads, and the pieces of a store made of
// it.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/disk.h"
#include "core/base/result.h"
#include "core/model/checkpoint_parts.h"
#include "core/pack/block_reader.h"
#include "core/pack/dense_file.h"
#include "core/pack/expert_bytes.h"
#include "core/pack/expert_importance.h"
#include "core/pack/pieces.h"

namespace millrace {

class PackSource {
public:
    [[nodiscard]] static Result<PackSource> open(Disk& disk, const Path& directory);

    [[nodiscard]] const CheckpointParts& parts() const { return *parts_; }
    [[nodiscard]] const Path& directory() const { return directory_; }
    // Names, places and a sample of every dense tensor; of a store its id. Tells apart what must not be mixed.
    [[nodiscard]] Result<uint64_t> fingerprint() const;
    [[nodiscard]] std::string variant() const;

    // The formats that a store gets when it keeps the experts as they are.
    [[nodiscard]] Result<std::vector<ExpertFormat>> formats() const;

    // An expert as it is; `memory` as for `make`.
    [[nodiscard]] Result<ExpertWeights> read(ExpertKey key, std::span<std::byte> memory) const {
        return read_expert(parts_->experts, key, *expert_reader_, memory);
    }
    // What encoding weighs errors with. Beside the source, unless another place was named: where a store keeps a copy of
    // what it was made with.
    [[nodiscard]] ExpertImportance& importance() { return *importance_; }
    [[nodiscard]] Status take_importance_from(const Path& directory);

    // Lays out the dense file of store `id`; `make` may be called then.
    [[nodiscard]] uint64_t plan_dense(uint64_t id);
    // Whether it can make the pieces of a store that exists; lays out the dense file for it. kInvalid says what differs.
    [[nodiscard]] Status check_can_make(const StorePlan& plan);
    // Memory that one caller of `make` needs, page-aligned, besides the piece itself.
    [[nodiscard]] uint64_t memory_bytes() const;
    // The bytes of a piece, piece.written of them.
    [[nodiscard]] Status make(const Piece& piece, const StorePlan& plan, std::span<std::byte> out,
                              std::span<std::byte> memory) const;

    // Small files beside the weights that belong to a model: config.json, tokenizer.json, …; sorted.
    [[nodiscard]] Result<std::vector<std::string>> files_to_copy() const;
    [[nodiscard]] Result<std::string> read_file(const std::string& name) const;
    [[nodiscard]] Result<uint64_t> file_bytes(const std::string& name) const;

private:
    PackSource(Disk& disk, Path directory) : disk_(&disk), directory_(std::move(directory)) {}

    Disk* disk_;
    Path directory_;
    std::unique_ptr<CheckpointParts> parts_;
    std::optional<BlockReader> dense_reader_, expert_reader_;
    std::optional<DenseFile> dense_;
    std::unique_ptr<ExpertImportance> importance_;
};

}  // namespace millrace
