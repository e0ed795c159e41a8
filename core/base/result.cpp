#include "core/base/result.h"

#include <cstring>

namespace iscsi {

std::string Error::text() const {
    std::string s = what;
    if (!object.empty()) s += (s.empty() ? "" : " ") + object;
    if (code) s += std::string(": ") + strerror(code);
    return s;
}

}  // namespace iscsi
