// iscsi doctor: what is wrong with iSCSI here, and what mends it.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "applets/applet.h"
#include "applets/cli.h"
#include "applets/initiator_tool.h"
#include "applets/one_shot.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/doctor/doctor.h"
#include "core/base/sizes.h"
#include "core/wire/text_keys.h"

namespace iscsi::applets {
namespace {

using cli::Arg;
using doctor::Finding;
using doctor::Level;

constexpr cli::Option options[] = {
    {'j', "json", Arg::none, nullptr, "an array of findings: level, what, finding, fix"},
    {'q', "quiet", Arg::none, nullptr, "leave out what is ok"},
    {'t', "timeout", Arg::required, "SECONDS", "how long each check waits for others (5)"},
    {'i', "initiator-name", Arg::required, "IQN", "log in under this name (that of initiatorname.iscsi)"},
    {'C', "control-port", Arg::required, "N", "number of tgtd's control socket (0)"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "iscsi doctor", "find what is wrong with iSCSI on this machine", "iscsi doctor [option]... [TARGET|PORTAL|URL]...", options,
    "Looks at the initiator's name, records, kernel modules, daemons, what dead\n"
    "ones left behind, time-outs, the firewall; at tgtd, its targets, their stores\n"
    "and targets.conf; and asks every portal that the records know, or those named:\n"
    "reachable, iSCSI, packet size, targets, a login of its own that sends no\n"
    "command and disturbs no session. It changes nothing.\n"
    "\n"
    "A line per check begins with ok, warn or FAIL; the line after one that is not\n"
    "ok says what mends it. TARGET is a target's name with records here, PORTAL an\n"
    "address with or without port, URL as for iscsi ls; a password in a URL can be\n"
    "seen in ps, LIBISCSI_CHAP_USERNAME and LIBISCSI_CHAP_PASSWORD serve as well.\n"
    "\n"
    "Exit status: 0 if nothing failed, 1 if something did, 2 for a wrong command.\n",
    "iscsi doctor\n  iscsi doctor 192.0.2.10\n  iscsi doctor --json iqn.2003-01.org.example:disk1", 8};

const char* level_name(Level level) { return level == Level::ok ? "ok" : level == Level::warn ? "warn" : "FAIL"; }

void print_text(const std::vector<Finding>& findings, bool quiet) {
    const bool colours = ::isatty(1) && !::getenv("NO_COLOR");
    for (const Finding& f : findings) {
        if (quiet && f.level == Level::ok) continue;
        const char* colour = !colours ? "" : f.level == Level::ok ? "\033[32m" : f.level == Level::warn ? "\033[33m" : "\033[1;31m";
        std::printf("%s%-4s%s  %s: %s\n", colour, level_name(f.level), colours ? "\033[0m" : "", f.what.c_str(), f.finding.c_str());
        if (!f.fix.empty()) std::printf("      fix: %s\n", f.fix.c_str());
    }
}

void print_json(const std::vector<Finding>& findings, bool quiet) {
    Json json;
    json.array();
    for (const Finding& f : findings) {
        if (quiet && f.level == Level::ok) continue;
        json.object().field("level", level_name(f.level)).field("what", f.what).field("finding", f.finding);
        if (!f.fix.empty()) json.field("fix", f.fix);
        json.end();
    }
    json.end();
    std::fputs(json.take().c_str(), stdout);
}

int refuse(const std::string& why) { return usage_error(interface, why + "; see iscsi doctor --help"); }

}  // namespace

int doctor_main(int argc, char** argv) {
    const cli::Parsed p = cli::parse(interface, argc, argv);
    hide_secrets(argc, argv);
    if (const auto code = settled(interface, p)) return *code;
    log::open("iscsi doctor", log::Sink::quiet, log::Level::error);         // what is wrong is a finding
    doctor::Options o;
    o.words = p.words;
    if (auto t = p.get("timeout")) {
        const double seconds = parse_decimal(*t).value_or(0);
        if (!(seconds >= 0.1) || seconds > 3600) return refuse("--timeout is a number of seconds from 0.1 to 3600, not '" + *t + "'");
        o.deadline_ms = uint64_t(seconds * 1000);
    }
    const auto port = control_port(interface, p);
    if (!port) return 2;
    o.control_port = *port;
    if (auto name = p.get("initiator-name")) {
        if (!wire::valid_iscsi_name(*name)) return refuse("'" + *name + "' is no iSCSI name (iqn.YYYY-MM.DOMAIN:TEXT)");
        o.initiator_name = *name;
    }
    auto report = doctor::examine(o);
    if (!report) return refuse(report.error().text());
    p.has("json") ? print_json(report->findings(), p.has("quiet")) : print_text(report->findings(), p.has("quiet"));
    return report->count(Level::fail) ? 1 : 0;
}

}  // namespace iscsi::applets
