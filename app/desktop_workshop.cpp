#include "app/desktop_workshop.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <utility>

#include "app/fit.h"
#include "app/model_list.h"
#include "app/workshop_record.h"
#include "core/base/machine.h"
#include "core/base/random.h"
#include "core/base/strings.h"
#include "core/model/checkpoint.h"
#include "core/model/store.h"
#include "core/pack/pack.h"
#include "core/pack/verify.h"
#include "core/talk/answer_stream.h"

namespace millrace {
namespace {

// What a job found, to be put into the state by the window's thread.
struct Outcome {
    std::string result;
    std::vector<std::string> details;
    bool bad = false;
    std::function<void(WorkshopState&)> then;
};

Path whole_path(const Path& path) {
    std::error_code failed;
    const Path whole = std::filesystem::absolute(path, failed).lexically_normal();
    if (failed) return path;
    return whole.has_filename() ? whole : whole.parent_path();
}

class DesktopWorkshop final : public Workshop, private StoreWatcher {
public:
    explicit DesktopWorkshop(WorkshopParts parts)
        : parts_(std::move(parts)),
          outbox_(parts_.wake),
          record_(read_workshop(parts_.state_directory)) {
        state_.runs = record_.runs;
        MachineFacts& machine = state_.machine;
        machine = machine_facts(parts_.home);
        if (record_.memory.measured) machine.memory = record_.memory;
        if (record_.drive.measured) machine.drive = record_.drive;
        if (record_.macs.measured) machine.macs = record_.macs;
        refresh();
    }
    ~DesktopWorkshop() override {
        stop_ = true;
        parts_.work.reset();  // they end what they are at; then nobody posts any more
        parts_.look.reset();
    }

    const WorkshopState& state() const override { return state_; }
    bool tick() override {
        const bool changed = outbox_.deliver();
        state_.work.now_s = state_.work.running ? parts_.now_s() : state_.work.now_s;
        return changed;
    }

    void add_directory(const Path& directory) override {
        const Path whole = whole_path(directory);
        if (std::ranges::find(record_.directories, whole) == record_.directories.end()) {
            record_.directories.push_back(whole);
            save();
        }
        refresh();
    }
    void forget_directory(const Path& directory) override {
        // A model inside a directory that is known goes with that directory.
        std::erase_if(record_.directories, [&](const Path& known) {
            return known == directory || known == directory.parent_path();
        });
        save();
        refresh();
    }
    void refresh() override {
        parts_.look->post([this, directories = record_.directories] {
            auto models = list_models(directories);
            outbox_.post([this, models = std::move(models)]() mutable {
                state_.models = std::move(models);
            });
        });
    }

    void measure() override {
        // The largest model is what experts will be read of; the demo is too small to tell.
        const KnownModel* largest = nullptr;
        for (const KnownModel& model : state_.models) {
            if (model.demo || !model.problem.empty()) continue;
            if (largest == nullptr || model.bytes > largest->bytes) largest = &model;
        }
        const Path directory = largest == nullptr ? Path() : largest->directory;
        begin(WorkKind::kMeasure, "", [this, directory, home = parts_.home]() -> Result<Outcome> {
            const MachineFacts facts = TRY(measured_facts(home, directory));
            Outcome outcome;
            outcome.result = "This machine was measured.";
            outcome.then = [this, facts](WorkshopState& state) {
                state.machine = facts;
                record_.memory = facts.memory;
                record_.macs = facts.macs;
                if (facts.drive.measured) {
                    record_.drive = facts.drive;
                } else if (record_.drive.measured) {
                    state.machine.drive = record_.drive;
                }
                save();
                state.fits.clear();  // they were for the numbers before
            };
            return outcome;
        });
    }

    void fit(const std::string& format) override {
        state_.fitting = true;
        parts_.look->post([this, machine = state_.machine, format] {
            auto fits = fits_of(machine, format);
            outbox_.post([this, fits = std::move(fits), format] {
                state_.fitting = false;
                state_.fit_format = format;
                state_.fit_problem = fits.ok() ? "" : fits.error().message;
                state_.fits = fits.ok() ? *fits : std::vector<Fit>();
            });
        });
    }

    void verify(const Path& directory) override {
        begin(WorkKind::kVerify, name_of(directory), [this, directory]() -> Result<Outcome> {
            VerifyOptions order;
            order.directory = directory;
            const VerifyResult found = TRY(millrace::verify(disk_, disk_, order, *this));
            Outcome outcome;
            outcome.bad = !found.broken.empty();
            outcome.result =
                outcome.bad
                    ? cat(found.broken.size(), " of ", found.pieces,
                          " pieces are broken; millrace "
                          "verify --repair makes them again from what it was packed from")
                    : cat("All ", found.pieces, " pieces are sound: every byte has its checksum.");
            constexpr size_t kShown = 50;
            for (size_t i = 0; i < std::min(kShown, found.broken.size()); ++i)
                outcome.details.push_back(found.broken[i].text());
            return outcome;
        });
    }

    void pack(const PackWish& wish) override {
        const Path destination = whole_path(wish.destination);
        begin(
            WorkKind::kPack, destination.filename().string(),
            [this, wish, destination]() -> Result<Outcome> { return pack_to(wish, destination); });
    }

    void cancel() override {
        if (!state_.work.running) return;
        state_.work.stopping = true;
        stop_ = true;
    }

    std::string pack_hindrance(const PackWish& wish) const override;

