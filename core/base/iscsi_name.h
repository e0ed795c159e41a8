// What RFC 7143 §4.2.7.5 and §4.2.7.6 demand of a name that begins with "eui." or "naa.".
#pragma once
#include <string_view>

namespace iscsi {

// eui.: 16 hexadecimal digits follow; naa.: 16 or 32. True for any other name: its characters are the caller's business.
bool digits_fit_type(std::string_view name);

}  // namespace iscsi
