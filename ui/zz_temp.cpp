#include "ui/views.h"
namespace millrace {
void models_view(Frame&, const Box&) {}
void benchmark_view(Frame&, const Box&) {}
}  // namespace millrace
