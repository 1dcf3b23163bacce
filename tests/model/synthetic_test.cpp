// The synthetic checkpoints made here are byte for byte those the goldens were made from.

#include "tests/support/synthetic.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/golden.h"
#include "tests/support/sha256.h"

namespace millrace::test {

TEST_CASE("sha256 meets the published examples") {
    const auto hex = [](std::string_view text) {
        return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
    };
    CHECK(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hex(std::string(1000000, 'a')) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("every synthetic tensor has the golden type, shape and digest") {
    for (const std::string model :
         {"tiny-flash", "tiny-pro", "tiny-base", "tiny-clamp", "tiny-0731"}) {
        CAPTURE(model);
        const SyntheticTensors tensors =
            synthetic_tensors(read_golden_json("model/" + model + "/config.json"));
        const Json truth = read_golden_json("model/" + model + "/tensors.json");
        REQUIRE(truth.members().size() > 300);
        REQUIRE(tensors.size() == truth.members().size());
        size_t unequal = 0;
        for (const auto& [name, facts] : truth.members()) {
            const auto at = tensors.find(name);
            REQUIRE_MESSAGE(at != tensors.end(), name);
            const SyntheticTensor& tensor = at->second;
            bool equal = *facts.items()[0].as_string() == dtype_name(tensor.dtype) &&
                         facts.items()[1].items().size() == tensor.shape.size() &&
                         sha256_hex(tensor.bytes).substr(0, 16) == *facts.items()[2].as_string();
            for (size_t i = 0; equal && i < tensor.shape.size(); ++i) {
                equal = facts.items()[1].items()[i].as_int() == tensor.shape[i];
            }
            if (!equal) {
                ++unequal;
                INFO(name);
                CHECK(equal);
            }
        }
        CHECK(unequal == 0);
    }
}

}  // namespace millrace::test
