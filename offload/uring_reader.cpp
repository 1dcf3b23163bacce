#include "offload/uring_reader.h"

#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/check.h"
#include "core/base/strings.h"

namespace millrace {
namespace {

constexpr uint64_t kWakeTag = ~uint64_t{0};
// The kernel refuses to register a longer piece (EFAULT).
constexpr uint64_t kPieceBytes = uint64_t{1} << 30;

}  // namespace

Result<std::unique_ptr<Reader>> UringReader::create(DriveFiles& files, std::span<std::byte> arena,
                                                    int32_t depth) {
    ENSURE(depth >= 1);
    std::unique_ptr<UringReader> reader(new UringReader(arena, depth));
    int error = reader->set_up_ring();
    if (error == 0) error = reader->round_trip();
    if (error != 0) {
        return Error{ErrorCode::kUnsupported,
                     cat("io_uring is refused: ", std::strerror(-error),
                         "; a container may need it allowed (seccomp), a host "
                         "kernel.io_uring_disabled=0")};
    }
    reader->register_what_may_be(files);
    reader->files_ = std::move(files);
    reader->arm_wake();
    return std::unique_ptr<Reader>(std::move(reader));
}

UringReader::~UringReader() {
    if (ring_made_) io_uring_queue_exit(&ring_);
    if (wake_fd_ >= 0) ::close(wake_fd_);
}

// 0 or −errno.
int UringReader::set_up_ring() {
    // Newer kernels do less work when they know that one thread owns the ring and when it wants to be disturbed; older
    // ones answer EINVAL to flags that they do not know.
    constexpr unsigned kBest =
        IORING_SETUP_CLAMP | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int error = -EINVAL;
    for (const unsigned flags : {kBest, 0u + IORING_SETUP_CLAMP, 0u}) {
        io_uring_params params{};
        params.flags = flags;
        // One more than reads, for the wake.
        error = io_uring_queue_init_params(static_cast<unsigned>(depth_) + 1, &ring_, &params);
        ring_made_ = error == 0;
        if (error != -EINVAL) break;
    }
    return error;
}

// Some sandboxes allow a ring to be made and refuse to run it, so one wake must come back first.
int UringReader::round_trip() {
    wake_fd_ = ::eventfd(0, EFD_CLOEXEC);
    if (wake_fd_ < 0) return -errno;
    wake();
    arm_wake();
    const int submitted = io_uring_submit_and_wait(&ring_, 1);
    if (submitted < 0) return submitted;
    io_uring_cqe* cqe = nullptr;
    const int error = io_uring_peek_cqe(&ring_, &cqe);
    if (error != 0) return error;
    const int result = cqe->res;
    io_uring_cqe_seen(&ring_, cqe);
    if (result == sizeof wake_value_) return 0;
    return result < 0 ? result : -EIO;
}

// Registration saves the kernel work for each read; without it (RLIMIT_MEMLOCK, old kernels) everything works too.
void UringReader::register_what_may_be(const DriveFiles& files) {
    std::vector<int> fds;
    fds.reserve(static_cast<size_t>(files.size()));
    for (int32_t i = 0; i < files.size(); ++i) fds.push_back(files.fd(i));
    files_registered_ =
        !fds.empty() &&
        io_uring_register_files(&ring_, fds.data(), static_cast<unsigned>(fds.size())) == 0;

    std::vector<iovec> pieces;
    for (uint64_t at = 0; at < arena_.size(); at += kPieceBytes) {
        pieces.push_back({arena_.data() + at, std::min(kPieceBytes, arena_.size() - at)});
    }
    arena_registered_ =
        !pieces.empty() &&
        io_uring_register_buffers(&ring_, pieces.data(), static_cast<unsigned>(pieces.size())) == 0;
}

io_uring_sqe* UringReader::next_sqe() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) {
        // Only entries that a busy kernel has not taken yet can fill the queue.
        io_uring_submit(&ring_);
        sqe = io_uring_get_sqe(&ring_);
    }
    // Reads that are not reaped number at most depth_, and the queue has one entry more.
    ENSURE(sqe != nullptr);
    return sqe;
}

void UringReader::arm_wake() {
    io_uring_sqe* sqe = next_sqe();
    io_uring_prep_read(sqe, wake_fd_, &wake_value_, sizeof wake_value_, 0);
    io_uring_sqe_set_data64(sqe, kWakeTag);
}

// The registered piece that the read lies in, or −1.
int UringReader::buffer_index(const ReadOp& op) const {
    if (!arena_registered_ || op.into < arena_.data()) return -1;
    const auto at = static_cast<uint64_t>(op.into - arena_.data());
    if (at + op.bytes > arena_.size()) return -1;
    const uint64_t piece = at / kPieceBytes;
    return piece == (at + op.bytes - 1) / kPieceBytes ? static_cast<int>(piece) : -1;
}

void UringReader::submit(const ReadOp& op) {
    io_uring_sqe* sqe = next_sqe();
    const int fd = files_registered_ ? op.file : files_.fd(op.file);
    const int buffer = buffer_index(op);
    if (buffer >= 0) {
        io_uring_prep_read_fixed(sqe, fd, op.into, op.bytes, op.offset, buffer);
    } else {
        io_uring_prep_read(sqe, fd, op.into, op.bytes, op.offset);
    }
    if (files_registered_) sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, op.tag);
}

size_t UringReader::reap(std::span<ReadDone> done, Wait wait) {
    const int error = wait == Wait::kYes ? io_uring_submit_and_wait(&ring_, 1)
                                         : io_uring_submit_and_get_events(&ring_);
    // Interrupted, or short of memory for a moment: what was not taken stays in the queue for the next call. Anything else
    // means that the ring was misused.
    ENSURE(error >= 0 || error == -EINTR || error == -EAGAIN || error == -EBUSY ||
           error == -ENOMEM);
    size_t count = 0;
    io_uring_cqe* cqe = nullptr;
    while (count < done.size() && io_uring_peek_cqe(&ring_, &cqe) == 0) {
        const uint64_t tag = io_uring_cqe_get_data64(cqe);
        const int32_t result = cqe->res;
        io_uring_cqe_seen(&ring_, cqe);
        if (tag == kWakeTag) {
            arm_wake();
        } else {
            done[count++] = {static_cast<uint32_t>(tag), result};
        }
    }
    return count;
}

void UringReader::wake() {
    const uint64_t one = 1;
    // A write of 8 bytes to an eventfd fails only when its counter is full, and then the ring is woken anyway.
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
}

}  // namespace millrace
