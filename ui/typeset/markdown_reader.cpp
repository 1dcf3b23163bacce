#include "ui/typeset/markdown_reader.h"

#include <md4c.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/base/strings.h"
#include "core/base/utf8.h"
#include "ui/typeset/formulas.h"

namespace millrace {
namespace {

constexpr size_t kDepthMax = 10;       // deeper containers are not moved further to the right
constexpr size_t kFormulasMax = 1000;  // of a chunk; more are shown as they are written
constexpr std::string_view kObject = "\uFFFC";

struct Entity {
    std::string_view name, shown;
};
constexpr Entity kEntities[] = {
    {"amp", "&"},       {"lt", "<"},     {"gt", ">"},     {"quot", "\""}, {"apos", "'"},
    {"nbsp", "\u00A0"}, {"copy", "©"},   {"reg", "®"},    {"trade", "™"}, {"hellip", "…"},
    {"ndash", "–"},     {"mdash", "—"},  {"lsquo", "‘"},  {"rsquo", "’"}, {"ldquo", "“"},
    {"rdquo", "”"},     {"laquo", "«"},  {"raquo", "»"},  {"bull", "•"},  {"middot", "·"},
    {"times", "×"},     {"divide", "÷"}, {"plusmn", "±"}, {"deg", "°"},   {"micro", "µ"},
    {"sect", "§"},      {"para", "¶"},   {"euro", "€"},   {"pound", "£"}, {"yen", "¥"},
    {"larr", "←"},      {"rarr", "→"},   {"uarr", "↑"},   {"darr", "↓"},  {"harr", "↔"},
    {"le", "≤"},        {"ge", "≥"},     {"ne", "≠"},     {"infin", "∞"}, {"minus", "−"},
    {"alpha", "α"},     {"beta", "β"},   {"gamma", "γ"},  {"delta", "δ"}, {"pi", "π"},
    {"auml", "ä"},      {"ouml", "ö"},   {"uuml", "ü"},   {"szlig", "ß"}, {"eacute", "é"},
};

// "&amp;" → "&"; what is not known stays as it is written.
std::string decode_entity(std::string_view entity) {
    const std::string_view name = entity.size() > 2 ? entity.substr(1, entity.size() - 2) : "";
    if (name.size() > 1 && name[0] == '#') {
        const bool hex = name[1] == 'x' || name[1] == 'X';
        uint32_t code = 0;
        const char* const begin = name.data() + (hex ? 2 : 1);
        const auto read = std::from_chars(begin, name.data() + name.size(), code, hex ? 16 : 10);
        const bool valid = read.ec == std::errc() && code != 0 && code <= 0x10FFFF &&
                           (code < 0xD800 || code > 0xDFFF);
        std::string shown;
        append_utf8(shown, valid ? code : 0xFFFD);
        return shown;
    }
    for (const Entity& each : kEntities) {
        if (each.name == name) return std::string(each.shown);
    }
    return std::string(entity);
}

std::string attribute_text(const MD_ATTRIBUTE& attribute) {
    std::string text;
    for (size_t i = 0; attribute.text != nullptr && attribute.substr_offsets[i] < attribute.size;
         ++i) {
        const size_t begin = attribute.substr_offsets[i], end = attribute.substr_offsets[i + 1];
        const std::string_view part(attribute.text + begin, end - begin);
        if (attribute.substr_types[i] == MD_TEXT_ENTITY) {
            text += decode_entity(part);
        } else if (attribute.substr_types[i] == MD_TEXT_NORMAL) {
            text += part;
        }
    }
    return text;
}

// Only addresses that a browser or a mailer opens; everything else could be a trick.
bool is_safe_link(std::string_view address) {
    const auto begins = [&](std::string_view scheme) {
        return address.size() > scheme.size() &&
               std::equal(scheme.begin(), scheme.end(), address.begin(), [](char wanted, char c) {
                   return wanted == (c >= 'A' && c <= 'Z' ? c + 32 : c);
               });
    };
    return begins("https://") || begins("http://") || begins("mailto:");
}

class Reader {
public:
    Reader(std::string_view text, size_t offset)
        : text_(text),
          offset_(offset),
          masked_(text),
          last_(offset),
          formulas_(find_formulas(text)) {
        for (const FormulaPlace& place : formulas_) {
            std::fill(masked_.begin() + static_cast<std::ptrdiff_t>(place.begin),
                      masked_.begin() + static_cast<std::ptrdiff_t>(place.end), 'm');
        }
        mask_signs();
    }

