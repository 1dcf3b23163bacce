#pragma once
// The flags of the verbs pack and verify.

#include "app/options.h"

namespace CLI {
class App;
}

namespace millrace {

// `options` gets the values while the command line is read.
void add_pack_flags(CLI::App& verb, PackVerbOptions& options);
void add_verify_flags(CLI::App& verb, VerifyVerbOptions& options);

}  // namespace millrace
