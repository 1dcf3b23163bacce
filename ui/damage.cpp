#include "ui/damage.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace millrace {
namespace {

uint64_t mixed(uint64_t hash, uint64_t value) {
    return std::rotl((hash ^ value) * 0x9E3779B97F4A7C15U, 29);
}

uint64_t bits(float x, float y) {
    return uint64_t{std::bit_cast<uint32_t>(x)} << 32 | std::bit_cast<uint32_t>(y);
}

uint64_t hash_of(const Box& box) {
    return mixed(bits(box.left, box.top), bits(box.right, box.bottom));
}

Box both(const Box& a, const Box& b) {
    return {std::max(a.left, b.left), std::max(a.top, b.top), std::min(a.right, b.right),
            std::min(a.bottom, b.bottom)};
}

Box around(const Box& a, const Box& b) {
    return {std::min(a.left, b.left), std::min(a.top, b.top), std::max(a.right, b.right),
            std::max(a.bottom, b.bottom)};
}

bool empty(const Box& box) { return box.left >= box.right || box.top >= box.bottom; }

float area(const Box& box) { return box.width() * box.height(); }

Box clip_of(const ImDrawCmd& command) {
    return {command.ClipRect.x, command.ClipRect.y, command.ClipRect.z, command.ClipRect.w};
}

struct Triangle {
    std::array<const ImDrawVert*, 3> corners;

    Triangle(const ImDrawList& list, const ImDrawCmd& command, unsigned first)
        : corners{corner(list, command, first), corner(list, command, first + 1),
                  corner(list, command, first + 2)} {}

    static const ImDrawVert* corner(const ImDrawList& list, const ImDrawCmd& command,
                                    unsigned number) {
        const ImDrawIdx index = list.IdxBuffer[static_cast<int>(command.IdxOffset + number)];
        return &list.VtxBuffer[static_cast<int>(command.VtxOffset + index)];
    }

    // The pixels that it may touch.
    [[nodiscard]] Box box() const {
        const auto [left, right] =
            std::minmax({corners[0]->pos.x, corners[1]->pos.x, corners[2]->pos.x});
        const auto [top, bottom] =
            std::minmax({corners[0]->pos.y, corners[1]->pos.y, corners[2]->pos.y});
        return {std::floor(left), std::floor(top), std::ceil(right), std::ceil(bottom)};
    }
    [[nodiscard]] uint64_t hash(uint64_t seed) const {
        for (const ImDrawVert* corner : corners) {
            seed = mixed(seed, bits(corner->pos.x, corner->pos.y));
            seed = mixed(seed, bits(corner->uv.x, corner->uv.y));
            seed = mixed(seed, corner->col);
        }
        return seed;
    }
};

}  // namespace

void Damage::touch(const Box& box, uint64_t hash) {
    const Box inside = both(box, {0, 0, static_cast<float>(width_), static_cast<float>(height_)});
    if (empty(inside)) return;
    const auto tile = [](float at) { return static_cast<int>(at) / kTile; };
    const int right = tile(std::ceil(inside.right) - 1),
              bottom = tile(std::ceil(inside.bottom) - 1);
    for (int y = tile(inside.top); y <= bottom; ++y) {
        for (int x = tile(inside.left); x <= right; ++x) {
            uint64_t& here = now_[static_cast<size_t>(y * across_ + x)];
            here = mixed(here, hash);
        }
    }
}

void Damage::add_triangles(const ImDrawList& list, const ImDrawCmd& command) {
    const Box clip = clip_of(command);
    const uint64_t seed =
        mixed(hash_of(clip), std::bit_cast<uint64_t>(ImTextureID(command.TextureId)));
    for (unsigned i = 0; i + 2 < command.ElemCount; i += 3) {
        const Triangle triangle(list, command, i);
        touch(both(triangle.box(), clip), triangle.hash(seed));
    }
}

