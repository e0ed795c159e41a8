// printf into strings, of any length.
#pragma once
#include <cstdarg>
#include <string>

namespace iscsi {

void append(std::string& out, const char* format, ...) __attribute__((format(printf, 2, 3)));
void append_list(std::string& out, const char* format, va_list arguments) __attribute__((format(printf, 2, 0)));

}  // namespace iscsi
