// iscsiadm: the command line, which options each mode takes, and the texts every mode shares.
#include "applets/iscsiadm/iscsiadm.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/base/format.h"
#include "core/base/log.h"

namespace iscsi::applets {
namespace iscsiadm {
namespace {

using cli::Arg;

constexpr cli::Option options[] = {
    {'m', "mode", Arg::required, "MODE", "discovery, discoverydb, node, session, iface, host or fw"},
    {'o', "op", Arg::required, "OP", "new, update, delete, show, nonpersistent; may be repeated in discovery"},
    {'t', "type", Arg::required, "TYPE", "how to discover: sendtargets (st), isns, fw"},
    {'p', "portal", Arg::required, "ADDR[:PORT][,TPGT]", "the portal; IPv6 in brackets"},
    {'T', "targetname", Arg::required, "NAME", "the target"},
    {'I', "interface", Arg::required, "IFACE", "the iface record; may be repeated in discovery"},
    {'l', "login", Arg::none, nullptr, "log in"},
    {'u', "logout", Arg::none, nullptr, "log out"},
    {'L', "loginall", Arg::required, "WHICH", "log in to nodes whose node.startup is WHICH: manual, automatic, onboot; or all"},
    {'U', "logoutall", Arg::required, "WHICH", "log out of sessions whose node.startup is WHICH; all spares onboot"},
    {'R', "rescan", Arg::none, nullptr, "look for new logical units and new sizes"},
    {'s', "stats", Arg::none, nullptr, "show statistics"},
    {'r', "sid", Arg::required, "SID", "the session: its number or its folder in /sys"},
    {'n', "name", Arg::required, "KEY", "with --op=update: the key to change; pairs of -n and -v may be repeated"},
    {'v', "value", Arg::required, "VALUE", "its new value"},
    {'P', "print", Arg::required, "LEVEL", "show a tree, 0 to 3 (host: 4)"},
    {'S', "show", Arg::none, nullptr, "show secrets"},
    {'D', "discover", Arg::none, nullptr, "discoverydb: discover with the stored record"},
    {'H', "host", Arg::required, "HOST", "number of the SCSI host"},
    {'W', "no_wait", Arg::none, nullptr, "do not wait for the login"},
    {'k', "killiscsid", Arg::required, "PRIORITY", "ask iscsid to end; sessions stay (0 is the only priority)"},
    {'C', "submode", Arg::required, "MODE", "ping, with -m iface -I IFACE (offload cards only)"},
    {'a', "ip", Arg::required, "ADDR", "whom to ping"},
    {'b', "packetsize", Arg::required, "BYTES", nullptr},
    {'c', "count", Arg::required, "N", "how many times"},
    {'i', "interval", Arg::required, "SECONDS", nullptr},
    {'x', "index", Arg::required, "N", nullptr},
    {'A', "portal_type", Arg::required, "TYPE", nullptr},
    {'P', "pr", Arg::required, "LEVEL", nullptr},           // --prune and --keep must not make older
    {'k', "k", Arg::required, "PRIORITY", nullptr},         // abbreviations ambiguous
    {0, "keep", Arg::none, nullptr, "discovery: leave records that exist as they are (as -o new)"},
    {0, "logout-gone", Arg::none, nullptr, "discovery: with --prune, log out of what is gone, unless it is in use"},
    {0, "prune", Arg::none, nullptr, "discovery: with --keep's care, remove records that are gone (as -o new -o delete)"},
    {0, "force", Arg::none, nullptr, "log out even if a disk of the session is mounted"},
    {0, "json", Arg::none, nullptr, "show as JSON"},
    {0, "database", Arg::required, "DIR", "the state directory, for $ISCSI_STATE_DIR or /etc/iscsi"},
    {'d', "debug", Arg::required, "LEVEL", "0 to 8"},
    {'V', "version", Arg::none, nullptr, "print the version whose ways these are"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "iscsiadm", "records of targets, discovery, login and logout",
    "iscsiadm -m discovery -t TYPE -p PORTAL [-I IFACE]... [-l] [-o OP]...\n"
    "       iscsiadm -m discoverydb [-t TYPE -p PORTAL] [-o OP | -D]\n"
    "       iscsiadm -m node [-T NAME] [-p PORTAL] [-I IFACE] [-l | -u | -R | -s | -o OP]\n"
    "       iscsiadm -m session [-r SID] [-P LEVEL | -u | -R | -s | -o OP]\n"
    "       iscsiadm -m iface [-I IFACE] [-o OP]\n"
    "       iscsiadm -m host [-P LEVEL] | -m fw [-l]",
    options,
    "iscsiadm -m MODE --help shows the options of a mode.\n\n"
    "Records are kept below /etc/iscsi as open-iscsi 2.1.8 keeps them. Exit status: 0, or a number with the text\n"
    "\"initiator reported error (N - TEXT)\": 7 usage, 8 and 11 no answer, 15 session exists, 20 no iscsid,\n"
    "21 nothing found, 24 authentication failed; the others are in iscsiadm(8).",
    "  iscsiadm -m discovery -t st -p 192.0.2.10\n"
    "  iscsiadm -m node -T iqn.2026-01.org.example:disk1 -p 192.0.2.10 --login\n"
    "  iscsiadm -m node -T iqn.2026-01.org.example:disk1 -o update -n node.startup -v automatic\n"
    "  iscsiadm -m session -P 3\n"
    "  iscsiadm -m node --logout",
    8};

struct Mode {
    const char* name;
    const char* letters;                 // options it takes besides -m, -d, -V and those without a letter
    int (*run)(Tool&);
};
constexpr Mode modes[] = {
    {"discovery", "DSIPpntlov", [](Tool& t) { return discovery_mode(t, false); }},
    {"discoverydb", "DSIPpntlov", [](Tool& t) { return discovery_mode(t, true); }},
    {"node", "RsPIlSonvupTULW", node_mode},
    {"session", "PiRrusonSv", session_mode},
    {"host", "CHPotnvxA", host_mode},
    {"iface", "HInvPoCabci", iface_mode},
    {"fw", "lWnv", fw_mode},
};

constexpr struct { const char* name; Op op; } operations[] = {
    {"new", Op::create}, {"update", Op::update}, {"delete", Op::remove}, {"show", Op::show}, {"nonpersistent", Op::nonpersistent},
    {"apply", Op::apply}, {"applyall", Op::applyall}, {"login", Op::login}, {"logout", Op::logout},
};

constexpr int usage_error = int(InitiatorError::invalid);
constexpr char try_help[] = "Try `iscsiadm --help' for more information.\n";

int number_of(const std::string& text, int otherwise) {
    int n = otherwise;
    std::from_chars(text.data(), text.data() + text.size(), n);
    return n;
}

bool startup_word(const std::string& s) { return s == "all" || s == "manual" || s == "automatic" || s == "onboot"; }

// Options into a Request. A number: the exit code of a mistake, already told.
std::optional<int> understand(const cli::Parsed& parsed, Request& r) {
    std::optional<std::string> name, value;
    auto complain = [](const std::string& text) {
        std::fprintf(stderr, "iscsiadm: %s\n", text.c_str());
        return usage_error;
    };
    for (const cli::Item& item : parsed.items) {
        const std::string& v = item.value;
        switch (item.option->short_name) {
            case 'm': r.mode = v; break;
            case 'o': {
                auto op = std::find_if(std::begin(operations), std::end(operations), [&](auto& row) { return v == row.name; });
                if (op == std::end(operations)) return complain("can not recognize operation: '" + v + "'");
                r.ops.push_back(op->op);
                break;
            }
            case 't': r.type = v; break;
            case 'p': r.portal = v; break;
            case 'T': r.target = v; break;
            case 'I': r.ifaces.push_back(v); break;
            case 'l': r.login = true; break;
            case 'u': r.logout = true; break;
            case 'L':
            case 'U': {
                bool in = item.option->short_name == 'L';
                (in ? r.login_all : r.logout_all) = v;
                if (!startup_word(v)) {
                    complain(std::string("Invalid ") + (in ? "loginall" : "logoutall") + " option " + v + ".");
                    std::fputs(try_help, stderr);
                    return usage_error;
                }
                break;
            }
            case 'R': r.rescan = true; break;
            case 's': r.stats = true; break;
            case 'r': r.sid = v; break;
            case 'n': name = v; break;
            case 'v': value = v; break;
            case 'P': r.print_level = number_of(v, 0); break;
            case 'S': r.show_secrets = true; break;
            case 'D': r.discover = true; break;
            case 'H': r.host = v; break;
            case 'W': r.no_wait = true; break;
            case 'C': r.submode = v; break;
            case 'a': r.ip = v; break;
            case 'c': r.ping_count = std::clamp(number_of(v, 1), 1, 100); break;
            case 'd': log::set_level(number_of(v, 0) > 0 ? log::Level::debug : log::Level::warning); break;
            default: break;
        }
        if (name && value) {
            r.params.emplace_back(*name, *value);
            name = value = std::nullopt;
        }
    }
    r.half_param = name || value;
    r.json = parsed.has("json");
    r.keep = parsed.has("keep");
    r.logout_gone = parsed.has("logout-gone");
    r.prune = parsed.has("prune") || r.logout_gone;
    r.force = parsed.has("force");
    return std::nullopt;
}

// Waits for a child at most `seconds`; it is not killed then.
void wait_bounded(pid_t child, int seconds) {
    for (int i = 0; i < seconds * 20; i++) {
        int status;
        if (::waitpid(child, &status, WNOHANG) != 0) return;
        ::usleep(50'000);
    }
}

// Runs the command of iscsid.startup, or ourselves under the name iscsid if it names none.
void start_iscsid(const std::string& command) {
    std::fflush(stdout);
    pid_t child = ::fork();
    if (child == 0) {
        if (!command.empty()) ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
        else ::execl("/proc/self/exe", "iscsid", static_cast<char*>(nullptr));
        ::_exit(127);
    }
    if (child > 0) wait_bounded(child, 10);
}

}  // namespace

bool Request::has(Op op) const { return std::find(ops.begin(), ops.end(), op) != ops.end(); }

Tool::Tool(Request r, std::string state_directory, kernel::Sysfs s)
    : request(std::move(r)), db(std::move(state_directory)), sysfs(std::move(s)) {
    conf = config::read_iscsid_conf(db.root() + "/iscsid.conf");
    for (const auto& complaint : conf.complaints) log::warning("%s", complaint.message().c_str());
}

void Tool::print_text(std::string_view text) {
    out += text;
    if (out.size() > 64 * 1024) flush();
}

void Tool::print(const char* format, ...) {
    std::string line;
    va_list arguments;
    va_start(arguments, format);
    append_list(line, format, arguments);
    va_end(arguments);
    print_text(line);
}

void Tool::error(const char* format, ...) {
    std::string line = "iscsiadm: ";
    va_list arguments;
    va_start(arguments, format);
    append_list(line, format, arguments);
    va_end(arguments);
    line += '\n';
    if (captured) errors += line;
    else {
        flush();
        std::fputs(line.c_str(), stderr);
    }
}

void Tool::flush() {
    if (captured) return;
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
    out.clear();
}

int change(Tool& tool, Record& record, const std::string& name, const std::string& value) {
    auto key = config::find_key(name);
    if (!key || !record.has(*key)) {
        tool.error("Cannot modify %s. Invalid param name.", name.c_str());
        return int(InitiatorError::invalid);
    }
    const config::Field& row = config::field(*key);
    if (row.flags & config::flag::fixed) {
        tool.error("Cannot modify %s. It is used to look up the record and cannot be changed.", name.c_str());
        return int(InitiatorError::invalid);
    }
    if (row.flags & config::flag::iface) {
        tool.error("Cannot modify %s. Use iface mode to update this value.", name.c_str());
        return int(InitiatorError::invalid);
    }
    if (record.set(*key, value) == Record::Set::ok) return 0;
    tool.error("unknown value format '%s' for parameter name '%s'", row.flags & config::flag::secret ? "********" : value.c_str(),
               name.c_str());
    if (record.kind() == Kind::node) tool.error("Unknown parameter %s.", name.c_str());
    return int(InitiatorError::invalid);
}

void Tool::report(InitiatorError code) {
    error("initiator reported error (%d - %s)", int(code), initiator::text(code));
}

mgmt::IscsidClient* Tool::daemon(bool start, InitiatorError* why) {
    if (client_) return &*client_;
    flush();
    int refused = 0;
    auto connected = mgmt::IscsidClient::connect(&refused, socket_name);
    bool absent = !connected && connected.error().code == int(InitiatorError::daemon_not_connected);
    if (absent && start) {
        // the command of iscsid.conf first; where it does not help (no systemd), ourselves
        std::vector<std::string> commands{""};
        if (!conf.startup.empty()) commands.insert(commands.begin(), conf.startup);
        for (const std::string& command : commands) {
            if (connected || (command.empty() && ::geteuid() != 0)) continue;
            start_iscsid(command);
            for (int i = 0; i < 20 && !(connected = mgmt::IscsidClient::connect(&refused, socket_name)); i++) {
                if (connected.error().code != int(InitiatorError::daemon_not_connected)) break;
                if (!command.empty() && i >= 4) break;
                ::usleep(50'000);
            }
        }
    }
    if (!connected) {
        if (why) *why = InitiatorError(connected.error().code);
        if (connected.error().code == int(InitiatorError::daemon_not_connected))
            error("can not connect to iSCSI daemon (%d)!", refused);
        else error("%s", connected.error().what.c_str());
        return nullptr;
    }
    client_ = std::move(*connected);
    return &*client_;
}

int stop_daemon(Tool& tool) {
    InitiatorError why = InitiatorError::none;
    if (mgmt::IscsidClient* client = tool.daemon(false, &why)) {
        auto answer = client->call(mgmt::request(mgmt::IscsidRequest::stop), std::chrono::seconds(10));
        why = answer ? answer->error() : InitiatorError(answer.error().code);
    }
    if (why == InitiatorError::none) return 0;
    tool.report(why);
    tool.error("Could not stop iscsid. Trying sending iscsid SIGTERM or SIGKILL signals manually");
    return 0;
}

}  // namespace iscsiadm

int iscsiadm_main(int argc, char** argv) {
    using namespace iscsiadm;
    log::open("iscsiadm", log::Sink::foreground, log::Level::warning);
    cli::Parsed parsed = cli::parse(interface, argc, argv);
    if (parsed.error) std::fprintf(stderr, "iscsiadm: %s\n", parsed.error->c_str());
    Request request;
    if (auto mistake = understand(parsed, request)) return *mistake;
    if (parsed.has("help")) {
        auto of = std::find_if(std::begin(modes), std::end(modes), [&](const Mode& m) { return request.mode == m.name; });
        cli::Mode shown{of == std::end(modes) ? "" : of->name, "mdVh", "-m "};
        shown.letters += of == std::end(modes) ? "k" : of->letters;
        std::fputs(cli::help(interface, &shown).c_str(), stdout);
        return 0;
    }
    if (parsed.has("version")) {
        std::printf("iscsiadm version %s\n", std::string(config::record_version).c_str());
        return 0;
    }
    bool stop = parsed.has("killiscsid");
    std::string state = parsed.get("database").value_or(config::state_directory());
    ::setenv("ISCSI_STATE_DIR", state.c_str(), 1);       // for an iscsid that we start
    if (request.mode.empty() && !stop) {
        std::fputs(try_help, stderr);
        return usage_error;
    }
    auto mode = std::find_if(std::begin(modes), std::end(modes), [&](const Mode& m) { return request.mode == m.name; });
    if (!stop && mode == std::end(modes)) {
        std::fprintf(stderr, "iscsiadm: mode -1 is not yet supported\n");
        return usage_error;
    }
    if (!stop) {
        auto refuse = [&](char letter) {
            std::fprintf(stderr, "iscsiadm: %s mode: option '-%c' is not allowed/supported\n", mode->name, letter);
            return usage_error;
        };
        if (parsed.error) return refuse('?');
        for (const cli::Item& item : parsed.items)
            if (char c = item.option->short_name; c && !std::strchr("mdV", c) && !std::strchr(mode->letters, c)) return refuse(c);
    }
    const char* sysfs = ::secure_getenv("ISCSI_SYSFS");
    Tool tool(std::move(request), std::move(state), kernel::Sysfs(sysfs ? sysfs : "/sys"));
    int code = stop ? stop_daemon(tool) : mode->run(tool);
    tool.flush();
    return code;
}

}  // namespace iscsi::applets
