#include "applets/applet.h"

#include <algorithm>

namespace iscsi::applets {

#define ROW(name, run, summary, link) int run(int argc, char** argv);
#include "applets/applets.def"
#undef ROW

namespace {
constexpr Applet table[] = {
#define ROW(name, run, summary, link) {name, run, summary, link},
#include "applets/applets.def"
#undef ROW
    {"iscsi", iscsi_main, "all of this in one binary", false},
};
}  // namespace

std::span<const Applet> all() { return table; }

const Applet* find(std::string_view name) {
    auto row = std::find_if(std::begin(table), std::end(table), [&](const Applet& a) { return a.name == name; });
    return row == std::end(table) ? nullptr : row;
}

}  // namespace iscsi::applets
