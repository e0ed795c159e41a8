#include "applets/one_shot.h"

#include <cstdio>

namespace iscsi::applets {

int tool_error(const cli::Interface& interface, const std::string& text) {
    std::fprintf(stderr, "%s: %s\n", interface.name, text.c_str());
    return 1;
}

int usage_error(const cli::Interface& interface, const std::string& text) {
    tool_error(interface, text);
    return 2;
}

std::optional<int> settled(const cli::Interface& interface, const cli::Parsed& line) {
    if (line.error) return usage_error(interface, *line.error + "; see " + interface.name + " --help");
    if (!line.has("help")) return std::nullopt;
    std::fputs(cli::help(interface).c_str(), stdout);
    return 0;
}

}  // namespace iscsi::applets