    MessageBlocks run() {
        MD_PARSER parser = {};
        parser.flags = MD_FLAG_NOHTML | MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS |
                       MD_FLAG_PERMISSIVEURLAUTOLINKS | MD_FLAG_PERMISSIVEEMAILAUTOLINKS;
        parser.enter_block = [](MD_BLOCKTYPE type, void* detail, void* self) {
            static_cast<Reader*>(self)->enter_block(type, detail);
            return 0;
        };
        parser.leave_block = [](MD_BLOCKTYPE type, void*, void* self) {
            static_cast<Reader*>(self)->leave_block(type);
            return 0;
        };
        parser.enter_span = [](MD_SPANTYPE type, void* detail, void* self) {
            static_cast<Reader*>(self)->enter_span(type, detail);
            return 0;
        };
        parser.leave_span = [](MD_SPANTYPE type, void*, void* self) {
            static_cast<Reader*>(self)->leave_span(type);
            return 0;
        };
        parser.text = [](MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size, void* self) {
            static_cast<Reader*>(self)->add(type, {text, size});
            return 0;
        };
        md_parse(masked_.data(), static_cast<MD_SIZE>(masked_.size()), &parser, this);
        return std::move(read_);
    }

private:
    // Markdown's rule that a closing star follows no space or sign was made for words with spaces between them: between
    // Chinese words "**「bold」**" would stay as it is written. To md4c such a sign is a letter.
    void mask_signs() {
        for (size_t at = masked_.find('*'); at != std::string::npos;
             at = masked_.find('*', at + 1)) {
            if (at >= 3 && is_wide_sign(at - 3)) masked_.replace(at - 3, 3, "中");
            if (is_wide_sign(at + 1)) masked_.replace(at + 1, 3, "中");
        }
    }

    [[nodiscard]] bool is_wide_sign(size_t at) const {
        if (at + 3 > masked_.size()) return false;
        const Utf8Char each = decode_utf8(std::string_view(masked_).substr(at, 3));
        return each.bytes == 3 && ((each.code >= 0x3001 && each.code <= 0x303F) ||
                                   (each.code >= 0xFF01 && each.code <= 0xFF65) ||
                                   (each.code >= 0x2018 && each.code <= 0x201D));
    }

    struct Container {
        bool quote = false, ordered = false;
        unsigned next = 0;
    };

    Block& new_block(BlockKind kind, float gap) {
        Block block = {.kind = kind, .gap = read_.blocks.empty() ? std::max(gap, kBlockGap) : gap};
        size_t depth = 0;
        for (const Container& each : containers_) {
            if (!each.quote) ++block.list_depth;
            if (depth++ >= kDepthMax) continue;
            if (each.quote) block.quote_bars.push_back(block.indent);
            block.indent += each.quote ? kQuoteIndent : kListIndent;
        }
        block.marker = std::move(marker_);
        block.task = task_;
        marker_.clear();
        task_ = Task::kNone;
        if (item_begins_ && !read_.blocks.empty()) block.gap = item_gap_;
        item_begins_ = false;
        read_.blocks.push_back(std::move(block));
        flow_ = &read_.blocks.back().flow;
        return read_.blocks.back();
    }

    // Text of a tight item comes without a paragraph around it.
    TextFlow& flow() {
        if (flow_ == nullptr) new_block(BlockKind::kText, kItemGap);
        return *flow_;
    }

    void begin_item(const MD_BLOCK_LI_DETAIL& item) {
        Container& list = containers_.back();
        marker_ = list.ordered ? cat(list.next++, ".") : "•";
        if (item.is_task != 0) task_ = item.task_mark == ' ' ? Task::kOpen : Task::kDone;
        const bool first = list_begins_ && containers_.size() == 1;
        item_gap_ = first ? kBlockGap : kItemGap;
        list_begins_ = false;
        item_begins_ = true;
        flow_ = nullptr;
    }

    void enter_block(MD_BLOCKTYPE type, void* detail) {
        switch (type) {
            case MD_BLOCK_QUOTE: containers_.push_back({.quote = true}); break;
            case MD_BLOCK_UL:
                containers_.push_back({});
                list_begins_ = true;
                break;
            case MD_BLOCK_OL:
                containers_.push_back(
                    {.ordered = true, .next = static_cast<MD_BLOCK_OL_DETAIL*>(detail)->start});
                list_begins_ = true;
                break;
            case MD_BLOCK_LI: begin_item(*static_cast<MD_BLOCK_LI_DETAIL*>(detail)); break;
            case MD_BLOCK_HR: new_block(BlockKind::kRule, kBlockGap); break;
            case MD_BLOCK_H:
                new_block(BlockKind::kText, kHeadingGap).heading =
                    static_cast<uint8_t>(static_cast<MD_BLOCK_H_DETAIL*>(detail)->level);
                break;
            case MD_BLOCK_CODE: {
                Block& block = new_block(BlockKind::kCode, kBlockGap);
                block.language = attribute_text(static_cast<MD_BLOCK_CODE_DETAIL*>(detail)->lang);
                break;
            }
            case MD_BLOCK_P: new_block(BlockKind::kText, kBlockGap); break;
            case MD_BLOCK_TABLE: new_block(BlockKind::kTable, kBlockGap); break;
            case MD_BLOCK_TH:
            case MD_BLOCK_TD: begin_cell(type, *static_cast<MD_BLOCK_TD_DETAIL*>(detail)); break;
            default: break;
        }
    }

