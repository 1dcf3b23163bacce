#include "app/model_list.h"

#include <algorithm>
#include <filesystem>

#include "core/base/strings.h"
#include "core/model/inspect.h"
#include "core/model/store.h"
#include "core/model/store_layout.h"

namespace millrace {
namespace {

constexpr size_t kModelsMax = 200;

bool is_model(const Path& directory) {
    std::error_code ignored;
    return std::filesystem::exists(directory / "config.json", ignored) ||
           store_state(directory) != StoreState::kNone;
}

uint64_t bytes_in(const Path& directory) {
    uint64_t bytes = 0;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
        const uint64_t size = entry.is_regular_file(failed) ? entry.file_size(failed) : 0;
        if (!failed) bytes += size;
    }
    return bytes;
}

// What a store of it takes, in the formats that pack makes of these experts.
std::vector<std::pair<std::string, uint64_t>> packed_sizes(const Inspection& model) {
    const ModelConfig& config = model.config;
    const auto experts = static_cast<uint64_t>(config.layer_count() + model.drafts.count) *
                         static_cast<uint64_t>(config.experts);
    const uint64_t released = model.expert_bytes * experts;
    if (model.complete.bytes < released) return {};
    const uint64_t rest = model.complete.bytes - released;
    std::vector<std::pair<std::string, uint64_t>> sizes = {{"released", model.complete.bytes}};
    if (config.expert_dtype == "fp8") return sizes;
    for (const std::string_view name : {"f4", "q3s", "q2s", "q2v"}) {
        const auto format = expert_format_of(name);
        const ExpertShape shape = {config.hidden, config.expert_inner};
        if (!format || !format_fits(*format, shape)) continue;
        sizes.emplace_back(name, rest + record_layout(*format, shape).bytes * experts);
    }
    return sizes;
}

KnownModel look_at(const Path& directory) {
    KnownModel model;
    model.directory = directory;
    model.name = directory.filename().string();
    model.bytes = bytes_in(directory);
    const Result<Inspection> found = inspect(directory);
    if (!found.ok()) {
        model.problem = found.error().message;
        return model;
    }
    // Other models of the architecture have no name of their own.
    if (found->release.starts_with("DeepSeek")) model.name = found->release;
    model.store = found->store.has_value();
    const ModelConfig& config = found->config;
    model.what = cat(model.store ? "store" : "checkpoint", ", experts ",
                     found->expert_format.empty() ? "as released" : found->expert_format, ", ",
                     config.layer_count(), " layers of ", config.experts, " experts");
    const size_t missing = found->missing_files.size(), cut = found->cut_files.size();
    if (missing > 0) {
        model.problem = cat("incomplete: ", missing, missing == 1 ? " file is" : " files are",
                            " missing, the first is ", found->missing_files.front());
    } else if (cut > 0) {
        model.problem = cat("incomplete: ", found->cut_files.front());
    } else if (!found->missing.empty()) {
        model.problem = cat("incomplete: missing are ", found->missing.front());
    } else {
        model.packed = packed_sizes(*found);
    }
    return model;
}

}  // namespace

std::vector<KnownModel> list_models(const std::vector<Path>& directories) {
    KnownModel demo = look_at(MILLRACE_DEMO_DIR);
    demo.demo = true;
    demo.name = "Demo model";
    demo.what = "comes with Millrace; " + demo.what;
    std::vector<KnownModel> models;
    models.push_back(std::move(demo));
    const auto add = [&](const Path& directory) {
        const bool known =
            std::ranges::find(models, directory, &KnownModel::directory) != models.end();
        if (!known && models.size() < kModelsMax) models.push_back(look_at(directory));
    };
    for (const Path& directory : directories) {
        if (is_model(directory)) {
            add(directory);
            continue;
        }
        std::vector<Path> inside;
        std::error_code failed;
        for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
            if (is_model(entry.path())) inside.push_back(entry.path());
        }
        std::ranges::sort(inside);
        for (const Path& one : inside) add(one);
        if (!inside.empty()) continue;
        KnownModel none;
        none.directory = directory;
        none.name = directory.filename().string();
        none.problem = failed ? io_error("listing", directory, failed.value()).message
                              : "there is no model in this directory: no config.json, no store";
        models.push_back(std::move(none));
    }
    return models;
}

}  // namespace millrace