    void keep(BenchRun run) override {
        run.at_ms = parts_.wall_ms();
        record_.runs.insert(record_.runs.begin(), std::move(run));
        if (record_.runs.size() > WorkshopRecord::kRunsMax) record_.runs.pop_back();
        state_.runs = record_.runs;
        save();
    }
    void forget_runs() override {
        record_.runs.clear();
        state_.runs.clear();
        save();
    }

private:
    [[nodiscard]] std::string name_of(const Path& directory) const {
        const auto known = std::ranges::find(state_.models, directory, &KnownModel::directory);
        return known == state_.models.end() ? directory.filename().string() : known->name;
    }

    Result<Outcome> pack_to(const PackWish& wish, const Path& destination) {
        PackOptions order;
        order.source = wish.source;
        order.destination = destination;
        order.experts = wish.format;
        order.size_bytes = wish.size_bytes;
        order.id = mix64(fresh_seed());
        // What cannot be opened is not worth packing.
        TRY(Checkpoint::open(order.source));
        const PackResult packed = TRY(millrace::pack(disk_, disk_, order, *this));
        TRY(Checkpoint::open(destination));
        Outcome outcome;
        outcome.result = packed.was_whole ? cat(destination.string(), " holds this store already.")
                                          : cat(destination.string(),
                                                " is whole: ", human_bytes(packed.bytes), ".");
        for (const std::string& name : packed.left_out)
            outcome.details.push_back(
                cat("left out, because no part of the model uses it: ", quote_text(name)));
        outcome.then = [this, destination](WorkshopState&) { add_directory(destination); };
        return outcome;
    }

    // StoreWatcher; the job's threads. A few times a second are enough for the eye.
    [[nodiscard]] bool progress(const StoreProgress& progress) override {
        constexpr double kEveryS = 0.1;
        const double now = parts_.now_s();
        const bool last = progress.done_bytes == progress.total_bytes;
        if (now - told_s_ >= kEveryS || last) {
            told_s_ = now;
            outbox_.post([this, progress] {
                state_.work.done_bytes = progress.done_bytes;
                state_.work.total_bytes = progress.total_bytes;
                state_.work.found_bytes = progress.found_bytes;
            });
        }
        return !stop_;
    }

    template <class F>
    void begin(WorkKind kind, std::string subject, F job) {
        if (state_.work.running) return;
        const double now = parts_.now_s();
        state_.work = {.kind = kind,
                       .running = true,
                       .subject = std::move(subject),
                       .began_s = now,
                       .now_s = now,
                       .result = {},
                       .details = {}};
        stop_ = false;
        told_s_ = 0;
        parts_.work->post([this, kind, job = std::move(job)] {
            Result<Outcome> found = job();
            Outcome outcome;
            if (found.ok()) {
                outcome = std::move(*found);
            } else if (found.error().code == ErrorCode::kCancelled) {
                outcome.result = kind == WorkKind::kPack
                                     ? "Stopped. What was packed is kept: packing to the same "
                                       "place goes on from there."
                                     : "Stopped.";
            } else {
                outcome.bad = true;
                outcome.result = found.error().message;
            }
            outbox_.post([this, outcome = std::move(outcome)] { finish(outcome); });
        });
    }

    void finish(const Outcome& outcome) {
        Work& work = state_.work;
        work.running = work.stopping = false;
        work.result = outcome.result;
        work.details = outcome.details;
        work.bad = outcome.bad;
        if (outcome.then) outcome.then(state_);
    }

    void save() {
        const Status written = write_workshop(disk_, parts_.state_directory, record_);
        if (written.ok() || state_.work.running) return;
        state_.work.result = cat("cannot be kept: ", written.error().message);
        state_.work.bad = true;
    }

    WorkshopParts parts_;
    Outbox outbox_;
    mutable SystemDisk disk_;
    WorkshopState state_;
    WorkshopRecord record_;
    std::atomic<bool> stop_{false};
    double told_s_ = 0;  // by the job alone: progress is never told twice at a time
};

std::string DesktopWorkshop::pack_hindrance(const PackWish& wish) const {
    const auto source = std::ranges::find(state_.models, wish.source, &KnownModel::directory);
    if (source == state_.models.end() || source->packed.empty())
        return "Choose a whole model to pack.";
    if (wish.destination.empty()) return "Say where the store is to go.";
    const Path destination = whole_path(wish.destination);
    if (destination == whole_path(wish.source))
        return "The store cannot go where the model itself lies.";
    std::error_code ignored;
    const bool begun = store_state(destination) != StoreState::kNone;
    if (!begun && std::filesystem::exists(destination, ignored) &&
        !std::filesystem::is_empty(destination, ignored))
        return "There is something else in that directory: name a new or an empty one.";
    uint64_t bytes = wish.size_bytes.value_or(0);
    if (wish.format == "auto") {
        if (bytes == 0) return "Say how large the store may be.";
    } else {
        const auto size = std::ranges::find(source->packed, wish.format,
                                            &std::pair<std::string, uint64_t>::first);
        if (size == source->packed.end())
            return cat("The experts of this model cannot be packed as ", wish.format, ".");
        bytes = size->second;
    }
    const Result<uint64_t> free = disk_.free_bytes(destination);
    if (!free.ok()) return free.error().message;
    // An unfinished store has taken some of it already.
    if (!begun && *free < bytes) {
        return cat("It takes ", human_bytes(bytes), ", and the drive has ", human_bytes(*free),
                   " left.");
    }
    return "";
}

}  // namespace

std::unique_ptr<Workshop> open_workshop(WorkshopParts parts) {
    return std::make_unique<DesktopWorkshop>(std::move(parts));
}

}  // namespace millrace
