// What comes out of the archive has the bits of what was computed, wherever a prompt goes on, whatever was lost on the way.

#include "core/engine/session_archive.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "core/engine/draft.h"
#include "core/engine/engine.h"
#include "core/engine/kv_identity.h"
#include "tests/support/archive_world.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/small_checkpoint.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tiny_model.h"

namespace millrace::test {
namespace {

constexpr int64_t kTokens = 900;
constexpr uint64_t kPlenty = uint64_t{1} << 32;

// A small model with every kind of layer, a text, the logits of a run without an archive, and a disk for archives.
struct World {
    World() {
        const Json config = small_config();
        write_checkpoint(directory.path(), config, synthetic_tensors(config), 1);
        runtime = open(tiny_options());
        vocabulary = static_cast<size_t>(runtime->config().vocabulary);
        for (int64_t i = 0; i < kTokens; ++i) tokens.push_back(random_token());
        Session session = new_session(*runtime);
        expected = all_logits(*runtime, session, tokens, {256});
    }
    std::unique_ptr<Runtime> open(RuntimeOptions options) const {
        options.ops = "cpu";
        options.threads = 1;
        options.prefill_chunk = 256;
        options.rollback_tokens = 128;
        return open_runtime(directory.path(), options);
    }
    TokenId random_token() { return {static_cast<int32_t>(random.below(vocabulary))}; }

    std::unique_ptr<KvArchive> archive(uint64_t budget = kPlenty) {
        auto opened = KvArchive::open({*disk, entropy, calendar}, archive_key(1), {"/kv", budget});
        REQUIRE(opened.ok());
        return *std::move(opened);
    }
    std::unique_ptr<SessionArchive> link(KvArchive& archive, std::string identity = "small") {
        auto made = SessionArchive::create({&archive, std::move(identity), "label"},
                                           runtime->config(), kTokens);
        REQUIRE(made.ok());
        return *std::move(made);
    }
    std::span<const TokenId> prompt(int64_t length) const {
        return std::span(tokens).first(static_cast<size_t>(length));
    }
    // Extends the session by pieces up to `end`, compares all logits, stores.
    void go_on(Session& session, SessionArchive* link, int64_t end, int64_t piece) {
        while (session.length() < end) {
            const auto first = static_cast<size_t>(session.length());
            const auto n = static_cast<size_t>(std::min(piece, end - session.length()));
            const auto logits =
                all_logits(*runtime, session, std::span(tokens).subspan(first, n), {256});
            const bool same =
                std::equal(logits.begin(), logits.end(),
                           expected.begin() + static_cast<std::ptrdiff_t>(first * vocabulary));
            CHECK_MESSAGE(same, "tokens ", first, " to ", first + n - 1);
            compared += static_cast<int64_t>(n);
            if (link == nullptr) continue;
            link->store(session);
            link->settle();  // the ring is small, and the writing thread may be slow: nothing is refused here
        }
    }
    // Computes the first tokens and leaves their pages in the archive.
    void fill(KvArchive& archive, int64_t length, int64_t piece) {
        const auto filling = link(archive);
        Session session = new_session(*runtime);
        (void)filling->keep(session, prompt(length));
        go_on(session, filling.get(), length, piece);
        filling->settle();
    }

