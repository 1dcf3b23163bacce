#include "ui/workshop.h"

#include <algorithm>
#include <cmath>

#include "core/base/json.h"
#include "core/base/strings.h"
#include "ui/plot_scale.h"

namespace millrace {

double Work::rate() const {
    const double seconds = now_s - began_s;
    // The first moments say little.
    constexpr double kLeastS = 0.5;
    if (seconds < kLeastS || done_bytes <= found_bytes) return 0;
    return static_cast<double>(done_bytes - found_bytes) / seconds;
}

double Work::seconds_left() const {
    const double speed = rate();
    return speed > 0 && total_bytes > done_bytes
               ? static_cast<double>(total_bytes - done_bytes) / speed
               : 0;
}

std::string duration_text(double seconds) {
    const auto whole = static_cast<int64_t>(std::ceil(std::max(0.0, seconds)));
    if (whole < 100) return cat(whole, " s");
    const int64_t minutes = (whole + 59) / 60;
    if (minutes < 100) return cat(minutes, " min");
    return cat(minutes / 60, " h ", minutes % 60, " min");
}

std::string progress_text(const Work& work) {
    if (work.stopping) return "Stopping…";
    if (work.total_bytes == 0) return "";
    std::string text =
        cat(plot_text(static_cast<double>(work.done_bytes), PlotUnit::kBytes), " of ",
            plot_text(static_cast<double>(work.total_bytes), PlotUnit::kBytes));
    if (work.rate() > 0) text += cat(", ", plot_text(work.rate(), PlotUnit::kBytesPerSecond));
    if (work.seconds_left() > 0) text += cat(", ", duration_text(work.seconds_left()), " left");
    return text;
}

std::string_view doing_text(WorkKind kind) {
    switch (kind) {
        case WorkKind::kMeasure: return "Measuring this machine";
        case WorkKind::kVerify: return "Checking";
        case WorkKind::kPack: return "Packing";
        case WorkKind::kNone: break;
    }
    return "";
}

std::string to_json(const BenchRun& run) {
    Json object{Json::Object{}};
    object.set("at_ms", Json(run.at_ms));
    object.set("model", Json(run.model));
    object.set("memory", Json(run.memory));
    Json points{Json::Array{}};
    for (const BenchPoint& point : run.points) {
        Json one{Json::Object{}};
        one.set("context", Json(point.context));
        one.set("prefill", Json(point.prefill));
        one.set("decode", Json(point.decode));
        one.set("hit_rate", Json(point.hit_rate));
        one.set("cold", Json(point.cold));
        points.push(std::move(one));
    }
    object.set("points", std::move(points));
    return object.dump();
}

std::optional<BenchRun> bench_run_of(std::string_view json) {
    const Result<Json> parsed = Json::parse(json);
    if (!parsed.ok() || !parsed->is_object()) return std::nullopt;
    const auto number = [](const Json& of, std::string_view name) {
        const Json* at = of.find(name);
        return at == nullptr ? 0.0 : at->as_double().value_or(0);
    };
    const auto text = [&](std::string_view name) {
        const Json* at = parsed->find(name);
        return at == nullptr || at->as_string() == nullptr ? std::string() : *at->as_string();
    };
    const Json* points = parsed->find("points");
    const Json* at = parsed->find("at_ms");
    if (points == nullptr || !points->is_array() || at == nullptr || !at->as_int())
        return std::nullopt;
    BenchRun run{
        .at_ms = *at->as_int(), .model = text("model"), .memory = text("memory"), .points = {}};
    for (const Json& one : points->items()) {
        if (!one.is_object()) return std::nullopt;
        const Json* context = one.find("context");
        const Json* cold = one.find("cold");
        run.points.push_back({.context = context == nullptr ? 0 : context->as_int().value_or(0),
                              .prefill = number(one, "prefill"),
                              .decode = number(one, "decode"),
                              .hit_rate = number(one, "hit_rate"),
                              .cold = cold != nullptr && cold->as_bool().value_or(false)});
    }
    return run;
}

std::string to_csv(const std::vector<BenchRun>& runs) {
    std::string out =
        "at_ms,model,memory,context,cold,prefill_tokens_per_second,"
        "decode_tokens_per_second,hit_rate\n";
    const auto quoted = [](const std::string& text) {
        std::string safe = "\"";
        for (const char c : text) safe.append(c == '"' ? 2 : 1, c);
        return safe + "\"";
    };
    for (const BenchRun& run : runs) {
        for (const BenchPoint& point : run.points) {
            out += cat(run.at_ms, ",", quoted(run.model), ",", quoted(run.memory), ",",
                       point.context, ",", point.cold ? 1 : 0, ",", point.prefill, ",",
                       point.decode, ",", point.hit_rate, "\n");
        }
    }
    return out;
}

}  // namespace millrace
