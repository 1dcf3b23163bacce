// A store opens when all of it belongs together, and says what does not.

#include "core/model/store.h"

#include <doctest/doctest.h>

#include <fstream>

#include "core/base/strings.h"
#include "core/model/checkpoint.h"
#include "core/model/inspect.h"
#include "tests/pack/pack_rig.h"

namespace millrace::test {
namespace {

void check_refused(const Path& store, ErrorCode code, std::string_view part) {
    const auto checkpoint = Checkpoint::open(store);
    REQUIRE(!checkpoint.ok());
    CHECK_MESSAGE(checkpoint.error().code == code, checkpoint.error().message);
    CHECK_MESSAGE(checkpoint.error().message.find(part) != std::string::npos,
                  checkpoint.error().message);
}

// Two stores of the same checkpoint, spread over two directories each.
struct TwoStores {
    TwoStores() {
        for (const std::string name : {"one", "two"}) {
            PackOptions options = pack_options(source.path(), room.path() / name);
            options.also = {room.path() / (name + "-b")};
            options.id = name == "one" ? 1 : 2;
            pack_to(options);
        }
    }
    [[nodiscard]] Path at(const std::string& name) const { return room.path() / name; }
    void copy(const std::string& from, const std::string& to) const {
        std::filesystem::copy_file(at(from), at(to),
                                   std::filesystem::copy_options::overwrite_existing);
    }
    void replace_in_manifest(std::string_view from, std::string_view to) const {
        std::string text = *read_text_file(at("one/manifest.json"), 1 << 20);
        const size_t place = text.find(from);
        REQUIRE(place != std::string::npos);
        text.replace(place, from.size(), to);
        REQUIRE(write_file(at("one/manifest.json"), std::string_view(text)).ok());
    }
    SmallSource source;
    TempDirectory room;
};

}  // namespace

TEST_CASE("halves of two stores do not open") {
    const TwoStores stores;
    REQUIRE(Checkpoint::open(stores.at("one")).ok());
    SUBCASE("experts") {
        stores.copy("two/experts-001.bin", "one/experts-001.bin");
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "experts-001.bin belongs to store");
    }
    SUBCASE("another layer's experts") {
        stores.copy("one/experts-002.bin", "one/experts-001.bin");
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "holds layer 2");
    }
    SUBCASE("another part's experts") {
        stores.copy("one-b/experts-001.bin", "one/experts-001.bin");
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "experts-001.bin");
    }
    SUBCASE("dense tensors") {
        stores.copy("two/dense.safetensors", "one/dense.safetensors");
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "dense.safetensors belongs to store");
    }
    SUBCASE("a manifest") {
        stores.copy("two/manifest.json", "one/manifest.json");
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "belongs to store");
    }
    SUBCASE("a config") {
        std::ofstream(stores.at("one/config.json"), std::ios::app) << " ";
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "config.json has checksum");
    }
    SUBCASE("a file cut off") {
        std::filesystem::resize_file(stores.at("one/experts-000.bin"), 9000);
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "has 9000 bytes");
    }
    SUBCASE("a file lost") {
        std::filesystem::remove(stores.at("one/experts-000.bin"));
        check_refused(stores.at("one"), ErrorCode::kNotFound, "experts-000.bin is missing");
    }
}

TEST_CASE("a missing part is named, and may move when the manifest says so") {
    const TwoStores stores;
    std::filesystem::rename(stores.at("one-b"), stores.at("elsewhere"));
    check_refused(stores.at("one"), ErrorCode::kNotFound,
                  cat("part 2 of 2, ", stores.at("one-b").string(), ", is missing"));
    std::filesystem::create_directory(stores.at("one-b"));  // a mount point without its drive
    check_refused(stores.at("one"), ErrorCode::kNotFound, "part 2 of 2");
    stores.replace_in_manifest(stores.at("one-b").string(), stores.at("elsewhere").string());
    CHECK(Checkpoint::open(stores.at("one")).ok());
}

TEST_CASE("half a store and a newer one do not open") {
    const TwoStores stores;
    SUBCASE("newer") {
        stores.replace_in_manifest("\"version\": 1", "\"version\": 2");
        check_refused(stores.at("one"), ErrorCode::kUnsupported, "use a newer millrace");
    }
    SUBCASE("no manifest") {
        std::filesystem::remove(stores.at("one/manifest.json"));
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "half a store");
    }
    SUBCASE("a journal only") {
        std::filesystem::create_directory(stores.at("new"));
        std::ofstream(stores.at("new") / kPackProgressName) << "{}\n";
        check_refused(stores.at("new"), ErrorCode::kCorrupt, "the same millrace pack command");
    }
    SUBCASE("a manifest of another kind") {
        stores.replace_in_manifest("millrace store", "millrace shop");
        check_refused(stores.at("one"), ErrorCode::kCorrupt, "no store's manifest");
    }
}

TEST_CASE("inspect says what a store is and what of it is missing") {
    const TwoStores stores;
    const auto whole = inspect(stores.at("one"));
    REQUIRE_MESSAGE(whole.ok(), (whole.ok() ? "" : whole.error().message));
    const auto source = inspect(stores.source.path());
    REQUIRE(source.ok());
    CHECK(whole->release == source->release);
    CHECK(whole->total().tensors == source->total().tensors);
    CHECK(whole->total().bytes == source->total().bytes);
    CHECK(whole->token_bytes_total() == source->token_bytes_total());
    CHECK(whole->missing.empty());
    CHECK(whole->missing_files.empty());
    CHECK(whole->text().find("spread over 2 directories") != std::string::npos);
    CHECK(whole->text().find("f4, ") != std::string::npos);

    std::filesystem::remove(stores.at("one-b/experts-002.bin"));
    std::filesystem::resize_file(stores.at("one/experts-001.bin"), 9000);
    const auto partly = inspect(stores.at("one"));
    REQUIRE(partly.ok());
    CHECK(partly->missing_files ==
          std::vector<std::string>{stores.at("one-b/experts-002.bin").string()});
    REQUIRE(partly->cut_files.size() == 1);
    CHECK(partly->cut_files[0].starts_with("experts-001.bin has 9000 of "));
    CHECK(partly->missing.size() == 2);
    CHECK(partly->complete.bytes == whole->complete.bytes);
    CHECK(partly->total().bytes < whole->total().bytes);

    std::filesystem::remove(stores.at("one/manifest.json"));
    const auto half = inspect(stores.at("one"));
    REQUIRE(!half.ok());
    CHECK(half.error().message.find("half a store") != std::string::npos);
}

}  // namespace millrace::test
