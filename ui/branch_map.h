#pragma once
// A chat's tree as rows to look at. What is shown runs straight down; the other versions of a message stand before it, each
// with all that followed, one step to the right:
//
//     ● Where is the mill?
//       ○ On the hill.            1 of 2
//       ○ Which hill?
//     ● By the river.             2 of 2
//     ● And in winter?
//
// So the depth to the right is that of turnings, not of messages, and every row is one line. Pure.

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ui/branches.h"

namespace millrace {

struct BranchRow {
    MessageId id = MessageId::kNone;
    int32_t indent = 0;
    int32_t number = 1, count = 1;  // version 2 of 3: of those beside it by the same author
    bool shown = false;             // belongs to the branch that is shown
};

class BranchMap {
public:
    BranchMap() = default;
    // O(messages), however deep or wide the tree is.
    explicit BranchMap(const Branches& branches);

    [[nodiscard]] std::span<const BranchRow> rows() const { return rows_; }
    // Ends of branches.
    [[nodiscard]] size_t branches() const { return ends_; }
    // The row of a message; rows().size() if there is none.
    [[nodiscard]] size_t row_of(MessageId id) const;
    // The row of the version before (−1) or after (+1) the one in `row`; `row` itself if there is none.
    [[nodiscard]] size_t version_beside(size_t row, int step) const;

private:
    std::vector<BranchRow> rows_;
    std::unordered_map<int64_t, size_t> places_;             // id → row
    std::unordered_map<int64_t, MessageId> before_, after_;  // id → version beside it
    size_t ends_ = 0;
};

// The first words of a message, on one line.
[[nodiscard]] std::string first_words(const StoredMessage& message);

}  // namespace millrace
