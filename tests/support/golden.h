#pragma once
// The golden data under tests/golden, stored as it is or compressed (NAME.zst).

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/tensor.h"

namespace millrace::test {

[[nodiscard]] Path golden_path(std::string_view name);
// The text of tests/golden/NAME; fails the test when there is none.
[[nodiscard]] std::string read_golden(std::string_view name);
[[nodiscard]] Json read_golden_json(std::string_view name);
// One value a line.
[[nodiscard]] std::vector<Json> read_golden_lines(std::string_view name);

// The same of any file.
[[nodiscard]] std::vector<Json> read_lines(const Path& path);

// A golden safetensors file, whole in memory. Names that are missing fail the test.
class GoldenTensors {
public:
    explicit GoldenTensors(std::string_view name);
    [[nodiscard]] bool has(const std::string& name) const { return tensors_.contains(name); }
    [[nodiscard]] const TensorView& get(const std::string& name) const;
    [[nodiscard]] const std::map<std::string, TensorView>& all() const { return tensors_; }
    // `__metadata__`, or null.
    [[nodiscard]] const Json& metadata() const { return metadata_; }

    template <class T>
    [[nodiscard]] std::vector<T> values(const std::string& name) const {
        const TensorView& view = get(name);
        ENSURE(dtype_bytes(view.dtype) == sizeof(T));
        const auto* first = reinterpret_cast<const char*>(view.data);
        std::vector<T> out(static_cast<size_t>(view.shape.count()));
        std::copy(first, first + view.bytes(), reinterpret_cast<char*>(out.data()));
        return out;
    }

private:
    std::string bytes_;
    Json metadata_;
    std::map<std::string, TensorView> tensors_;
};

}  // namespace millrace::test
