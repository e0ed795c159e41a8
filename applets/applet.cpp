#include "applets/applet.h"

#include <algorithm>

namespace iscsi::applets {

// One line per applet; keep sorted.
#define ISCSI_APPLETS(ROW) \
    ROW("boot", boot_main, "from the kernel command line to a disk", false) \
    ROW("inq", inq_main, "show what a logical unit says of itself", false) \
    ROW("iscsi-iname", iscsi_iname_main, "make an initiator name", true) \
    ROW("iscsiadm", iscsiadm_main, "targets known, discovery, login, sessions", true) \
    ROW("iscsid", iscsid_main, "initiator daemon", true) \
    ROW("iscsistart", iscsistart_main, "log in at boot", true) \
    ROW("ls", ls_main, "list the targets of a portal and their logical units", false) \
    ROW("tgt-admin", tgt_admin_main, "set up the targets of targets.conf", true) \
    ROW("tgtadm", tgtadm_main, "configure the target daemon", true)

#define DECLARE(name, run, summary, link) int run(int argc, char** argv);
ISCSI_APPLETS(DECLARE)
#undef DECLARE
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
