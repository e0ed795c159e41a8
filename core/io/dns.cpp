#include "core/io/dns.h"

#include <cstring>

namespace iscsi::io::dns {
namespace {

constexpr size_t header_length = 12;
constexpr uint16_t class_in = 1;

char lower(char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; }

// Skips a name at `at`; false if it runs out of the message. A pointer ends it (§4.1.4), so this terminates.
bool skip_name(Bytes m, size_t& at) {
    while (at < m.size()) {
        uint8_t length = m[at];
        if ((length & 0xc0) == 0xc0) {
            at += 2;
            return at <= m.size();
        }
        if (length & 0xc0) return false;
        at += 1 + size_t(length);
        if (length == 0) return at <= m.size();
    }
    return false;
}

// The question section's name must be ours, uncompressed as every server echoes it.
bool question_matches(Bytes m, size_t& at, std::string_view name, Type type) {
    auto want = query(0, name, type);
    if (!want) return false;
    size_t length = want->size() - header_length;
    if (m.size() - at < length) return false;
    for (size_t i = 0; i < length; i++)
        if (lower(char(m[at + i])) != lower(char((*want)[header_length + i]))) return false;
    at += length;
    return true;
}

void take_address(Bytes data, Type type, std::vector<Address>& out) {
    Address a;
    if (type == Type::a && data.size() == 4) {
        auto& in = reinterpret_cast<sockaddr_in&>(a.storage);
        in.sin_family = AF_INET;
        std::memcpy(&in.sin_addr, data.data(), 4);
        a.length = sizeof in;
    } else if (type == Type::aaaa && data.size() == 16) {
        auto& in = reinterpret_cast<sockaddr_in6&>(a.storage);
        in.sin6_family = AF_INET6;
        std::memcpy(&in.sin6_addr, data.data(), 16);
        a.length = sizeof in;
    } else {
        return;
    }
    out.push_back(a);
}

}  // namespace

std::optional<std::vector<uint8_t>> query(uint16_t id, std::string_view name, Type type) {
    if (!name.empty() && name.back() == '.') name.remove_suffix(1);
    if (name.empty() || name.size() > 253) return {};
    std::vector<uint8_t> m(header_length, 0);
    put16(&m[0], id);
    m[2] = 0x01;                        // RD
    m[5] = 1;                           // QDCOUNT
    while (!name.empty()) {
        size_t dot = name.find('.');
        std::string_view label = name.substr(0, dot);
        if (label.empty() || label.size() > 63) return {};
        m.push_back(uint8_t(label.size()));
        m.insert(m.end(), label.begin(), label.end());
        if (dot == name.npos) break;
        name.remove_prefix(dot + 1);
        if (name.empty()) return {};
    }
    const uint8_t tail[] = {0, 0, uint8_t(type), 0, class_in};
    m.insert(m.end(), std::begin(tail), std::end(tail));
    return m;
}

Answer answer(Bytes m, uint16_t id, std::string_view name, Type type, size_t limit) {
    Answer out;
    if (m.size() < header_length || get16(&m[0]) != id || !(m[2] & 0x80) || get16(&m[4]) != 1) return out;
    size_t at = header_length;
    if (!question_matches(m, at, name, type)) return out;
    out.truncated = m[2] & 0x02;
    switch (m[3] & 0x0f) {
    case 0: break;
    case 3: out.kind = Answer::Kind::no_such_name; return out;
    default: out.kind = Answer::Kind::failure; return out;
    }
    out.kind = Answer::Kind::addresses;
    // CNAMEs are followed by the recursive server: every address record in the section is part of the chain.
    for (unsigned n = get16(&m[6]); n > 0 && out.addresses.size() < limit; n--) {
        bool whole = skip_name(m, at) && m.size() - at >= 10;
        size_t length = whole ? get16(&m[at + 8]) : 0;
        if (!whole || m.size() - at - 10 < length) {
            if (!out.truncated) out.kind = Answer::Kind::malformed;
            return out;
        }
        if (get16(&m[at]) == uint16_t(type) && get16(&m[at + 2]) == class_in)
            take_address(m.subspan(at + 10, length), type, out.addresses);
        at += 10 + length;
    }
    return out;
}

}  // namespace iscsi::io::dns
