#pragma once
// Which tensors a checkpoint directory holds, and where: the headers of all its shards and the
// index over them (model.safetensors.index.json). Without an index it is model.safetensors, or else
// every *.safetensors file of the directory. Reads no tensor data.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/file.h"
#include "core/base/result.h"
#include "core/model/safetensors.h"

namespace millrace {

// One tensor under its official name. A tensor that holds all experts of a layer at once is listed
// as what it contains: experts.N.w1, w2 and w3, each a range of it.
struct TensorEntry {
    std::string name;    // official, see tensor_names.h
    std::string stored;  // as the file spells it
    int32_t file = 0;    // index into ShardTable::files()
    DType dtype = DType::kU8;
    Shape shape;
    uint64_t offset = 0;  // from the start of the file
    uint64_t bytes = 0;
};

enum class Completeness {
    kWhole,    // every shard must be there, whole: to be run
    kPartial,  // shards may be missing or hold no more than their header: to be described
};

class ShardTable {
public:
    // kNotFound without any shard; kCorrupt when a header is broken, when the index names a tensor
    // its shard lacks, or when two tensors have one name.
    [[nodiscard]] static Result<ShardTable> read(const Path& directory, Completeness completeness);

    // Of a checkpoint that is not here: no files, no tensors.
    [[nodiscard]] static ShardTable none() { return {}; }
    // One named file alone, whatever lies beside it: the dense file of a store.
    [[nodiscard]] static Result<ShardTable> read_file(const Path& directory,
                                                      const std::string& file_name);

    [[nodiscard]] const Path& directory() const { return directory_; }
    [[nodiscard]] const std::vector<Path>& files() const { return files_; }
    [[nodiscard]] const std::vector<TensorEntry>& entries() const { return entries_; }
    // Null when no shard here holds it.
    [[nodiscard]] const TensorEntry* find(std::string_view official_name) const;

    // In a shard, but not in the index: nobody loads these.
    [[nodiscard]] const std::vector<TensorEntry>& unindexed() const { return unindexed_; }
    // kPartial: shards that the index names or that "model-00002-of-00048" implies, but that are
    // not here.
    [[nodiscard]] const std::vector<std::string>& missing_files() const { return missing_files_; }
    // kPartial: official names of the tensors the index places in those.
    [[nodiscard]] const std::vector<std::string>& elsewhere() const { return elsewhere_; }

    // kPartial: shards whose length is not what their header says, as "NAME has 12 of 3400 bytes".
    [[nodiscard]] const std::vector<std::string>& cut_files() const { return cut_files_; }

    // "model-00002-of-00046.safetensors", for messages.
    [[nodiscard]] std::string file_name(const TensorEntry& entry) const;

private:
    struct Index;
    ShardTable() = default;
    [[nodiscard]] static Result<Index> read_index(const Path& path);
    [[nodiscard]] Status read_indexed(const Index& index, Completeness completeness);
    [[nodiscard]] Status read_all_files(Completeness completeness);
    [[nodiscard]] Result<SafetensorsHeader> open_shard(const std::string& file_name,
                                                       Completeness completeness);
    [[nodiscard]] Status add(const StoredTensor& tensor);
    [[nodiscard]] Status add_entry(TensorEntry entry);

    Path directory_;
    std::vector<Path> files_;
    std::vector<TensorEntry> entries_;
    std::unordered_map<std::string, size_t> places_;  // official name → entries_
    std::vector<TensorEntry> unindexed_;
    std::vector<std::string> missing_files_;
    std::vector<std::string> elsewhere_;
    std::vector<std::string> cut_files_;
};

}  // namespace millrace
