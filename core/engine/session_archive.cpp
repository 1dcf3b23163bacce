#include "core/engine/session_archive.h"

#include <algorithm>

namespace millrace {
namespace {

static_assert(kKvPageTokens == static_cast<int64_t>(KvArchive::kPageTokens));

// A prompt's chunk of two pages and its edge, twice: one being written, one being copied; and some rows of a fast model.
uint64_t ring_bytes(const KvPages& pages) {
    return 2 * pages.edge_bytes() + 16 * pages.rows_bytes();
}

size_t common_tokens(const Session& session, std::span<const TokenId> prompt) {
    const std::span<const TokenId> held = session.tokens();
    const auto limit = static_cast<std::ptrdiff_t>(std::min(held.size(), prompt.size()));
    const auto different = std::mismatch(held.begin(), held.begin() + limit, prompt.begin());
    return static_cast<size_t>(different.first - held.begin());
}

}  // namespace

Result<std::unique_ptr<SessionArchive>> SessionArchive::create(const ArchiveUse& use,
                                                               const ModelConfig& config,
                                                               int64_t context_max) {
    // Nobody drafts yet (draft.h), so draft blocks have no state.
    KvPages pages(config, 0);
    KvReader reader = TRY(KvReader::create(*use.archive, pages.rows_bytes(), pages.edge_bytes()));
    std::unique_ptr<KvWriter> writer = TRY(KvWriter::create(*use.archive, ring_bytes(pages)));
    const KvKey model = use.archive->add_model(use.identity, use.label);
    std::unique_ptr<SessionArchive> made(new SessionArchive(*use.archive, model, std::move(pages),
                                                            std::move(reader), std::move(writer)));
    made->keys_.reserve(static_cast<size_t>(context_max / kKvPageTokens));
    return made;
}

uint64_t SessionArchive::memory_bytes(const ModelConfig& config) {
    const KvPages pages(config, 0);
    return KvReader::memory_bytes(pages.rows_bytes(), pages.edge_bytes()) + ring_bytes(pages) +
           KvSealer::file_bytes_max(pages.edge_bytes());
}

KeptTokens SessionArchive::keep(Session& session, std::span<const TokenId> prompt) {
    const int64_t kept = session.reusable(prompt);
    // The last token's logits are wanted, so it is computed.
    const std::span<const TokenId> wanted = prompt.first(prompt.empty() ? 0 : prompt.size() - 1);
    // Entries of the tokens that both have are right, however far the session cannot be rolled back.
    size_t valid = common_tokens(session, wanted) / KvArchive::kPageTokens;
    rows_offered_ = edge_offered_ = 0;
    while (true) {
        const std::vector<KvKey> found = archive_.find(model_, wanted);
        const auto tokens = static_cast<int64_t>(found.size()) * kKvPageTokens;
        if (tokens <= kept) break;
        // What was read of a longer prefix that turned out broken lies where no shorter sequence looks.
        const Result<bool> taken = take_in(session, found, valid);
        if (!taken.ok()) break;  // the next step says what is wrong
        if (!*taken) continue;
        session.take_over(prompt.first(static_cast<size_t>(tokens)));
        keys_.assign(found.begin(), found.end());
        return {tokens, tokens - kept};
    }
    session.roll_back(kept);
    keys_.resize(std::min(keys_.size(), static_cast<size_t>(kept / kKvPageTokens)));
    return {kept, 0};
}

int64_t SessionArchive::known(std::span<const TokenId> prompt) const {
    if (prompt.empty()) return 0;
    const size_t pages = archive_.count_known(model_, prompt.first(prompt.size() - 1));
    return static_cast<int64_t>(pages) * kKvPageTokens;
}

// False: something was missing, and the archive has forgotten it. `valid` of the first pages need not be read; they grow.
// Fails when the state's memory does.
Result<bool> SessionArchive::take_in(Session& session, std::span<const KvKey> found,
                                     size_t& valid) {
    const std::span<const std::byte> edge = reader_.read_edge(found.back());
    if (edge.empty()) return false;
    KvCache& kv = session.kv();
    const size_t first = std::min(valid, found.size());
    Status imported;
    const size_t count =
        reader_.read_rows(found.subspan(first), [&](size_t i, std::span<const std::byte> rows) {
            if (imported.ok()) {
                imported = pages_.import_rows(kv, static_cast<int64_t>(first + i), rows);
            }
        });
    TRY(std::move(imported));
    valid = std::max(valid, first + count);
    if (first + count < found.size()) return false;
    TRY(pages_.import_edge(kv, static_cast<int64_t>(found.size()) - 1, edge));
    return true;
}

KvPage SessionArchive::page(size_t number) const {
    return {.key = keys_[number],
            .parent = number == 0 ? model_ : keys_[number - 1],
            .model = model_,
            .number = static_cast<uint32_t>(number)};
}

void SessionArchive::name_pages(const Session& session) {
    const auto complete = static_cast<size_t>(session.length() / kKvPageTokens);
    keys_.resize(std::min(keys_.size(), complete));
    while (keys_.size() < complete) {
        const auto tokens =
            session.tokens().subspan(keys_.size() * KvArchive::kPageTokens, KvArchive::kPageTokens);
        keys_.push_back(archive_.next(keys_.empty() ? model_ : keys_.back(), tokens));
    }
}

void SessionArchive::store(Session& session) {
    name_pages(session);
    KvCache& kv = session.kv();
    rows_offered_ = std::min(rows_offered_, keys_.size());
    for (; rows_offered_ < keys_.size(); ++rows_offered_) {
        if (archive_.has(keys_[rows_offered_], KvPart::kRows)) continue;
        const auto number = static_cast<int64_t>(rows_offered_);
        const auto fill = [&](std::span<std::byte> room) {
            return pages_.export_rows(kv, number, room).ok();
        };
        // Full: these rows stay where they are, and are offered again later.
        if (!writer_->offer(page(rows_offered_), KvPart::kRows, pages_.rows_bytes(), fill)) return;
    }
    const size_t last = keys_.size();
    const auto end = static_cast<int64_t>(last) * kKvPageTokens;
    // Where the session could go back to, the edge is still whole.
    if (last == 0 || last == edge_offered_ || !session.can_roll_back_to(end)) return;
    const auto number = static_cast<int64_t>(last) - 1;
    const auto fill = [&](std::span<std::byte> room) {
        return pages_.export_edge(kv, number, room).ok();
    };
    if (archive_.has(keys_.back(), KvPart::kEdge) ||
        writer_->offer(page(last - 1), KvPart::kEdge, pages_.edge_bytes(), fill)) {
        edge_offered_ = last;
    }
}

}  // namespace millrace
