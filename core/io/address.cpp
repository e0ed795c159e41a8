#include "core/io/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <charconv>
#include <cstring>

namespace iscsi::io {
namespace {

const sockaddr_in& v4(const sockaddr_storage& s) { return reinterpret_cast<const sockaddr_in&>(s); }
const sockaddr_in6& v6(const sockaddr_storage& s) { return reinterpret_cast<const sockaddr_in6&>(s); }
sockaddr_in& v4(sockaddr_storage& s) { return reinterpret_cast<sockaddr_in&>(s); }
sockaddr_in6& v6(sockaddr_storage& s) { return reinterpret_cast<sockaddr_in6&>(s); }

std::optional<uint32_t> number(std::string_view text, uint32_t max) {
    uint32_t n = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size() || n > max) return {};
    return n;
}

// The scope of a link-local address: an interface's name or number.
std::optional<uint32_t> scope_id(std::string_view text) {
    if (text.empty() || text.size() >= IF_NAMESIZE) return {};
    if (auto n = number(text, 0xffffffffu)) return n;
    unsigned index = ::if_nametoindex(std::string(text).c_str());
    if (!index) return {};
    return index;
}

}  // namespace

uint16_t Address::port() const {
    if (family() == AF_INET) return ntohs(v4(storage).sin_port);
    if (family() == AF_INET6) return ntohs(v6(storage).sin6_port);
    return 0;
}

void Address::set_port(uint16_t port) {
    if (family() == AF_INET) v4(storage).sin_port = htons(port);
    if (family() == AF_INET6) v6(storage).sin6_port = htons(port);
}

std::string Address::host() const {
    char text[INET6_ADDRSTRLEN + 1] = "";
    if (family() == AF_INET) {
        ::inet_ntop(AF_INET, &v4(storage).sin_addr, text, sizeof text);
        return text;
    }
    if (family() != AF_INET6) return {};
    const in6_addr& address = v6(storage).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
        ::inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof text);
        return text;
    }
    ::inet_ntop(AF_INET6, &address, text, sizeof text);
    std::string host = text;
    if (uint32_t scope = v6(storage).sin6_scope_id) {
        char name[IF_NAMESIZE];
        host += '%';
        host += ::if_indextoname(scope, name) ? std::string(name) : std::to_string(scope);
    }
    return host;
}

std::string Address::portal() const {
    std::string h = host();
    if (h.find(':') != std::string::npos) h = "[" + h + "]";
    return h + ":" + std::to_string(port());
}

bool Address::operator==(const Address& other) const {
    if (family() != other.family() || port() != other.port()) return false;
    if (family() == AF_INET) return v4(storage).sin_addr.s_addr == v4(other.storage).sin_addr.s_addr;
    if (family() != AF_INET6) return false;
    return std::memcmp(&v6(storage).sin6_addr, &v6(other.storage).sin6_addr, 16) == 0 &&
           v6(storage).sin6_scope_id == v6(other.storage).sin6_scope_id;
}

std::optional<Address> parse_numeric(std::string_view host, uint16_t port) {
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        if (host.find(':') == host.npos) return {};
    }
    if (host.empty() || host.size() > INET6_ADDRSTRLEN + IF_NAMESIZE || host.find('\0') != host.npos) return {};
    Address a;
    if (host.find(':') == host.npos) {
        if (::inet_pton(AF_INET, std::string(host).c_str(), &v4(a.storage).sin_addr) != 1) return {};
        a.storage.ss_family = AF_INET;
        a.length = sizeof(sockaddr_in);
        a.set_port(port);
        return a;
    }
    size_t percent = host.find('%');
    if (::inet_pton(AF_INET6, std::string(host.substr(0, percent)).c_str(), &v6(a.storage).sin6_addr) != 1) return {};
    if (percent != host.npos) {
        auto scope = scope_id(host.substr(percent + 1));
        if (!scope) return {};
        v6(a.storage).sin6_scope_id = *scope;
    }
    a.storage.ss_family = AF_INET6;
    a.length = sizeof(sockaddr_in6);
    a.set_port(port);
    return a;
}

Address from_sockaddr(const sockaddr* address, socklen_t length) {
    Address a;
    if (!address || length > sizeof a.storage) return a;
    std::memcpy(&a.storage, address, length);
    a.length = length;
    return a;
}

std::optional<HostPort> split_host_port(std::string_view text, uint16_t default_port) {
    HostPort out{"", default_port};
    std::string_view host = text, port;
    bool has_port = false;
    if (!text.empty() && text.front() == '[') {
        size_t close = text.find(']');
        if (close == text.npos) return {};
        host = text.substr(1, close - 1);
        std::string_view rest = text.substr(close + 1);
        if (!rest.empty()) {
            if (rest.front() != ':') return {};
            port = rest.substr(1);
            has_port = true;
        }
    } else if (size_t colon = text.find(':'); colon != text.npos && text.find(':', colon + 1) == text.npos) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
        has_port = true;
    }
    if (has_port) {
        auto n = number(port, 65535);
        if (!n || *n == 0) return {};
        out.port = uint16_t(*n);
    }
    // A name (RFC 1123 labels, underscores tolerated) or a numeric address; 255 is DNS's limit.
    if (host.empty() || host.size() > 255) return {};
    for (char c : host) {
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                  c == '_' || c == ':' || c == '%';
        if (!ok) return {};
    }
    out.host = host;
    return out;
}

}  // namespace iscsi::io
