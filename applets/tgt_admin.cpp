// tgt-admin: targets.conf and a running tgtd.
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "applets/applet.h"
#include "applets/check_conf.h"
#include "applets/cli.h"
#include "core/mgmt/tgt_admin.h"
#include "core/mgmt/tgt_client.h"

namespace iscsi::applets {
namespace {

using cli::Arg;

constexpr const char* default_conf = "/etc/tgt/targets.conf";

constexpr cli::Option options[] = {
    {'e', "execute", Arg::none, nullptr, "make the targets of the file that do not run yet; remove idle ones that it lacks"},
    {0, "update", Arg::required, "WHICH", "bring targets to what the file says: ALL, tid=N or a name"},
    {0, "delete", Arg::required, "WHICH", "delete targets that nobody uses: ALL, tid=N or a name"},
    {0, "offline", Arg::required, "WHICH", "refuse new logins: ALL, tid=N or a name"},
    {0, "ready", Arg::required, "WHICH", "admit logins again: ALL, tid=N or a name"},
    {'s', "show", Arg::none, nullptr, "show all targets"},
    {0, "dump", Arg::none, nullptr, "print the running configuration as a file (secrets left out)"},
    {0, "check", Arg::none, nullptr, "name each mistake in the file, with line and column; change nothing"},
    {'c', "conf", Arg::required, "FILE", "configuration file (/etc/tgt/targets.conf)"},
    {'C', "control-port", Arg::required, "N", "which tgtd (0)"},
    {0, "ignore-errors", Arg::none, nullptr, "go on when tgtd refuses something"},
    {'f', "force", Arg::none, nullptr, "also targets in use; also files and devices in use"},
    {'p', "pretend", Arg::none, nullptr, "print what would be done, do nothing"},
    {'v', "verbose", Arg::none, nullptr, "print what is done"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "tgt-admin", "set up the targets of targets.conf in a running tgtd", "tgt-admin [option]...", options,
    "A busy target is left alone unless --force is given. Exit code: 0; 1 or 255 a mistake in the file; 2 no\n"
    "file; else that of the tgtadm request that failed (22, or 107 if tgtd is not there).",
    "  tgt-admin --execute\n  tgt-admin --update ALL\n  tgt-admin --check -c ./new.conf", 8};

// Getopt::Long's habits: one dash will do for a long name.
std::vector<std::string> double_dashes(int argc, char** argv) {
    std::vector<std::string> words(argv, argv + argc);
    for (size_t i = 1; i < words.size(); i++) {
        std::string& w = words[i];
        if (w == "--") break;
        if (w.size() < 2 || w[0] != '-' || w[1] == '-') continue;
        bool letter = false;
        for (const cli::Option& o : options) letter = letter || (w.size() == 2 && o.short_name == w[1]);
        if (!letter && !(w.size() > 2 && (w[1] == 'c' || w[1] == 'C') && !std::isalpha(static_cast<unsigned char>(w[2])))) w.insert(0, "-");
    }
    return words;
}

// getopt's words for a mistake, in Getopt::Long's.
std::string rephrase(const std::string& error) {
    auto quoted = [&](size_t from) {
        const size_t start = error.find('\'', from) + 1;
        std::string name = error.substr(start, error.find('\'', start) - start);
        return name.substr(std::min(name.size(), name.find_first_not_of('-')));
    };
    if (error.starts_with("unrecognized")) return "Unknown option: " + quoted(0);
    if (error.find("requires an argument") != std::string::npos) return "Option " + quoted(0) + " requires an argument";
    if (const size_t list = error.find("possibilities:"); list != std::string::npos) {
        std::string names;
        for (size_t at = list; (at = error.find("'--", at)) != std::string::npos; at += 3)
            names += (names.empty() ? "" : ", ") + error.substr(at + 3, error.find('\'', at + 1) - at - 3);
        return "Option " + quoted(0) + " is ambiguous (" + names + ")";
    }
    return error;
}

void help_on(const char* verb, bool busy_matters) {
    std::printf("      --%s WHICH: %s all or selected targets.\n", verb, verb);
    if (busy_matters) std::printf("A target that an initiator uses is left alone; --force does it all the same.\n");
    std::printf("\n  --%s help      this text\n  --%s ALL       all targets\n  --%s tid=4     the target with tid 4\n"
                "  --%s iqn.2008-08.com.example:some.target\n                   the target of this name\n", verb, verb, verb, verb);
}

}  // namespace

int tgt_admin_main(int argc, char** argv) {
    std::vector<std::string> words = double_dashes(argc, argv);
    std::vector<char*> pointers;
    for (std::string& w : words) pointers.push_back(w.data());
    pointers.push_back(nullptr);
    const cli::Parsed line = cli::parse(interface, argc, pointers.data());
    if (line.error) {
        std::fprintf(stderr, "%s\n", rephrase(*line.error).c_str());
        std::puts("No action specified.");
        return 1;
    }
    if (argc <= 1 || line.has("help")) {
        std::fputs(cli::help(interface).c_str(), stdout);
        return 0;
    }
    for (const char* verb : {"delete", "update", "offline", "ready"})
        if (line.get(verb) == "help") {
            help_on(verb, verb[0] == 'd' || verb[0] == 'u');
            return 0;
        }
    const std::string conf = line.get("conf").value_or(default_conf);
    if (line.has("check")) return check_targets_conf(conf);

    mgmt::TgtAdmin::Options o;
    if (auto port = line.get("control-port")) {
        char* end;
        const long n = std::strtol(port->c_str(), &end, 10);
        if (port->empty() || *end || n < 0 || n > 32767) {
            std::fprintf(stderr, "tgt-admin: --control-port is a number from 0 to 32767, not '%s'\n", port->c_str());
            return 1;
        }
        o.control_port = int(n);
        o.control_port_given = true;
    }
    o.force = line.has("force");
    o.pretend = line.has("pretend");
    o.verbose = line.has("verbose");
    o.ignore_errors = line.has("ignore-errors");
    o.conf_named = line.has("conf");
    // Init scripts start tgtd in the background and --execute right after it: the first request waits a little for it.
    unsigned patience = line.has("execute") && !line.has("pretend") ? 2 : 0;
    mgmt::TgtAdmin admin(o, {[&patience](int port, const mgmt::TgtRequest& r) { return mgmt::tgt_call(port, r, std::exchange(patience, 0)); },
                             [](const std::string& text) { std::fputs(text.c_str(), stdout); std::fflush(stdout); },
                             [](std::string_view program, const std::string& text) {
                                 std::fprintf(stderr, "%.*s%s%s\n", int(program.size()), program.data(), program.empty() ? "" : ": ", text.c_str());
                             }});
    if (line.has("show")) return admin.show();
    const bool acts = line.has("execute") || line.has("delete") || line.has("update") || line.has("dump") || line.has("offline") || line.has("ready");
    if (!acts) {
        std::puts("No action specified.");
        return 0;
    }
    if (::geteuid() != 0) {
        std::fputs("You must be root to run this program.\n", stderr);
        return 255;
    }
    if (line.has("offline") && line.has("ready")) {
        std::puts("Invalid value (you can't use both ready and offline)!");
        return 1;
    }
    if (line.has("execute")) return admin.execute(conf);
    if (auto which = line.get("delete")) return admin.remove(*which);
    if (auto which = line.get("update")) return admin.update(*which, conf);
    if (line.has("dump")) return admin.dump();
    if (auto which = line.get("offline")) return admin.set_state(*which, "offline");
    return admin.set_state(*line.get("ready"), "ready");
}

}  // namespace iscsi::applets
