// argv[0] or argv[1] picks a row of the applet table. The last catch of an escaped exception (libstdc++ and the option
// library throw; core/ does not).
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "applets/applet.h"

// libstdc++'s own handler would print the demangled type of what nobody caught, and link the demangler for it (47 KB).
namespace __gnu_cxx {
void __verbose_terminate_handler() {
    std::fputs("iscsi: terminated: out of memory, or an error that nobody handles\n", stderr);
    std::abort();
}
}  // namespace __gnu_cxx

int main(int argc, char** argv) {
    std::string_view name = argc > 0 ? argv[0] : "iscsi";
    if (size_t slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
    try {
        if (const auto* applet = iscsi::applets::find(name)) return applet->run(argc, argv);
        return iscsi::applets::iscsi_main(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%.*s: internal error: %s\n", int(name.size()), name.data(), e.what());
        return 1;
    }
}
