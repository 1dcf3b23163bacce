#pragma once
// A session and the archive of KV state: what of a prompt somebody has computed before is taken in, and what this session
// computes is given out, page by page. Engine thread only; the drive's work is done by the archive's threads.
//
// Taking in waits for the drive, which for any model is far faster than computing. Giving out is a copy into a ring.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/engine/kv_pages.h"
#include "core/engine/session.h"
#include "offload/kv_archive.h"
#include "offload/kv_reader.h"
#include "offload/kv_writer.h"

namespace millrace {

// An archive, and the name of the model in it: null means there is none.
struct ArchiveUse {
    KvArchive* archive = nullptr;  // outlives the session
    std::string identity;          // everything that the bits of a page depend on: kv_identity.h
    std::string label;             // the model, for people
};

class SessionArchive {
public:
    // `archive` is not null.
    [[nodiscard]] static Result<std::unique_ptr<SessionArchive>> create(const ArchiveUse& archive,
                                                                        const ModelConfig& config,
                                                                        int64_t context_max);
    // What `create` takes.
    [[nodiscard]] static uint64_t memory_bytes(const ModelConfig& config);

    // Takes the session to the longest part of the prompt that it holds or the archive does, and leaves at least one token
    // to compute.
    [[nodiscard]] KeptTokens keep(Session& session, std::span<const TokenId> prompt);
    // The tokens of the prompt that the archive would give. Any thread.
    [[nodiscard]] int64_t known(std::span<const TokenId> prompt) const;
    // After the session has grown: offers what is new.
    void store(Session& session);
    // Until all that was offered is written or given up.
    void settle() { writer_->settle(); }

private:
    SessionArchive(KvArchive& archive, const KvKey& model, KvPages pages, KvReader reader,
                   std::unique_ptr<KvWriter> writer)
        : archive_(archive),
          model_(model),
          pages_(std::move(pages)),
          reader_(std::move(reader)),
          writer_(std::move(writer)) {}
    [[nodiscard]] Result<bool> take_in(Session& session, std::span<const KvKey> found,
                                       size_t& valid);
    void name_pages(const Session& session);
    [[nodiscard]] KvPage page(size_t number) const;

    KvArchive& archive_;
    const KvKey model_;
    const KvPages pages_;
    KvReader reader_;
    std::unique_ptr<KvWriter> writer_;
    std::vector<KvKey> keys_;  // of the session's complete pages, as far as they were named
    size_t rows_offered_ = 0;  // pages whose rows the archive has or was offered
    size_t edge_offered_ = 0;  // the length in pages whose edge was offered last
};

}  // namespace millrace
