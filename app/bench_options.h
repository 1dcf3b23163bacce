#pragma once
// The flags of the verb bench.

#include <string>
#include <vector>

#include "app/options.h"

namespace CLI {
class App;
}

namespace millrace {

// Adds what bench has besides the flags of a model; `options` gets the values while the command line is read.
void add_bench_flags(CLI::App& verb, BenchOptions& options);

}  // namespace millrace
