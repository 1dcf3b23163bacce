#pragma once
// What the files of `bench ops` share.

#include <memory>

#include "app/bench.h"
#include "app/bench_data.h"

namespace millrace {

// The ops and the limits of the machine, measured in the same run on the same threads.
struct OpsBench {
    OpsBench(const BenchSetting& chosen, BenchReport& rows);

    const BenchSetting& setting;
    BenchReport& report;
    Pool pool;
    std::unique_ptr<Ops> fp8, int8;
    double read = 0;                      // bytes a second
    double dots_bf16 = 0, dots_int8 = 0;  // multiply-adds a second

    // A dimension of the real model, or a small one that every format allows.
    [[nodiscard]] int64_t dim(int64_t real) const;
    // `bytes` pass in each call of `body`; the limit is reading.
    template <class Body>
    void add_bytes(std::string row, uint64_t bytes, uint64_t hash, const Body& body) {
        const double seconds = seconds_a_call(setting.timing, body);
        report.add_rate(std::move(row), static_cast<double>(bytes) / seconds * 1e-9, "GB/s",
                        read * 1e-9, hash);
    }
    template <class Body>
    void add_macs(std::string row, int64_t macs, double limit, uint64_t hash, const Body& body) {
        const double seconds = seconds_a_call(setting.timing, body);
        report.add_rate(std::move(row), static_cast<double>(macs) / seconds * 1e-9, "GMAC/s",
                        limit * 1e-9, hash);
    }
};

template <class T>
[[nodiscard]] uint64_t hash_list(const std::vector<T>& list) {
    return hash_bytes(std::as_bytes(std::span(list)));
}

// Everything that is no linear layer.
void bench_row_ops(OpsBench& bench);

}  // namespace millrace