    void begin_cell(MD_BLOCKTYPE type, const MD_BLOCK_TD_DETAIL& cell) {
        Block& table = read_.blocks.back();
        if (type == MD_BLOCK_TH) {
            table.aligns.push_back(cell.align == MD_ALIGN_RIGHT    ? CellAlign::kEnd
                                   : cell.align == MD_ALIGN_CENTER ? CellAlign::kCentre
                                                                   : CellAlign::kStart);
            strong_ = 1;
        }
        flow_ = &table.cells.emplace_back();
    }

    void leave_block(MD_BLOCKTYPE type) {
        if (type == MD_BLOCK_QUOTE || type == MD_BLOCK_UL || type == MD_BLOCK_OL)
            containers_.pop_back();
        if (type == MD_BLOCK_LI && item_begins_)
            new_block(BlockKind::kText, kItemGap);  // an empty item
        if (type == MD_BLOCK_TH) strong_ = 0;
        if (type == MD_BLOCK_CODE) {
            Block& block = read_.blocks.back();
            block.code = {block.flow.source_begin(), block.flow.source_end()};
            TextFlow& code = block.flow;
            if (!code.text.empty() && code.text.back() == '\n') {
                code.text.pop_back();
                if (--code.pieces.back().end == code.pieces.back().begin) code.pieces.pop_back();
            }
        }
        if (type != MD_BLOCK_TR && type != MD_BLOCK_THEAD && type != MD_BLOCK_TBODY)
            flow_ = nullptr;
    }

    void enter_span(MD_SPANTYPE type, void* detail) {
        switch (type) {
            case MD_SPAN_EM: ++emphasis_; break;
            case MD_SPAN_STRONG: ++strong_; break;
            case MD_SPAN_DEL: ++struck_; break;
            case MD_SPAN_CODE: ++code_; break;
            case MD_SPAN_A: link_ = add_link(static_cast<MD_SPAN_A_DETAIL*>(detail)->href); break;
            case MD_SPAN_IMG:
                image_ = attribute_text(static_cast<MD_SPAN_IMG_DETAIL*>(detail)->src);
                break;
            default: break;
        }
    }

    // Of what md4c read, as opposed to what it made up.
    [[nodiscard]] bool is_inside(std::string_view shown) const {
        return shown.data() >= masked_.data() && shown.data() < masked_.data() + masked_.size();
    }

    uint16_t add_link(const MD_ATTRIBUTE& address) {
        std::string text = attribute_text(address);
        if (!is_safe_link(text) || read_.links.size() >= kNoIndex) return kNoIndex;
        read_.links.push_back(std::move(text));
        return static_cast<uint16_t>(read_.links.size() - 1);
    }

    void leave_span(MD_SPANTYPE type) {
        switch (type) {
            case MD_SPAN_EM: --emphasis_; break;
            case MD_SPAN_STRONG: --strong_; break;
            case MD_SPAN_DEL: --struck_; break;
            case MD_SPAN_CODE: --code_; break;
            case MD_SPAN_A: link_ = kNoIndex; break;
            case MD_SPAN_IMG: leave_image(); break;
            default: break;
        }
    }

    // Nothing is fetched: the words that stand for the picture, and where it would be.
    void leave_image() {
        const size_t end = std::min(text_.find(')', last_ - offset_), text_.size() - 1) + 1;
        TextPiece piece = look();
        piece.unit = true;
        piece.ink = Ink::kMuted;
        flow().add(cat(" (", quote_text(image_, 200), ")"), piece, last_, offset_ + end);
        last_ = offset_ + end;
    }

    [[nodiscard]] TextPiece look() const {
        TextPiece piece = {.link = link_};
        piece.ink = link_ != kNoIndex ? Ink::kLink : code_ > 0 ? Ink::kCode : Ink::kText;
        piece.strong = strong_ > 0;
        piece.emphasis = emphasis_ > 0;
        piece.code = code_ > 0;
        piece.struck = struck_ > 0;
        return piece;
    }

