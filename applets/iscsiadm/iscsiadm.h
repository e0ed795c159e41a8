// What the modes of iscsiadm share: the command line as asked for, the record database, sysfs, where text goes. One Tool per
// run, passed by reference; each mode is a function in a file of its own that returns the exit code (InitiatorError).
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/config/iscsid_conf.h"
#include "core/config/node_records.h"
#include "core/initiator/initiator_error.h"
#include "core/kernel/sysfs.h"
#include "core/mgmt/iscsid_protocol.h"

namespace iscsi::applets::iscsiadm {

using config::Key;
using config::Kind;
using config::Record;
using initiator::InitiatorError;

enum class Op { show, create, update, remove, nonpersistent, apply, applyall, login, logout };

// The command line. An option that may be absent is an optional; what is repeated, a vector.
struct Request {
    std::string mode;
    std::vector<Op> ops;
    std::optional<std::string> portal, target, host, sid, type, submode, ip;
    std::vector<std::string> ifaces;
    std::vector<std::pair<std::string, std::string>> params;     // -n NAME -v VALUE, in pairs
    bool half_param = false;                                     // a -n without -v or the other way round
    std::optional<int> print_level;
    std::optional<std::string> login_all, logout_all;
    bool login = false, logout = false, rescan = false, stats = false, discover = false;
    bool show_secrets = false, no_wait = false, json = false, keep = false, prune = false, logout_gone = false, force = false;
    int ping_count = 1;

    std::optional<Op> op() const { return ops.empty() ? std::nullopt : std::optional(ops.back()); }
    bool has(Op op) const;
};

class Tool {
public:
    Tool(Request request, std::string state_directory, kernel::Sysfs sysfs);

    Request request;
    config::Database db;
    config::IscsidConf conf;
    kernel::Sysfs sysfs;
    std::string socket_name = mgmt::iscsid_socket_name;
    bool captured = false;                // tests: text stays in out and errors
    std::string out, errors;

    void print(const char* format, ...) __attribute__((format(printf, 2, 3)));
    void print_text(std::string_view text);
    void error(const char* format, ...) __attribute__((format(printf, 2, 3)));      // "iscsiadm: TEXT\n"
    void flush();

    // "initiator reported error (24 - iSCSI login failed due to authorization failure)"
    void report(InitiatorError code);

    // The daemon; started if it does not run and `start`. Errors are printed.
    mgmt::IscsidClient* daemon(bool start, InitiatorError* why);

private:
    std::optional<mgmt::IscsidClient> client_;
};

// One pair of -n and -v put into a record; the messages are open-iscsi's. The exit code.
int change(Tool& tool, Record& record, const std::string& name, const std::string& value);

// Modes.
int discovery_mode(Tool&, bool db_mode);
int node_mode(Tool&);
int session_mode(Tool&);
int iface_mode(Tool&);
int host_mode(Tool&);
int fw_mode(Tool&);
int stop_daemon(Tool&);

// The record operations of node mode, also reached from `-m session -r SID`.
int show_nodes(Tool&, const std::vector<Record>& nodes);
int update_nodes(Tool&, std::vector<Record> nodes);
int delete_nodes(Tool&, const std::vector<Record>& nodes);

// Sessions of the kernel, in open-iscsi's order (by name: session11 before session8).
std::vector<kernel::SessionInfo> list_sessions(Tool&);
config::NodeId id_of(const kernel::SessionInfo&);
// The record the session was made from; what sysfs says if there is none.
Record record_of(Tool&, const kernel::SessionInfo&);

int rescan_sessions(Tool&, const std::vector<kernel::SessionInfo>&);
int print_stats(Tool&, const std::vector<kernel::SessionInfo>&);

// login.cpp: both print as they go and return the first error. `more`: one session more than there are.
int login_nodes(Tool&, const std::vector<Record>& nodes, bool more = false, bool closing_line = true);
int logout_sessions(Tool&, const std::vector<kernel::SessionInfo>& sessions);

// print.cpp
std::string portal_of(const Record& node);                   // "192.0.2.10:3260"
std::string quoted(const Record& node);                      // "[iface: I, target: T, portal: A,P]"
std::string quoted(const kernel::SessionInfo& session);      // "[sid: 1, target: T, portal: A,P]"
void print_list(Tool&, const std::vector<Record>& nodes);    // "A:P,TPGT IQN"
void print_tree(Tool&, const std::vector<Record>& nodes);    // Target / Portal / Iface Name
void print_nodes_json(Tool&, const std::vector<Record>& nodes, bool whole);
void print_session_list(Tool&, const std::vector<kernel::SessionInfo>& sessions);
void print_session_tree(Tool&, const std::vector<kernel::SessionInfo>& sessions, int level);
void print_sessions_json(Tool&, const std::vector<kernel::SessionInfo>& sessions);
// What of a session tree is shown below `-m host`.
struct SessionParts { bool details = true, timeouts = false, chap = false, params = false, devices = false, host_state = false; };
void print_session_tree(Tool&, const std::vector<kernel::SessionInfo>& sessions, const SessionParts& parts, const std::string& indent);

inline int number(InitiatorError code) { return int(code); }

}  // namespace iscsi::applets::iscsiadm