    TempDirectory directory;
    std::unique_ptr<Runtime> runtime;
    size_t vocabulary = 64;
    std::vector<TokenId> tokens;
    std::vector<float> expected;
    Random random{7};
    int64_t compared = 0;
    std::optional<SimulatedDisk> disk{std::in_place, 1};
    SeededEntropy entropy{2};
    SetCalendar calendar;
};

}  // namespace

TEST_CASE("a prompt goes on from the archive with the bits of a computed one") {
    World world;
    // Chunks that end on pages, inside them, and one token at a time: edges lie elsewhere, bits do not.
    for (const int64_t piece : {256, 200, 100, 1}) {
        CAPTURE(piece);
        world.disk.emplace(1);
        const auto archive = world.archive();
        const int64_t filled = piece == 1 ? 300 : 700;
        world.fill(*archive, filled, piece);
        for (const int64_t length : {int64_t{129}, int64_t{130}, int64_t{257}, int64_t{300},
                                     int64_t{513}, int64_t{641}, int64_t{700}, int64_t{900}}) {
            CAPTURE(length);
            const auto link = world.link(*archive);
            Session session = new_session(*world.runtime);
            const KeptTokens kept = link->keep(session, world.prompt(length));
            const int64_t whole = std::min(filled, length - 1) / 128 * 128;
            CHECK(kept.tokens == session.length());
            CHECK(kept.archived == kept.tokens);
            CHECK(kept.tokens % 128 == 0);
            CHECK(kept.tokens <= whole);
            // An edge lies behind every chunk, and behind every page where chunks are not longer.
            if (piece <= 128 || length >= filled) CHECK(kept.tokens == whole);
            world.go_on(session, nullptr, std::min(length + 140, kTokens), 90);
        }
    }
    CHECK(world.compared > 5000);
}

TEST_CASE("another start finds what an earlier one stored, and stores only what is new") {
    World world;
    world.fill(*world.archive(), 400, 256);
    const auto archive = world.archive();
    const auto link = world.link(*archive);
    Session session = new_session(*world.runtime);
    CHECK(link->keep(session, world.prompt(800)).archived == 384);
    world.go_on(session, link.get(), 800, 256);
    link->settle();
    // Rows of pages 3 to 5, edges behind chunks that end in pages 5 and 6.
    CHECK(archive->stats().stored == 3 + 2);
    Session other = new_session(*world.runtime);
    CHECK(link->keep(other, world.prompt(900)).archived == 768);
    world.go_on(other, nullptr, 900, 64);
}

TEST_CASE("a session that cannot be rolled back far enough takes only the edge from the drive") {
    World world;
    const auto archive = world.archive();
    const auto link = world.link(*archive);
    Session session = new_session(*world.runtime);
    CHECK(link->keep(session, world.prompt(800)).tokens == 0);
    world.go_on(session, link.get(), 800, 128);
    link->settle();
    std::vector<TokenId> branch(world.tokens.begin(), world.tokens.begin() + 500);
    for (int i = 0; i < 40; ++i) branch.push_back(world.random_token());
    CHECK(session.reusable(branch) == 0);
    const KeptTokens kept = link->keep(session, branch);
    CHECK(kept.tokens == 384);
    CHECK(archive->stats().read == 1);
    // What follows is the text's again: bits as if nothing had happened.
    world.go_on(session, link.get(), 700, 100);

    // Within reach of a rollback the session itself is nearer than any edge.
    const KeptTokens near = link->keep(session, world.prompt(650));
    CHECK(near.tokens == 649);
    CHECK(near.archived == 0);
    world.go_on(session, link.get(), 800, 50);
}

TEST_CASE("behind an edge there is nothing to roll back to") {
    World world;
    const auto archive = world.archive();
    world.fill(*archive, 300, 256);
    const auto link = world.link(*archive);
    Session session = new_session(*world.runtime);
    REQUIRE(link->keep(session, world.prompt(300)).archived == 256);
    CHECK(session.can_roll_back_to(256));
    CHECK_FALSE(session.can_roll_back_to(255));
    CHECK(session.can_roll_back_to(0));
    world.go_on(session, link.get(), 350, 1);
    CHECK(session.can_roll_back_to(256));
    CHECK_FALSE(session.can_roll_back_to(250));
    session.roll_back(260);
    world.go_on(session, link.get(), 500, 77);
    session.reset();
    world.go_on(session, nullptr, 300, 256);
    CHECK(session.can_roll_back_to(250));
}

TEST_CASE(
    "files that are broken or gone: a shorter prefix, the same bits, and the gap is filled again") {
    World world;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        world.disk.emplace(seed);
        const auto archive = world.archive();
        world.fill(*archive, 700, 128);
        const auto names = world.disk->list("/kv");
        REQUIRE(names.ok());
        for (const std::string& name : *names) {
            const Path path = "/kv/" + name;
            if (random.below(4) != 0) continue;
            if (random.below(2) == 0) {
                REQUIRE(world.disk->remove(path).ok());
            } else {
                std::vector<std::byte>& bytes = *world.disk->bytes(path);
                bytes[random.below(bytes.size())] ^= std::byte{16};
            }
        }
        const auto link = world.link(*archive);
        Session session = new_session(*world.runtime);
        // It has something of its own before, part of which is the prompt's.
        world.go_on(session, nullptr, static_cast<int64_t>(random.below(300)), 256);
        const KeptTokens kept = link->keep(session, world.prompt(700));
        CHECK(kept.tokens == session.length());
        world.go_on(session, link.get(), 750, 128);
        link->settle();
        // Pages that the first session held itself were not read and not missed; an empty one reads all of them.
        for (const bool healed : {false, true}) {
            Session again = new_session(*world.runtime);
            const KeptTokens found = link->keep(again, world.prompt(700));
            if (healed) CHECK(found.archived == 640);
            world.go_on(again, link.get(), 700, 128);
            link->settle();
        }
    }
}

