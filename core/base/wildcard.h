// File names by pattern, as a shell's: * ? [abc] [a-z] [!a] \x. A dot that begins the name is matched by a dot only. In place
// of fnmatch(3), which brings 32 KB of locales into a static binary.
#pragma once
#include <string_view>

namespace iscsi {

bool wildcard_match(std::string_view pattern, std::string_view name);

}  // namespace iscsi