std::span<const Box> Damage::next(const ImDrawData& data, std::span<const Ground> grounds,
                                  int width, int height) {
    const bool whole = width != width_ || height != height_;
    width_ = width;
    height_ = height;
    across_ = (width + kTile - 1) / kTile;
    const int down = (height + kTile - 1) / kTile;
    before_.swap(now_);
    now_.assign(static_cast<size_t>(across_ * down), 0);
    for (const Ground& ground : grounds) {
        const Colour& colour = ground.colour;
        touch(ground.box,
              mixed(hash_of(ground.box),
                    uint64_t{colour.red} << 16 | uint64_t{colour.green} << 8 | colour.blue));
    }
    for (int i = 0; i < data.CmdListsCount; ++i) {
        for (const ImDrawCmd& command : data.CmdLists[i]->CmdBuffer) {
            add_triangles(*data.CmdLists[i], command);
        }
    }
    boxes_.clear();
    if (whole) {
        boxes_.push_back({0, 0, static_cast<float>(width), static_cast<float>(height)});
    } else {
        gather();
    }
    return boxes_;
}

// Runs of changed tiles, joined where they stand below each other, then until there are few enough boxes and none lies over
// another.
void Damage::gather() {
    const auto box_of = [this](int left, int right, int row) {
        return Box{static_cast<float>(left * kTile), static_cast<float>(row * kTile),
                   static_cast<float>(std::min(right * kTile, width_)),
                   static_cast<float>(std::min((row + 1) * kTile, height_))};
    };
    for (int row = 0; row * kTile < height_; ++row) {
        for (int x = 0; x < across_; ++x) {
            const auto changed = [&](int at) {
                const auto tile = static_cast<size_t>(row * across_ + at);
                return now_[tile] != before_[tile];
            };
            if (!changed(x)) continue;
            const int left = x;
            while (x < across_ && changed(x)) ++x;
            const Box run = box_of(left, x, row);
            const auto above = std::ranges::find_if(boxes_, [&](const Box& box) {
                return box.bottom == run.top && box.left == run.left && box.right == run.right;
            });
            if (above == boxes_.end()) {
                boxes_.push_back(run);
            } else {
                above->bottom = run.bottom;
            }
        }
    }
    while (boxes_.size() > 1) {
        // Overlap costs less than nothing, so pairs that overlap are joined even when there are few boxes.
        float least = std::numeric_limits<float>::max();
        size_t a = 0, b = 0;
        for (size_t i = 0; i < boxes_.size(); ++i) {
            for (size_t j = i + 1; j < boxes_.size(); ++j) {
                const float more = empty(both(boxes_[i], boxes_[j]))
                                       ? std::max(0.F, area(around(boxes_[i], boxes_[j])) -
                                                           area(boxes_[i]) - area(boxes_[j]))
                                       : -1;
                if (more < least) least = more, a = i, b = j;
            }
        }
        if (least >= 0 && boxes_.size() <= kBoxesMax) break;
        boxes_[a] = around(boxes_[a], boxes_[b]);
        boxes_.erase(boxes_.begin() + static_cast<ptrdiff_t>(b));
    }
}

void restrict_to(ImDrawData& data, std::span<const Box> boxes) {
    for (int l = 0; l < data.CmdListsCount; ++l) {
        ImDrawList& list = *data.CmdLists[l];
        ImVector<ImDrawCmd> commands;
        ImVector<ImDrawIdx> indices;
        for (const ImDrawCmd& command : list.CmdBuffer) {
            for (const Box& box : boxes) {
                const Box clip = both(clip_of(command), box);
                if (empty(clip)) continue;
                ImDrawCmd part = command;
                part.ClipRect = {clip.left, clip.top, clip.right, clip.bottom};
                part.IdxOffset = static_cast<unsigned>(indices.Size);
                for (unsigned i = 0; i + 2 < command.ElemCount; i += 3) {
                    if (empty(both(Triangle(list, command, i).box(), clip))) continue;
                    for (unsigned corner = 0; corner < 3; ++corner) {
                        indices.push_back(
                            list.IdxBuffer[static_cast<int>(command.IdxOffset + i + corner)]);
                    }
                }
                part.ElemCount = static_cast<unsigned>(indices.Size) - part.IdxOffset;
                if (part.ElemCount > 0) commands.push_back(part);
            }
        }
        list.CmdBuffer.swap(commands);
        list.IdxBuffer.swap(indices);
    }
}

}  // namespace millrace
