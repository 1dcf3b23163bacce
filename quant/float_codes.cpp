#include "quant/float_codes.h"

namespace millrace {

// The corners of the formats, as the specification states them.
static_assert(e4m3_value(0x7E) == 448.0F && e4m3_value(0x01) == 0x1p-9F &&
              e4m3_value(0x08) == 0x1p-6F);
static_assert(e4m3_code(448.0F) == 0x7E && e4m3_code(-1e9F) == 0xFE && e4m3_code(-0.0F) == 0x80);
static_assert(e4m3_code(0x1p-10F) == 0x00 && e4m3_code(0x1.8p-9F) == 0x02);  // ties to even
static_assert(e8m0_value(127) == 1.0F && e8m0_value(0) == 0x1p-127F && e8m0_value(254) == 0x1p127F);
static_assert(e2m1_code(2.5F) == 4 && e2m1_code(3.5F) == 6 && e2m1_code(-5.0F) == 14);
static_assert(fp8_scale(448.0F) == 127 && fp8_scale(0.0F) == 105 && fp4_scale(6.0F) == 127);

}  // namespace millrace
