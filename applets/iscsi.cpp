#include <cstdio>

#include "applets/applet.h"

namespace iscsi::applets {

int iscsi_main(int, char**) {
    std::printf("iscsi %s\n\nApplets:\n", ISCSI_VERSION);
    for (const Applet& a : all())
        std::printf("  %-14.*s %.*s\n", int(a.name.size()), a.name.data(), int(a.summary.size()), a.summary.data());
    return 0;
}

}  // namespace iscsi::applets
