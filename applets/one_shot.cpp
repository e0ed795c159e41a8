#include "applets/one_shot.h"

#include <cstdio>

#include "applets/units.h"

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

std::optional<int> control_port(const cli::Interface& interface, const cli::Parsed& line) {
    const std::string text = line.get("control-port").value_or("0");
    const auto n = parse_number(text, 0, 32767);
    if (n) return int(*n);
    usage_error(interface, "--control-port is a number from 0 to 32767, not '" + text + "'; see " + interface.name + " --help");
    return std::nullopt;
}

}  // namespace iscsi::applets
