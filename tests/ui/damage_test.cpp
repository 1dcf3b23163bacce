// What is drawn again after a change gives the picture that drawing everything gives.

#include "ui/damage.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/base/random.h"
#include "tests/support/temp_directory.h"
#include "tests/ui/shell_world.h"

namespace millrace {
namespace {

constexpr int kWidth = 700, kHeight = 500;

// Axis-aligned rectangles, of any part of a pixel, in one colour each, half transparent, as two triangles: all that a
// picture of these tests has.
struct Scene {
    struct Item {
        Box box, clip;
        uint8_t shade;
    };
    std::vector<Item> items;
    std::vector<Ground> grounds;
};

// A frame of Dear ImGui that draws the scene. One at a time: the draw list is the context's.
class Drawn {
public:
    explicit Drawn(const Scene& scene) {
        ImGui::CreateContext();
        ImGuiIO& io = ImGui::GetIO();
        io.IniFilename = nullptr;
        io.DisplaySize = {kWidth, kHeight};
        io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
        unsigned char* pixels = nullptr;
        int width = 0, height = 0;
        io.Fonts->GetTexDataAsRGBA32(&pixels, &width, &height);
        ImGui::NewFrame();
        ImDrawList* list = ImGui::GetBackgroundDrawList();
        for (const Scene::Item& item : scene.items) {
            list->PushClipRect({item.clip.left, item.clip.top},
                               {item.clip.right, item.clip.bottom});
            list->PrimReserve(6, 4);
            list->PrimRect({item.box.left, item.box.top}, {item.box.right, item.box.bottom},
                           IM_COL32(item.shade, 0, 0, 128));
            list->PopClipRect();
        }
        ImGui::Render();
    }
    ~Drawn() { ImGui::DestroyContext(); }
    Drawn(const Drawn&) = delete;
    Drawn& operator=(const Drawn&) = delete;
    [[nodiscard]] ImDrawData& data() const { return *ImGui::GetDrawData(); }
};

// Draws as the window does: grounds within the boxes, then the triangles of the commands. Every second triangle is the rest
// of a rectangle, so the first stands for both: its box is the rectangle's.
class Picture {
public:
    void draw(const ImDrawData& data, std::span<const Ground> grounds, std::span<const Box> boxes) {
        for (const Box& box : boxes) {
            for (const Ground& ground : grounds) {
                fill(ground.box, box, [&](float) { return static_cast<float>(ground.colour.red); });
            }
        }
        for (int i = 0; i < data.CmdListsCount; ++i) {
            const ImDrawList& list = *data.CmdLists[i];
            for (const ImDrawCmd& command : list.CmdBuffer) {
                const Box clip = {command.ClipRect.x, command.ClipRect.y, command.ClipRect.z,
                                  command.ClipRect.w};
                for (unsigned t = 0; t + 2 < command.ElemCount; t += 6) {
                    rectangle(list, command, t, clip);
                }
            }
        }
    }
    bool operator==(const Picture&) const = default;

private:
    void rectangle(const ImDrawList& list, const ImDrawCmd& command, unsigned first,
                   const Box& clip) {
        const auto corner = [&](unsigned number) -> const ImDrawVert& {
            const ImDrawIdx index =
                list.IdxBuffer[static_cast<int>(command.IdxOffset + first + number)];
            return list.VtxBuffer[static_cast<int>(command.VtxOffset + index)];
        };
        const ImVec2 a = corner(0).pos, c = corner(2).pos;
        const float shade = static_cast<float>(corner(0).col & 0xFF);
        fill({a.x, a.y, c.x, c.y}, clip, [&](float under) { return (under + shade) / 2; });
    }
    template <class Blend>
    void fill(const Box& box, const Box& clip, Blend blend) {
        const auto pixel_at = [](float at, int end) {
            return std::clamp(static_cast<int>(std::floor(at)), 0, end);
        };
        const int right = pixel_at(box.right + 1, kWidth),
                  bottom = pixel_at(box.bottom + 1, kHeight);
        for (int y = pixel_at(box.top, kHeight); y < bottom; ++y) {
            for (int x = pixel_at(box.left, kWidth); x < right; ++x) {
                const float px = static_cast<float>(x) + 0.5F, py = static_cast<float>(y) + 0.5F;
                if (!box.contains(px, py) || !clip.contains(px, py)) continue;
                float& pixel = pixels_[static_cast<size_t>(y * kWidth + x)];
                pixel = blend(pixel);
            }
        }
    }
    std::vector<float> pixels_ = std::vector<float>(static_cast<size_t>(kWidth) * kHeight, -1.F);
};

Box random_box(Random& random, int size_max) {
    // Quarters of pixels, so that edges fall between pixels and on both sides of their middle.
    const auto number = [&](int below) {
        return static_cast<float>(random.below(4 * static_cast<uint64_t>(below))) / 4;
    };
    const float left = number(kWidth) - 10, top = number(kHeight) - 10;
    return {left, top, left + 1 + number(size_max), top + 1 + number(size_max)};
}

// Of which most leave something of the box, and some cut it.
Box random_clip(Random& random, const Box& box) {
    const auto some = [&] { return static_cast<float>(random.below(160)) / 4; };
    return {box.left - 20 + some(), box.top - 20 + some(), box.right + 20 - some(),
            box.bottom + 20 - some()};
}

Scene::Item random_item(Random& random) {
    const Box box = random_box(random, 60);
    return {box, random_clip(random, box), static_cast<uint8_t>(random.below(200))};
}

Scene first_scene(Random& random) {
    Scene scene;
    scene.grounds = {{{0, 0, kWidth, kHeight}, {10, 0, 0}}, {{0, 0, 80, kHeight}, {20, 0, 0}}};
    for (int i = 0; i < 40; ++i) scene.items.push_back(random_item(random));
    return scene;
}

void change(Scene& scene, Random& random) {
    // Now a little in few places, now so much that boxes must be joined.
    for (uint64_t n = random.below(random.below(3) == 0 ? 20 : 4); n > 0; --n) {
        const size_t at = random.below(scene.items.size());
        Scene::Item& item = scene.items[at];
        switch (random.below(8)) {
            case 0: item = random_item(random); break;
            case 1: scene.items.push_back(random_item(random)); break;
            case 2: scene.items.erase(scene.items.begin() + static_cast<ptrdiff_t>(at)); break;
            case 3: item.box.left += 0.5F; break;
            case 4: item.box.top += 0.5F; break;
            case 5: item.clip = random_clip(random, item.box); break;
            case 6: item.shade ^= 0x40; break;
            default: scene.grounds[1].colour.red = static_cast<uint8_t>(random.below(255)); break;
        }
        if (scene.items.empty()) scene.items.push_back(random_item(random));
    }
}

bool apart(const Box& a, const Box& b) {
    return a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
}

float share_of_window(std::span<const Box> boxes, float width, float height) {
    float area = 0;
    for (const Box& box : boxes) area += box.width() * box.height();
    return area / (width * height);
}

}  // namespace

TEST_CASE("drawing what changed gives the picture that drawing everything gives") {
    Random random(11);
    for (int round = 0; round < 20; ++round) {
        Scene scene = first_scene(random);
        Damage damage;
        Picture kept;
        for (int frame = 0; frame < 15; ++frame) {
            CAPTURE(round);
            CAPTURE(frame);
            Picture whole;
            const Box all = {0, 0, kWidth, kHeight};
            const Drawn drawn(scene);
            whole.draw(drawn.data(), scene.grounds, std::span(&all, 1));
            const std::span<const Box> boxes =
                damage.next(drawn.data(), scene.grounds, kWidth, kHeight);
            REQUIRE(boxes.size() <= Damage::kBoxesMax);
            for (size_t a = 0; a < boxes.size(); ++a) {
                for (size_t b = 0; b < a; ++b) REQUIRE(apart(boxes[a], boxes[b]));
            }
            restrict_to(drawn.data(), boxes);
            kept.draw(drawn.data(), scene.grounds, boxes);
            REQUIRE(kept == whole);
            change(scene, random);
        }
    }
}

TEST_CASE("nothing is drawn again where nothing changed, and everything where nothing is known") {
    Random random(5);
    const Scene scene = first_scene(random);
    Damage damage;
    const auto boxes = [&](int width) {
        const Drawn drawn(scene);
        const auto found = damage.next(drawn.data(), scene.grounds, width, kHeight);
        return std::vector<Box>(found.begin(), found.end());
    };
    const auto is_whole = [](const std::vector<Box>& found, float width) {
        return found.size() == 1 && share_of_window(found, width, kHeight) == 1;
    };
    CHECK(is_whole(boxes(kWidth), kWidth));
    CHECK(boxes(kWidth).empty());
    damage.forget();
    CHECK(is_whole(boxes(kWidth), kWidth));
    CHECK(is_whole(boxes(kWidth - 40), kWidth - 40));
    CHECK(boxes(kWidth - 40).empty());
}

TEST_CASE("a key in the composer and a word of the answer draw a small part of the window again") {
    if (test::skipped()) return;
    const test::TempDirectory directory;
    test::ShellWorld world(directory.path());
    world.desk_world.ready();
    world.desk_world.send("first");
    world.desk_world.port->grow("one");
    world.frames(5);
    Damage damage;
    const auto share = [&] {
        return share_of_window(damage.next(*ImGui::GetDrawData(), world.ui->grounds(), 1440, 900),
                               1440, 900);
    };
    CHECK(share() == 1);
    world.type("a");
    const float key = share();
    CHECK(key > 0);
    CHECK(key < 0.15F);
    world.frames(5);
    static_cast<void>(share());
    world.desk_world.port->grow(" two");
    world.frames(1);
    const float word = share();
    CHECK(word > 0);
    CHECK(word < 0.15F);
    world.frames(5);
    static_cast<void>(share());
    world.frame();
    CHECK(share() == 0);
}

}  // namespace millrace
