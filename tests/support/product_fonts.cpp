#include "tests/support/product_fonts.h"

#include <cstdio>
#include <cstdlib>

namespace millrace::test {

FontSet& product_fonts() {
    static const std::unique_ptr<FontSet> fonts = [] {
        auto opened = FontSet::open("/usr/share/fonts");
        std::unique_ptr<FontSet> set;
        if (opened.ok()) {
            set = std::move(*opened);
            // A character of each package.
            (void)set->line("a→中😀ا", {.face = Face::kBody, .size = 16});
            (void)set->line("a", {.face = Face::kMono, .size = 16});
            (void)set->line("a", {.face = Face::kMath, .size = 16});
        }
        if (set == nullptr || !set->notices().empty()) {
            (void)std::fprintf(stderr, "skipped: %s\n",
                               set == nullptr ? "no fonts" : set->notices().front().c_str());
            std::exit(77);
        }
        return set;
    }();
    return *fonts;
}

}  // namespace millrace::test
