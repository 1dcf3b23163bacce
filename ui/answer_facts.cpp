#include "ui/answer_facts.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/strings.h"
#include "ui/plot_scale.h"

namespace millrace {
namespace {

double rate_of(double read, double seconds) {
    // Fewer tokens say little about how fast a prompt is read.
    constexpr double kReadMin = 32;
    return read >= kReadMin && seconds > 0 ? read / seconds : 0;
}

}  // namespace

double AnswerFacts::prefill_rate(std::string_view by) const {
    return model == by && tokens > 0 ? rate_of(read, prefill_s) : 0;
}

double prefill_rate_of(const AnswerStats& stats) {
    if (stats.generated_tokens == 0) return 0;  // stopped before all was read
    return rate_of(static_cast<double>(stats.prompt_tokens - stats.reused_tokens),
                   static_cast<double>(stats.prefill_ns) / 1e9);
}

std::string facts_json(const AnswerStats& stats, uint64_t seed, double thought_s,
                       const std::string& model) {
    Json facts{Json::Object{}};
    constexpr double kSecond = 1e9;
    const auto asked = static_cast<double>(stats.expert_hits + stats.expert_misses);
    facts.set("seed", Json(seed));
    facts.set("model", Json(model));
    facts.set("tokens", Json(stats.generated_tokens));
    facts.set("prompt", Json(stats.prompt_tokens));
    facts.set("reused", Json(stats.reused_tokens));
    facts.set("archived", Json(stats.archived_tokens));
    facts.set("prefill_s", Json(static_cast<double>(stats.prefill_ns) / kSecond));
    facts.set("decode_s", Json(static_cast<double>(stats.decode_ns) / kSecond));
    facts.set("from_memory", Json(asked > 0 ? static_cast<double>(stats.expert_hits) / asked : 0));
    facts.set("drive_bytes", Json(stats.drive_bytes));
    facts.set("drive_s", Json(static_cast<double>(stats.drive_busy_ns) / kSecond));
    if (stats.lost_gpu) facts.set("lost_gpu", Json(true));
    if (thought_s >= 0) facts.set("thought_s", Json(thought_s));
    return facts.dump();
}

AnswerFacts facts_of(const StoredMessage& message) {
    AnswerFacts facts;
    const Result<Json> json = Json::parse(message.facts);
    if (!json.ok()) return facts;
    const auto number = [&](std::string_view name, double otherwise) {
        const Json* value = json->find(name);
        return value == nullptr ? otherwise : value->as_double().value_or(otherwise);
    };
    facts.thought_s = number("thought_s", 0);
    facts.tokens = number("tokens", 0);
    facts.decode_s = number("decode_s", 0);
    facts.from_memory = number("from_memory", -1);
    facts.drive_bytes = number("drive_bytes", 0);
    facts.drive_s = number("drive_s", 0);
    facts.read = number("prompt", 0) - number("reused", 0);
    facts.prefill_s = number("prefill_s", 0);
    facts.lost_gpu = json->find("lost_gpu") != nullptr;
    const Json* model = json->find("model");
    const std::string* name = model == nullptr ? nullptr : model->as_string();
    if (name != nullptr) facts.model = *name;
    return facts;
}

uint64_t seed_of(const StoredMessage& message, uint64_t otherwise) {
    const Result<Json> facts = Json::parse(message.facts);
    if (!facts.ok()) return otherwise;
    const Json* seed = facts->find("seed");
    return seed == nullptr
               ? otherwise
               : static_cast<uint64_t>(seed->as_int().value_or(static_cast<int64_t>(otherwise)));
}

std::string foot_of(const AnswerFacts& facts, const DriveLimit& limit) {
    if (facts.tokens < 2 || facts.decode_s <= 0) return "";
    std::string line = cat(fixed(facts.tokens / facts.decode_s, 1), " tok/s");
    if (const double rate = facts.drive_rate(); rate > 0) {
        line += limit.value() > 0
                    ? cat(" · drive ", fixed(100 * std::min(1.0, rate / limit.value()), 0),
                          " % of its limit")
                    : cat(" · drive ", plot_text(rate, PlotUnit::kBytesPerSecond));
    }
    if (facts.from_memory >= 0)
        line += cat(" · ", fixed(100 * facts.from_memory, 0), " % from memory");
    if (facts.lost_gpu) line += " · the GPU stopped working, the CPU goes on";
    return line;
}

}  // namespace millrace
