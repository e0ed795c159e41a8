#include "core/doctor/report.h"

#include <cstdarg>
#include <cstdio>

namespace iscsi::doctor {
namespace {

std::string format_text(const char* format, va_list arguments) {
    char line[2048];
    std::vsnprintf(line, sizeof line, format, arguments);
    return line;
}

}  // namespace

void Report::take(Level level, const char* format, va_list arguments) {
    const std::string whole = format_text(format, arguments);
    Finding f;
    f.level = level;
    std::string* parts[] = {&f.what, &f.finding, &f.fix};
    size_t part = 0;
    for (char c : whole) {
        if (c == '\n' && part < 2) part++;
        else *parts[part] += uint8_t(c) < 0x20 || c == 0x7f ? '?' : c;        // names of others reach terminals
    }
    findings_.push_back(std::move(f));
}

#define ISCSI_TAKE(level)                   \
    va_list arguments;                      \
    va_start(arguments, format);            \
    take(level, format, arguments);         \
    va_end(arguments)

void Report::ok(const char* format, ...) { ISCSI_TAKE(Level::ok); }
void Report::warn(const char* format, ...) { ISCSI_TAKE(Level::warn); }
void Report::fail(const char* format, ...) { ISCSI_TAKE(Level::fail); }

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
    va_list arguments;
    va_start(arguments, format);
    std::string out = format_text(format, arguments);
    va_end(arguments);
    return out;
}

}  // namespace iscsi::doctor
