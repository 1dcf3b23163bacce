#include "tests/support/synthetic_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/strings.h"
#include "tests/support/synthetic_files.h"
#include "tests/support/synthetic_recipe.h"

namespace millrace::test {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

// Elements of one tensor and where they go.
struct Block {
    const SyntheticRecipe* recipe = nullptr;
    uint64_t first = 0;
    uint64_t bytes = 0;
    uint64_t offset = 0;
};

// A file being written; closes itself.
class OutputFile {
public:
    explicit OutputFile(const Path& path)
        : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)), path_(path) {
        if (fd_ < 0) fail();
    }
    ~OutputFile() {
        if (fd_ >= 0) ::close(fd_);
    }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    // Any thread may call. The first failure is kept for `status`.
    void write_at(uint64_t offset, std::span<const std::byte> bytes) {
        while (!bytes.empty() && error_ == 0) {
            const ssize_t done =
                ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (done < 0) {
                if (errno != EINTR) fail();
                continue;
            }
            offset += static_cast<uint64_t>(done);
            bytes = bytes.subspan(static_cast<size_t>(done));
        }
    }
    [[nodiscard]] Status status() const {
        if (error_ == 0) return {};
        return io_error("writing", path_, error_);
    }

private:
    void fail() {
        int none = 0;
        error_.compare_exchange_strong(none, errno);
    }

    int fd_;
    Path path_;
    std::atomic<int> error_{0};
};

std::vector<Block> blocks_of(std::span<const SyntheticRecipe> recipes, uint64_t offset) {
    std::vector<Block> blocks;
    for (const SyntheticRecipe& recipe : recipes) {
        const uint64_t size = recipe.bytes(), element = dtype_bytes(recipe.dtype);
        for (uint64_t done = 0; done < size; done += kBlockBytes) {
            blocks.push_back({&recipe, done / element, std::min(kBlockBytes, size - done), offset});
            offset += blocks.back().bytes;
        }
    }
    return blocks;
}

Status write_shard(const Path& path, std::span<const SyntheticRecipe> recipes, uint64_t seed,
                   int threads) {
    std::vector<ShardTensor> stored;
    for (const SyntheticRecipe& recipe : recipes) {
        stored.push_back({recipe.name, recipe.dtype, recipe.shape, recipe.bytes()});
    }
    const std::string opening = safetensors_opening(stored);
    const std::vector<Block> blocks = blocks_of(recipes, opening.size());
    OutputFile file(path);
    file.write_at(0, std::as_bytes(std::span(opening)));
    std::atomic<size_t> next{0};
    const auto work = [&] {
        std::vector<std::byte> buffer(kBlockBytes);
        for (size_t i = next++; i < blocks.size(); i = next++) {
            const std::span<std::byte> out = std::span(buffer).first(blocks[i].bytes);
            synthesise(*blocks[i].recipe, seed, blocks[i].first, out);
            file.write_at(blocks[i].offset, out);
        }
    };
    {
        std::vector<std::jthread> workers;
        for (int t = 1; t < threads; ++t) workers.emplace_back(work);
        work();
    }
    return file.status();
}

}  // namespace

Result<SyntheticTotals> write_synthetic_stream(const Json& config, const Path& out_dir,
                                               const SyntheticOrder& order) {
    if (order.shards < 1 || order.shards > 99999 || order.threads < 1) {
        return Error{ErrorCode::kInvalid, cat("a checkpoint of ", order.shards, " shards by ",
                                              order.threads, " threads cannot be written")};
    }
    const std::vector<SyntheticRecipe> recipes = TRY(synthetic_recipes(config));
    const auto seed = static_cast<uint64_t>(*config.find("synthetic_seed")->as_int());
    std::error_code failed;
    std::filesystem::create_directories(out_dir, failed);
    if (failed) return io_error("making", out_dir, failed.value());
    SyntheticTotals totals;
    for (const SyntheticRecipe& recipe : recipes) totals.bytes += recipe.bytes();
    const auto shards = static_cast<uint64_t>(order.shards);
    Json::Object map;
    uint64_t end_bytes = 0;
    for (uint64_t s = 0; s < shards; ++s) {
        const size_t first = totals.tensors;
        const std::string name = shard_name(static_cast<int>(s) + 1, order.shards);
        // A tensor belongs to the shard in which its last byte falls.
        for (; totals.tensors < recipes.size(); ++totals.tensors) {
            const uint64_t end = end_bytes + recipes[totals.tensors].bytes();
            if (std::min(end * shards / (totals.bytes + 1), shards - 1) != s) break;
            end_bytes = end;
            map.emplace_back(recipes[totals.tensors].name, name);
        }
        TRY(write_shard(out_dir / name, std::span(recipes).subspan(first, totals.tensors - first),
                        seed, order.threads));
    }
    TRY(write_file(out_dir / "model.safetensors.index.json",
                   shard_index(std::move(map), totals.bytes).dump()));
    TRY(write_file(out_dir / "config.json", config.dump()));
    return totals;
}

}  // namespace millrace::test
