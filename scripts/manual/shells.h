// Completions for bash, zsh and fish, made from the tables behind --help.
#pragma once
#include <string>
#include <vector>

#include "applets/cli.h"

namespace iscsi::manual {

struct Command {
    std::string program, word;          // "tgtadm", ""; "iscsi", "export"
    const cli::Interface* interface;
};

std::string bash_completion(const std::vector<Command>& commands);
std::string zsh_completion(const std::vector<Command>& commands);
std::string fish_completion(const std::vector<Command>& commands);

}  // namespace iscsi::manual
