// What a token costs, against sums written out by hand.

#include "core/model/token_cost.h"

#include <doctest/doctest.h>

#include "tests/support/golden.h"

namespace millrace::test {
namespace {

ModelConfig flash_shape() {
    const auto text =
        read_text_file(Path(MILLRACE_SOURCE_DIR) / "tests/bench/bench_flash.json", 1 << 20);
    REQUIRE(text.ok());
    const auto json = Json::parse_unique(*text);
    REQUIRE(json.ok());
    const auto config = parse_config(*json);
    REQUIRE(config.ok());
    return *config;  // layers: window, sparse, heavy, sparse
}

}  // namespace

TEST_CASE("rows of the KV state that a token reads") {
    const ModelConfig config = flash_shape();
    CHECK(kv_bytes_read(config, 0) == 4 * 584);
    // 400 tokens: the window is full, 100 entries of ratio 4 (all picked), 3 of ratio 128.
    CHECK(kv_bytes_read(config, 399) == 4 * 128 * 584 + 2 * 100 * (584 + 68) + 3 * 584);
    // 65,536 tokens: 16,384 scored, 512 picked, 512 of ratio 128.
    CHECK(kv_bytes_read(config, 65535) == 4 * 128 * 584 + 2 * (512 * 584 + 16384 * 68) + 512 * 584);
}

TEST_CASE("multiply-adds of a prompt") {
    const ModelConfig config = flash_shape();
    const uint64_t d = 4096, heads = 64, q_rank = 1024;
    const uint64_t attention =
        q_rank * d + heads * 512 * q_rank + 512 * d + 8 * 1024 * (heads * 512 / 8) + d * 8 * 1024;
    const uint64_t expert = 3 * d * 2048;
    const uint64_t block = attention + 2 * 24 * 4 * d + 64 * d + (6 + 1) * expert;
    const uint64_t sparse = 2 * (2 * 512) * d + 64 * 128 * q_rank + 64 * d + 2 * (2 * 128) * d;
    const uint64_t heavy = 2 * 512 * d;
    const uint64_t head = 129280 * d, hc_head = 4 * 4 * d;
    const uint64_t a_token = 4 * block + 2 * sparse + heavy + hc_head;
    const uint64_t a_key = 2 * heads * 512;
    CHECK(prefill_macs(config, 1) == a_token + head + 4 * a_key);
    // Tokens 1 … 4 attend 1 + 2 + 3 + 4 window rows in four layers; the fourth also the first entry of two.
    CHECK(prefill_macs(config, 4) ==
          4 * a_token + head + (4 * 10 + 2) * a_key + 2 * uint64_t{64} * 128);
}

}  // namespace millrace::test