    void add(MD_TEXTTYPE type, std::string_view shown) {
        TextPiece piece = look();
        const bool inside = is_inside(shown);
        const size_t begin =
            inside ? static_cast<size_t>(shown.data() - masked_.data()) : last_ - offset_;
        if (type == MD_TEXT_CODE && flow_ != nullptr && !read_.blocks.empty() &&
            read_.blocks.back().kind == BlockKind::kCode) {
            piece.code = true;
            piece.ink = Ink::kCode;
        }
        if (!inside || type == MD_TEXT_NULLCHAR || type == MD_TEXT_ENTITY || type == MD_TEXT_BR ||
            type == MD_TEXT_SOFTBR) {
            return add_unit(type, shown, piece, inside ? begin : std::min(begin, text_.size()));
        }
        if (type == MD_TEXT_CODE) {  // has no formulas, whatever it looks like
            flow().add(text_.substr(begin, shown.size()), piece, offset_ + begin,
                       offset_ + begin + shown.size());
            last_ = offset_ + begin + shown.size();
            return;
        }
        add_text(begin, begin + shown.size(), piece);
    }

    void add_unit(MD_TEXTTYPE type, std::string_view shown, TextPiece piece, size_t begin) {
        piece.unit = true;
        std::string text(shown);
        size_t end = std::min(begin + 1, text_.size());
        if (type == MD_TEXT_NULLCHAR) text = "\uFFFD";
        if (type == MD_TEXT_BR) text = "\n";
        if (type == MD_TEXT_SOFTBR) text = " ";
        if (type == MD_TEXT_ENTITY) {
            text = decode_entity(shown);
            end = std::min(begin + shown.size(), text_.size());
        }
        if (type == MD_TEXT_BR || type == MD_TEXT_SOFTBR || text == "\n") {
            // The line break lies behind spaces or a backslash.
            const size_t line = text_.find('\n', begin);
            if (line != std::string_view::npos && line - begin < 64) {
                begin = line;
                end = line + 1;
            }
        }
        flow().add(text, piece, offset_ + begin, offset_ + end);
        last_ = offset_ + end;
    }

    // Formulas in it become one character each.
    void add_text(size_t begin, size_t end, const TextPiece& piece) {
        while (begin < end) {
            const auto next = std::find_if(
                formulas_.begin() + static_cast<std::ptrdiff_t>(formulas_done_), formulas_.end(),
                [&](const FormulaPlace& place) { return place.end > begin; });
            formulas_done_ = static_cast<size_t>(next - formulas_.begin());
            const size_t stop = next == formulas_.end() ? end : std::clamp(next->begin, begin, end);
            flow().add(text_.substr(begin, stop - begin), piece, offset_ + begin, offset_ + stop);
            last_ = std::max(last_, offset_ + stop);
            begin = stop;
            if (begin >= end) break;
            const size_t place_end = std::min(end, next->end);
            if (read_.formulas.size() >= kFormulasMax) {
                flow().add(text_.substr(begin, place_end - begin), piece, offset_ + begin,
                           offset_ + place_end);
            } else if (begin == next->begin) {
                add_formula(*next, piece);
            }
            begin = place_end;
            last_ = offset_ + begin;
        }
    }

    void add_formula(const FormulaPlace& place, TextPiece piece) {
        std::string latex;
        bool line_begins = false;  // within a quote every line has its mark
        for (const char c : text_.substr(place.inner_begin, place.inner_end - place.inner_begin)) {
            if (line_begins && (c == '>' || c == ' ')) continue;
            line_begins = c == '\n';
            latex += c == '\n' ? ' ' : c;
        }
        piece.unit = true;
        piece.formula = static_cast<uint16_t>(read_.formulas.size());
        read_.formulas.push_back(
            {std::move(latex), {offset_ + place.begin, offset_ + place.end}, place.display});
        flow().add(kObject, piece, offset_ + place.begin, offset_ + place.end);
    }

    std::string_view text_;
    size_t offset_;
    std::string masked_;
    size_t last_;  // where the source of what was added last ends
    std::vector<FormulaPlace> formulas_;
    size_t formulas_done_ = 0;
    MessageBlocks read_;
    std::vector<Container> containers_;
    TextFlow* flow_ = nullptr;
    std::string marker_, image_;
    Task task_ = Task::kNone;
    bool item_begins_ = false, list_begins_ = false;
    float item_gap_ = kItemGap;
    int strong_ = 0, emphasis_ = 0, code_ = 0, struck_ = 0;
    uint16_t link_ = kNoIndex;
};

}  // namespace

MessageBlocks read_markdown(std::string_view text, size_t offset) {
    return Reader(text, offset).run();
}

}  // namespace millrace
