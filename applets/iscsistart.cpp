// iscsistart: log in at boot with no daemon and no files. The engine of iscsid, in this process, for as long as the
// logins take; the sessions stay in the kernel, where a later iscsid finds them.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "applets/applet.h"
#include "applets/boot_login.h"
#include "applets/cli.h"
#include "core/base/log.h"
#include "core/config/firmware.h"
#include "core/config/iscsid_conf.h"
#include "core/config/node_records.h"
#include "core/initiator/network_setup.h"

namespace iscsi::applets {
namespace {

using cli::Arg;
using config::Key;

constexpr cli::Option options[] = {
    {'i', "initiatorname", Arg::required, "NAME", "initiator name"},
    {'t', "targetname", Arg::required, "NAME", "target name"},
    {'g', "tgpt", Arg::required, "TAG", "target portal group tag"},
    {'a', "address", Arg::required, "ADDR", "target address"},
    {'p', "port", Arg::required, "PORT", "target port (3260)"},
    {'u', "username", Arg::required, "NAME", "CHAP user name"},
    {'w', "password", Arg::required, "SECRET", "CHAP secret"},
    {'U', "username_in", Arg::required, "NAME", "the target's CHAP user name (mutual)"},
    {'W', "password_in", Arg::required, "SECRET", "the target's CHAP secret"},
    {'d', "debug", Arg::required, "LEVEL", "0 to 8"},
    {'b', "fwparam_connect", Arg::none, nullptr, "log in to every target the firmware names"},
    {'N', "fwparam_network", Arg::none, nullptr, "bring up the network as the firmware had it"},
    {'f', "fwparam_print", Arg::none, nullptr, "print what the firmware knows"},
    {'P', "param", Arg::required, "KEY=VALUE", "any key of a node record; repeatable"},
    {'c', "config", Arg::required, "FILE", "defaults (/etc/iscsi/iscsid.conf, if it is there)"},
    {'h', "help", Arg::none, nullptr, "show this"},
    {'v', "version", Arg::none, nullptr, "show the version"},
};
constexpr cli::Interface interface = {
    "iscsistart", "log in at boot: no daemon, no files",
    "iscsistart -i NAME -t NAME -g TAG -a ADDR [option]...\n  iscsistart -b | -N | -f", options,
    "Exit codes: 0 logged in, 7 bad options, 21 no firmware table, 1 any other failure (its number is in the\nmessage).",
    "iscsistart -i iqn.2001-04.com.example:host -t iqn.2001-04.com.example:disk -g 1 -a 192.0.2.10",
};

constexpr int exit_failure = 1, exit_invalid = 7, exit_no_firmware = 21;
constexpr const char* shown_version = config::record_version.data();

// Arguments stay in /proc/PID/cmdline for everybody to read: a secret is blanked as soon as it is copied.
void hide_secrets(int argc, char** argv, const std::string& secret) {
    if (secret.empty()) return;
    for (int i = 1; i < argc; i++)
        if (char* at = std::strstr(argv[i], secret.c_str())) std::memset(at, '*', std::strlen(at));
}

int missing(const char* what) {
    std::fprintf(stderr, "iscsistart: %s not set. Exiting iscsistart\n", what);
    return exit_invalid;
}

struct Request {
    std::string initiator, target, tag, address, port = "3260", user, password, user_in, password_in, config;
    std::vector<std::string> params;
};

// False after it has said what is wrong.
bool apply_params(config::Record& node, const std::vector<std::string>& params) {
    for (const std::string& p : params) {
        size_t equals = p.find('=');
        std::string key = p.substr(0, equals), value = equals == p.npos ? "" : p.substr(equals + 1);
        auto set = equals == p.npos ? config::Record::Set::bad_value : node.set(key, value);
        if (set == config::Record::Set::ok) continue;
        if (set == config::Record::Set::unknown_key) std::fprintf(stderr, "iscsistart: Unknown parameter %s.\n", key.c_str());
        else std::fprintf(stderr, "iscsistart: invalid value '%s' for parameter %s.\n", value.c_str(), key.c_str());
        return false;
    }
    return true;
}

int connect_one(const Request& r) {
    std::fprintf(stderr, "iscsistart: version %s\n", shown_version);
    config::Record node = config::read_iscsid_conf(r.config).new_record(config::Kind::node);
    std::string address = r.address;
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') address = address.substr(1, address.size() - 2);
    node.set(Key::node_name, r.target);
    node.set(Key::conn_address, address);
    node.set(Key::iface_name, "default");
    node.set(Key::node_startup, "onboot");
    if (node.set(Key::node_tpgt, r.tag) != config::Record::Set::ok) {
        std::fprintf(stderr, "iscsistart: bad portal group tag '%s'\n", r.tag.c_str());
        return exit_invalid;
    }
    if (node.set(Key::conn_port, r.port) != config::Record::Set::ok) {
        std::fprintf(stderr, "iscsistart: bad port '%s'\n", r.port.c_str());
        return exit_invalid;
    }
    if (!r.user.empty()) node.set(Key::authmethod, "CHAP");
    node.set(Key::username, r.user);
    node.set(Key::password, r.password);
    node.set(Key::username_in, r.user_in);
    node.set(Key::password_in, r.password_in);
    if (!apply_params(node, r.params)) return exit_failure;
    std::printf("iscsistart: Logging into %s %s:%s,%s\n", r.target.c_str(), r.address.c_str(), r.port.c_str(), r.tag.c_str());
    std::fflush(stdout);
    auto outcome = boot_login({{std::move(node), r.initiator}});
    return outcome.failed ? exit_failure : 0;
}

int connect_firmware(const Request& r) {
    auto firmware = config::read_firmware();
    if (!firmware || firmware->targets.empty()) {
        std::puts("Could not get boot entry.");
        return exit_no_firmware;
    }
    std::fprintf(stderr, "iscsistart: version %s\n", shown_version);
    config::Record base = config::read_iscsid_conf(r.config).new_record(config::Kind::node);
    std::vector<BootTarget> targets;
    for (const config::FirmwareTarget& t : firmware->targets) {
        config::Record node = config::firmware_node(*firmware, t, base);
        if (!apply_params(node, r.params)) return exit_failure;
        std::printf("iscsistart: Logging into %s %s:%d,%d\n", t.name.c_str(), t.address.c_str(), t.port, node.number(Key::node_tpgt));
        targets.push_back({std::move(node), r.initiator.empty() ? firmware->initiator_name : r.initiator});
    }
    std::fflush(stdout);
    return boot_login(std::move(targets)).failed ? exit_failure : 0;
}

int bring_up_network() {
    auto firmware = config::read_firmware();
    if (!firmware || firmware->nics.empty()) {
        std::puts("Could not setup fw entries.");
        return exit_no_firmware;
    }
    int rc = 0;
    for (const config::FirmwareNic& nic : firmware->nics) {
        if (nic.net_ifacename.empty()) {
            std::fprintf(stderr, "iscsistart: no network interface has the firmware's address %s\n", nic.mac.c_str());
            rc = exit_failure;
            continue;
        }
        initiator::NetworkPlan plan;
        plan.device = nic.net_ifacename;
        plan.dhcp = nic.origin == 3 && nic.ip_address.empty();
        plan.address = nic.ip_address;
        plan.netmask = nic.subnet_mask;
        plan.gateway = nic.gateway;
        if (nic.prefix_len) plan.prefix = unsigned(nic.prefix_len);
        auto up = initiator::set_up_network(plan);
        if (up) continue;
        std::fprintf(stderr, "iscsistart: %s\n", up.error().text().c_str());
        rc = exit_failure;
    }
    return rc;
}

}  // namespace

int iscsistart_main(int argc, char** argv) {
    cli::Parsed parsed = cli::parse(interface, argc, argv);
    if (parsed.error) {
        std::fprintf(stderr, "iscsistart: %s\nTry `iscsistart --help' for more information.\n", parsed.error->c_str());
        return exit_invalid;
    }
    Request r;
    r.config = config::state_directory() + "/iscsid.conf";
    char action = 0;
    log::Level level = log::Level::warning;
    for (const cli::Item& item : parsed.items) {
        switch (item.option->short_name) {
        case 'i': r.initiator = item.value; break;
        case 't': r.target = item.value; break;
        case 'g': r.tag = item.value; break;
        case 'a': r.address = item.value; break;
        case 'p': r.port = item.value; break;
        case 'u': r.user = item.value; break;
        case 'w': r.password = item.value; break;
        case 'U': r.user_in = item.value; break;
        case 'W': r.password_in = item.value; break;
        case 'd': level = std::atoi(item.value.c_str()) > 0 ? log::Level::debug : log::Level::warning; break;
        case 'b': case 'N': case 'f': action = item.option->short_name; break;
        case 'P': r.params.push_back(item.value); break;
        case 'c': r.config = item.value; break;
        case 'h': std::fputs(cli::help(interface).c_str(), stdout); return 0;
        case 'v': std::printf("iscsistart version %s\n", shown_version); return 0;
        }
    }
    hide_secrets(argc, argv, r.password);
    hide_secrets(argc, argv, r.password_in);
    log::open("iscsistart", log::Sink::foreground, level);
    switch (action) {
    case 'b': return connect_firmware(r);
    case 'N': return bring_up_network();
    case 'f': {
        auto firmware = config::read_firmware();
        if (!firmware) {
            std::puts("Could not get list of targets from firmware.");
            return exit_no_firmware;
        }
        std::fputs(config::firmware_text(*firmware).c_str(), stdout);
        return 0;
    }
    }
    if (r.initiator.empty()) return missing("InitiatorName");
    if (r.target.empty()) return missing("Target name");
    if (r.tag.empty()) return missing("Portal Group");
    if (r.address.empty()) return missing("IP Address");
    return connect_one(r);
}

}  // namespace iscsi::applets
