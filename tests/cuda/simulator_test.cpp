// The simulator itself: every check catches the kernel that is wrong in its way, in every order of execution, and lets the
// right ones pass.

#include "tests/support/cuda_sim/simulator.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/cuda/simulator_kernels.h"
#include "tests/support/cuda_sim/cuda_runtime.h"

namespace millrace::cuda_sim {
namespace {

struct Numbers {
    Numbers() {
        void* at = nullptr;
        REQUIRE(cudaMalloc(&at, 64 * sizeof(uint32_t)) == cudaSuccess);
        data = static_cast<uint32_t*>(at);
    }
    ~Numbers() { CHECK(cudaFree(data) == cudaSuccess); }
    Numbers(const Numbers&) = delete;
    Numbers& operator=(const Numbers&) = delete;
    void fill(const std::vector<uint32_t>& values) const {
        REQUIRE(cudaMemcpyAsync(data, values.data(), values.size() * 4, cudaMemcpyHostToDevice,
                                nullptr) == cudaSuccess);
    }
    [[nodiscard]] std::vector<uint32_t> values() const {
        std::vector<uint32_t> out(64);
        REQUIRE(cudaMemcpyAsync(out.data(), data, 256, cudaMemcpyDeviceToHost, nullptr) ==
                cudaSuccess);
        return out;
    }
    uint32_t* data = nullptr;
};

std::vector<uint32_t> first_numbers() {
    std::vector<uint32_t> out(64);
    for (uint32_t i = 0; i < 64; ++i) out[i] = i;
    return out;
}

const KernelCase& case_of(std::string_view name) {
    for (const KernelCase& one : kernel_cases())
        if (name == one.name) return one;
    FAIL("no such kernel");
    return kernel_cases().front();
}

}  // namespace

TEST_CASE("wrong kernels are caught, right ones pass, in every order") {
    for (uint64_t seed = 0; seed < 6; ++seed) {
        CAPTURE(seed);
        set_options({.seed = seed, .accesses_max = 10'000});
        for (const KernelCase& one : kernel_cases()) {
            const std::string name = one.name;
            CAPTURE(name);
            const Numbers in, out;
            in.fill(first_numbers());
            const bool sums = name.find("atomics") != std::string::npos;
            if (sums) out.fill(std::vector<uint32_t>(64, 0));
            one.launch({out.data, in.data, 64});
            const std::vector<Violation> violations = take_violations();
            if (one.right) {
                CHECK_MESSAGE(violations.empty(), (violations.empty() ? "" : violations[0].text()));
            } else {
                REQUIRE(violations.size() == 1);
                CHECK_MESSAGE(violations[0].fault == one.fault, violations[0].text());
                CHECK(!violations[0].kernel.empty());
            }
        }
    }
    set_options({});
}

TEST_CASE("right kernels compute what they should") {
    for (uint64_t seed = 0; seed < 4; ++seed) {
        set_options({.seed = seed});
        const Numbers in, out;
        in.fill(first_numbers());
        case_of("a barrier").launch({out.data, in.data, 64});
        for (uint32_t i = 0; i < 64; ++i) CHECK(out.values()[i] == (i ^ 63));
        out.fill(std::vector<uint32_t>(64, 0));
        case_of("atomics").launch({out.data, in.data, 64});
        CHECK(out.values()[0] == 2 * 63 * 64 / 2);
        case_of("a shuffle in half a warp").launch({out.data, in.data, 64});
        CHECK(out.values()[3] == 15);
        CHECK(out.values()[35] == 47);
        CHECK(take_violations().empty());
    }
    set_options({});
}

TEST_CASE("a report names kernel, block, thread and place") {
    const Numbers in, out;
    in.fill(first_numbers());
    case_of("a read past the end").launch({out.data, in.data, 64});
    const auto violations = take_violations();
    REQUIRE(violations.size() == 1);
    CHECK(violations[0].thread.x == 63);
    CHECK(violations[0].kernel.find("read_past_end") != std::string::npos);
    CHECK(violations[0].what.find("byte 256 of an allocation of 256 bytes") != std::string::npos);
}

TEST_CASE("every kernel of a launcher is known before it runs") {
    bool found = false;
    for (const KernelReport& kernel : kernels())
        found = found || kernel.name.find("shuffles_in_two_branches") != std::string::npos;
    CHECK(found);
}

TEST_CASE("bank conflicts and sectors are counted for whole warps") {
    set_options({.statistics = true});
    const Numbers in, out;
    in.fill(first_numbers());
    const auto traffic_of = [&](const char* name, const char* kernel) {
        case_of(name).launch({out.data, in.data, 64});
        for (const KernelReport& report : kernels())
            if (report.name.find(kernel) != std::string::npos) return report;
        return KernelReport{};
    };
    const KernelReport straight = traffic_of("a barrier", "with_barrier");
    CHECK(straight.shared.accesses == 4);
    CHECK(straight.shared.worst == 1);
    CHECK(straight.global.mean() == 1);
    const KernelReport strided = traffic_of("strides", "strided");
    CHECK(strided.shared.worst == 32);
    CHECK(strided.global.worst == 4);
    set_options({});
    CHECK(take_violations().empty());
}

TEST_CASE("the host may copy inside allocations only") {
    const Numbers numbers;
    std::vector<uint32_t> values(65);
    CHECK(cudaMemcpyAsync(numbers.data, values.data(), 260, cudaMemcpyHostToDevice, nullptr) !=
          cudaSuccess);
    CHECK(cudaFree(values.data()) != cudaSuccess);
}

}  // namespace millrace::cuda_sim
