#include "core/initiator/dhcp.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>

#include "core/base/fd.h"
#include "core/base/random.h"

namespace iscsi::initiator {
namespace {

constexpr size_t fixed_length = 236, options_at = 240;      // RFC 2131 §2
constexpr uint8_t cookie[4] = {99, 130, 83, 99};
constexpr uint8_t option_mask = 1, option_router = 3, option_dns = 6, option_host = 12, option_root_path = 17,
                  option_requested = 50, option_overload = 52, option_message = 53, option_server = 54,
                  option_wanted = 55, option_max_size = 57, option_end = 255;

std::string dotted(const uint8_t* p) {
    char text[INET_ADDRSTRLEN];
    return ::inet_ntop(AF_INET, p, text, sizeof text) ? text : "";
}

void put_option(std::vector<uint8_t>& out, uint8_t code, Bytes value) {
    out.push_back(code);
    out.push_back(uint8_t(value.size()));
    out.insert(out.end(), value.begin(), value.end());
}

std::string printable(Bytes b) {
    std::string s;
    for (uint8_t c : b)
        if (c >= 0x20 && c < 0x7f) s += char(c);
    return s;
}

// One field of options; false if a length runs past its end.
bool take_options(Bytes in, DhcpLease& lease, uint8_t& overload) {
    while (!in.empty()) {
        uint8_t code = in[0];
        if (code == option_end) return true;
        in = in.subspan(1);
        if (code == 0) continue;
        if (in.empty() || in[0] > in.size() - 1) return false;
        Bytes value = in.subspan(1, in[0]);
        in = in.subspan(1u + in[0]);
        switch (code) {
        case option_message: if (value.size() == 1) lease.message = value[0]; break;
        case option_mask: if (value.size() == 4) lease.netmask = dotted(value.data()); break;
        case option_router: if (value.size() >= 4) lease.gateway = dotted(value.data()); break;
        case option_server: if (value.size() == 4) lease.server = dotted(value.data()); break;
        case option_overload: if (value.size() == 1) overload = value[0]; break;
        case option_host: lease.host_name = printable(value); break;
        case option_root_path: lease.root_path += printable(value); break;     // RFC 3396: pieces add up
        case option_dns:
            for (size_t i = 0; i + 4 <= value.size() && lease.dns.size() < 3; i += 4) lease.dns.push_back(dotted(value.data() + i));
            break;
        default: break;
        }
    }
    return true;
}

uint64_t now_ms() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000 + uint64_t(t.tv_nsec) / 1000000;
}

}  // namespace

std::vector<uint8_t> build_dhcp(uint8_t message, uint32_t xid, const MacAddress& mac, const DhcpLease* offer) {
    std::vector<uint8_t> out(options_at);
    out[0] = 1;                 // BOOTREQUEST
    out[1] = 1;                 // Ethernet
    out[2] = 6;
    put32(&out[4], xid);
    put16(&out[10], 0x8000);    // answer by broadcast
    std::copy(mac.begin(), mac.end(), out.begin() + 28);
    std::copy(std::begin(cookie), std::end(cookie), out.begin() + fixed_length);
    put_option(out, option_message, {&message, 1});
    const uint8_t max_size[] = {0x05, 0xc0};        // 1472
    put_option(out, option_max_size, max_size);
    const uint8_t wanted[] = {option_mask, option_router, option_dns, option_host, option_root_path};
    put_option(out, option_wanted, wanted);
    if (offer) {
        uint8_t address[4];
        if (::inet_pton(AF_INET, offer->address.c_str(), address) == 1) put_option(out, option_requested, address);
        if (::inet_pton(AF_INET, offer->server.c_str(), address) == 1) put_option(out, option_server, address);
    }
    out.push_back(option_end);
    if (out.size() < 300) out.resize(300);          // RFC 1542 §2.1
    return out;
}

std::optional<DhcpLease> parse_dhcp(Bytes packet, uint32_t xid, const MacAddress& mac) {
    if (packet.size() < options_at || packet[0] != 2 || get32(&packet[4]) != xid) return std::nullopt;
    if (!std::equal(mac.begin(), mac.end(), packet.begin() + 28)) return std::nullopt;
    if (!std::equal(std::begin(cookie), std::end(cookie), packet.begin() + fixed_length)) return std::nullopt;
    DhcpLease lease;
    lease.xid = xid;
    lease.address = dotted(&packet[16]);
    uint8_t overload = 0, ignored = 0;
    if (!take_options(packet.subspan(options_at), lease, overload)) return std::nullopt;
    if ((overload & 1) && !take_options(packet.subspan(108, 128), lease, ignored)) return std::nullopt;
    if ((overload & 2) && !take_options(packet.subspan(44, 64), lease, ignored)) return std::nullopt;
    if (!lease.message) return std::nullopt;
    return lease;
}

Result<DhcpLease> run_dhcp(const std::string& device, unsigned seconds) {
    Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP));
    if (!fd) return Error{errno, "DHCP socket", ""};
    ifreq request{};
    if (device.size() >= sizeof request.ifr_name) return Error{ENODEV, "network interface", device};
    std::copy(device.begin(), device.end(), request.ifr_name);
    if (::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) return Error{errno, "network interface", device};
    MacAddress mac;
    std::copy_n(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data), 6, mac.begin());
    int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, device.c_str(), socklen_t(device.size() + 1)) != 0)
        return Error{errno, "bind DHCP socket to", device};
    sockaddr_in own{}, all{};
    own.sin_family = all.sin_family = AF_INET;
    own.sin_port = htons(68);
    all.sin_port = htons(67);
    all.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) return Error{errno, "bind DHCP port 68", ""};

    uint32_t xid;
    fill_random({reinterpret_cast<uint8_t*>(&xid), sizeof xid});
    std::optional<DhcpLease> offer;
    const uint64_t end = now_ms() + uint64_t(seconds) * 1000;
    uint64_t patience = 1000;
    while (now_ms() < end) {
        auto out = build_dhcp(offer ? dhcp_request : dhcp_discover, xid, mac, offer ? &*offer : nullptr);
        (void)!::sendto(fd.get(), out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&all), sizeof all);
        const uint64_t until = std::min(now_ms() + patience, end);
        patience = std::min<uint64_t>(patience * 2, 8000);
        for (;;) {
            uint64_t now = now_ms();
            pollfd p{fd.get(), POLLIN, 0};
            if (now >= until || ::poll(&p, 1, int(until - now)) == 0) break;
            uint8_t packet[1500];
            ssize_t n = ::recv(fd.get(), packet, sizeof packet, MSG_DONTWAIT);
            if (n <= 0) continue;
            auto answer = parse_dhcp({packet, size_t(n)}, xid, mac);
            if (!answer) continue;
            if (!offer && answer->message == dhcp_offer) {
                offer = std::move(answer);
                patience = 1000;
                break;
            }
            if (offer && answer->message == dhcp_nak) {
                offer.reset();
                break;
            }
            if (offer && answer->message == dhcp_ack) return std::move(*answer);
        }
    }
    return Error{ETIMEDOUT, "no DHCP server answers on", device};
}

}  // namespace iscsi::initiator
