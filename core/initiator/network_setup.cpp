#include "core/initiator/network_setup.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/base/fd.h"

namespace iscsi::initiator {
namespace {

struct DeviceRequest : ifreq {
    explicit DeviceRequest(const std::string& device) : ifreq{} {
        std::copy_n(device.begin(), std::min(device.size(), sizeof ifr_name - 1), ifr_name);
    }
    void set(in_addr address) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_addr = address;
        std::memcpy(&ifr_addr, &in, sizeof in);
    }
};

Result<void> up(int fd, const std::string& device) {
    DeviceRequest r(device);
    if (::ioctl(fd, SIOCGIFFLAGS, &r) != 0) return Error{errno, "network interface", device};
    if (r.ifr_flags & IFF_UP) return {};
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (::ioctl(fd, SIOCSIFFLAGS, &r) != 0) return Error{errno, "bring up network interface", device};
    return {};
}

// linux/ipv6.h's, which does not get along with netinet/in.h.
struct in6_ifreq {
    in6_addr ifr6_addr;
    uint32_t ifr6_prefixlen;
    int ifr6_ifindex;
};

uint32_t class_mask(uint32_t address) {     // RFC 791's classes, as ifconfig assumes them
    return address >> 31 == 0 ? 0xff000000 : address >> 30 == 2 ? 0xffff0000 : 0xffffff00;
}

Result<void> set_ipv4(int fd, const NetworkPlan& plan, in_addr address) {
    DeviceRequest r(plan.device);
    if (::ioctl(fd, SIOCGIFADDR, &r) == 0) {
        sockaddr_in now;
        std::memcpy(&now, &r.ifr_addr, sizeof now);
        if (now.sin_addr.s_addr == address.s_addr) return {};
    }
    in_addr mask{htonl(class_mask(ntohl(address.s_addr)))};
    if (!plan.netmask.empty()) {
        if (::inet_pton(AF_INET, plan.netmask.c_str(), &mask) != 1) return Error{EINVAL, "netmask", plan.netmask};
    } else if (plan.prefix >= 1 && plan.prefix <= 32) {
        mask.s_addr = htonl(0xffffffffu << (32 - plan.prefix));
    }
    r.set(address);
    if (::ioctl(fd, SIOCSIFADDR, &r) != 0) return Error{errno, "set address " + plan.address + " of", plan.device};
    r.set(mask);
    if (::ioctl(fd, SIOCSIFNETMASK, &r) != 0) return Error{errno, "set netmask of", plan.device};
    return {};
}

Result<void> set_ipv6(const NetworkPlan& plan, const in6_addr& address) {
    Fd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return Error{errno, "socket", ""};
    in6_ifreq r{};
    r.ifr6_addr = address;
    r.ifr6_prefixlen = plan.prefix ? plan.prefix : 64;
    r.ifr6_ifindex = int(::if_nametoindex(plan.device.c_str()));
    if (::ioctl(fd.get(), SIOCSIFADDR, &r) != 0 && errno != EEXIST)
        return Error{errno, "set address " + plan.address + " of", plan.device};
    return {};
}

Result<void> set_gateway(int fd, const NetworkPlan& plan) {
    in_addr via{};
    if (plan.gateway.empty() || ::inet_pton(AF_INET, plan.gateway.c_str(), &via) != 1 || via.s_addr == 0) return {};
    rtentry route{};
    sockaddr_in in{};
    in.sin_family = AF_INET;
    std::memcpy(&route.rt_dst, &in, sizeof in);
    std::memcpy(&route.rt_genmask, &in, sizeof in);
    in.sin_addr = via;
    std::memcpy(&route.rt_gateway, &in, sizeof in);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    std::string device = plan.device;
    route.rt_dev = device.data();
    if (::ioctl(fd, SIOCADDRT, &route) != 0 && errno != EEXIST) return Error{errno, "set default route by", plan.gateway};
    return {};
}

}  // namespace

Result<void> bring_up_link(const std::string& device, unsigned seconds) {
    Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return Error{errno, "socket", ""};
    TRY_VOID(up(fd.get(), device));
    for (unsigned tenth = 0; tenth < seconds * 10; tenth++) {
        DeviceRequest r(device);
        if (::ioctl(fd.get(), SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_RUNNING)) return {};
        ::poll(nullptr, 0, 100);
    }
    return Error{ENETDOWN, "no link on network interface", device};
}

Result<void> set_up_network(const NetworkPlan& given, DhcpLease* lease) {
    NetworkPlan plan = given;
    if (plan.device.size() >= IFNAMSIZ || plan.device.empty()) return Error{ENODEV, "network interface", plan.device};
    Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd) return Error{errno, "socket", ""};
    (void)up(fd.get(), "lo");
    TRY_VOID(bring_up_link(plan.device, 10));
    if (plan.dhcp) {
        DhcpLease got = TRY(run_dhcp(plan.device, plan.dhcp_seconds));
        plan.address = got.address;
        plan.netmask = got.netmask;
        plan.gateway = got.gateway;
        if (lease) *lease = std::move(got);
    }
    if (plan.address.empty()) return {};
    in_addr v4;
    in6_addr v6;
    if (::inet_pton(AF_INET, plan.address.c_str(), &v4) == 1) {
        TRY_VOID(set_ipv4(fd.get(), plan, v4));
    } else if (::inet_pton(AF_INET6, plan.address.c_str(), &v6) == 1) {
        TRY_VOID(set_ipv6(plan, v6));
    } else {
        return Error{EINVAL, "address", plan.address};
    }
    return set_gateway(fd.get(), plan);
}

bool any_address() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return false;
    bool found = false;
    for (ifaddrs* i = list; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK)) continue;
        if (i->ifa_addr->sa_family == AF_INET) found = true;
        if (i->ifa_addr->sa_family == AF_INET6)
            found = !IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<sockaddr_in6*>(i->ifa_addr)->sin6_addr);
    }
    ::freeifaddrs(list);
    return found;
}

std::string first_network_device(const std::string& sysfs) {
    std::vector<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir((sysfs + "/class/net").c_str()), ::closedir);
    while (dirent* e = dir ? ::readdir(dir.get()) : nullptr) {
        std::string name = e->d_name;
        if (name[0] == '.' || name == "lo") continue;
        // A hardware device, not a bridge or tunnel.
        if (::access((sysfs + "/class/net/" + name + "/device").c_str(), F_OK) == 0) names.push_back(name);
    }
    if (names.empty()) return "";
    return *std::min_element(names.begin(), names.end());
}

}  // namespace iscsi::initiator
