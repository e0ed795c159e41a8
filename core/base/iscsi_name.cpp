#include "core/base/iscsi_name.h"

#include <strings.h>

namespace iscsi {

bool digits_fit_type(std::string_view name) {
    auto begins = [&](const char* type) { return name.size() >= 4 && ::strncasecmp(name.data(), type, 4) == 0; };
    const bool naa = begins("naa.");
    if (!naa && !begins("eui.")) return true;
    return (name.size() == 20 || (naa && name.size() == 36)) && name.find_first_not_of("0123456789abcdefABCDEF", 4) == name.npos;
}

}  // namespace iscsi
