// The table of applets: --help, --list, `--install DIR` and dispatch read the same rows. A constexpr table, because in a
// static library a constructor that nobody refers to is not linked.
#pragma once
#include <span>
#include <string_view>

namespace iscsi::applets {

struct Applet {
    std::string_view name;
    int (*run)(int argc, char** argv);   // argv[0] is the applet's name; returns the exit code
    std::string_view summary;            // one line
    bool link;                           // --install makes a link of this name (one-shots have none)
};

std::span<const Applet> all();
const Applet* find(std::string_view name);

// The front: `iscsi`, `iscsi APPLET …`, `iscsi --install`, `iscsi help APPLET`.
int iscsi_main(int argc, char** argv);

}  // namespace iscsi::applets
