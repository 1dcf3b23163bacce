#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/strings.h"
#include "core/model/inspect.h"

namespace millrace {
namespace {

constexpr size_t kLinesMax = 20;

std::string right(std::string_view text, size_t width) {
    return std::string(width - std::min(width, text.size()), ' ') + std::string(text);
}
std::string left(std::string_view text, size_t width) {
    return std::string(text) + std::string(width - std::min(width, text.size()), ' ');
}

// 13369344 → "13,369,344".
std::string grouped(uint64_t number) {
    const std::string digits = cat(number);
    std::string out;
    for (size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) out.push_back(',');
        out.push_back(digits[i]);
    }
    return out;
}

void row(std::string& out, std::string_view name, std::string_view value) {
    out += cat("  ", left(name, 11), value, "\n");
}

std::string layer_words(const ModelConfig& config) {
    const auto count = [&config](LayerKind kind) {
        return std::count(config.layers.begin(), config.layers.end(), kind);
    };
    return cat(config.layer_count(), ": ", count(LayerKind::kWindow), " window, ",
               count(LayerKind::kSparse), " sparse (ratio 4), ", count(LayerKind::kHeavy),
               " heavy (ratio 128); the first ", config.hash_layers, " route by token id");
}

std::string draft_words(const Inspection& i) {
    switch (i.drafts.kind) {
        case DraftKind::kNone: return "none";
        case DraftKind::kMtp: return cat(i.drafts.count, " classic MTP");
        case DraftKind::kDspark:
            return cat("DSpark, ", i.drafts.count, " stages, ", i.config.dspark.block_size,
                       " tokens a draft");
    }
    return "?";
}

void facts(std::string& out, const Inspection& i) {
    const ModelConfig& c = i.config;
    if (i.store) {
        const size_t parts = i.store->plan.parts.size();
        row(out, "store",
            cat("version ", kStoreVersion, ", ", parts == 1 ? "in one directory" : "spread over ",
                parts == 1 ? "" : cat(parts, " directories"), ", checksums on every record"));
    }
    row(out, "files",
        i.missing_files.empty() ? cat(i.files)
                                : cat(i.files, " of ", i.files + std::ssize(i.missing_files)));
    row(out, "size",
        cat("hidden ", c.hidden, ", ", c.heads, " heads, vocabulary ", c.vocabulary, ", context ",
            c.context_max));
    row(out, "layers", layer_words(c));
    row(out, "experts",
        cat(c.experts, " a layer, ", c.experts_per_token, " a token, 1 shared; ",
            i.expert_format.empty()
                ? std::string("none here")
                : cat(i.expert_format, ", ", grouped(i.expert_bytes), " bytes each")));
    row(out, "drafts", draft_words(i));
    const ClassBytes here = i.total();
    const bool whole = here.tensors == i.complete.tensors;
    const auto words = [](const ClassBytes& sum) {
        return cat(grouped(static_cast<uint64_t>(sum.tensors)), " tensors, ", grouped(sum.bytes),
                   " bytes");
    };
    row(out, "here", words(here));
    if (!whole) row(out, "complete", words(i.complete));
}

void table(std::string& out, const Inspection& i) {
    const auto line = [&out](std::string_view name, std::string_view tensors,
                             std::string_view bytes, std::string_view token) {
        out +=
            cat("  ", left(name, 20), right(tensors, 9), right(bytes, 19), right(token, 18), "\n");
    };
    const auto entry = [&line](std::string_view name, const ClassBytes& sum,
                               std::string_view token) {
        line(name, grouped(static_cast<uint64_t>(sum.tensors)), grouped(sum.bytes), token);
    };
    line("", "tensors", "bytes", "a token reads");
    ClassBytes drafts;
    for (size_t kind = 0; kind < kTensorClasses; ++kind) {
        drafts.tensors += i.draft[kind].tensors;
        drafts.bytes += i.draft[kind].bytes;
        if (static_cast<TensorClass>(kind) == TensorClass::kDraft) continue;
        entry(class_name(static_cast<TensorClass>(kind)), i.trunk[kind],
              grouped(i.token_bytes[kind]));
    }
    entry("draft blocks", drafts, "");
    entry("all", i.total(), grouped(i.token_bytes_total()));
}

void list(std::string& out, std::string_view title, const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    out += cat("\n", title, " (", lines.size(), ")\n");
    for (size_t i = 0; i < std::min(lines.size(), kLinesMax); ++i) {
        out += cat("  ", lines[i], "\n");
    }
    if (lines.size() > kLinesMax) out += cat("  … and ", lines.size() - kLinesMax, " more\n");
}

// Names from files may hold anything.
std::vector<std::string> quoted(const std::vector<std::string>& names) {
    std::vector<std::string> out;
    for (const std::string& name : names) out.push_back(quote_text(name));
    return out;
}

}  // namespace

std::string Inspection::text() const {
    std::string out = release + "\n";
    facts(out, *this);
    out += "\n";
    table(out, *this);
    list(out, "Files missing", missing_files);
    list(out, "Files cut off or too long", cut_files);
    list(out, "Tensors missing", missing);
    list(out, "Tensors of another shape or type", misshapen);
    list(out, "Tensors unknown", quoted(unknown));
    return out;
}

}  // namespace millrace
