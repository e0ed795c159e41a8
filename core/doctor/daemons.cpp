// The daemons: who answers, what dead ones left behind, who holds a port.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "core/base/fd.h"
#include "core/base/file.h"
#include "core/doctor/doctor.h"
#include "core/mgmt/iscsid_protocol.h"
#include "core/mgmt/tgt_protocol.h"

namespace iscsi::doctor {
namespace {

// "socket:[INODE]" of those that listen on the port: fields of /proc/net/tcp are  sl local remote st … uid timeout inode.
std::vector<std::string> listening_inodes(const std::string& proc, unsigned port) {
    std::vector<std::string> inodes;
    for (const char* table : {"/net/tcp", "/net/tcp6"}) {
        auto content = read_file(proc + table, 64 << 20);
        if (!content) continue;
        for (std::string_view rest = *content; !rest.empty();) {
            const size_t end = std::min(rest.find('\n'), rest.size());
            std::string_view line = rest.substr(0, end), fields[10];
            rest.remove_prefix(std::min(end + 1, rest.size()));
            for (std::string_view& field : fields) {
                line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
                field = line.substr(0, line.find(' '));
                line.remove_prefix(field.size());
            }
            const size_t colon = fields[1].rfind(':');
            if (colon == std::string_view::npos || fields[3] != "0A") continue;
            if (std::strtoul(std::string(fields[1].substr(colon + 1)).c_str(), nullptr, 16) == port)
                inodes.push_back("socket:[" + std::string(fields[9]) + "]");
        }
    }
    return inodes;
}

}  // namespace

std::string listener_of(const std::string& proc, unsigned port) {
    const std::vector<std::string> inodes = listening_inodes(proc, port);
    if (inodes.empty()) return "";
    for (const std::string& pid : list_folder(proc)) {
        if (pid[0] < '1' || pid[0] > '9') continue;
        const std::string folder = proc + "/" + pid + "/fd";
        for (const std::string& fd : list_folder(folder)) {
            const std::string to = link_name(folder + "/" + fd);
            for (const std::string& inode : inodes)
                if (to == inode) return text("%s (pid %s)", read_attribute(proc + "/" + pid + "/comm").c_str(), pid.c_str());
        }
    }
    return ::geteuid() == 0 ? "the kernel (LIO) or a process outside this container" : "another user's process";
}

void check_iscsid(const Options& options, State& state, Report& report) {
    const kernel::Sysfs sysfs(options.places.sysfs, options.places.proc);
    const size_t sessions = sysfs.session_ids().size();
    size_t automatic = 0;
    for (const config::Record& node : state.nodes) automatic += node.text(config::Key::node_startup) == "automatic";
    int why = 0;
    auto client = mgmt::IscsidClient::connect(&why);
    if (client) {
        state.iscsid_runs = true;
        return report.ok("iscsid")
            .is("answers: ours, version %s, pid %d, %zu session%s", client->daemon_version().c_str(), client->daemon_pid(),
                sessions, plural(sessions));
    }
    if (client.error().code == int(initiator::InitiatorError::daemon_comm))
        return report.warn("iscsid")
            .found("%s", client.error().what.c_str())
            .mend("systemctl stop iscsid.socket iscsid; iscsid");
    if (client.error().code != int(initiator::InitiatorError::daemon_not_connected))
        return report.fail("iscsid")
            .found("%s", client.error().what.c_str())
            .mend("systemctl restart iscsid (sessions stay)");
    if (why == EACCES || why == EPERM)
        return report.warn("iscsid")
            .found("may not be asked by this user")
            .mend("run it as root");
    if (sessions)
        return report.fail("iscsid")
            .found("does not run, but the kernel has %zu session%s: nobody logs in again when a connection is lost", sessions, plural(sessions))
            .mend("systemctl start iscsid");
    if (automatic)
        return report.fail("iscsid")
            .found("does not run, and %zu of the records say node.startup = automatic", automatic)
            .mend("systemctl start iscsid open-iscsi");
    report.ok("iscsid").is("does not run; iscsiadm starts it when needed");
}

void check_leftovers(const Options& options, const State& state, Report& report) {
    const Places& at = options.places;
    const size_t mark = report.mark();
    // open-iscsi's lock of the record database: the link exists while somebody writes, for milliseconds.
    const std::string lock = (at.state == "/etc/iscsi" ? at.run + "/lock/iscsi" : at.state + "/lock") + "/lock.write";
    struct stat info{};
    if (::stat(lock.c_str(), &info) == 0 && ::time(nullptr) - info.st_ctime > 10 && !process_runs(at.proc, "iscsiadm"))
        report.fail("database lock")
            .found("%s was left behind: every iscsiadm that writes waits 30 s and gives up", lock.c_str())
            .mend("rm %s", lock.c_str());
    const std::string pid_file = at.run + "/iscsid.pid";
    if (const int pid = std::atoi(read_attribute(pid_file).c_str()); pid > 0 && !state.iscsid_runs) {
        const std::string name = read_attribute(text("%s/%d/comm", at.proc.c_str(), pid));
        if (name != "iscsid" && name != "iscsi")
            report.warn("PID file")
                .found("%s names process %d, which is %s", pid_file.c_str(), pid, name.empty() ? "gone" : name.c_str())
                .mend("rm %s", pid_file.c_str());
    }
    const std::string socket = mgmt::tgt_socket_path(options.control_port);
    if (!state.tgtd_runs && !state.tgtd_hidden && ::stat(socket.c_str(), &info) == 0 && !process_runs(at.proc, "tgtd"))
        report.warn("control socket")
            .found("%s was left behind by a tgtd that is gone", socket.c_str())
            .mend("systemctl start tgt (or rm %s)", socket.c_str());
    if (!report.worse_since(mark)) report.ok("locks and PID files").is("none left behind");
}

}  // namespace iscsi::doctor
