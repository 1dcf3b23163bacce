#pragma once
// What tests of stores have in common: a small checkpoint to pack, and packing it with little words.

#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <string>

#include "core/pack/pack.h"
#include "core/pack/verify.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/synthetic.h"
#include "tests/support/temp_directory.h"

namespace millrace::test {

class CallingWatcher final : public StoreWatcher {
public:
    explicit CallingWatcher(std::function<bool(const StoreProgress&)> call)
        : call_(std::move(call)) {}
    [[nodiscard]] bool progress(const StoreProgress& now) override { return call_(now); }

private:
    std::function<bool(const StoreProgress&)> call_;
};

// The bytes of a real directory, under the same path on a disk in memory, and back. Packing itself needs real headers to
// look at, but the machine's own drive is slow to sync, and other tests use it too.
inline void take_in(SimulatedDisk& disk, const Path& directory) {
    REQUIRE(disk.make_directory(directory).ok());
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const auto text = read_text_file(entry.path(), uint64_t{1} << 30);
        REQUIRE(text.ok());
        auto file = disk.open(entry.path(), OpenFor::kWriting, Through::kPageCache);
        REQUIRE((*file)->write(0, std::as_bytes(std::span(*text))).ok());
    }
}
inline void give_out_as(SimulatedDisk& disk, const Path& directory, const Path& real) {
    std::filesystem::create_directories(real);
    const std::vector<std::string> names = *disk.list(directory);
    for (const std::string& name : names) {
        const std::vector<std::byte>& bytes = *disk.bytes(directory / name);
        std::ofstream file(real / name, std::ios::binary | std::ios::trunc);
        file.write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
    }
}

// The smallest checkpoint (about 1 MB) in a directory of its own.
class SmallSource {
public:
    explicit SmallSource(int64_t seed = 0) : config_(small_config()) {
        if (seed != 0) config_.set("synthetic_seed", seed);
        tensors_ = synthetic_tensors(config_);
        write_checkpoint(room_.path(), config_, tensors_, 2);
        take_in(disk_, room_.path());
    }
    [[nodiscard]] const Path& path() const { return room_.path(); }
    [[nodiscard]] SimulatedDisk& disk() { return disk_; }
    [[nodiscard]] const SyntheticTensors& tensors() const { return tensors_; }

private:
    TempDirectory room_;
    Json config_;
    SyntheticTensors tensors_;
    SimulatedDisk disk_{99};
};

// One lane and a batch for every few pieces, so that a run can be repeated exactly.
[[nodiscard]] inline PackOptions pack_options(const Path& source, const Path& destination) {
    PackOptions options;
    options.source = source;
    options.destination = destination;
    options.id = 0x0123456789ABCDEF;
    options.lanes = 1;
    options.sync_bytes = 60'000;
    return options;
}

[[nodiscard]] inline Result<PackResult> pack_quietly(Disk& source, Disk& disk,
                                                     const PackOptions& options) {
    CallingWatcher watcher([](const StoreProgress&) { return true; });
    return pack(source, disk, options, watcher);
}

inline void pack_or_fail(Disk& source, Disk& disk, const PackOptions& options) {
    const auto done = pack_quietly(source, disk, options);
    REQUIRE_MESSAGE(done.ok(), (done.ok() ? "" : done.error().message));
}

// A store in real directories, packed in memory.
inline void pack_to(const PackOptions& options) {
    SimulatedDisk disk(1);
    SystemDisk source;
    pack_or_fail(source, disk, options);
    give_out_as(disk, options.destination, options.destination);
    for (const Path& also : options.also) give_out_as(disk, also, also);
}

[[nodiscard]] inline VerifyResult verify_or_fail(Disk& source, Disk& disk,
                                                 const VerifyOptions& options) {
    CallingWatcher watcher([](const StoreProgress&) { return true; });
    auto done = verify(source, disk, options, watcher);
    REQUIRE_MESSAGE(done.ok(), (done.ok() ? "" : done.error().message));
    return *std::move(done);
}

}  // namespace millrace::test
