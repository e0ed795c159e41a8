// tgt-setup-lun: a target with one logical unit in one command, or one more unit for a target that is there.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "applets/applet.h"
#include "applets/cli.h"
#include "core/mgmt/tgt_client.h"
#include "core/mgmt/tgt_status.h"

namespace iscsi::applets {
namespace {

using cli::Arg;
using mgmt::TgtMode;
using mgmt::TgtOp;

constexpr cli::Option options[] = {
    {'n', nullptr, Arg::required, "NAME", "target; if it does not begin with iqn, iqn.2001-04.com.HOST- is put before it"},
    {'d', nullptr, Arg::required, "PATH", "file or block device"},
    {'b', nullptr, Arg::required, "TYPE", "backing store type (rdwr)"},
    {'B', nullptr, Arg::required, "BYTES", "block size (512)"},
    {'t', nullptr, Arg::required, "DRIVER", "transport (iscsi)"},
    {'C', nullptr, Arg::required, "N", "control port of tgtd (0)"},
    {'h', "help", Arg::none, nullptr, "show this"},
};
constexpr cli::Interface interface = {
    "tgt-setup-lun", "set up a target with one logical unit", "tgt-setup-lun -n NAME -d PATH [option]... [INITIATOR-ADDRESS]...", options,
    "Initiators at the given addresses are admitted, without any all are. A disk larger than 2 TB that has\n"
    "4096-byte sectors wants -B 4096, or the file systems on it cannot be read.",
    "  tgt-setup-lun -n tgt-1 -d /dev/sdb1 192.0.2.2\n  tgt-setup-lun -n iqn.2001-04.com.example:disk2 -d /srv/disk.img", 8};

class Setup {
public:
    Setup(int port, std::string driver) : port_(port), driver_(std::move(driver)) {}

    // Says what tgtd says if it refuses.
    bool ask(TgtMode mode, TgtOp op, int tid, uint64_t lun, const mgmt::TgtText& text, std::string* shown = nullptr) {
        mgmt::TgtRequest r;
        r.mode = mode;
        r.op = op;
        r.lld = driver_;
        r.tid = tid;
        r.lun = lun;
        r.text = mgmt::encode_tgt_text(text, false);
        auto answer = mgmt::tgt_call(port_, r);
        if (answer && answer->code == mgmt::TgtCode::ok) {
            if (shown) *shown = answer->text;
            return true;
        }
        std::fprintf(stderr, "tgtadm: %s\n", answer ? mgmt::tgt_code_text(answer->code) : answer.error().what.c_str());
        return false;
    }
    bool running() {
        mgmt::TgtRequest r;
        return bool(mgmt::tgt_call(port_, r));
    }

private:
    int port_;
    std::string driver_;
};

std::string full_name(const std::string& name) {
    if (name.starts_with("iqn")) return name;
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    return std::string("iqn.2001-04.com.") + host + "-" + name;
}

bool user_agrees() {
    if (::isatty(STDIN_FILENO)) {
        std::fputs("Add a new lun to the existing target? (yes/NO): ", stdout);
        std::fflush(stdout);
    }
    char line[64];
    return std::fgets(line, sizeof line, stdin) && std::strncmp(line, "yes", 3) == 0 && (line[3] == '\n' || !line[3]);
}

template <class Taken>
uint64_t lowest_free(Taken taken) {
    uint64_t n = 1;
    while (taken(n)) n++;
    return n;
}

}  // namespace

int tgt_setup_lun_main(int argc, char** argv) {
    const cli::Parsed line = cli::parse(interface, argc, argv);
    if (line.error) {
        std::fprintf(stderr, "tgt-setup-lun: %s\nTry `tgt-setup-lun -h' for more information.\n", line.error->c_str());
        return 1;
    }
    if (argc <= 1 || line.has("help")) {
        std::fputs(cli::help(interface).c_str(), stdout);
        return argc <= 1;
    }
    const auto path = line.get("d");
    if (!path) {
        std::puts("Error: a device is mandatory");
        return 1;
    }
    int port = 0;
    if (auto text = line.get("C")) {
        port = std::atoi(text->c_str());
        std::printf("Control port: %s\n", text->c_str());
    }
    const std::string driver = line.get("t").value_or("iscsi"), name = full_name(line.get("n").value_or(""));
    Setup tgtd(port, driver);
    if (!tgtd.running()) {
        std::puts("tgtd is not running\nExiting...");
        return 1;
    }
    std::printf("Using transport: %s\n", driver.c_str());
    std::fflush(stdout);
    std::string shown;
    if (!tgtd.ask(TgtMode::target, TgtOp::show, -1, mgmt::tgt_no_lun, {}, &shown)) return 1;
    const auto targets = mgmt::parse_target_show(shown);
    const auto existing = std::find_if(targets.begin(), targets.end(), [&](const auto& t) { return t.name == name; });
    const bool fresh = existing == targets.end();
    int tid;
    uint64_t lun = 1;
    if (fresh) {
        tid = int(lowest_free([&](uint64_t n) { return std::any_of(targets.begin(), targets.end(), [&](const auto& t) { return uint64_t(t.tid) == n; }); }));
        std::printf("Creating new target (name=%s, tid=%d)\n", name.c_str(), tid);
        mgmt::TgtText text;
        text.targetname = name;
        if (!tgtd.ask(TgtMode::target, TgtOp::create, tid, mgmt::tgt_no_lun, text)) {
            std::printf("Error: failed to create target (name=%s, tid=%d)\n", name.c_str(), tid);
            return 1;
        }
    } else {
        std::printf("Error: target named %s already exists\n", name.c_str());
        if (!user_agrees()) return 1;
        tid = existing->tid;
        lun = lowest_free([&](uint64_t n) { return std::find(existing->luns.begin(), existing->luns.end(), n) != existing->luns.end(); });
    }
    auto give_up = [&](const std::string& why) {
        std::printf("Error: %s\n", why.c_str());
        if (!fresh) return 1;
        std::printf("Deleting new target, tid=%d\n", tid);
        tgtd.ask(TgtMode::target, TgtOp::remove, tid, mgmt::tgt_no_lun, {});
        return 1;
    };
    std::printf("Adding a logical unit (%s) to target, tid=%d\n", path->c_str(), tid);
    mgmt::TgtText text;
    text.path = *path;
    text.bstype = line.get("b");
    text.blocksize = line.get("B");
    if (text.bstype) std::printf("Setting backing store type: %s\n", text.bstype->c_str());
    std::fflush(stdout);
    if (!tgtd.ask(TgtMode::logicalunit, TgtOp::create, tid, lun, text))
        return give_up("failed to add a logical unit (" + *path + ") to target, tid=" + std::to_string(tid));
    std::vector<std::string> addresses = line.words;
    std::string list;
    for (const std::string& address : addresses) list += (list.empty() ? "" : " ") + address;
    std::printf("Accepting connections from %s\n", list.empty() ? "all initiators" : list.c_str());
    std::fflush(stdout);
    if (addresses.empty()) addresses = {"ALL"};
    for (const std::string& address : addresses) {
        if (!fresh && std::find(existing->rules.begin(), existing->rules.end(), address) != existing->rules.end()) continue;
        mgmt::TgtText rule;
        rule.initiator_address = address;
        if (!tgtd.ask(TgtMode::target, TgtOp::bind, tid, mgmt::tgt_no_lun, rule)) return give_up("failed to accept connections from " + address);
    }
    return 0;
}

}  // namespace iscsi::applets
