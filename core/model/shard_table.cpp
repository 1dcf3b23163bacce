#include "core/model/shard_table.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "core/base/strings.h"
#include "core/model/tensor_names.h"

namespace millrace {
namespace {

constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kSuffix = ".safetensors";
constexpr uint64_t kIndexBytesMax = uint64_t{256} << 20;
constexpr int64_t kFusedExpertsMax = 65536;
constexpr int64_t kShardsMax = 99999;

// A name that stays inside the directory.
bool is_plain_file_name(std::string_view name) {
    return name.size() > kSuffix.size() && name.ends_with(kSuffix) &&
           name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// The piece at `index` of a tensor whose bytes fall into `pieces` equal pieces.
TensorEntry piece(const TensorEntry& whole, int64_t index, int64_t pieces, std::string name) {
    TensorEntry part = whole;
    const uint64_t bytes = whole.bytes / static_cast<uint64_t>(pieces);
    part.name = std::move(name);
    part.offset += static_cast<uint64_t>(index) * bytes;
    part.bytes = bytes;
    return part;
}

// How many shards "model-00002-of-00048.safetensors" says there are.
std::optional<int64_t> shard_count(std::string_view file_name) {
    const size_t of = file_name.rfind("-of-");
    if (of == std::string_view::npos) return std::nullopt;
    const std::string_view number =
        file_name.substr(of + 4, file_name.size() - of - 4 - kSuffix.size());
    int64_t count = 0;
    const char* end = number.data() + number.size();
    const auto [stop, problem] = std::from_chars(number.data(), end, count);
    if (problem != std::errc() || stop != end || count < 1 || count > kShardsMax) {
        return std::nullopt;
    }
    return count;
}

std::string five_digits(int64_t number) {
    const std::string digits = cat(number);
    return std::string(5 - std::min<size_t>(digits.size(), 5), '0') + digits;
}

// The names of a "model-00001-of-00048" series that are not among `present`.
std::vector<std::string> missing_of_series(const std::vector<std::string>& present) {
    if (present.empty()) return {};
    const std::optional<int64_t> count = shard_count(present.front());
    if (!count) return {};
    const std::string& first = present.front();
    const size_t of = first.rfind("-of-");
    const size_t dash = first.rfind('-', of - 1);
    if (of == 0 || dash == std::string::npos) return {};
    std::vector<std::string> missing;
    for (int64_t i = 1; i <= *count; ++i) {
        std::string name = cat(first.substr(0, dash + 1), five_digits(i), first.substr(of));
        if (!std::binary_search(present.begin(), present.end(), name)) {
            missing.push_back(std::move(name));
        }
    }
    return missing;
}

}  // namespace

struct ShardTable::Index {
    // Shard → the stored names the index places there.
    std::map<std::string, std::vector<std::string>> shards;
    std::unordered_map<std::string, std::string> shard_of;
};

Result<ShardTable::Index> ShardTable::read_index(const Path& path) {
    const auto broken = [&path](std::string_view problem) {
        return Error{ErrorCode::kCorrupt, cat(path.string(), " ", problem, "; download it again")};
    };
    const std::string text = TRY(read_text_file(path, kIndexBytesMax));
    const Result<Json> json = Json::parse_unique(text);
    if (!json) return json.error().in(path.string());
    const Json* map = json->find("weight_map");
    if (!map || !map->is_object()) {
        return broken(cat("has ", map ? map->kind_name() : "nothing",
                          " as weight_map, wanted an object of tensor and file names"));
    }
    Index index;
    for (const auto& [name, shard] : map->members()) {
        const std::string* file = shard.as_string();
        if (!file || !is_plain_file_name(*file)) {
            return broken(cat("places tensor ", quote_text(name), " in ",
                              quote_text(file ? *file : shard.dump()),
                              ", wanted the name of a *.safetensors file beside it"));
        }
        index.shards[*file].push_back(name);
        index.shard_of.emplace(name, *file);
    }
    return index;
}

Result<ShardTable> ShardTable::read(const Path& directory, Completeness completeness) {
    std::error_code problem;
    if (!std::filesystem::is_directory(directory, problem)) {
        return Error{ErrorCode::kNotFound, cat(directory.string(),
                                               " is not a directory; name the one that holds "
                                               "config.json and the *.safetensors files")};
    }
    ShardTable table;
    table.directory_ = directory;
    const Path index_path = directory / kIndexName;
    if (std::filesystem::exists(index_path, problem)) {
        const Index index = TRY(read_index(index_path));
        TRY(table.read_indexed(index, completeness));
    } else {
        TRY(table.read_all_files(completeness));
    }
    if (table.files_.empty()) {
        return Error{ErrorCode::kNotFound,
                     cat(directory.string(),
                         " holds no *.safetensors file; name the directory of "
                         "a DeepSeek-V4 checkpoint or download its shards")};
    }
    return table;
}

Result<ShardTable> ShardTable::read_file(const Path& directory, const std::string& file_name) {
    ShardTable table;
    table.directory_ = directory;
    const SafetensorsHeader header = TRY(table.open_shard(file_name, Completeness::kWhole));
    for (const StoredTensor& tensor : header.tensors) TRY(table.add(tensor));
    return table;
}

Result<SafetensorsHeader> ShardTable::open_shard(const std::string& file_name,
                                                 Completeness completeness) {
    const File file = TRY(File::open(directory_ / file_name));
    SafetensorsHeader header = TRY(read_safetensors_header(
        file, completeness == Completeness::kWhole ? FileLength::kExact : FileLength::kAny));
    const uint64_t bytes = TRY(file.size());
    if (bytes != header.file_bytes) {
        cut_files_.push_back(cat(file_name, " has ", bytes, " of ", header.file_bytes, " bytes"));
    }
    files_.push_back(file.path());
    return header;
}

Status ShardTable::read_indexed(const Index& index, Completeness completeness) {
    for (const auto& [file_name, names] : index.shards) {
        std::error_code problem;
        if (!std::filesystem::exists(directory_ / file_name, problem)) {
            if (completeness == Completeness::kWhole) {
                return Error{ErrorCode::kNotFound,
                             cat((directory_ / file_name).string(), " is missing, and ", kIndexName,
                                 " places ", names.size(), " tensors there; download that shard")};
            }
            missing_files_.push_back(file_name);
            for (const std::string& name : names) elsewhere_.push_back(official_tensor_name(name));
            continue;
        }
        const SafetensorsHeader header = TRY(open_shard(file_name, completeness));
        std::unordered_map<std::string_view, bool> seen;
        for (const StoredTensor& tensor : header.tensors) {
            const auto at = index.shard_of.find(tensor.name);
            if (at != index.shard_of.end() && at->second == file_name) {
                seen.emplace(tensor.name, true);
                TRY(add(tensor));
            } else {
                unindexed_.push_back({official_tensor_name(tensor.name), tensor.name,
                                      static_cast<int32_t>(files_.size()) - 1, tensor.dtype,
                                      tensor.shape, tensor.offset, tensor.bytes});
            }
        }
        for (const std::string& name : names) {
            if (seen.contains(name)) continue;
            return Error{ErrorCode::kCorrupt,
                         cat(kIndexName, " places tensor ", quote_text(name), " in ", file_name,
                             ", which has no such tensor; the two belong to different "
                             "checkpoints: download both again")};
        }
    }
    return {};
}

Status ShardTable::read_all_files(Completeness completeness) {
    std::vector<std::string> names;
    std::error_code problem;
    for (std::filesystem::directory_iterator at(directory_, problem), end; !problem && at != end;
         at.increment(problem)) {
        std::string name = at->path().filename().string();
        if (is_plain_file_name(name)) names.push_back(std::move(name));
    }
    if (problem) return io_error("listing", directory_, problem.value());
    std::sort(names.begin(), names.end());
    // A whole model in one file is the model; what lies beside it is something else.
    if (std::binary_search(names.begin(), names.end(), kSingleFile)) {
        names = {std::string(kSingleFile)};
    }
    missing_files_ = missing_of_series(names);
    if (completeness == Completeness::kWhole && !missing_files_.empty()) {
        return Error{ErrorCode::kNotFound,
                     cat((directory_ / missing_files_.front()).string(), " is missing, one of ",
                         missing_files_.size(), " shards that are; download the rest")};
    }
    for (const std::string& name : names) {
        const SafetensorsHeader header = TRY(open_shard(name, completeness));
        for (const StoredTensor& tensor : header.tensors) TRY(add(tensor));
    }
    return {};
}

Status ShardTable::add(const StoredTensor& tensor) {
    TensorEntry entry{official_tensor_name(tensor.name),
                      tensor.name,
                      static_cast<int32_t>(files_.size()) - 1,
                      tensor.dtype,
                      tensor.shape,
                      tensor.offset,
                      tensor.bytes};
    const FusedName fused = fused_expert_name(entry.name);
    if (fused.kind == FusedExperts::kNone) return add_entry(std::move(entry));

    // [experts, rows, cols] becomes `experts` matrices [rows, cols], or twice as many of half the
    // rows.
    const int64_t halves = fused.kind == FusedExperts::kGateUp ? 2 : 1;
    const int64_t experts = entry.shape.dims[0];
    if (entry.shape.rank != 3 || entry.shape.dims[1] % halves != 0 || experts < 1 ||
        experts > kFusedExpertsMax) {
        return Error{
            ErrorCode::kCorrupt,
            cat("tensor ", quote_text(tensor.name), " in ", file_name(entry), " is ",
                tensor.shape.text(), ", wanted [experts, ",
                halves == 2 ? "2·inner, hidden" : "hidden, inner", "] as transformers writes it")};
    }
    entry.shape = {entry.shape.dims[1] / halves, entry.shape.dims[2]};
    for (int64_t e = 0; e < experts; ++e) {
        const std::string prefix = cat(fused.prefix, e, ".");
        if (halves == 1) {
            TRY(add_entry(piece(entry, e, experts, cat(prefix, "w2", fused.suffix))));
        } else {
            TRY(add_entry(piece(entry, 2 * e, 2 * experts, cat(prefix, "w1", fused.suffix))));
            TRY(add_entry(piece(entry, 2 * e + 1, 2 * experts, cat(prefix, "w3", fused.suffix))));
        }
    }
    return {};
}

Status ShardTable::add_entry(TensorEntry entry) {
    const auto [at, fresh] = places_.try_emplace(entry.name, entries_.size());
    if (!fresh) {
        const TensorEntry& first = entries_[at->second];
        return Error{ErrorCode::kCorrupt,
                     cat("tensor ", quote_text(entry.stored), " in ", file_name(entry),
                         " and tensor ", quote_text(first.stored), " in ", file_name(first),
                         " are the same tensor; keep one of the two files")};
    }
    entries_.push_back(std::move(entry));
    return {};
}

const TensorEntry* ShardTable::find(std::string_view official_name) const {
    const auto at = places_.find(std::string(official_name));
    return at == places_.end() ? nullptr : &entries_[at->second];
}

std::string ShardTable::file_name(const TensorEntry& entry) const {
    return files_[static_cast<size_t>(entry.file)].filename().string();
}

}  // namespace millrace
