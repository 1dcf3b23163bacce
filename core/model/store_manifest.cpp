#include "core/model/store_manifest.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/strings.h"
#include "core/model/checksum.h"

namespace millrace {
namespace {

constexpr std::string_view kFormatWord = "millrace store";
constexpr size_t kTextMax = 4096;  // of a path or a name

Error corrupt(std::string message) { return {ErrorCode::kCorrupt, std::move(message)}; }

Error wrong(std::string_view name, const Json* found, std::string_view wanted) {
    const std::string what = !found               ? std::string("nothing")
                             : found->is_number() ? found->spelling().substr(0, 40)
                             : found->is_string() ? quote_text(*found->as_string())
                                                  : cat(found->kind_name());
    return corrupt(cat("\"", name, "\" is ", what, ", wanted ", wanted));
}

struct Bounds {
    int64_t least = 0, most = 0;
};

Result<int64_t> number(const Json& object, std::string_view name, Bounds bounds) {
    const Json* found = object.find(name);
    const std::optional<int64_t> value = found ? found->as_int() : std::nullopt;
    if (!value || *value < bounds.least || *value > bounds.most) {
        return wrong(name, found, cat("a whole number from ", bounds.least, " to ", bounds.most));
    }
    return *value;
}

Result<std::string> text(const Json& object, std::string_view name) {
    const Json* found = object.find(name);
    const std::string* value = found ? found->as_string() : nullptr;
    if (!value || value->size() > kTextMax || value->find('\0') != std::string::npos) {
        return wrong(name, found, "a text");
    }
    return *value;
}

Result<const Json*> object_in(const Json& object, std::string_view name) {
    const Json* found = object.find(name);
    if (!found || !found->is_object()) return wrong(name, found, "an object");
    return found;
}

Result<const Json*> array_in(const Json& object, std::string_view name) {
    const Json* found = object.find(name);
    if (!found || !found->is_array()) return wrong(name, found, "an array");
    return found;
}

Result<uint64_t> hex_value(const Json* found, std::string_view name) {
    const std::string* digits = found ? found->as_string() : nullptr;
    const std::optional<uint64_t> value = digits ? parse_hex16(*digits) : std::nullopt;
    if (!value) return wrong(name, found, "16 hexadecimal digits");
    return *value;
}

Status parse_hex_list(const Json& list, std::string_view name, size_t count,
                      std::vector<uint64_t>& out) {
    if (list.items().size() != count) {
        return corrupt(
            cat("\"", name, "\" has ", list.items().size(), " checksums, wanted ", count));
    }
    for (const Json& item : list.items()) out.push_back(TRY(hex_value(&item, name)));
    return {};
}

Json hex_list(std::span<const uint64_t> values) {
    Json::Array items;
    items.reserve(values.size());
    for (const uint64_t value : values) items.emplace_back(hex16(value));
    return Json(std::move(items));
}

Result<ExpertFormat> parse_format(const Json& word, ExpertShape shape) {
    const std::string* name = word.as_string();
    const std::optional<ExpertFormat> format = name ? expert_format_of(*name) : std::nullopt;
    if (!format) return wrong("formats", &word, cat("one of ", expert_format_names()));
    if (!format_fits(*format, shape)) {
        return corrupt(cat("experts of ", shape.hidden, " by ", shape.inner, " cannot be ", *name,
                           ", which has blocks of 32"));
    }
    return *format;
}

// One format for all experts of a layer, or one each.
Status parse_layer_formats(const Json& layer, StorePlan& plan) {
    const Json* formats = layer.find("formats");
    if (formats && formats->is_string()) {
        const ExpertFormat format = TRY(parse_format(*formats, plan.shape));
        plan.formats.insert(plan.formats.end(), static_cast<size_t>(plan.experts), format);
        return {};
    }
    if (!formats || formats->items().size() != static_cast<size_t>(plan.experts)) {
        return wrong("formats", formats,
                     cat("a format, or one for each of ", plan.experts, " experts"));
    }
    for (const Json& word : formats->items()) {
        plan.formats.push_back(TRY(parse_format(word, plan.shape)));
    }
    return {};
}

Json layer_formats(const StorePlan& plan, int32_t layer) {
    const auto first = plan.formats.begin() + int64_t{layer} * plan.experts;
    const auto last = first + plan.experts;
    if (std::all_of(first, last, [&](ExpertFormat f) { return f == *first; })) {
        return Json(expert_format_name(*first));
    }
    Json::Array names;
    for (auto at = first; at != last; ++at) names.emplace_back(expert_format_name(*at));
    return Json(std::move(names));
}

Status parse_parts(const Json& json, StorePlan& plan) {
    const Json* parts = TRY(array_in(json, "parts"));
    if (parts->items().empty() || parts->items().size() > kStorePartsMax) {
        return corrupt(cat("\"parts\" names ", parts->items().size(),
                           " directories, possible are 1 to ", kStorePartsMax));
    }
    plan.parts.clear();
    std::set<std::string_view> seen;
    for (const Json& item : parts->items()) {
        const std::string* path = item.as_string();
        const bool first = plan.parts.empty();
        if (!path || path->size() > kTextMax || path->find('\0') != std::string::npos ||
            (first ? *path != "." : !path->starts_with('/')) || !seen.insert(*path).second) {
            return wrong("parts", &item, first ? "\".\" as the first" : "different absolute paths");
        }
        plan.parts.push_back(*path);
    }
    return {};
}

// The sizes that the file states must be those that follow from its counts: they tell apart what belongs together.
Status check_records(const Json& json, const StorePlan& plan) {
    const Json* records = TRY(object_in(json, "records"));
    for (const auto& [name, sizes] : records->members()) {
        const std::optional<ExpertFormat> format = expert_format_of(name);
        if (!format || !format_fits(*format, plan.shape)) {
            return corrupt(cat("\"records\" describes the format ", quote_text(name, 20),
                               ", known are ", expert_format_names()));
        }
        const RecordLayout layout = record_layout(*format, plan.shape);
        const auto exactly = [](uint64_t bytes) {
            return Bounds{static_cast<int64_t>(bytes), static_cast<int64_t>(bytes)};
        };
        (void)TRY(number(sizes, "bytes", exactly(layout.bytes)));
        (void)TRY(number(sizes, "stride", exactly(layout.stride)));
    }
    return {};
}

Status check_layer_file(const Json& layer, const StorePlan& plan, int32_t at) {
    if (TRY(text(layer, "file")) != expert_file_name(at)) {
        return wrong("file", layer.find("file"), expert_file_name(at));
    }
    const Json* bytes = TRY(array_in(layer, "bytes"));
    if (bytes->items().size() != plan.parts.size()) {
        return corrupt(cat("\"bytes\" has ", bytes->items().size(), " sizes for ",
                           plan.parts.size(), " parts"));
    }
    for (size_t part = 0; part < plan.parts.size(); ++part) {
        const uint64_t wanted = plan.file_bytes(LayerId{at}, static_cast<int32_t>(part));
        if (bytes->items()[part].as_int() != static_cast<int64_t>(wanted)) {
            return wrong("bytes", &bytes->items()[part], cat(wanted));
        }
    }
    return {};
}

Result<std::vector<CopiedFile>> parse_files(const Json& json) {
    const Json* list = TRY(array_in(json, "files"));
    std::vector<CopiedFile> files;
    std::set<std::string> seen;
    for (const Json& item : list->items()) {
        CopiedFile file;
        file.name = TRY(text(item, "name"));
        if (file.name.empty() || file.name.starts_with('.') ||
            file.name.find('/') != std::string::npos || !seen.insert(file.name).second) {
            return wrong("name", item.find("name"), "the name of a file in the store");
        }
        file.bytes = static_cast<uint64_t>(
            TRY(number(item, "bytes", {0, static_cast<int64_t>(kCopiedBytesMax)})));
        file.checksum = TRY(hex_value(item.find("xxh3"), "xxh3"));
        files.push_back(std::move(file));
    }
    return files;
}

Status check_kind(const Json& json) {
    const Json* format = json.find("format");
    if (!format || !format->as_string() || *format->as_string() != kFormatWord) {
        return wrong("format", format, cat("\"", kFormatWord, "\"; this is no store's manifest"));
    }
    const int64_t version = TRY(number(json, "version", {1, int64_t{1} << 30}));
    if (version > kStoreVersion) {
        return Error{ErrorCode::kUnsupported,
                     cat("the store has version ", version, ", this program reads up to ",
                         kStoreVersion, "; use a newer millrace")};
    }
    return {};
}

}  // namespace

std::vector<uint64_t> StorePlan::record_offsets(LayerId layer) const {
    std::vector<uint64_t> next(parts.size(), kStoreBlockBytes);
    std::vector<uint64_t> offsets;
    offsets.reserve(static_cast<size_t>(experts));
    for (int32_t e = 0; e < experts; ++e) {
        uint64_t& end = next[static_cast<size_t>(part_of({e}))];
        offsets.push_back(end);
        end += record_layout(format({layer, {e}}), shape).stride;
    }
    return offsets;
}

uint64_t StorePlan::file_bytes(LayerId layer, int32_t part) const {
    uint64_t bytes = kStoreBlockBytes;
    for (int32_t e = part; e < experts; e += static_cast<int32_t>(parts.size())) {
        bytes += record_layout(format({layer, {e}}), shape).stride;
    }
    return bytes;
}

int64_t StorePlan::dense_chunks() const {
    return static_cast<int64_t>((dense_bytes + kDenseChunkBytes - 1) / kDenseChunkBytes);
}

Result<StorePlan> parse_plan(const Json& json) {
    TRY(check_kind(json));
    StorePlan plan;
    plan.id = TRY(hex_value(json.find("id"), "id"));
    const Json* source = TRY(object_in(json, "source"));
    plan.source_variant = TRY(text(*source, "variant"));
    plan.source_fingerprint = TRY(hex_value(source->find("fingerprint"), "fingerprint"));
    plan.options = TRY(text(*source, "options"));
    const Json* experts = TRY(object_in(json, "experts"));
    plan.layers = static_cast<int32_t>(TRY(number(*experts, "layers", {1, kStoreLayersMax})));
    plan.experts = static_cast<int32_t>(TRY(number(*experts, "count", {1, kStoreExpertsMax})));
    plan.shape.hidden = TRY(number(*experts, "hidden", {1, kExpertDimensionMax}));
    plan.shape.inner = TRY(number(*experts, "inner", {1, kExpertDimensionMax}));
    if (int64_t{plan.layers} * plan.experts > kStoreRecordsMax) {
        return corrupt(cat(plan.layers, " layers of ", plan.experts, " experts are more than ",
                           kStoreRecordsMax, " records"));
    }
    TRY(parse_parts(json, plan));
    const Json* layers = TRY(array_in(json, "layers"));
    if (layers->items().size() != static_cast<size_t>(plan.layers)) {
        return corrupt(
            cat("\"layers\" describes ", layers->items().size(), " of ", plan.layers, " layers"));
    }
    for (size_t i = 0; i < layers->items().size(); ++i) {
        const Status parsed = parse_layer_formats(layers->items()[i], plan);
        if (!parsed) return parsed.error().in(cat("layer ", i));
    }
    TRY(check_records(json, plan));
    for (int32_t i = 0; i < plan.layers; ++i) {
        const Status sizes = check_layer_file(layers->items()[static_cast<size_t>(i)], plan, i);
        if (!sizes) return sizes.error().in(cat("layer ", i));
    }
    const Json* dense = TRY(object_in(json, "dense"));
    if (TRY(text(*dense, "file")) != kDenseName) {
        return wrong("file", dense->find("file"), kDenseName);
    }
    constexpr auto kChunk = static_cast<int64_t>(kDenseChunkBytes);
    (void)TRY(number(*dense, "chunk", {kChunk, kChunk}));
    plan.dense_bytes = static_cast<uint64_t>(
        TRY(number(*dense, "bytes", {1, static_cast<int64_t>(kDenseBytesMax)})));
    return plan;
}

Json::Object plan_members(const StorePlan& plan) {
    Json source, experts, records, dense;
    source.set("variant", plan.source_variant);
    source.set("fingerprint", hex16(plan.source_fingerprint));
    source.set("options", plan.options);
    experts.set("layers", plan.layers);
    experts.set("count", plan.experts);
    experts.set("hidden", plan.shape.hidden);
    experts.set("inner", plan.shape.inner);
    Json::Array parts, layers;
    for (const std::string& part : plan.parts) parts.emplace_back(part);
    for (const ExpertFormat& format : plan.formats) {
        const std::string name(expert_format_name(format));
        if (records.find(name)) continue;
        const RecordLayout layout = record_layout(format, plan.shape);
        Json sizes;
        sizes.set("bytes", layout.bytes);
        sizes.set("stride", layout.stride);
        records.set(name, std::move(sizes));
    }
    for (int32_t l = 0; l < plan.layers; ++l) {
        Json layer;
        Json::Array bytes;
        for (size_t p = 0; p < plan.parts.size(); ++p) {
            bytes.emplace_back(plan.file_bytes(LayerId{l}, static_cast<int32_t>(p)));
        }
        layer.set("file", expert_file_name(l));
        layer.set("bytes", Json(std::move(bytes)));
        layer.set("formats", layer_formats(plan, l));
        layers.push_back(std::move(layer));
    }
    dense.set("file", kDenseName);
    dense.set("bytes", plan.dense_bytes);
    dense.set("chunk", kDenseChunkBytes);
    return {{"format", Json(kFormatWord)},   {"version", Json(kStoreVersion)},
            {"id", Json(hex16(plan.id))},    {"source", std::move(source)},
            {"experts", std::move(experts)}, {"parts", Json(std::move(parts))},
            {"records", std::move(records)}, {"layers", Json(std::move(layers))},
            {"dense", std::move(dense)}};
}

Result<StoreManifest> parse_manifest(std::string_view manifest_text) {
    const Json json = TRY(Json::parse_unique(manifest_text));
    StoreManifest manifest;
    manifest.plan = TRY(parse_plan(json));
    const StorePlan& plan = manifest.plan;
    const auto experts = static_cast<size_t>(plan.experts);
    for (const Json& layer : json.find("layers")->items()) {
        const Json* list = TRY(array_in(layer, "xxh3"));
        TRY(parse_hex_list(*list, "xxh3", experts, manifest.expert_checksums));
    }
    const Json* list = TRY(array_in(*json.find("dense"), "xxh3"));
    TRY(parse_hex_list(*list, "xxh3", static_cast<size_t>(plan.dense_chunks()),
                       manifest.dense_checksums));
    manifest.files = TRY(parse_files(json));
    return manifest;
}

std::string manifest_text(const StoreManifest& manifest) {
    const StorePlan& plan = manifest.plan;
    const auto experts = static_cast<size_t>(plan.experts);
    ENSURE(manifest.expert_checksums.size() == static_cast<size_t>(plan.layers) * experts);
    ENSURE(manifest.dense_checksums.size() == static_cast<size_t>(plan.dense_chunks()));
    Json::Object members = plan_members(plan);
    Json::Array files;
    for (const CopiedFile& file : manifest.files) {
        Json entry;
        entry.set("name", file.name);
        entry.set("bytes", file.bytes);
        entry.set("xxh3", hex16(file.checksum));
        files.push_back(std::move(entry));
    }
    members.emplace_back("files", Json(std::move(files)));
    // A line for every member and every layer: people look into it, and tools compare lines.
    std::string out = "{";
    for (auto& [name, value] : members) {
        out += cat(out.size() > 1 ? ",\n" : "\n", Json(name).dump(), ": ");
        if (name == "dense") value.set("xxh3", hex_list(manifest.dense_checksums));
        if (name != "layers") {
            out += value.dump();
            continue;
        }
        for (size_t l = 0; l < value.items().size(); ++l) {
            Json layer = value.items()[l];
            layer.set("xxh3",
                      hex_list(std::span(manifest.expert_checksums).subspan(l * experts, experts)));
            out += cat(l == 0 ? "[\n" : ",\n", layer.dump());
        }
        out += "]";
    }
    return out + "\n}\n";
}

}  // namespace millrace
