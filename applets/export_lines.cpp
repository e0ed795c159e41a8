// The lines `iscsi export` prints: what other machines type to use the disks.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "applets/export.h"
#include "applets/units.h"
#include "core/base/json.h"
#include "core/base/sizes.h"
#include "core/io/address.h"

namespace iscsi::applets {
namespace {

// An address by which others can reach a portal that listens on all of them.
std::string outward_address(bool v6) {
    std::string found = v6 ? "::1" : "127.0.0.1";
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return found;
    for (ifaddrs* i = list; i; i = i->ifa_next) {
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
        if (i->ifa_addr->sa_family != (v6 ? AF_INET6 : AF_INET)) continue;
        auto address = io::from_sockaddr(i->ifa_addr, v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in));
        std::string host = address.host();
        if (host.find('%') != std::string::npos) continue;         // link-local
        found = host;
        break;
    }
    ::freeifaddrs(list);
    return found;
}

io::HostPort reachable(const ExportPlan& plan) {
    io::HostPort best{"127.0.0.1", 3260};
    for (auto p = plan.portals.rbegin(); p != plan.portals.rend(); ++p) {       // oldest first
        auto parts = io::split_host_port(*p, 3260);
        if (!parts) continue;
        best = *parts;
        if (best.host == "0.0.0.0" || best.host == "::") best.host = outward_address(best.host == "::");
        break;
    }
    return best;
}

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

struct Lines {
    std::vector<std::string> iscsiadm, urls, ipxe, kernel;
};

Lines lines_of(const ExportPlan& plan) {
    Lines l;
    io::HostPort at = reachable(plan);
    const std::string host = bracketed(at.host), port = std::to_string(at.port), portal = host + ":" + port;
    const std::string node = "iscsiadm -m node -T " + plan.name + " -p " + portal;
    l.iscsiadm.push_back("iscsiadm -m discovery -t st -p " + portal);
    if (!plan.user.empty())
        l.iscsiadm.push_back(node + " -o update -n node.session.auth.authmethod -v CHAP -n node.session.auth.username -v " + plan.user +
                             " -n node.session.auth.password -v " + plan.secret);
    l.iscsiadm.push_back(node + " --login");
    const std::string credentials = plan.user.empty() ? "" : plan.user + "%" + plan.secret + "@";
    for (const auto& lun : plan.luns) l.urls.push_back("iscsi://" + credentials + portal + "/" + plan.name + "/" + std::to_string(lun.lun));
    const std::string port_field = at.port == 3260 ? "" : port;
    char lun_hex[20];
    std::snprintf(lun_hex, sizeof lun_hex, "%llx", static_cast<unsigned long long>(plan.luns.empty() ? 1 : plan.luns.front().lun));
    if (!plan.user.empty()) {
        l.ipxe.push_back("set username " + plan.user);
        l.ipxe.push_back("set password " + plan.secret);
    }
    l.ipxe.push_back("sanboot iscsi:" + host + "::" + port_field + ":" + lun_hex + ":" + plan.name);
    const std::string boot_credentials = plan.user.empty() ? "" : plan.user + ":" + plan.secret + "@";
    l.kernel.push_back("ip=dhcp netroot=iscsi:" + boot_credentials + host + "::" + port_field + ":" + lun_hex + ":" + plan.name);
    return l;
}

void section(std::string& out, const char* title, const std::vector<std::string>& lines) {
    out += "\n";
    out += title;
    out += "\n";
    for (const std::string& line : lines) out += "  " + line + "\n";
}

// JSON lines: one object a line. Line breaks inside values are escaped, so those that are here are layout.
std::string one_line(const std::string& json) {
    std::string out;
    for (size_t i = 0; i < json.size(); i++) {
        if (json[i] != '\n') {
            out += json[i];
            continue;
        }
        while (i + 1 < json.size() && json[i + 1] == ' ') i++;
    }
    return out + "\n";
}

void list(Json& json, const char* name, const std::vector<std::string>& lines) {
    json.key(name).array();
    for (const std::string& line : lines) json.value(line);
    json.end();
}

}  // namespace

void print_plan(const ExportPlan& plan, bool json) {
    Lines l = lines_of(plan);
    std::string out;
    if (json) {
        Json j;
        j.object().field("target", plan.name);
        list(j, "portals", plan.portals);
        j.key("luns").array();
        for (const auto& lun : plan.luns)
            j.object().field("lun", lun.lun).field("path", lun.path).field("size", lun.size).field("read_only", lun.read_only).end();
        j.end();
        if (!plan.user.empty()) {
            j.field("chap_user", plan.user);
            if (plan.secret_made) j.field("chap_secret", plan.secret);
        }
        list(j, "iscsiadm", l.iscsiadm);
        list(j, "urls", l.urls);
        list(j, "ipxe", l.ipxe);
        list(j, "kernel", l.kernel);
        j.end();
        out = one_line(j.take());
    } else {
        out = "Target " + plan.name + "\n";
        for (const auto& lun : plan.luns)
            out += "  LUN " + std::to_string(lun.lun) + "  " + format_size(lun.size) + "  " + lun.path + (lun.read_only ? "  (read-only)\n" : "\n");
        if (plan.secret_made) out += "  CHAP user " + plan.user + ", secret " + plan.secret + " (made for this run; see --help)\n";
        section(out, "Linux with open-iscsi:", l.iscsiadm);
        section(out, "QEMU, libiscsi, iscsi cp:", l.urls);
        section(out, "iPXE:", l.ipxe);
        section(out, "Kernel command line of an initramfs (dracut, iscsi boot):", l.kernel);
        out += "\nCtrl-C ends it.\n";
    }
    std::fputs(out.c_str(), stdout);
    std::fflush(stdout);
}

void print_event(const char* event, const target::SessionRecord& session, bool json) {
    std::string address = session.connections.empty() ? "" : session.connections.front()->address;
    std::string line;
    if (json) {
        Json j;
        j.object().field("event", event).field("initiator", session.initiator).field("address", address).field("session", uint32_t(session.sid)).end();
        line = one_line(j.take());
    } else {
        std::string name = session.initiator;
        for (char& c : name)
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';         // it comes from the network
        line = time_of_day() + " " + event + " " + name + (address.empty() ? "" : " from " + address) + "\n";
    }
    (void)!::write(STDOUT_FILENO, line.data(), line.size());
}

}  // namespace iscsi::applets
