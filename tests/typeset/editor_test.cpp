#include "ui/typeset/editor.h"

#include <doctest/doctest.h>

#include <string>

#include "core/base/random.h"
#include "core/base/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kPieces[] = {"a",
                                        " ",
                                        "\n",
                                        "word ",
                                        "\xC3\xA9",
                                        "e\xCC\x81",
                                        "\xE4\xB8\xAD\xE6\x96\x87",
                                        "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB",
                                        "\xD7\xA9\xD7\x9C",
                                        "x\ny\n",
                                        "\t"};

TEST_CASE("random edits are those of a string; undo goes back to the beginning, redo to the end") {
    auto fonts = FontSet::open(Path("/usr/share/fonts"));
    REQUIRE(fonts);
    for (uint64_t seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        const auto editor = TextEditor::create(**fonts, {});
        editor->lay_out(200, {});
        std::string model;
        for (int step = 0; step < 300; ++step) {
            const uint64_t kind = random.below(10);
            if (kind < 5) {
                TextRange range = editor->selection();
                if (range.empty()) range = {editor->caret(), editor->caret()};
                const std::string_view piece = kPieces[random.below(std::size(kPieces))];
                model.replace(range.begin, range.end - range.begin, piece);
                REQUIRE(editor->insert(piece));
                REQUIRE(editor->text() == model);
            } else if (kind < 9) {
                (void)editor->key(static_cast<EditKey>(random.below(8)),
                                  random.below(2) == 0 ? Reach::kNear : Reach::kFar,
                                  random.below(2) == 0 ? Extend::kNo : Extend::kYes);
                REQUIRE(editor->text() == model);
            } else {
                (void)editor->key(random.below(2) == 0 ? EditKey::kBackspace : EditKey::kDelete,
                                  Reach::kNear, Extend::kNo);
                REQUIRE(editor->text().size() <= model.size());
                model = editor->text();
            }
            editor->lay_out(200, {});
            REQUIRE(first_invalid_utf8(model) == model.size());
            REQUIRE(editor->caret() <= model.size());
            const std::string before = model.substr(0, editor->caret());
            REQUIRE(first_invalid_utf8(before) == before.size());
            // The middle of a cluster is no place for a caret.
            REQUIRE(model.compare(editor->caret(), 2, "\xCC\x81") != 0);
        }
        while (editor->key(EditKey::kUndo, Reach::kNear, Extend::kNo)) {
        }
        CHECK(editor->text().empty());
        while (editor->key(EditKey::kRedo, Reach::kNear, Extend::kNo)) {
        }
        CHECK(editor->text() == model);
    }
}

}  // namespace
}  // namespace millrace
