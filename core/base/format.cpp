#include "core/base/format.h"

#include <cstdio>

namespace iscsi {

void append_list(std::string& out, const char* format, va_list arguments) {
    char piece[1024];
    va_list again;
    va_copy(again, arguments);
    const int n = std::vsnprintf(piece, sizeof piece, format, arguments);
    if (n >= 0 && size_t(n) < sizeof piece) {
        out.append(piece, size_t(n));
    } else if (n >= 0) {                            // longer than a line: print again, in place
        const size_t at = out.size();
        out.resize(at + size_t(n) + 1);
        std::vsnprintf(&out[at], size_t(n) + 1, format, again);
        out.pop_back();
    }
    va_end(again);
}

void append(std::string& out, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    append_list(out, format, arguments);
    va_end(arguments);
}

}  // namespace iscsi