TEST_CASE("a disk with errors and flipped bits never changes an answer") {
    World world;
    uint64_t archived = 0;
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        world.disk.emplace(seed);
        const auto archive = world.archive(seed % 3 == 0 ? 60000 : kPlenty);
        world.disk->set_faults({.read_error = 0.05, .write_error = 0.01, .bit_flip = 0.1});
        for (int round = 0; round < 3; ++round) {
            const auto link = world.link(*archive);
            Session session = new_session(*world.runtime);
            archived += static_cast<uint64_t>(link->keep(session, world.prompt(500)).archived);
            world.go_on(session, link.get(), 500, 128);
        }
    }
    CHECK(archived > 1500);
}

TEST_CASE("pages carry the windows of draft blocks where they are asked to") {
    const TempDirectory directory;
    const Json config = small_dspark_config();
    write_checkpoint(directory.path(), config, synthetic_tensors(config), 1);
    RuntimeOptions options = tiny_options();
    options.rollback_tokens = 128;
    const auto runtime = open_runtime(directory.path(), options);
    auto drafter = DsparkDrafter::create(runtime->step());
    REQUIRE(drafter.ok());
    Session session = new_session(*runtime), other = new_session(*runtime);
    std::vector<TokenId> tokens;
    for (int32_t i = 0; i < 128; ++i) tokens.push_back({i % 60});
    REQUIRE(runtime->forward(session, tokens, LogitsWanted::kNone, {}).ok());
    (*drafter)->commit(runtime->step().main_hidden(), 0, session.kv());

    const KvPages with(runtime->config(), 3), without(runtime->config(), 0);
    CHECK(with.rows_bytes() == without.rows_bytes());
    CHECK(with.edge_bytes() == without.edge_bytes() + 3 * 128 * sizeof(KvRow));
    std::vector<std::byte> rows(with.rows_bytes()), edge(with.edge_bytes());
    REQUIRE(with.export_rows(session.kv(), 0, rows).ok());
    REQUIRE(with.export_edge(session.kv(), 0, edge).ok());
    REQUIRE(with.import_rows(other.kv(), 0, rows).ok());
    REQUIRE(with.import_edge(other.kv(), 0, edge).ok());
    other.take_over(tokens);
    const auto vocabulary = static_cast<size_t>(runtime->config().vocabulary);
    const auto block = static_cast<size_t>(runtime->config().dspark.block_size);
    const auto draft = [&](Session& from) {
        std::vector<float> logits(block * vocabulary);
        const auto drafted = (*drafter)->draft(
            127, TokenId{5}, from.kv(),
            {logits.data(), static_cast<int64_t>(block), static_cast<int64_t>(vocabulary)});
        REQUIRE(drafted.ok());
        return logits;
    };
    CHECK(draft(session) == draft(other));
}

TEST_CASE("sizes of Flash: what a page and an edge take") {
    ModelConfig flash;
    flash.layers = {LayerKind::kWindow, LayerKind::kWindow};
    for (int i = 0; i < 41; ++i) {
        flash.layers.push_back(i % 2 == 0 ? LayerKind::kSparse : LayerKind::kHeavy);
    }
    const KvPages pages(flash, 0);
    CHECK(pages.rows_bytes() == 21 * 32 * (584 + 68) + 20 * 584);  // 3514.25 bytes a token
    CHECK(pages.edge_bytes() == 43 * 128 * 584 + 21 * 4 * 2 * (512 + 128) * 4);
}

