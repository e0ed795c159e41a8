#include "core/target/acl.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace iscsi::target {
namespace {

bool add_unique(std::vector<std::string>& list, std::string text) {
    if (std::find(list.begin(), list.end(), text) != list.end()) return false;
    list.push_back(std::move(text));
    return true;
}

// A numeric address as 16 bytes; IPv4 as ::ffff:a.b.c.d, so that a v4 rule admits a v4 peer of a v6 socket.
bool parse_address(std::string_view text, uint8_t (&out)[16], bool& v4) {
    char buffer[64];
    if (text.empty() || text.size() >= sizeof buffer) return false;
    std::memcpy(buffer, text.data(), text.size());
    buffer[text.size()] = 0;
    if (char* scope = std::strchr(buffer, '%')) *scope = 0;
    static constexpr uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (::inet_pton(AF_INET, buffer, out + 12) == 1) {
        std::memcpy(out, mapped, 12);
        v4 = true;
        return true;
    }
    if (::inet_pton(AF_INET6, buffer, out) != 1) return false;
    v4 = std::memcmp(out, mapped, 12) == 0;
    return true;
}

}  // namespace

bool Acl::add_address(std::string rule) { return add_unique(addresses_, std::move(rule)); }
bool Acl::add_name(std::string name) { return add_unique(names_, std::move(name)); }
bool Acl::remove_address(std::string_view rule) { return std::erase(addresses_, rule) > 0; }
bool Acl::remove_name(std::string_view name) { return std::erase(names_, name) > 0; }

bool Acl::admits(std::string_view initiator_name, std::string_view address) const {
    for (const std::string& rule : addresses_)
        if (address_matches(rule, address)) return true;
    return std::find(names_.begin(), names_.end(), initiator_name) != names_.end();
}

bool address_matches(std::string_view rule, std::string_view address) {
    if (rule == "ALL") return true;
    std::string_view host = rule, prefix;
    if (size_t slash = rule.rfind('/'); slash != std::string_view::npos) {
        host = rule.substr(0, slash);
        prefix = rule.substr(slash + 1);
        if (prefix.empty()) return false;
    }
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    uint8_t want[16], have[16];
    bool want_v4, have_v4;
    if (!parse_address(host, want, want_v4) || !parse_address(address, have, have_v4) || want_v4 != have_v4) return false;
    unsigned bits = want_v4 ? 32 : 128;
    if (!prefix.empty()) {
        unsigned n = 0;
        auto [end, error] = std::from_chars(prefix.data(), prefix.data() + prefix.size(), n);
        if (error != std::errc() || end != prefix.data() + prefix.size() || n > bits) return false;
        bits = n;
    }
    if (want_v4) bits += 96;
    for (unsigned i = 0; i < 16 && bits > 0; i++) {
        unsigned take = std::min(bits, 8u);
        uint8_t mask = uint8_t(0xff << (8 - take));
        if ((want[i] ^ have[i]) & mask) return false;
        bits -= take;
    }
    return true;
}

// A rule that would not even match its own address cannot be one.
bool is_address_rule(std::string_view rule) {
    std::string_view host = rule.substr(0, rule.rfind('/'));
    if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return rule == "ALL" || address_matches(rule, host);
}

}  // namespace iscsi::target
