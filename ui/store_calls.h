#pragma once
// How the desk talks to the store's lane.

#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "ui/desk.h"

namespace millrace {

template <class T>
void Desk::ask_store(std::string what, std::function<Result<T>(ChatStore&)> question,
                     std::function<void(T)> then, std::function<void()> otherwise) {
    if (!parts_.store) return;
    ChatStore* store = parts_.store.get();
    parts_.store_lane->post([this, store, what = std::move(what), question = std::move(question),
                             then = std::move(then), otherwise = std::move(otherwise)] {
        Result<T> found = question(*store);
        if (!found.ok()) {
            outbox_.post([this, otherwise, text = cat(what, ": ", found.error().message)] {
                tell(text, true);
                if (otherwise) otherwise();
            });
            return;
        }
        outbox_.post([then, value = std::move(*found)]() mutable { then(std::move(value)); });
    });
}

}  // namespace millrace
