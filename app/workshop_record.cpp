#include "app/workshop_record.h"

#include "core/base/json.h"

namespace millrace {
namespace {

constexpr std::string_view kFile = "workshop.json", kRunsFile = "benchmarks.jsonl";
constexpr uint64_t kBytesMax = uint64_t{8} << 20;

MachineRate rate_of(const Json& json, std::string_view name) {
    const Json* at = json.find(name);
    const double value = at == nullptr ? 0 : at->as_double().value_or(0);
    if (!(value > 0)) return {};
    return {.value = value, .measured = true, .source = "measured"};
}

}  // namespace

WorkshopRecord read_workshop(const Path& state_directory) {
    WorkshopRecord record;
    if (state_directory.empty()) return record;
    const Result<std::string> text = read_text_file(state_directory / kFile, kBytesMax);
    const Result<Json> json = text.ok() ? Json::parse(*text) : Result<Json>(text.error());
    if (json.ok() && json->is_object()) {
        if (const Json* list = json->find("directories"); list != nullptr && list->is_array()) {
            for (const Json& one : list->items()) {
                if (one.as_string() != nullptr) record.directories.emplace_back(*one.as_string());
            }
        }
        record.memory = rate_of(*json, "memory_bytes_per_second");
        record.drive = rate_of(*json, "drive_bytes_per_second");
        record.macs = rate_of(*json, "macs_per_second");
    }
    const Result<std::string> lines = read_text_file(state_directory / kRunsFile, kBytesMax);
    if (!lines.ok()) return record;
    std::string_view rest = *lines;
    while (!rest.empty() && record.runs.size() < WorkshopRecord::kRunsMax) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        if (auto run = bench_run_of(rest.substr(0, end))) record.runs.push_back(std::move(*run));
        rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    return record;
}

Status write_workshop(Disk& disk, const Path& state_directory, const WorkshopRecord& record) {
    if (state_directory.empty()) return {};
    Json object{Json::Object{}};
    Json list{Json::Array{}};
    for (const Path& directory : record.directories) list.push(Json(directory.string()));
    object.set("directories", std::move(list));
    const auto set = [&](const char* name, const MachineRate& rate) {
        if (rate.measured) object.set(name, Json(rate.value));
    };
    set("memory_bytes_per_second", record.memory);
    set("drive_bytes_per_second", record.drive);
    set("macs_per_second", record.macs);
    TRY(disk.make_directory(state_directory));
    TRY(replace_file(disk, state_directory / kFile, object.dump() + "\n"));
    std::string lines;
    for (const BenchRun& run : record.runs) lines += to_json(run) + "\n";
    return replace_file(disk, state_directory / kRunsFile, std::string_view(lines));
}

}  // namespace millrace
