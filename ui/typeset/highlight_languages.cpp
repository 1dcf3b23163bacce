// The languages, a row each.

#include "ui/typeset/highlight_grammar.h"

namespace millrace {
namespace {

constexpr Delimiter kSlashStar{"/*", "*/", Ink::kCodeComment, Closing::kPlain, Lines::kMany};
constexpr Delimiter kSlashStarNested{"/*", "*/", Ink::kCodeComment, Closing::kNested, Lines::kMany};
constexpr Delimiter kDouble{"\"", "\"", Ink::kCodeString, Closing::kEscaped, Lines::kOne};
constexpr Delimiter kSingle{"'", "'", Ink::kCodeString, Closing::kEscaped, Lines::kOne};
constexpr Delimiter kDoubleLines{"\"", "\"", Ink::kCodeString, Closing::kEscaped, Lines::kMany};
constexpr Delimiter kSingleLines{"'", "'", Ink::kCodeString, Closing::kEscaped, Lines::kMany};
constexpr Delimiter kTripleDouble{"\"\"\"", "\"\"\"", Ink::kCodeString, Closing::kEscaped,
                                  Lines::kMany};
constexpr Delimiter kTripleSingle{"'''", "'''", Ink::kCodeString, Closing::kEscaped, Lines::kMany};
constexpr Delimiter kBacktick{"`", "`", Ink::kCodeString, Closing::kEscaped, Lines::kMany};
constexpr Delimiter kBacktickRaw{"`", "`", Ink::kCodeString, Closing::kPlain, Lines::kMany};

constexpr std::string_view kCKeywords =
    "break case const continue default do else enum extern for goto if inline register restrict "
    "return sizeof static "
    "struct switch typedef union volatile while _Alignas _Alignof _Atomic _Generic _Noreturn "
    "_Static_assert "
    "_Thread_local alignas alignof bool true false nullptr NULL static_assert typeof";
constexpr std::string_view kCTypes =
    "void char short int long float double signed unsigned bool _Bool _Complex FILE wchar_t";
constexpr std::string_view kCppKeywords =
    "alignas alignof and asm auto break case catch class co_await co_return co_yield compl concept "
    "const const_cast "
    "consteval constexpr constinit continue decltype default delete do dynamic_cast else enum "
    "explicit export extern "
    "false final for friend goto if inline mutable namespace new noexcept not nullptr operator or "
    "override private "
    "protected public register reinterpret_cast requires return sizeof static static_assert "
    "static_cast struct switch "
    "template this thread_local throw true try typedef typeid typename union using virtual "
    "volatile while xor import "
    "module NULL __global__ __device__ __host__ __shared__ __constant__ __managed__ "
    "__launch_bounds__ __restrict__ "
    "__forceinline__ __noinline__";
constexpr std::string_view kCppTypes =
    "void char short int long float double signed unsigned bool char8_t char16_t char32_t wchar_t "
    "string string_view "
    "vector map set unordered_map unordered_set unique_ptr shared_ptr optional variant span array "
    "pair tuple function "
    "half bfloat16 float2 float4 int2 int4 uint2 uint4 dim3 half2";
constexpr std::string_view kPythonKeywords =
    "False None True and as assert async await break class continue def del elif else except "
    "finally for from global "
    "if import in is lambda match nonlocal not or pass raise return try type while with yield self "
    "cls";
constexpr std::string_view kPythonTypes =
    "int float str bytes bool list dict set tuple frozenset object complex bytearray memoryview "
    "range type";
constexpr std::string_view kScriptKeywords =
    "abstract any as asserts async await break case catch class const continue debugger declare "
    "default delete do "
    "else enum export extends false finally for from function get if implements import in infer "
    "instanceof interface "
    "is keyof let namespace new null of override private protected public readonly return "
    "satisfies set static super "
    "switch this throw true try type typeof undefined var void while with yield";
constexpr std::string_view kScriptTypes =
    "string number boolean object symbol bigint never unknown any void Array Map Set Promise "
    "Record";
constexpr std::string_view kRustKeywords =
    "as async await break const continue crate dyn else enum extern false fn for if impl in let "
    "loop match mod move "
    "mut pub ref return self Self static struct super trait true type union unsafe use where while "
    "yield";
constexpr std::string_view kRustTypes =
    "bool char f32 f64 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize";
constexpr std::string_view kGoKeywords =
    "break case chan const continue default defer else fallthrough for func go goto if import "
    "interface map package "
    "range return select struct switch type var true false nil iota";
constexpr std::string_view kGoTypes =
    "any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 "
    "int64 rune string uint "
    "uint8 uint16 uint32 uint64 uintptr";
constexpr std::string_view kJavaKeywords =
    "abstract assert break case catch class const continue default do else enum extends final "
    "finally for goto if "
    "implements import instanceof interface native new null package permits private protected "
    "public record return "
    "sealed static strictfp super switch synchronized this throw throws transient true false try "
    "var volatile while "
    "yield";
constexpr std::string_view kJavaTypes = "boolean byte char double float int long short void";
constexpr std::string_view kSharpKeywords =
    "abstract as async await base break case catch checked class const continue default delegate "
    "do else enum event "
    "explicit extern false finally fixed for foreach get goto if implicit in init interface "
    "internal is lock "
    "namespace new null operator out override params private protected public readonly record ref "
    "required return "
    "sealed set sizeof stackalloc static struct switch this throw true try typeof unchecked unsafe "
    "using var virtual "
    "volatile when where while yield";
constexpr std::string_view kSharpTypes =
    "bool byte char decimal double dynamic float int long nint nuint object sbyte short string "
    "uint ulong ushort void";
constexpr std::string_view kKotlinSwiftKeywords =
    "abstract actor annotation any as associatedtype async await break by case catch class "
    "companion constructor "
    "continue convenience crossinline data default defer deinit do dynamic else enum extension "
    "external fallthrough "
    "false fileprivate final finally for func fun get guard if import in indirect infix init "
    "inline inner inout "
    "interface internal is lateinit lazy let mutating nil null object open operator out override "
    "package private "
    "protocol public reified repeat required rethrows return sealed self Self set some static "
    "struct subscript super "
    "suspend switch tailrec this throw throws true try typealias typeof unowned val var vararg "
    "weak when where while "
    "willSet didSet";
constexpr std::string_view kShellKeywords =
    "if then else elif fi case esac for select while until do done in function time return break "
    "continue exit export "
    "local readonly declare typeset unset shift set source trap eval exec alias";
constexpr std::string_view kSqlKeywords =
    "add all alter analyze and any as asc attach autoincrement begin between by cascade case check "
    "collate column "
    "commit constraint create cross current_date current_time current_timestamp database default "
    "delete desc distinct "
    "drop each else end escape except exists explain false fetch first following for foreign from "
    "full function group "
    "having if ignore in index inner insert intersect into is isnull join key last lateral left "
    "like limit materialized "
    "natural not notnull null nulls offset on or order outer over partition pragma preceding "
    "primary procedure "
    "recursive references reindex rename replace restrict returning returns right rollback row "
    "rows savepoint schema "
    "select set table temp temporary then to transaction trigger true truncate unbounded union "
    "unique update using "
    "vacuum values view virtual when where window with without grant revoke";
constexpr std::string_view kSqlTypes =
    "bigint binary blob boolean bool bytea char character date datetime decimal double float int "
    "integer interval json "
    "jsonb money numeric real serial smallint text time timestamp timestamptz tinyint uuid "
    "varbinary varchar";
constexpr std::string_view kLuaKeywords =
    "and break do else elseif end false for function goto if in local nil not or repeat return "
    "then true until while "
    "self";
constexpr std::string_view kRubyKeywords =
    "BEGIN END alias and begin break case class def defined? do else elsif end ensure false for if "
    "in module next nil "
    "not or redo rescue retry return self super then true undef unless until when while yield "
    "require require_relative "
    "include extend attr_accessor attr_reader attr_writer private protected public raise lambda "
    "proc";
constexpr std::string_view kPhpKeywords =
    "abstract and array as break callable case catch class clone const continue declare default do "
    "echo else elseif "
    "empty enddeclare endfor endforeach endif endswitch endwhile enum extends false final finally "
    "fn for foreach "
    "function global goto if implements include include_once instanceof insteadof interface isset "
    "list match namespace "
    "new null or print private protected public readonly require require_once return static switch "
    "this throw trait "
    "true try unset use var while xor yield";
constexpr std::string_view kCmakeKeywords =
    "if elseif else endif foreach endforeach while endwhile function endfunction macro endmacro "
    "return break continue "
    "include block endblock and or not equal strequal matches defined target exists version_less "
    "version_greater "
    "public private interface required on off true false set option";

constexpr Grammar kGrammars[] = {
    {"c h",
     "//",
     {{kSlashStar, kDouble, kSingle}},
     "u8 u U L",
     kCKeywords,
     kCTypes,
     kSuffixTypes | kDirectives},
    {"cpp c++ cc cxx hpp h++ hh cuda cu cuh objc objective-c metal hlsl glsl",
     "//",
     {{kSlashStar, kDouble, kSingle}},
     "u8 u U L R u8R uR UR LR",
     kCppKeywords,
     kCppTypes,
     kSuffixTypes | kCapitalTypes | kDirectives | kCppRaw},
    {"python py python3 py3 pyi ipython gyp starlark bazel",
     "#",
     {{kTripleDouble, kTripleSingle, kDouble, kSingle}},
     "r R b B f F u U rb Rb rB RB br bR Br BR fr rf Fr fR t T",
     kPythonKeywords,
     kPythonTypes,
     kCapitalTypes | kDecorators},
    {"javascript js jsx mjs cjs typescript ts tsx mts node",
     "//",
     {{kSlashStar, kDouble, kSingle, kBacktick}},
     "",
     kScriptKeywords,
     kScriptTypes,
     kCapitalTypes | kDecorators | kDollarNames | kRegexes},
    {"rust rs",
     "//",
     {{kSlashStarNested, kDoubleLines}},
     "b c r br cr",
     kRustKeywords,
     kRustTypes,
     kCapitalTypes | kLifetimes | kHashRaw},
    {"go golang",
     "//",
     {{kSlashStar, kDouble, kSingle, kBacktickRaw}},
     "",
     kGoKeywords,
     kGoTypes,
     0},
    {"java groovy",
     "//",
     {{kSlashStar, kTripleDouble, kDouble, kSingle}},
     "",
     kJavaKeywords,
     kJavaTypes,
     kCapitalTypes | kDecorators},
    {"csharp cs c# dotnet",
     "//",
     {{kSlashStar,
       kTripleDouble,
       {"$@\"", "\"", Ink::kCodeString, Closing::kDoubled, Lines::kMany},
       {"@$\"", "\"", Ink::kCodeString, Closing::kDoubled, Lines::kMany},
       {"@\"", "\"", Ink::kCodeString, Closing::kDoubled, Lines::kMany},
       {"$\"", "\"", Ink::kCodeString, Closing::kEscaped, Lines::kOne},
       kDouble,
       kSingle}},
     "",
     kSharpKeywords,
     kSharpTypes,
     kCapitalTypes | kDirectives},
    {"kotlin kt kts swift scala dart",
     "//",
     {{kSlashStarNested, kTripleDouble, kDouble, kSingle}},
     "",
     kKotlinSwiftKeywords,
     "",
     kCapitalTypes | kDecorators | kHashRaw},
    {"sh bash shell zsh ksh fish console shell-session shellsession terminal dockerfile docker",
     "#",
     {{{"$'", "'", Ink::kCodeString, Closing::kEscaped, Lines::kMany},
       kDoubleLines,
       {"'", "'", Ink::kCodeString, Closing::kPlain, Lines::kMany}}},
     "",
     kShellKeywords,
     "",
     kVariables | kHashNeedsBlank | kCommands | kHeredocs | kDashedNames},
    {"sql sqlite postgres postgresql psql mysql plsql tsql",
     "--",
     {{kSlashStar,
       {"'", "'", Ink::kCodeString, Closing::kDoubled, Lines::kMany},
       {"\"", "\"", Ink::kCodeString, Closing::kDoubled, Lines::kOne},
       {"`", "`", Ink::kCodeString, Closing::kPlain, Lines::kOne}}},
     "",
     kSqlKeywords,
     kSqlTypes,
     kIgnoresCase},
    {"json jsonc json5 jsonl ndjson geojson",
     "//",
     {{kSlashStar, kDouble, kSingle}},
     "",
     "true false null",
     "",
     kKeysBeforeColon | kNoCalls},
    {"yaml yml",
     "#",
     {{kDoubleLines, {"'", "'", Ink::kCodeString, Closing::kDoubled, Lines::kMany}}},
     "",
     "true false null yes no on off True False Null Yes No",
     "",
     kIndentedBlocks | kHashNeedsBlank | kKeysBeforeColon | kPairsOnly | kNoCalls | kDashedNames},
    {"toml ini cfg conf properties dosini editorconfig gitconfig desktop systemd env dotenv",
     "# ;",
     {{kTripleDouble,
       {"'''", "'''", Ink::kCodeString, Closing::kPlain, Lines::kMany},
       kDouble,
       {"'", "'", Ink::kCodeString, Closing::kPlain, Lines::kOne}}},
     "",
     "true false yes no on off",
     "",
     kKeyLines | kHashNeedsBlank | kPairsOnly | kNoCalls | kDashedNames},
    {"lua luau", "--", {{kDouble, kSingle}}, "", kLuaKeywords, "", kLongBrackets},
    {"ruby rb rake gemfile",
     "#",
     {{kDoubleLines, kSingleLines, kBacktick}},
     "",
     kRubyKeywords,
     "",
     kCapitalTypes | kSymbols | kHeredocs},
    {"php",
     "// #",
     {{kSlashStar, kDoubleLines, kSingleLines}},
     "",
     kPhpKeywords,
     "int float string bool array object mixed void iterable callable never",
     kIgnoresCase | kCapitalTypes | kDollarNames | kHeredocs},
    {"cmake",
     "#",
     {{kDoubleLines}},
     "",
     kCmakeKeywords,
     "",
     kIgnoresCase | kVariables | kLongBrackets},
    {"make makefile mk gnumake",
     "#",
     {{kDouble, kSingle}},
     "",
     "ifeq ifneq ifdef ifndef else endif include define endef export override",
     "",
     kVariables | kHashNeedsBlank | kPairsOnly | kDashedNames},
};

constexpr Grammar kPlain = {"", "", {{kDouble, kSingle}}, "", "", "", kPairsOnly | kNoCalls};

}  // namespace

std::span<const Grammar> code_grammars() { return kGrammars; }
const Grammar& plain_grammar() { return kPlain; }

}  // namespace millrace
