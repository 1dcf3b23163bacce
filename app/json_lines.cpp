#include "app/json_lines.h"

namespace millrace {

Result<std::vector<TokenId>> parse_ids(const Json& list, int64_t vocabulary) {
    if (!list.is_array()) {
        return Error{ErrorCode::kInvalid, cat("the token ids are ", list.kind_name(),
                                              "; they must be a list of numbers")};
    }
    std::vector<TokenId> ids;
    ids.reserve(list.items().size());
    for (const Json& item : list.items()) {
        const std::optional<int64_t> id = item.as_int();
        if (!id || *id < 0 || *id >= vocabulary) {
            return Error{ErrorCode::kInvalid,
                         cat("token id ", ids.size(), " of the list is ", quote_text(item.dump()),
                             "; this model's tokens are 0 to ", vocabulary - 1)};
        }
        ids.push_back({static_cast<int32_t>(*id)});
    }
    return ids;
}

Json ids_json(std::span<const TokenId> ids) {
    Json::Array items;
    items.reserve(ids.size());
    for (const TokenId id : ids) items.emplace_back(id.value);
    return items;
}

}  // namespace millrace