TEST_CASE("the engine counts what came out of the archive") {
    World world;
    const auto archive = world.archive();
    Request request;
    request.prompt.assign(world.tokens.begin(), world.tokens.begin() + 400);
    request.sampling.temperature = 0;
    request.tokens_max = 20;
    std::vector<std::vector<int32_t>> answers;
    for (const bool use : {false, true, true}) {
        auto identity = kv_identity(world.directory.path(), world.runtime->options());
        REQUIRE(identity.ok());
        const ArchiveUse archive_use{use ? archive.get() : nullptr, *identity, "small"};
        auto engine = Engine::start(world.open(tiny_options()), archive_use);
        REQUIRE(engine.ok());
        CHECK(((*engine)->memory_plan().archive_bytes > 0) == use);
        auto ticket = (*engine)->submit(request);
        REQUIRE(ticket.ok());
        answers.emplace_back();
        while (true) {
            const Event event = ticket->next();
            if (event.kind == Event::Kind::kToken) answers.back().push_back(event.token.value);
            if (event.kind != Event::Kind::kFinished) continue;
            CHECK(event.stats.archived_tokens == (answers.size() == 3 ? 384 : 0));
            CHECK(event.stats.reused_tokens == event.stats.archived_tokens);
            break;
        }
    }
    CHECK(answers[0].size() == 20);
    CHECK(answers[1] == answers[0]);
    CHECK(answers[2] == answers[0]);
}

TEST_CASE("what the engine says it knows of a prompt is what the next answer reuses") {
    World world;
    const auto archive = world.archive();
    const auto start = [&](KvArchive* kept, const std::string& identity) {
        auto engine =
            Engine::start(world.open(tiny_options()), ArchiveUse{kept, identity, "small"});
        REQUIRE(engine.ok());
        return *std::move(engine);
    };
    // Asked before and while it runs; true in between.
    const auto ask = [&](Engine& engine, std::span<const TokenId> prompt) {
        const KeptTokens known = engine.known(prompt);
        Request request;
        request.prompt.assign(prompt.begin(), prompt.end());
        request.sampling.temperature = 0;
        request.tokens_max = 10;
        auto ticket = engine.submit(request);
        REQUIRE(ticket.ok());
        while (true) {
            const Event event = ticket->next();
            CHECK(engine.known(prompt).tokens < static_cast<int64_t>(prompt.size()));
            if (event.kind != Event::Kind::kFinished) continue;
            CHECK(event.stats.reused_tokens == known.tokens);
            CHECK(event.stats.archived_tokens == known.archived);
            break;
        }
        return known;
    };
    {
        const auto engine = start(archive.get(), "small");
        CHECK(ask(*engine, world.prompt(400)).tokens == 0);
        const KeptTokens held = engine->known(world.prompt(500));
        CHECK(held.tokens == 400);
        CHECK(held.archived == 0);
        CHECK(ask(*engine, world.prompt(500)).tokens == 400);
        // From the session, back by a few tokens.
        CHECK(ask(*engine, world.prompt(480)).tokens == 479);
        CHECK(engine->known({}).tokens == 0);
    }
    {
        const auto engine = start(archive.get(), "small");
        const KeptTokens known = ask(*engine, world.prompt(450));
        CHECK(known.tokens == 384);
        CHECK(known.archived == 384);
    }
    const auto used = archive->stats().read;
    CHECK(start(archive.get(), "small")->known(world.prompt(450)).tokens == 384);
    CHECK(archive->stats().read == used);  // a question reads nothing
    CHECK(start(archive.get(), "another model")->known(world.prompt(450)).tokens == 0);
    CHECK(start(nullptr, "small")->known(world.prompt(450)).tokens == 0);
}

TEST_CASE("whatever the bits depend on is in the identity") {
    World world;
    const RuntimeOptions options = world.runtime->options();
    const Path directory = world.directory.path();
    const std::string one = *kv_identity(directory, options);
    CHECK(one == *kv_identity(directory, options));
    RuntimeOptions other = options;
    other.threads = 7;
    other.prefill_chunk = 3;
    CHECK(one == *kv_identity(directory, other));
    other = options;
    other.ops = "reference";
    CHECK(one != *kv_identity(directory, other));
    other = options;
    other.cpu.isa = Isa::kScalar;
    if (other.cpu.isa != options.cpu.isa) CHECK(one != *kv_identity(directory, other));
    other = options;
    other.cpu.activations = Activations::kInt8;
    CHECK(one != *kv_identity(directory, other));
    std::filesystem::path shard;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        if (entry.path().extension() == ".safetensors") shard = entry.path();
    }
    std::filesystem::last_write_time(
        shard, std::filesystem::last_write_time(shard) + std::chrono::seconds(1));
    CHECK(one != *kv_identity(directory, options));
    CHECK_FALSE(kv_identity(directory / "nothing", options).ok());
}

}  // namespace millrace::test
