// Time-outs: those of records, of sessions in the kernel and of their disks, against each other and against multipath.
#include <cstdlib>

#include "core/base/file.h"
#include "core/doctor/doctor.h"

namespace iscsi::doctor {
namespace {

using config::Key;

bool has_multipath(const Places& at) {
    if (process_runs(at.proc, "multipathd")) return true;
    for (const std::string& block : list_folder(at.sysfs + "/block"))
        if (read_attribute(at.sysfs + "/block/" + block + "/dm/uuid").starts_with("mpath-")) return true;
    return false;
}

void check_session(const Options& options, const kernel::Sysfs& sysfs, const kernel::SessionInfo& s, bool multipath, Report& report) {
    const char *sys = options.places.sysfs.c_str(), *target = s.target_name.c_str();
    if (!s.state.empty() && s.state != "LOGGED_IN")
        report.fail("session %u", s.sid)
            .found("%s at %s is %s: its disks wait or fail", target, s.address.c_str(), s.state.c_str())
            .mend("iscsi doctor %s; see the log of iscsid", target);
    const int recovery = std::atoi(sysfs.session_attribute(s.sid, "recovery_tmo").c_str());
    if (multipath && recovery > 30)
        report.warn("session %u", s.sid)
            .found("%s waits %d s for a lost connection before multipath may use another path", target, recovery)
            .mend("echo 15 > %s/class/iscsi_session/session%u/recovery_tmo", sys, s.sid);
    const int interval = std::atoi(sysfs.connection_attribute(s.sid, "recv_tmo").c_str());
    const int ping = std::atoi(sysfs.connection_attribute(s.sid, "ping_tmo").c_str());
    for (const kernel::ScsiDevice& d : sysfs.devices(s.sid)) {
        const char* disk = d.block.c_str();
        if (!*disk) continue;
        const int limit = std::atoi(read_attribute(text("%s/block/%s/device/timeout", sys, disk)).c_str());
        if (limit > 0 && interval > 0 && limit < interval + ping)
            report.warn("disk %s", disk)
                .found("its commands time out after %d s, before a dead connection is noticed (noop_out: %d + %d s)", limit, interval, ping)
                .mend("echo %d > %s/block/%s/device/timeout", interval + ping + 20, sys, disk);
        if (d.state == "offline")
            report.fail("disk %s", disk)
                .found("the kernel gave it up (offline)")
                .mend("echo running > %s/block/%s/device/state", sys, disk);
    }
}

}  // namespace

void check_timeouts(const Options& options, const State& state, Report& report) {
    const kernel::Sysfs sysfs(options.places.sysfs, options.places.proc);
    const bool multipath = has_multipath(options.places);
    const size_t mark = report.mark();
    for (const config::Record& node : state.nodes) {
        const config::NodeId id = config::id_of(node);
        const std::string portal = config::portal_text(id.address, id.port);
        // The key, its value, what is wrong with it, a better one.
        auto say = [&](Key key, const char* why, int better) {
            report.warn("time-outs of %s at %s", id.target.c_str(), portal.c_str())
                .found("%s is %d: %s", config::field(key).key, int(node.number(key)), why)
                .mend("iscsiadm -m node -T %s -p %s -o update -n %s -v %d", id.target.c_str(), portal.c_str(), config::field(key).key, better);
        };
        const int replacement = node.number(Key::replacement_timeout);
        if (multipath && replacement > 30) say(Key::replacement_timeout, "so long multipath waits before it uses another path", 15);
        if (!multipath && replacement >= 0 && replacement < 30)
            say(Key::replacement_timeout, "there is no multipath, and file systems see errors after so short an interruption", 120);
        if (node.number(Key::noop_out_interval) == 0) say(Key::noop_out_interval, "a dead connection is noticed only by commands that time out", 5);
        else if (replacement > 0 && node.number(Key::noop_out_timeout) > replacement)
            say(Key::noop_out_timeout, "longer than replacement_timeout", 5);
        if (node.number(Key::login_timeout) < 5) say(Key::login_timeout, "short for a target that is busy", 15);
    }
    const std::vector<kernel::SessionInfo> sessions = sysfs.sessions();
    for (const kernel::SessionInfo& s : sessions) check_session(options, sysfs, s, multipath, report);
    if (!report.worse_since(mark) && !(sessions.empty() && state.nodes.empty()))
        report.ok("time-outs").is("fit each other%s", multipath ? " and multipath" : "");
}

}  // namespace iscsi::doctor
