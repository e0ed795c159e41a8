// The target on this machine: tgtd, its targets and who may reach them, targets.conf.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/file.h"
#include "core/doctor/doctor.h"
#include "core/io/address.h"
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
            report.fail("store of %s", name)
                .found("%s is not there: tgtd goes on with the file it has open, and finds none after a restart", path)
                .mend("restore it, or tgtadm --lld iscsi --mode logicalunit --op delete --tid %d --lun N", t.tid);
        return;
    }
    if (::faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 && errno == EROFS)
        report.warn("store of %s", name)
            .found("%s lies on a file system that is read-only: writes fail", path)
            .mend("mount -o remount,rw, or tgtadm --lld iscsi --mode logicalunit --op update --tid %d --lun N --params readonly=1", t.tid);
    if (S_ISBLK(info.st_mode) && mgmt::use_of(store) == mgmt::Use::system)
        report.fail("store of %s", name)
            .found("%s is in use by this machine, too (mounted, swap, part of another device): both will damage it", path)
            .mend("umount it, or tgtadm --lld iscsi --mode logicalunit --op delete --tid %d --lun N", t.tid);
}

void check_target(const RunningTarget& t, Report& report) {
    const size_t mark = report.mark();
    const char* name = t.name.c_str();
    if (t.rules.empty())
        report.fail("target %s", name)
            .found("no ACL: nobody can log in, and discovery does not show it")
            .mend("tgtadm --lld %s --mode target --op bind --tid %d -I ALL (or an address or network; -Q for a name)", t.driver.c_str(), t.tid);
    if (t.stores.empty())
        report.warn("target %s", name)
            .found("no logical unit: initiators find no disk")
            .mend("tgtadm --lld %s --mode logicalunit --op new --tid %d --lun 1 -b PATH", t.driver.c_str(), t.tid);
    if (t.outgoing && t.incoming.empty())
        report.warn("target %s", name)
            .found("an outgoing account, but no incoming one: nobody is asked to prove who he is")
            .mend("tgtadm --lld %s --mode account --op bind --tid %d --user USER", t.driver.c_str(), t.tid);
    for (const std::string& path : t.stores) check_store(t, path, report);
    // One name from several addresses: a host with several paths, or two hosts that were cloned.
    std::map<std::string, std::set<std::string>> from;
    for (const mgmt::RunningSession& s : t.sessions)
        for (const std::string& address : s.addresses) from[s.initiator].insert(address);
    for (const auto& [initiator, addresses] : from)
        if (addresses.size() > 1)
            report.warn("target %s", name)
                .found("%s is logged in from %s, %s%s: one host with several paths, or two hosts with one initiator name",
                       initiator.c_str(), addresses.begin()->c_str(), std::next(addresses.begin())->c_str(), addresses.size() > 2 ? " ..." : "")
                .mend("compare /etc/iscsi/initiatorname.iscsi of those hosts; the second one gets its own by iscsi-iname");
    if (!report.worse_since(mark))
        report.ok("target %s", name)
            .is("%zu store%s, %zu session%s, %zu rule%s", t.stores.size(), plural(t.stores.size()), t.sessions.size(),
                plural(t.sessions.size()), t.rules.size(), plural(t.rules.size()));
}

void check_conf(const Options& options, const State& state, Report& report) {
    const std::string& path = options.places.targets_conf;
    if (::access(path.c_str(), R_OK) != 0) return;         // not there, or check_records says so
    const config::ConfModel model = mgmt::checked_targets_conf(path);
    const size_t mark = report.mark(), count = model.targets.size();
    for (const config::ConfMistake& m : model.mistakes)
        report.say(m.minor ? Level::warn : Level::fail, "targets.conf")
            .found("%s", m.message().c_str())
            .mend("mend it, then: tgtd --config %s --check", path.c_str());
    for (const config::TargetModel& t : model.targets) {
        bool running = !state.tgtd_runs;
        for (const RunningTarget& r : state.targets) running = running || r.name == t.name;
        if (!running)
            report.warn("targets.conf")
                .found("%s is in the file, but not in the running tgtd", t.name.c_str())
                .mend("tgt-admin --update ALL");
    }
    if (!report.worse_since(mark)) report.ok("targets.conf").is("%zu target%s, no mistake", count, plural(count));
    if (state.tgtd_runs || state.tgtd_hidden || !count) return;
    for (const unsigned port : state.ports)
        if (const std::string holder = listener_of(options.places.proc, port); !holder.empty())
            return report.fail("tgtd")
                .found("does not run, and port %u is taken by %s", port, holder.c_str())
                .mend("stop that, then: systemctl start tgt");
    report.fail("tgtd")
        .found("does not run, but targets.conf has %zu target%s", count, plural(count))
        .mend("systemctl start tgt");
}

void add_port(State& state, uint16_t port) {
    if (std::find(state.ports.begin(), state.ports.end(), port) == state.ports.end()) state.ports.push_back(port);
}

// Of the portals and URLs on the command line.
void add_asked_ports(const Options& options, State& state) {
    for (const std::string& word : options.words) {
        if (initiator::is_url(word)) {
            if (auto url = initiator::parse_url(word)) add_port(state, url->port);
        } else if (!config::valid_iscsi_name(word)) {
            if (auto portal = config::parse_portal(word); portal && portal->port > 0 && portal->port <= 65535)
                add_port(state, uint16_t(portal->port));
        }
    }
}

void check_running(const Options& options, State& state, unsigned seconds, Report& report) {
    report.ok("tgtd").is("answers: %zu target%s", state.targets.size(), plural(state.targets.size()));
    for (const RunningTarget& t : state.targets) check_target(t, report);
    mgmt::TgtRequest show;
    show.mode = mgmt::TgtMode::portal;
    if (auto answer = mgmt::tgt_call(options.control_port, show, 0, seconds); answer && answer->code == mgmt::TgtCode::ok)
        for (const std::string& portal : mgmt::parse_portal_show(answer->text))
            if (auto at = io::split_host_port(portal, 3260)) add_port(state, at->port);
    if (state.ports.empty()) add_port(state, 3260);         // where it would like to be
    for (const unsigned port : state.ports) {
        const std::string holder = listener_of(options.places.proc, port);
        if (!holder.empty() && !holder.starts_with("tgtd ") && !holder.starts_with("iscsi "))
            report.fail("port %u", port)
                .found("is held by %s, not by tgtd", holder.c_str())
                .mend("stop that, then: systemctl restart tgt; or another port: tgtd --iscsi portal=0.0.0.0:%u", port + 1);
    }
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
        check_running(options, state, seconds, report);
    } else if (!answer && answer.error().code != ENOTCONN) {
        report.fail("tgtd")
            .found("has its control socket, but does not answer: %s", answer.error().what.c_str())
            .mend("see its log; kill -CONT $(pidof tgtd); systemctl restart tgt");
    } else if (answer) {
        report.fail("tgtd").found("answers: %s", mgmt::tgt_code_text(answer->code)).mend("systemctl restart tgt");
    } else if (const std::string socket = mgmt::tgt_socket_path(options.control_port); exists(socket) && ::access(socket.c_str(), W_OK) != 0) {
        state.tgtd_hidden = true;
        report.warn("tgtd").found("may not be asked by this user").mend("run it as root");
    }
    if (!state.tgtd_runs) {
        add_asked_ports(options, state);
        add_port(state, 3260);
    }
    check_conf(options, state, report);
}

}  // namespace iscsi::doctor
