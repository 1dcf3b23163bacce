#pragma once
// What the engine thread and the io thread say to each other. Commands and reports are plain values in two bounded queues:
//
//   reports  ≤ slots: a slot has one load at a time, and gets the next only after its report was taken.
//   commands ≤ 5·slots: a load is followed by at most one promotion and one calling off. When they wait unread, a report of
//              the load may have come already, and the next load with its own two may have been sent; that one cannot
//              be reported before the io thread has read them all.

#include <cstdint>
#include <string>

#include "core/base/types.h"

namespace millrace {

enum class Priority : uint8_t { kDemand, kHint };
enum class IoRunsOn { kOwnThread, kCaller };

struct IoCommand {
    enum class Kind : uint8_t {
        kLoad,     // read `key` into `slot`
        kPromote,  // the load is wanted now
        kCallOff,  // the load is not wanted: read no more than is in flight
    };
    Kind kind = Kind::kLoad;
    Priority priority = Priority::kDemand;
    SlotId slot = {};
    uint32_t generation = 0;  // of the slot; a promotion or calling off of an older load is ignored
    ExpertKey key = {};
};

// Why an expert could not be read.
struct ReadFailure {
    enum class Reason : uint8_t { kError, kTruncated, kChanged };
    Reason reason = Reason::kError;
    int32_t error_number = 0;  // kError
    int32_t attempts = 0;      // kError
    int32_t file = 0;
    // kError: of the chunk; kTruncated: the end of the bytes that should be there; kChanged: of the expert.
    uint64_t offset = 0;
    uint64_t file_bytes = 0;  // kTruncated: the size found
    uint64_t checksum = 0;    // kChanged: the one found
};

// The end of one load; nothing writes into its slot any more.
struct IoReport {
    enum class Outcome : uint8_t { kDone, kCalledOff, kFailed };
    Outcome outcome = Outcome::kDone;
    SlotId slot = {};
    uint32_t generation = 0;
    ReadFailure failure = {};
};

struct IoCounts {
    uint64_t reads = 0;
    uint64_t bytes_read = 0;
    uint64_t retries = 0;
    uint64_t short_reads = 0;
    int64_t busy_ns = 0;
    uint64_t bytes_called_off = 0;
    uint64_t bytes_checked = 0;
    uint64_t checks_failed = 0;
    int64_t check_ns = 0;
    int32_t drives = 0;
    int32_t in_flight = 0;  // chunks that the drives are at work on
    int32_t waiting = 0;    // experts that are not wholly handed to their drives, of each drive
    bool direct = false;
};

// The engine thread's end of the queues.
class IoPort {
public:
    // Ends the loads: reads in flight are awaited, the rest is dropped.
    virtual ~IoPort() = default;
    virtual void send(const IoCommand& command) = 0;
    [[nodiscard]] virtual bool receive(IoReport& report) = 0;
    // Blocks until there is a report to receive. Some load must be under way.
    virtual void wait() = 0;
    [[nodiscard]] virtual IoCounts counts() const = 0;
    [[nodiscard]] virtual std::string backend() const = 0;
    [[nodiscard]] virtual std::string backend_notes() const = 0;
};

}  // namespace millrace
