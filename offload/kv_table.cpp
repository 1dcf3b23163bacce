#include "offload/kv_table.h"

#include <algorithm>
#include <cstring>

#include "core/base/check.h"

namespace millrace {

// A key is a hash already.
size_t KvKeyHash::operator()(const KvKey& key) const noexcept {
    size_t hash = 0;
    std::memcpy(&hash, key.bytes.data(), sizeof hash);
    return hash;
}

bool KvTable::has(const KvKey& key, KvPart part) const {
    const auto page = pages_.find(key);
    return page != pages_.end() && (part == KvPart::kRows || page->second.edge.has_value());
}

bool KvTable::fits(const KvPlace& place) const {
    if (place.part == KvPart::kEdge) return pages_.contains(place.key);
    if (place.page == 0) return place.parent == place.model;
    const auto parent = pages_.find(place.parent);
    return parent != pages_.end() && parent->second.number + 1 == place.page &&
           parent->second.model == place.model;
}

void KvTable::add(const KvPlace& place) {
    ENSURE(fits(place));
    const bool is_new = !has(place.key, place.part);
    if (place.part == KvPart::kEdge) {
        Page& page = pages_.at(place.key);
        if (page.edge) {
            leaves_.erase({page.edge->used, place.key, KvPart::kEdge});
            bytes_ -= page.edge->bytes;
        } else {
            leaves_.erase({page.rows.used, place.key, KvPart::kRows});
        }
        page.edge = File{place.used, place.bytes};
        leaves_.insert({place.used, place.key, KvPart::kEdge});
    } else if (is_new) {
        if (place.page > 0) {
            Page& parent = pages_.at(place.parent);
            leaves_.erase({parent.rows.used, place.parent, KvPart::kRows});
            parent.children.push_back(place.key);
        }
        pages_[place.key] = {.parent = place.parent,
                             .model = place.model,
                             .number = place.page,
                             .rows = {place.used, place.bytes},
                             .edge = {},
                             .children = {}};
        leaves_.insert({place.used, place.key, KvPart::kRows});
    } else {
        touch(place.key, KvPart::kRows, place.used);
        File& rows = pages_.at(place.key).rows;
        bytes_ -= rows.bytes;
        rows.bytes = place.bytes;
    }
    bytes_ += place.bytes;
    if (is_new) ++count_;
}

void KvTable::touch(const KvKey& key, KvPart part, uint64_t used) {
    const auto found = pages_.find(key);
    if (found == pages_.end()) return;
    Page& page = found->second;
    if (part == KvPart::kEdge && !page.edge) return;
    File& file = part == KvPart::kEdge ? *page.edge : page.rows;
    const bool leaf = part == KvPart::kEdge || page.is_leaf();
    if (leaf) leaves_.erase({file.used, key, part});
    file.used = std::max(file.used, used);
    if (leaf) leaves_.insert({file.used, key, part});
}

std::optional<KvPlace> KvTable::oldest_leaf() const {
    if (leaves_.empty()) return std::nullopt;
    const Leaf& leaf = *leaves_.begin();
    return place_of(leaf.key, pages_.at(leaf.key), leaf.part);
}

void KvTable::remove_file(const KvKey& key, const Page& page, KvPart part,
                          std::vector<KvPlace>& gone) {
    const KvPlace place = place_of(key, page, part);
    bytes_ -= place.bytes;
    --count_;
    leaves_.erase({place.used, key, part});
    gone.push_back(place);
}

std::vector<KvPlace> KvTable::remove(const KvKey& key, KvPart part) {
    std::vector<KvPlace> gone;
    const auto found = pages_.find(key);
    if (found == pages_.end()) return gone;
    if (part == KvPart::kEdge) {
        Page& page = found->second;
        if (!page.edge) return gone;
        remove_file(key, page, KvPart::kEdge, gone);
        page.edge.reset();
        if (page.is_leaf()) leaves_.insert({page.rows.used, key, KvPart::kRows});
        return gone;
    }
    const KvKey parent_key = found->second.parent;
    // Parents come before their children in this list; it is worked off from its end.
    std::vector<KvKey> subtree = {key};
    for (size_t i = 0; i < subtree.size(); ++i) {
        const std::vector<KvKey>& children = pages_.at(subtree[i]).children;
        subtree.insert(subtree.end(), children.begin(), children.end());
    }
    for (auto at = subtree.rbegin(); at != subtree.rend(); ++at) {
        const auto page = pages_.find(*at);
        if (page->second.edge) remove_file(*at, page->second, KvPart::kEdge, gone);
        remove_file(*at, page->second, KvPart::kRows, gone);
        pages_.erase(page);
    }
    const auto parent = pages_.find(parent_key);
    if (parent != pages_.end()) {
        std::erase(parent->second.children, key);
        if (parent->second.is_leaf()) {
            leaves_.insert({parent->second.rows.used, parent_key, KvPart::kRows});
        }
    }
    return gone;
}

KvPlace KvTable::place_of(const KvKey& key, const Page& page, KvPart part) {
    const File& file = part == KvPart::kEdge ? *page.edge : page.rows;
    return {.key = key,
            .parent = page.parent,
            .model = page.model,
            .part = part,
            .page = page.number,
            .used = file.used,
            .bytes = file.bytes};
}

std::vector<KvPlace> KvTable::places() const {
    std::vector<KvPlace> out;
    out.reserve(count_);
    for (const auto& [key, page] : pages_) {
        out.push_back(place_of(key, page, KvPart::kRows));
        if (page.edge) out.push_back(place_of(key, page, KvPart::kEdge));
    }
    return out;
}

}  // namespace millrace
