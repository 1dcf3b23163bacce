#pragma once
// The two homes of an IoEngine. IoThread: a thread of its own, named "io", which also creates the reader, as io_uring
// wants one owner. IoInline: the engine thread itself, so that a simulation has one order of events.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "offload/io_engine.h"
#include "offload/io_port.h"
#include "offload/open_reader.h"
#include "offload/reader.h"
#include "offload/spsc_queue.h"

namespace millrace {

class IoThread final : public IoPort {
public:
    using OpenReader = std::function<Result<OpenedReader>()>;

    // `open` is called on the new thread. The plan's layout and arena and the clock must outlive this.
    [[nodiscard]] static Result<std::unique_ptr<IoPort>> start(const IoEnginePlan& plan,
                                                               const OpenReader& open,
                                                               Clock& clock);
    ~IoThread() override;

    void send(const IoCommand& command) override;
    [[nodiscard]] bool receive(IoReport& report) override;
    void wait() override;
    [[nodiscard]] IoCounts counts() const override { return counts_.snapshot(); }
    [[nodiscard]] std::string backend() const override {
        return std::string(opened_.reader->name());
    }
    [[nodiscard]] std::string backend_notes() const override { return opened_.notes; }

private:
    explicit IoThread(int32_t slots);
    void run(const IoEnginePlan& plan, Clock& clock, const std::stop_token& stop);

    SpscQueue<IoCommand> commands_;
    SpscQueue<IoReport> reports_;
    SharedIoCounts counts_;
    // The io thread sleeps in the reader, or is about to; who clears it has to wake it.
    std::atomic<bool> asleep_{false};
    // Set by the io thread before `start` returns. It outlives the thread, so that it can always be woken.
    OpenedReader opened_;
    std::jthread thread_;
};

class IoInline final : public IoPort {
public:
    IoInline(const IoEnginePlan& plan, std::unique_ptr<Reader> reader, Clock& clock);

    void send(const IoCommand& command) override;
    [[nodiscard]] bool receive(IoReport& report) override { return reports_.pop(report); }
    void wait() override;
    [[nodiscard]] IoCounts counts() const override { return counts_.snapshot(); }
    [[nodiscard]] std::string backend() const override { return std::string(reader_->name()); }
    [[nodiscard]] std::string backend_notes() const override { return {}; }

private:
    SpscQueue<IoReport> reports_;
    SharedIoCounts counts_;
    std::unique_ptr<Reader> reader_;
    IoEngine engine_;
};

}  // namespace millrace
