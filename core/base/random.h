// Random bytes from the kernel (getrandom(2)); the process ends with a line if there are none.
#pragma once
#include "core/base/bytes.h"

namespace iscsi {
void fill_random(MutableBytes out);
}
