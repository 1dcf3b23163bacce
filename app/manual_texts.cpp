// The pages of --help: one a verb, in the order in which they are listed.

#include <algorithm>
#include <array>

#include "app/manual.h"
#include "app/trace_options.h"

namespace millrace {
namespace {

constexpr std::array<ManualText, 17> kManual = {{
    {"chat", "talks with a model in the terminal", "[FLAGS]",
     "Opens a conversation. The answer appears while it is made; the model's thinking is shown "
     "less "
     "prominently. Type /help there for the commands. Ctrl-C stops an answer, Ctrl-D leaves.\n"
     "\n"
     "Where standard input is no terminal every line is a message, and only the answers are "
     "written. What was typed is kept in ~/.local/share/millrace/history.",
     "millrace\n"
     "millrace chat --model /models/DeepSeek-V4-Flash --ram-budget 24G --think high\n"
     "echo 'What can you do?' | millrace chat"},
    {"desktop", "opens the window", "[FLAGS]",
     "The chat as a window: chats that are kept (encrypted, in ~/.local/state/millrace), branches, "
     "search, export, and what the engine is doing, live. `millrace` alone does the same where "
     "there is a display, and chats in the terminal where there is none. F1 there lists the keys, "
     "Ctrl+K all commands.",
     "millrace\n"
     "millrace desktop --model /models/DeepSeek-V4-Flash --ram-budget 24G"},
    {"install-desktop", "puts Millrace into the menu of the desktop", "",
     "Writes a .desktop file and the icon below ~/.local/share, for this user, pointing at this "
     "program where it lies now. Run it again after the program has moved.",
     "millrace install-desktop"},
    {"run", "answers one prompt", "[FLAGS] [PROMPT]",
     "Takes the prompt from the argument or, without one, from standard input, and writes the "
     "answer "
     "to standard output as it is made. Thinking and tool calls go to standard error.\n"
     "\n"
     "With --json each event is one line of JSON: {\"type\": \"prefill\", \"done\", \"total\"}, "
     "{\"type\": \"reasoning\" or \"answer\", \"text\"}, {\"type\": \"tool_call\", \"id\", "
     "\"name\", "
     "\"arguments\"}; the last line is {\"type\": \"finished\", \"reason\", \"answer\", "
     "\"reasoning\", \"tool_calls\", \"prompt_ids\", \"ids\", \"seed\", \"stats\"} or {\"type\": "
     "\"failed\", \"error\"}. Reasons: stop, tool_calls, length, context.",
     "millrace run 'Who are you?'\n"
     "millrace run --temperature 0 --json < question.txt\n"
     "millrace run --messages conversation.json --think high"},
    {"inspect", "says what a checkpoint is", "DIR",
     "Reads config.json, the index and the headers of the shards, and prints the release, the "
     "layers by type, the experts, the bytes by class and what one token reads. Reads no weights: "
     "works on a download that is not complete and on copies that hold headers only.",
     "millrace inspect /models/DeepSeek-V4-Flash"},
    {"tokens", "turns text into token ids and back", "[FLAGS]",
     "Reads JSON lines from standard input and writes one for each: {\"text\": …} becomes "
     "{\"ids\": […]}, {\"ids\": […]} becomes {\"text\": …}. Special tokens spelled in a text are "
     "recognised, as the reference library does. Bytes that are no UTF-8 become U+FFFD in the "
     "text. "
     "Needs tokenizer.json only.",
     "echo '{\"text\": \"Hello\"}' | millrace tokens\n"
     "echo '{\"ids\": [0, 1]}' | millrace tokens --model /models/DeepSeek-V4-Flash"},
    {"prompt", "renders conversations as the model is shown them", "[FLAGS]",
     "Reads JSON lines {\"messages\", \"tools\", \"thinking_mode\": \"chat\" or \"thinking\", "
     "\"reasoning_effort\", \"drop_thinking\"} from standard input and writes {\"prompt\", "
     "\"ids\"} "
     "for each. Text inside messages never becomes a special token. Needs tokenizer.json only.",
     "echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | millrace prompt"},
    {"logits", "computes the logits of a list of tokens", "--tokens FILE --out FILE [FLAGS]",
     "Computes the first --prefill tokens in chunks and the others one by one, and writes a "
     "safetensors file with the tensor `logits`, F32 [tokens, vocabulary]: a row for every "
     "position. FILE of --tokens is JSON: [1, 2, 3] or {\"ids\": [1, 2, 3]}. The output appears "
     "whole or not at all. Needs no tokenizer.",
     "echo '[0, 17, 4]' > ids.json\n"
     "millrace logits --tokens ids.json --prefill 2 --out logits.safetensors"},
    {"bench", "measures the machine, the operations, a model", "WHAT [FLAGS]",
     "WHAT is machine (memory, caches, dot products, drive; of a GPU its memory and PCIe), ops "
     "(each operation at the real model's shapes, with weights from memory; with --ops cuda on "
     "the GPU), model (prefill and decode, and where the time "
     "of a token goes), archive (a known beginning of --prefill tokens loaded from the KV "
     "archive against computing it, with the same bits), io (experts through the reader, against a "
     "plain reader of the same files), stream (tokens whose experts are read from the drive: "
     "hardly any in memory, most of them, a prompt of --prefill tokens) or desktop (the window: "
     "frames while answers are written, and what it costs idle). Every figure is shown "
     "beside its limit, "
     "measured in the same run: bytes "
     "against the read bandwidth of all threads, multiply-adds against the dot products they are "
     "made of. Unlike elsewhere all experts stay in memory unless --ram-budget says otherwise.\n"
     "\n"
     "With --json each figure is one line: {\"row\", \"value\", \"unit\", \"limit\", \"share\", "
     "\"hash\"}; hash is of what was computed and stays the same on the same instruction set.",
     "millrace bench machine\n"
     "millrace bench ops --only gemv --threads 1\n"
     "millrace bench model --model /models/DeepSeek-V4-Flash --contexts 1024,65536 --json"},
    {"eval", "says how far an arithmetic or a packed model is from the original", "[FLAGS]",
     "Scores texts with the chosen arithmetic (--ops) and with the reference side by side: every "
     "token from those before it. Prints for each file the perplexity of both, the logarithm of "
     "their ratio, the mean divergence of the predictions (KL, in nats), how often both find the "
     "same token most probable, the largest difference of a logit, and how many of the expected "
     "answers each gets right to the last token. With --against it is two models in one "
     "arithmetic instead: one with fewer bits and the one it was packed from.\n"
     "\n"
     "A file NAME.jsonl holds one text a line: {\"messages\", \"thinking_mode\", \"expected\"}, a "
     "conversation as the chat renders it with the expected answer behind it, or {\"text\"}. Any "
     "other file is one plain text. A text longer than --context is cut. The two share the memory "
     "of --ram-budget. The reference is slow.\n"
     "\n"
     "With --json each row is one line of JSON: {\"class\", \"arithmetic\", \"texts\", "
     "\"tokens\", \"perplexity\", \"reference_perplexity\", \"log_ratio\", \"mean_divergence\", "
     "\"top1_equal\", \"largest_difference\", \"mean_difference\", \"reference_deviation\", "
     "\"answers\", \"exact\", \"reference_exact\"}.",
     "millrace eval --texts 5\n"
     "millrace eval --model /models/DeepSeek-V4-Flash --files book.txt --json"},
    {"calibrate", "learns from texts what experts are fed", "[FLAGS]",
     "Runs texts through the model and writes calibration.millrace beside it: how large each input "
     "of each expert is, how often the expert is chosen and with what weight. pack spends bits by "
     "it. Texts are as eval takes them; some thousands of tokens of what the model will be used "
     "for are a good start.",
     "millrace calibrate --part 1/2\n"
     "millrace calibrate --model /models/DeepSeek-V4-Flash --files letters.txt code.txt"},
    {"plan", "says what a model needs and how fast it will be here", "DIR|RELEASE [FLAGS]",
     "Prints what lies on the drive and in memory, how many experts fit, and how many tokens a "
     "second to expect, term by term, with what would help most. Works before anything is "
     "downloaded: DIR may hold a config.json alone, and RELEASE is flash, flash-0731, pro or "
     "pro-0813. What is not given by a flag is measured here, in about two seconds; the drive by "
     "the files of DIR, the GPU if there is one.\n"
     "\n"
     "With a GPU, here or described by --vram, dense weights, KV state and activations lie in its "
     "memory, and the most used experts. Those in RAM are computed by the processor, or copied to "
     "the GPU where that is no slower.\n"
     "\n"
     "The share of experts found in memory depends on what one asks; without --hits it is what "
     "others have seen for the share of experts that fit. With --json one line of JSON.",
     "millrace plan flash --ram 64G --drive 7GB/s\n"
     "millrace plan pro --ram 128G --drive 14GB/s --memory 80GB/s\n"
     "millrace plan flash --ram 64G --drive 7GB/s --vram 24G --pcie 25GB/s\n"
     "millrace plan /models/DeepSeek-V4-Flash"},
    {"pack", "makes a store: a checkpoint laid out for streaming", "[FLAGS] SRC DST",
     "Writes the checkpoint or store in SRC to the directory DST as a store: every expert one "
     "piece of a file, with a checksum, read with one request instead of two or more. DST can "
     "then be named wherever a model is. Tensors that are no routed experts stay as they are.\n"
     "\n"
     "Experts of fewer bits are read faster and say something else than the original; eval "
     "--against shows how much. Their errors are weighed by calibration.millrace beside SRC, if "
     "calibrate has made it. With --experts auto layers and experts that matter more get more "
     "bits.\n"
     "\n"
     "A pack that was ended, by Ctrl-C, a full disk or a loss of power, goes on where it was when "
     "the same command is given again. Until it has ended DST is not opened as a model.",
     "millrace pack /models/DeepSeek-V4-Flash /fast/flash\n"
     "millrace pack /models/DeepSeek-V4-Flash /fast/flash --also /fast2/flash\n"
     "millrace pack /models/DeepSeek-V4-Flash /fast/flash-90 --experts auto --size 90G"},
    {"verify", "checks every byte of a store", "[FLAGS] DIR",
     "Reads the whole store once, at the speed of its drives, and compares every record and every "
     "other file with the checksums made when it was packed. Each broken record is named by layer "
     "and expert, with its file and place; the exit code is 1 if any is left.",
     "millrace verify /fast/flash\n"
     "millrace verify /fast/flash --repair /models/DeepSeek-V4-Flash"},
    {"cache", "shows and empties the archive of computed prompts", "list|prune|erase [FLAGS]",
     "chat and run keep what the model made of a prompt, so that the same beginning (a document, a "
     "long conversation) is not computed again: loading it takes a small part of a second. A page "
     "stands for 128 tokens. Pages are encrypted; the key is kv.key in the state directory "
     "(~/.local/state/millrace), and nobody without it can tell what is in them. A changed model, "
     "another arithmetic or another version of this program finds nothing and computes anew: "
     "what is found has the bits of what would be computed.\n"
     "\n"
     "list shows how much is kept of each model and when it was last used. prune removes what "
     "cannot be read any more and then the longest unused, until --kv-budget is kept to. erase "
     "removes everything, the key too, so that not even what a drive keeps of removed files can "
     "be decrypted.",
     "millrace cache list\n"
     "millrace cache prune --kv-budget 2G\n"
     "millrace cache erase"},
    kTraceManual,
    kReplayManual,
}};

}  // namespace

std::span<const ManualText> manual_texts() { return kManual; }

const ManualText* manual_of(std::string_view verb) {
    const auto* const text = std::ranges::find(kManual, verb, &ManualText::name);
    return text == kManual.end() ? nullptr : text;
}

}  // namespace millrace
