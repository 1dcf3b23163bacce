#pragma once
// The flags of the verb plan.

#include "app/options.h"

namespace CLI {
class App;
}

namespace millrace {

// `options` gets the values while the command line is read.
void add_plan_flags(CLI::App& verb, PlanOptions& options);

}  // namespace millrace
