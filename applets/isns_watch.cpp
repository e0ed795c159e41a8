#include "applets/isns_watch.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

#include "core/io/address.h"

namespace iscsi::applets {
namespace {

constexpr uint64_t period_ms = 2000;

std::string host_name() {
    char name[256] = "";
    ::gethostname(name, sizeof name - 1);
    return *name ? name : "tgtd";
}

mgmt::isns::Server server_of(const mgmt::IsnsSettings& s) { return {s.server, uint16_t(s.port), 10'000}; }

// A portal that listens on every address stands for those of the interfaces that are up; loopback only if there are no others.
void expand(const io::HostPort& portal, std::vector<mgmt::isns::Portal>& out) {
    bool any4 = portal.host == "0.0.0.0", any6 = portal.host == "::";
    if (!any4 && !any6) {
        out.push_back({portal.host, portal.port});
        return;
    }
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return;
    for (bool loopback : {false, true}) {
        size_t before = out.size();
        for (const ifaddrs* i = all; i; i = i->ifa_next) {
            if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || bool(i->ifa_flags & IFF_LOOPBACK) != loopback) continue;
            int family = i->ifa_addr->sa_family;
            if (family != (any4 ? AF_INET : AF_INET6)) continue;
            auto host = io::from_sockaddr(i->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)).host();
            if (host.find('%') == host.npos && host != "127.0.0.1" && host != "::1") out.push_back({host, portal.port});
        }
        if (out.size() > before) break;
    }
    ::freeifaddrs(all);
}

}  // namespace

IsnsWatch::IsnsWatch(io::Loop& loop, target::Directory& directory, target::Server& server, const mgmt::IsnsSettings& settings)
    : loop_(loop), directory_(directory), server_(server), registrar_(loop, server_of(settings), host_name()),
      timer_(loop, [this] { look(); }) {
    look();
}

IsnsWatch::~IsnsWatch() { registrar_.withdraw(); }

void IsnsWatch::look() {
    timer_.arm(period_ms);
    std::vector<mgmt::isns::Node> nodes;
    std::vector<mgmt::isns::Portal> portals;
    std::vector<std::string> now;
    for (const auto& t : directory_.targets()) {
        if (t->deleted) continue;
        nodes.push_back({t->name(), "", true});
        now.push_back(t->name());
    }
    for (const std::string& text : server_.portals())
        if (auto portal = io::split_host_port(text, mgmt::isns::default_port)) expand(*portal, portals);
    for (const auto& p : portals) now.push_back(p.host + " " + std::to_string(p.port));
    if (now == last_) return;
    last_ = std::move(now);
    registrar_.update(std::move(nodes), std::move(portals));
}

}  // namespace iscsi::applets
