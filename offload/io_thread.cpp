#include "offload/io_thread.h"

#include <pthread.h>

#include <future>

#include "core/base/check.h"

namespace millrace {

// The bounds are proved in io_port.h.
IoThread::IoThread(int32_t slots)
    : commands_(static_cast<size_t>(slots) * 5), reports_(static_cast<size_t>(slots)) {}

Result<std::unique_ptr<IoPort>> IoThread::start(const IoEnginePlan& plan, const OpenReader& open,
                                                Clock& clock) {
    std::unique_ptr<IoThread> io(new IoThread(plan.slots));
    std::promise<Status> opened;
    std::future<Status> status = opened.get_future();
    // `open` is used only until `opened` has its value; this frame waits for that.
    io->thread_ = std::jthread([&open, &clock, plan, self = io.get(),
                                opened = std::move(opened)](const std::stop_token& stop) mutable {
        ::pthread_setname_np(::pthread_self(), "io");
        Result<OpenedReader> reader = open();
        if (!reader.ok()) return opened.set_value(reader.error());
        self->opened_ = std::move(*reader);
        opened.set_value(Status());
        self->run(plan, clock, stop);
    });
    TRY(status.get());
    return std::unique_ptr<IoPort>(std::move(io));
}

IoThread::~IoThread() {
    thread_.request_stop();
    if (opened_.reader != nullptr) opened_.reader->wake();
    thread_.join();
}

void IoThread::run(const IoEnginePlan& plan, Clock& clock, const std::stop_token& stop) {
    IoEngine engine(plan, *opened_.reader, clock, reports_, counts_);
    while (!stop.stop_requested()) {
        IoCommand command;
        while (commands_.pop(command)) engine.accept(command);
        asleep_.store(true);
        const bool news = !commands_.empty() || stop.stop_requested();
        engine.step(news ? Wait::kNo : Wait::kYes);
        asleep_.store(false);
    }
}

void IoThread::send(const IoCommand& command) {
    commands_.push(command);
    if (asleep_.exchange(false)) opened_.reader->wake();
}

bool IoThread::receive(IoReport& report) { return reports_.pop(report); }

void IoThread::wait() { reports_.wait(); }

IoInline::IoInline(const IoEnginePlan& plan, std::unique_ptr<Reader> reader, Clock& clock)
    : reports_(static_cast<size_t>(plan.slots)),
      reader_(std::move(reader)),
      engine_(plan, *reader_, clock, reports_, counts_) {}

void IoInline::send(const IoCommand& command) {
    engine_.accept(command);
    engine_.step(Wait::kNo);
}

void IoInline::wait() {
    while (reports_.empty()) {
        ENSURE(!engine_.idle());
        engine_.step(Wait::kYes);
    }
}

}  // namespace millrace
