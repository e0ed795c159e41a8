// Socket addresses as text and back, numeric only: no name service, no allocation surprises. Portals are written
// "192.0.2.1:3260" and "[2001:db8::1]:3260" (RFC 7143 §13.8); a link-local address may carry its scope ("fe80::1%eth0").
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

namespace iscsi::io {

struct Address {
    sockaddr_storage storage{};
    socklen_t length = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
    int family() const { return storage.ss_family; }
    uint16_t port() const;
    void set_port(uint16_t port);
    std::string host() const;           // "192.0.2.1", "2001:db8::1", "fe80::1%eth0"; an IPv4-mapped IPv6 address as IPv4
    std::string portal() const;         // host and port, brackets round IPv6
    bool operator==(const Address& other) const;    // family, address, port, scope
};

// A numeric IPv4 or IPv6 address, the latter with or without brackets; nothing else (no name, no port).
std::optional<Address> parse_numeric(std::string_view host, uint16_t port);
// From getsockname, getpeername, accept.
Address from_sockaddr(const sockaddr* address, socklen_t length);

// "HOST", "HOST:PORT", "[V6]", "[V6]:PORT", a bare IPv6 address: its parts, brackets removed. Nothing if it cannot be
// such (empty host, port 0 or above 65535, junk). The host is not looked up.
struct HostPort {
    std::string host;
    uint16_t port = 0;
};
std::optional<HostPort> split_host_port(std::string_view text, uint16_t default_port);

}  // namespace iscsi::io
