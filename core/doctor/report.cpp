#include "core/doctor/report.h"

#include "core/base/format.h"

namespace iscsi::doctor {
namespace {

// Names of others reach terminals.
std::string harmless(const char* format, va_list arguments) {
    std::string text;
    append_list(text, format, arguments);
    for (char& c : text)
        if (uint8_t(c) < 0x20 || c == 0x7f) c = '?';
    return text;
}

}  // namespace

#define ISCSI_FORMAT(into, format)                          \
    va_list arguments;                                      \
    va_start(arguments, format);                            \
    (into) = harmless(format, arguments);                   \
    va_end(arguments)

void Finding::is(const char* format, ...) { ISCSI_FORMAT(finding, format); }
Finding& Finding::found(const char* format, ...) {
    ISCSI_FORMAT(finding, format);
    return *this;
}
void Finding::mend(const char* format, ...) { ISCSI_FORMAT(fix, format); }

#define ISCSI_BEGIN(of_level)                               \
    Finding& f = findings_.emplace_back();                  \
    f.level = of_level;                                     \
    ISCSI_FORMAT(f.what, what);                             \
    return f

Finding& Report::ok(const char* what, ...) { ISCSI_BEGIN(Level::ok); }
Finding& Report::warn(const char* what, ...) { ISCSI_BEGIN(Level::warn); }
Finding& Report::fail(const char* what, ...) { ISCSI_BEGIN(Level::fail); }
Finding& Report::say(Level level, const char* what, ...) { ISCSI_BEGIN(level); }

bool Report::worse_since(size_t mark) const {
    for (size_t i = mark; i < findings_.size(); i++)
        if (findings_[i].level != Level::ok) return true;
    return false;
}

size_t Report::count(Level level) const {
    size_t n = 0;
    for (const Finding& f : findings_) n += f.level == level;
    return n;
}

std::string text(const char* format, ...) {
    std::string out;
    va_list arguments;
    va_start(arguments, format);
    append_list(out, format, arguments);
    va_end(arguments);
    return out;
}

}  // namespace iscsi::doctor
