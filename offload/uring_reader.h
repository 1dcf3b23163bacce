#pragma once
// Reads by io_uring: registered files, and the arena registered in pieces of 1 GiB where the limits on locked memory
// allow it. The kernel moves the bytes straight into the slots; a gigabyte costs about 0.02 core-seconds.

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "offload/drive_files.h"
#include "offload/reader.h"

namespace millrace {

class UringReader final : public Reader {
public:
    // kUnsupported when the kernel or a sandbox refuses io_uring; `files` is untouched then. The calling thread becomes the
    // owner.
    [[nodiscard]] static Result<std::unique_ptr<Reader>> create(DriveFiles& files,
                                                                std::span<std::byte> arena,
                                                                int32_t depth);
    ~UringReader() override;

    [[nodiscard]] std::string_view name() const override { return "io_uring"; }
    [[nodiscard]] int32_t depth() const override { return depth_; }
    void submit(const ReadOp& op) override;
    [[nodiscard]] size_t reap(std::span<ReadDone> done, Wait wait) override;
    void wake() override;
    [[nodiscard]] bool is_direct(int32_t file) const override { return files_.is_direct(file); }
    Status use_page_cache(int32_t file) override { return files_.use_page_cache(file); }
    void drop_cached(int32_t file, uint64_t offset, uint64_t bytes) override {
        files_.drop_cached(file, offset, bytes);
    }
    [[nodiscard]] int32_t drive(int32_t file) const override { return files_.drive(file); }
    [[nodiscard]] Result<uint64_t> file_bytes(int32_t file) const override {
        return files_.bytes(file);
    }

private:
    UringReader(std::span<std::byte> arena, int32_t depth) : arena_(arena), depth_(depth) {}
    [[nodiscard]] int set_up_ring();
    [[nodiscard]] int round_trip();
    void register_what_may_be(const DriveFiles& files);
    [[nodiscard]] io_uring_sqe* next_sqe();
    void arm_wake();
    [[nodiscard]] int buffer_index(const ReadOp& op) const;

    std::span<std::byte> arena_;
    const int32_t depth_;
    DriveFiles files_;
    io_uring ring_{};
    bool ring_made_ = false;
    bool files_registered_ = false;
    bool arena_registered_ = false;
    int wake_fd_ = -1;  // an eventfd that the ring reads, so that other threads can end a wait
    uint64_t wake_value_ = 0;  // where it reads to
};

}  // namespace millrace
