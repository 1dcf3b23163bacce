#include "ui/plot_scale.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

namespace millrace::test {

TEST_CASE("values have their units, with three digits") {
    CHECK(plot_text(0, PlotUnit::kTokensPerSecond) == "0 tok/s");
    CHECK(plot_text(12.345, PlotUnit::kTokensPerSecond) == "12.3 tok/s");
    CHECK(plot_text(123.45, PlotUnit::kTokensPerSecond) == "123 tok/s");
    CHECK(plot_text(1.234, PlotUnit::kMilliseconds) == "1.23 ms");
    CHECK(plot_text(12340, PlotUnit::kMilliseconds) == "12.3 s");
    CHECK(plot_text(512, PlotUnit::kBytes) == "512 B");
    CHECK(plot_text(1.5e6, PlotUnit::kBytes) == "1.50 MB");
    CHECK(plot_text(999'600, PlotUnit::kBytes) == "1.00 MB");
    CHECK(plot_text(6.54e9, PlotUnit::kBytesPerSecond) == "6.54 GB/s");
    CHECK(plot_text(0.873, PlotUnit::kShare) == "87 %");
    CHECK(plot_text(0.0123, PlotUnit::kShare) == "1.2 %");
    CHECK(plot_text(1, PlotUnit::kShare) == "100 %");
    CHECK(plot_text(1234567, PlotUnit::kCount) == "1 234 567");
    CHECK(plot_text(2.5, PlotUnit::kCount) == "2.50");
}

TEST_CASE("thousands stand apart") {
    CHECK(count_text(0) == "0");
    CHECK(count_text(999) == "999");
    CHECK(count_text(1000) == "1 000");
    CHECK(count_text(-1234567) == "-1 234 567");
    CHECK(count_text(-123) == "-123");
}

TEST_CASE("an axis of values begins at 0, ends above the highest, and has round steps") {
    for (const double high : {1e-9, 0.3, 1.0, 7.0, 10.0, 99.0, 100.1, 123456.0, 3.3e12}) {
        for (int most = 2; most <= 8; ++most) {
            CAPTURE(high);
            CAPTURE(most);
            const PlotTicks ticks = value_ticks(high, most);
            CHECK(ticks.first == 0);
            CHECK(ticks.count >= 2);
            CHECK(ticks.count <= most);
            CHECK(ticks.last() >= high * (1 - 1e-9));
            CHECK(ticks.last() - ticks.step < high);  // nothing above is wasted
            const double lead =
                ticks.step / std::pow(10, std::floor(std::log10(ticks.step) + 1e-9));
            CHECK((std::abs(lead - 1) < 1e-6 || std::abs(lead - 2) < 1e-6 ||
                   std::abs(lead - 5) < 1e-6));
        }
    }
    CHECK(value_ticks(0, 5).last() >= 1);
    CHECK(value_ticks(std::nan(""), 5).last() >= 1);
}

TEST_CASE("an axis from here to there has its ticks within") {
    for (const auto& [low, high] : {std::pair{0.0, 600.0},
                                    {17.0, 29.0},
                                    {4000.0, 4600.0},
                                    {0.0, 1.0},
                                    {99.5, 100.5},
                                    {1e6, 1e6 + 3}}) {
        for (int most = 2; most <= 9; ++most) {
            const PlotTicks ticks = range_ticks(low, high, most);
            CAPTURE(low);
            CAPTURE(most);
            CHECK(ticks.count >= 1);
            CHECK(ticks.count <= most);
            CHECK(ticks.first >= low - 1e-6);
            CHECK(ticks.last() <= high + 1e-6);
        }
    }
    CHECK(range_ticks(5, 5, 4).count == 1);
    CHECK(range_ticks(0, 600, 7).step == 100);
}

TEST_CASE("CSV has a line of names and one for each row") {
    const std::array<float, 3> tokens = {1, 2, 3};
    const std::array<float, 2> rates = {12.5F, 0.1F};
    const std::array<PlotColumn, 2> columns = {{{"token", tokens}, {"tok/s, \"now\"", rates}}};
    CHECK(plot_csv(columns) == "token,\"tok/s, \"\"now\"\"\"\n1,12.5\n2,0.1\n3,\n");
    CHECK(plot_csv({}) == "\n");
}

}  // namespace millrace::test
