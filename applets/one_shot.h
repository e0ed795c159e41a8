// Command lines of the one-shots (`iscsi ls` and its like): help, mistakes, errors; one line on stderr each.
#pragma once
#include <optional>
#include <string>

#include "applets/cli.h"

namespace iscsi::applets {

// "iscsi ls: TEXT". What could not be done: 1. What the command line says wrong: 2. For the caller to return.
int tool_error(const cli::Interface& interface, const std::string& text);
int usage_error(const cli::Interface& interface, const std::string& text);

// Help that was asked for, or a line that cannot be read: dealt with, the exit code. Nothing: go on.
std::optional<int> settled(const cli::Interface& interface, const cli::Parsed& line);

// --control-port, the number of tgtd's control socket; 0 without it. Nothing: it is no such number, and the user knows.
std::optional<int> control_port(const cli::Interface& interface, const cli::Parsed& line);

}  // namespace iscsi::applets
