#include "core/pack/pack_source.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"
#include "core/model/inspect.h"

namespace millrace {
namespace {

// What is large or belongs to the form of the source, not to the model.
bool is_copied(std::string_view name) {
    if (name.starts_with('.') || name == kManifestName || name == kPackProgressName) return false;
    for (const std::string_view end : {".safetensors", ".safetensors.index.json", ".bin", ".part",
                                       ".gguf", ".pt", ".pth", ".zst", ".incomplete"}) {
        if (name.ends_with(end)) return false;
    }
    return true;
}

}  // namespace

Result<PackSource> PackSource::open(Disk& disk, const Path& directory) {
    PackSource source(disk, directory);
    source.parts_ = std::make_unique<CheckpointParts>(TRY(find_checkpoint_parts(directory)));
    source.dense_reader_ = TRY(BlockReader::open(disk, source.parts_->table.files()));
    source.expert_reader_ = TRY(BlockReader::open(disk, source.parts_->experts.files()));
    TRY(source.take_importance_from(directory));
    return source;
}

Status PackSource::take_importance_from(const Path& directory) {
    importance_ = TRY(ExpertImportance::open(directory, parts_->config));
    return {};
}

std::string PackSource::variant() const {
    if (parts_->store) return parts_->store->plan.source_variant;
    const ExpertRecord& first = parts_->experts.record({{0}, {0}});
    return release_name(parts_->config, parts_->drafts, first.w1.layout.format);
}

Result<uint64_t> PackSource::fingerprint() const {
    std::string text = TRY(read_file("config.json"));
    if (parts_->store) text += hex16(parts_->store->plan.id);
    for (const TensorEntry& entry : parts_->table.entries()) {
        text += cat(entry.name, " ", dtype_name(entry.dtype), " ", entry.shape.text(), " ",
                    entry.file, " ", entry.offset, "\n");
    }
    PageBuffer memory = TRY(PageBuffer::create(3 * kPageBytes, HugePages::kNo));
    for (const TensorEntry* tensor : parts_->dense_entries) {
        const uint64_t bytes = std::min<uint64_t>(tensor->bytes, kPageBytes);
        const auto sample =
            TRY(dense_reader_->read(tensor->file, tensor->offset, bytes, memory.bytes()));
        text += hex16(checksum_of(sample));
    }
    return checksum_of(text);
}

Result<std::vector<ExpertFormat>> PackSource::formats() const {
    const ExpertSource& experts = parts_->experts;
    std::vector<ExpertFormat> formats;
    for (int32_t l = 0; l < experts.layers(); ++l) {
        for (int32_t e = 0; e < experts.experts(); ++e) {
            const std::optional<ExpertFormat> format = format_of(experts.record({{l}, {e}}));
            if (!format) {
                return Error{
                    ErrorCode::kUnsupported,
                    cat("the matrices of expert ", e, " of layer ", l, " in ", directory_.string(),
                        " have different formats of scales, which a store cannot hold")};
            }
            formats.push_back(*format);
        }
    }
    return formats;
}

uint64_t PackSource::plan_dense(uint64_t id) {
    dense_.emplace(parts_->dense_entries, id);
    return dense_->bytes();
}

Status PackSource::check_can_make(const StorePlan& plan) {
    const auto other = [this](std::string_view what) {
        return Error{ErrorCode::kInvalid,
                     cat("the store was not made from ", directory_.string(), ": ", what)};
    };
    const ExpertShape shape{parts_->config.hidden, parts_->config.expert_inner};
    if (parts_->routed_layers() != plan.layers || parts_->config.experts != plan.experts ||
        shape != plan.shape) {
        return other("its experts are others in number or size");
    }
    if (plan_dense(plan.id) != plan.dense_bytes) {
        return other("its dense tensors are others in number or size");
    }
    const std::vector<ExpertFormat> have = TRY(formats());
    for (size_t i = 0; i < have.size(); ++i) {
        if (have[i] == plan.formats[i] || can_encode(have[i], plan.formats[i])) continue;
        return other(cat("its experts are ", expert_format_name(have[i]), ", the store's ",
                         expert_format_name(plan.formats[i])));
    }
    return {};
}

uint64_t PackSource::memory_bytes() const {
    return std::max(read_memory_for(parts_->experts), BlockReader::memory_for(kDenseChunkBytes));
}

Status PackSource::make(const Piece& piece, const StorePlan& plan, std::span<std::byte> out,
                        std::span<std::byte> memory) const {
    if (piece.expert.layer.value < 0) {
        ENSURE(dense_.has_value());
        return dense_->fill(piece.offset, out, *dense_reader_, memory);
    }
    const ExpertFormat format = plan.format(piece.expert);
    const RecordLayout layout = record_layout(format, plan.shape);
    const ExpertWeights weights = TRY(read(piece.expert, memory));
    if (format == format_of(parts_->experts.record(piece.expert))) {
        place_expert(weights, layout, out);
    } else {
        encode_expert(weights, TRY(importance_->of(piece.expert)), format.weights, layout, out);
    }
    return {};
}

Result<std::vector<std::string>> PackSource::files_to_copy() const {
    std::vector<std::string> names;
    for (std::string& name : TRY(disk_->list(directory_))) {
        if (!is_copied(name)) continue;
        const Result<uint64_t> bytes = file_bytes(name);
        if (bytes && *bytes <= kCopiedBytesMax) names.push_back(std::move(name));
    }
    return names;
}

Result<uint64_t> PackSource::file_bytes(const std::string& name) const {
    const File file = TRY(File::open(directory_ / name));
    return file.size();
}

Result<std::string> PackSource::read_file(const std::string& name) const {
    return read_text_file(directory_ / name, kCopiedBytesMax);
}

}  // namespace millrace
