// A DHCP client for boot, RFC 2131 and 2132: one DISCOVER/REQUEST exchange, no renewal. The codec is pure; the exchange
// goes by broadcast, because there is no address yet to answer to.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace iscsi::initiator {

struct DhcpLease {
    uint8_t message = 0;            // option 53
    uint32_t xid = 0;
    std::string address;            // "192.0.2.5"
    std::string netmask, gateway, server;
    std::string root_path;          // option 17: "iscsi:…" (RFC 4173)
    std::string host_name;          // option 12
    std::vector<std::string> dns;
};

using MacAddress = std::array<uint8_t, 6>;

inline constexpr uint8_t dhcp_discover = 1, dhcp_offer = 2, dhcp_request = 3, dhcp_ack = 5, dhcp_nak = 6;

// A DISCOVER, or a REQUEST for an offer.
std::vector<uint8_t> build_dhcp(uint8_t message, uint32_t xid, const MacAddress& mac, const DhcpLease* offer = nullptr);
// A server's message to this hardware address; nothing if it is malformed or not for us.
std::optional<DhcpLease> parse_dhcp(Bytes packet, uint32_t xid, const MacAddress& mac);

// Asks on the device until an answer comes or the time is over. The device must be up.
Result<DhcpLease> run_dhcp(const std::string& device, unsigned seconds);

}  // namespace iscsi::initiator
