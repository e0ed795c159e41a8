// The target on this machine: tgtd, its targets and who may reach them, targets.conf.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>

#include "core/base/file.h"
#include "core/doctor/doctor.h"
#include "core/mgmt/conf_check.h"
#include "core/mgmt/tgt_client.h"
#include "core/mgmt/tgt_use.h"

namespace iscsi::doctor {
namespace {

using mgmt::RunningTarget;

void check_store(const RunningTarget& t, const std::string& store, Report& report) {
    const char *path = store.c_str(), *name = t.name.c_str();
    struct stat info{};
    if (::stat(path, &info) != 0) {
        if (*path == '/')                   // that of bs-type null is none
            report.fail("store of %s\n%s is not there: tgtd goes on with the file it has open, and finds none after a restart\nrestore it, or tgtadm --lld iscsi --mode logicalunit --op delete --tid %d --lun N", name, path, t.tid);
        return;
    }
    if (::faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 && errno == EROFS)
        report.warn("store of %s\n%s lies on a file system that is read-only: writes fail\nmount -o remount,rw, or tgtadm --lld iscsi --mode logicalunit --op update --tid %d --lun N --params readonly=1", name, path, t.tid);
    if (S_ISBLK(info.st_mode) && mgmt::use_of(store) == mgmt::Use::system)
        report.fail("store of %s\n%s is in use by this machine, too (mounted, swap, part of another device): both will damage it\numount it, or tgtadm --lld iscsi --mode logicalunit --op delete --tid %d --lun N", name, path, t.tid);
}

void check_target(const RunningTarget& t, Report& report) {
    const size_t mark = report.mark();
    const char* name = t.name.c_str();
    if (t.rules.empty())
        report.fail("target %s\nno ACL: nobody can log in, and discovery does not show it\ntgtadm --lld %s --mode target --op bind --tid %d -I ALL (or an address or network; -Q for a name)", name, t.driver.c_str(), t.tid);
    if (t.stores.empty()) report.warn("target %s\nno logical unit: initiators find no disk\ntgtadm --lld %s --mode logicalunit --op new --tid %d --lun 1 -b PATH", name, t.driver.c_str(), t.tid);
    if (t.outgoing && t.incoming.empty())
        report.warn("target %s\nan outgoing account, but no incoming one: nobody is asked to prove who he is\ntgtadm --lld %s --mode account --op bind --tid %d --user USER", name, t.driver.c_str(), t.tid);
    for (const std::string& path : t.stores) check_store(t, path, report);
    // One name from several addresses: a host with several paths, or two hosts that were cloned.
    std::map<std::string, std::set<std::string>> from;
    for (const mgmt::RunningSession& s : t.sessions)
        for (const std::string& address : s.addresses) from[s.initiator].insert(address);
    for (const auto& [initiator, addresses] : from)
        if (addresses.size() > 1)
            report.warn("target %s\n%s is logged in from %s, %s%s: one host with several paths, or two hosts with one initiator name\ncompare /etc/iscsi/initiatorname.iscsi of those hosts; the second one gets its own by iscsi-iname",
                        name, initiator.c_str(), addresses.begin()->c_str(), std::next(addresses.begin())->c_str(), addresses.size() > 2 ? " ..." : "");
    if (!report.worse_since(mark))
        report.ok("target %s\n%zu store%s, %zu session%s, %zu rule%s", name, t.stores.size(), plural(t.stores.size()), t.sessions.size(), plural(t.sessions.size()), t.rules.size(), plural(t.rules.size()));
}

void check_conf(const Options& options, const State& state, Report& report) {
    const std::string& path = options.places.targets_conf;
    if (::access(path.c_str(), R_OK) != 0) return;         // not there, or check_records says so
    const config::ConfModel model = mgmt::checked_targets_conf(path);
    const size_t mark = report.mark(), count = model.targets.size();
    for (const config::ConfMistake& m : model.mistakes)
        (report.*(m.minor ? &Report::warn : &Report::fail))("targets.conf\n%s\nmend it, then: tgtd --config %s --check", m.message().c_str(), path.c_str());
    for (const config::TargetModel& t : model.targets) {
        bool running = !state.tgtd_runs;
        for (const RunningTarget& r : state.targets) running = running || r.name == t.name;
        if (!running) report.warn("targets.conf\n%s is in the file, but not in the running tgtd\ntgt-admin --update ALL", t.name.c_str());
    }
    if (!report.worse_since(mark)) report.ok("targets.conf\n%zu target%s, no mistake", count, plural(count));
    if (state.tgtd_runs || state.tgtd_hidden || !count) return;
    const std::string holder = listener_of(options.places.proc, 3260);
    if (holder.empty()) report.fail("tgtd\ndoes not run, but targets.conf has %zu target%s\nsystemctl start tgt", count, plural(count));
    else report.fail("tgtd\ndoes not run, and port 3260 is taken by %s\nstop that, then: systemctl start tgt", holder.c_str());
}

}  // namespace

void check_target_side(const Options& options, State& state, Report& report) {
    mgmt::TgtRequest show;
    show.mode = mgmt::TgtMode::target;
    const unsigned seconds = unsigned((options.deadline_ms + 999) / 1000);
    auto answer = mgmt::tgt_call(options.control_port, show, 0, seconds);
    if (answer && answer->code == mgmt::TgtCode::ok) {
        state.tgtd_runs = true;
        state.targets = mgmt::parse_target_show(answer->text);
        report.ok("tgtd\nanswers: %zu target%s", state.targets.size(), plural(state.targets.size()));
        for (const RunningTarget& t : state.targets) check_target(t, report);
        const std::string holder = listener_of(options.places.proc, 3260);
        if (!holder.empty() && !holder.starts_with("tgtd ") && !holder.starts_with("iscsi "))
            report.fail("port 3260\nis held by %s, not by tgtd\nstop that, then: systemctl restart tgt; or another port: tgtd --iscsi portal=0.0.0.0:3261", holder.c_str());
    } else if (!answer && answer.error().code != ENOTCONN) {
        report.fail("tgtd\nhas its control socket, but does not answer: %s\nsee its log; kill -CONT $(pidof tgtd); systemctl restart tgt", answer.error().what.c_str());
    } else if (answer) {
        report.fail("tgtd\nanswers: %s\nsystemctl restart tgt", mgmt::tgt_code_text(answer->code));
    } else if (const std::string socket = mgmt::tgt_socket_path(options.control_port); exists(socket) && ::access(socket.c_str(), W_OK) != 0) {
        state.tgtd_hidden = true;
        report.warn("tgtd\nmay not be asked by this user\nrun it as root");
    }
    check_conf(options, state, report);
}

}  // namespace iscsi::doctor
