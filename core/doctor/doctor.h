// `iscsi doctor`: looks at what usually goes wrong with iSCSI on this machine and on the way to its portals, and says the fix.
// One file per kind of check, each a function that appends findings to the report. Everything is bounded in time: what waits
// for others (daemons, portals, programs) has a deadline, portals are asked side by side. Nothing is changed anywhere; logins
// are sessions of their own, ended before a command is sent.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/config/node_records.h"
#include "core/config/records.h"
#include "core/doctor/report.h"
#include "core/initiator/session.h"
#include "core/initiator/url.h"
#include "core/kernel/sysfs.h"
#include "core/mgmt/tgt_status.h"

namespace iscsi::doctor {

// Where things are. Tests give a tree of their own.
struct Places {
    std::string state = config::state_directory();              // nodes/, send_targets/, ifaces/
    std::string initiator_name = "/etc/iscsi/initiatorname.iscsi", iscsid_conf = "/etc/iscsi/iscsid.conf";
    std::string targets_conf = "/etc/tgt/targets.conf";
    std::string sysfs = "/sys", proc = "/proc", run = "/run", machine_id = "/etc/machine-id", modules = "/lib/modules";
};

struct Options {
    Places places;
    std::vector<std::string> words;         // TARGET, PORTAL or URL; none: everything that is configured
    std::string initiator_name;             // empty: that of initiatorname.iscsi
    int control_port = 0;                   // of tgtd
    uint64_t deadline_ms = 5000;            // of each check that waits for somebody
};

// What the checks learn of each other.
struct State {
    std::string initiator_name;             // empty: none
    std::vector<config::Record> nodes;
    bool iscsid_runs = false, tgtd_runs = false;
    bool tgtd_hidden = false;               // this user may not ask it: it may run or not
    std::vector<mgmt::RunningTarget> targets;           // of the local tgtd
    std::vector<uint16_t> ports;            // those it listens on; while it does not run, those asked for and the usual one
};

// All of them, in order. An Error: a word is neither target, portal nor URL; `what` says so.
Result<Report> examine(const Options& options);

// identity.cpp: initiatorname.iscsi
void check_identity(const Options& options, State& state, Report& report);
// modules.cpp: iscsi_tcp and its transport, nbd
void check_modules(const Options& options, const State& state, Report& report);
// daemons.cpp: iscsid, tgtd, what dead ones left behind, who holds the port
void check_iscsid(const Options& options, State& state, Report& report);
void check_leftovers(const Options& options, const State& state, Report& report);
// records.cpp: the record database
void check_records(const Options& options, State& state, Report& report);
// timeouts.cpp: those of records, sessions and disks against each other
void check_timeouts(const Options& options, const State& state, Report& report);
// target_side.cpp: tgtd, its targets, targets.conf
void check_target_side(const Options& options, State& state, Report& report);
// firewall.cpp: rules of this machine about the ports of tgtd
void check_firewall(const Options& options, const State& state, Report& report);
// portals.cpp: reachable, iSCSI, MTU, list of targets, login
Result<void> check_portals(const Options& options, const State& state, Report& report);

// ---- parts with a sense of their own, for tests

// A login that failed: what it means and what to do. `by_url`: its user and secret are not those of a record.
void report_login(Report& report, const initiator::SessionEnd& end, const initiator::LoginSettings& used, const char* target,
                  const char* portal, bool by_url);

// What the rules say to a new TCP connection to `port`: text of `nft list ruleset` or of iptables-save.
enum class Passage : uint8_t { open, some, closed };        // some: only from certain addresses or interfaces, as far as can be seen
Passage passage(std::string_view listing, unsigned port);

// Who listens on the TCP port, by /proc: "istgt (pid 12)", "the kernel"; empty: nobody.
std::string listener_of(const std::string& proc, unsigned port);

// Output of a program, at most 1 MB, or nothing: not there, failed, or not within the time.
std::optional<std::string> output_of(const char* const* argv, uint64_t deadline_ms);

// Whether some process is called this.
bool process_runs(const std::string& proc, std::string_view name);

}  // namespace iscsi::doctor
