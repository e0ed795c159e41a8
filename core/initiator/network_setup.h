// Bringing up a network interface at boot, when nobody else has: an address, a mask, a default route; or DHCP.
#pragma once
#include <string>

#include "core/base/result.h"
#include "core/initiator/dhcp.h"

namespace iscsi::initiator {

struct NetworkPlan {
    std::string device;             // "eth0"
    bool dhcp = false;
    std::string address;            // IPv4 or IPv6
    std::string netmask;            // "255.255.255.0"; empty: `prefix`
    unsigned prefix = 0;            // 0: the class's of old for IPv4, 64 for IPv6
    std::string gateway;            // empty: none
    unsigned dhcp_seconds = 30;
};

// The interface is up with its address afterwards. One that has the address already is left alone. With DHCP `lease` is
// what the server said.
Result<void> set_up_network(const NetworkPlan& plan, DhcpLease* lease = nullptr);

// Up without an address, and until its link is there or the time is over.
Result<void> bring_up_link(const std::string& device, unsigned seconds);

// Whether some interface other than lo has an IPv4 or global IPv6 address.
bool any_address();

// The interface with the first link of its own: not lo, and with a hardware address; empty if there is none.
std::string first_network_device(const std::string& sysfs = "/sys");

}  // namespace iscsi::initiator
