#pragma once
// A real store that can be told to refuse what is written, as on a full disk.

#include <memory>
#include <string_view>
#include <utility>

#include "core/store/chats.h"

namespace millrace::test {

class RefusingStore final : public ChatStore {
public:
    explicit RefusingStore(std::unique_ptr<ChatStore> real) : real_(std::move(real)) {}
    bool refuses = false;

    const OpenReport& report() const override { return real_->report(); }
    Result<std::vector<ChatSummary>> list(Deleted deleted) override { return real_->list(deleted); }
    Result<ChatTree> read(ChatId chat) override { return real_->read(chat); }
    Result<std::optional<std::string>> value(std::string_view key) override {
        return real_->value(key);
    }
    Result<std::vector<FoundMessage>> search(std::string_view words, int64_t count) override {
        return real_->search(words, count);
    }

    Result<ChatId> create(std::string_view title) override {
        return refuses ? full() : real_->create(title);
    }
    Result<ChatId> adopt(const ChatTree& tree) override {
        return refuses ? full() : real_->adopt(tree);
    }
    Result<MessageId> append(ChatId chat, const StoredMessage& message) override {
        return refuses ? full() : real_->append(chat, message);
    }
    Status rename(ChatId chat, std::string_view title) override {
        return refuses ? full() : real_->rename(chat, title);
    }
    Status pin(ChatId chat, bool pinned) override {
        return refuses ? full() : real_->pin(chat, pinned);
    }
    Status remove(ChatId chat) override { return refuses ? full() : real_->remove(chat); }
    Status restore(ChatId chat) override { return refuses ? full() : real_->restore(chat); }
    Status erase_deleted(ChatId chat) override {
        return refuses ? full() : real_->erase_deleted(chat);
    }
    Status set_settings(ChatId chat, std::string_view json) override {
        return refuses ? full() : real_->set_settings(chat, json);
    }
    Status update(const StoredMessage& message) override {
        return refuses ? full() : real_->update(message);
    }
    Status show_leaf(ChatId chat, MessageId leaf) override {
        return refuses ? full() : real_->show_leaf(chat, leaf);
    }
    Status remove_branch(MessageId message) override {
        return refuses ? full() : real_->remove_branch(message);
    }
    Status restore_branch(MessageId message) override {
        return refuses ? full() : real_->restore_branch(message);
    }
    Status save_draft(ChatId chat, std::string_view text) override {
        return refuses ? full() : real_->save_draft(chat, text);
    }
    Status set_value(std::string_view key, std::string_view value) override {
        return refuses ? full() : real_->set_value(key, value);
    }

private:
    static Error full() { return {ErrorCode::kNoSpace, "the disk is full"}; }
    std::unique_ptr<ChatStore> real_;
};

}  // namespace millrace::test
