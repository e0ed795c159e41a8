#include "core/mgmt/isns.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "core/config/records.h"

namespace iscsi::mgmt::isns {
namespace {

constexpr size_t max_payload = 65532;
constexpr size_t max_attributes = 200'000;
constexpr uint32_t udp_bit = 1u << 16;           // §6.3.2: the port's protocol

std::string be(uint32_t v) {
    std::string s(4, '\0');
    put32(s.data(), v);
    return s;
}

void append(std::string& out, const Attribute& a) {
    size_t length = pad4(a.value.size());
    out += be(uint32_t(a.tag)) + be(uint32_t(length)) + a.value;
    out.append(length - a.value.size(), '\0');
}

// The attributes of a whole payload. False: a length leads outside.
bool parse_attributes(std::string_view payload, std::vector<Attribute>& out) {
    while (!payload.empty()) {
        if (payload.size() < 8 || out.size() >= max_attributes) return false;
        uint32_t tag = get32(payload.data()), length = get32(payload.data() + 4);
        payload.remove_prefix(8);
        if (length > payload.size()) return false;
        out.push_back({Tag(tag), std::string(payload.substr(0, length))});
        payload.remove_prefix(length);
    }
    return true;
}

}  // namespace

uint32_t Attribute::number() const { return value.size() == 4 ? get32(value.data()) : 0; }
std::string Attribute::text() const { return value.substr(0, std::min(value.find('\0'), value.size())); }

std::string Attribute::address() const {
    char text[INET6_ADDRSTRLEN];
    if (value.size() == 4) return ::inet_ntop(AF_INET, value.data(), text, sizeof text) ? text : "";
    if (value.size() != 16) return "";
    static constexpr char zeros[12]{};
    // IPv4 as IPv4-mapped, or as open-isns has it, IPv4-compatible; ::1 stays IPv6
    bool mapped = std::memcmp(value.data(), zeros, 10) == 0 && std::memcmp(value.data() + 10, "\xff\xff", 2) == 0;
    bool compatible = std::memcmp(value.data(), zeros, 12) == 0 && get32(value.data() + 12) > 0xffffff;
    if (mapped || compatible)
        return ::inet_ntop(AF_INET, value.data() + 12, text, sizeof text) ? text : "";
    return ::inet_ntop(AF_INET6, value.data(), text, sizeof text) ? text : "";
}

Attribute number_attribute(Tag tag, uint32_t value) { return {tag, be(value)}; }
Attribute text_attribute(Tag tag, std::string_view value) { return {tag, std::string(value) + '\0'}; }

std::optional<Attribute> address_attribute(Tag tag, std::string_view host) {
    std::string value(16, '\0'), text(host);
    if (::inet_pton(AF_INET6, text.c_str(), value.data()) == 1) return Attribute{tag, value};
    value.assign(16, '\0');
    value[10] = value[11] = char(0xff);
    if (::inet_pton(AF_INET, text.c_str(), value.data() + 12) == 1) return Attribute{tag, value};
    return std::nullopt;
}

Result<std::string> encode(const Message& m) {
    std::string payload;
    if (m.function & response_bit) payload += be(m.status);
    for (const Attribute& a : m.attributes) append(payload, a);
    if (payload.size() > max_payload) return Error{E2BIG, "iSNS message", ""};
    std::string out(header_length, '\0');
    put16(out.data(), 1);                        // iSNSP version
    put16(out.data() + 2, m.function);
    put16(out.data() + 4, uint16_t(payload.size()));
    put16(out.data() + 6, m.flags | flag::first | flag::last);
    put16(out.data() + 8, m.transaction);
    return out + payload;
}

Result<std::optional<Message>> Reader::take(Bytes bytes) {
    in_.append(as_text(bytes));
    while (in_.size() >= header_length) {
        if (get16(in_.data()) != 1) return Error{EPROTO, "not an iSNS server", ""};
        uint16_t function = get16(in_.data() + 2), flags = get16(in_.data() + 6);
        uint16_t transaction = get16(in_.data() + 8), sequence = get16(in_.data() + 10);
        size_t length = get16(in_.data() + 4);
        if (length % 4 != 0) return Error{EPROTO, "an iSNS PDU with a length that is no multiple of four", ""};
        if (in_.size() - header_length < length) break;
        if (flags & flag::first) {
            payload_.clear();
            function_ = function;
            transaction_ = transaction;
            next_sequence_ = 0;
            open_ = true;
        }
        if (!open_ || function != function_ || transaction != transaction_ || sequence != next_sequence_)
            return Error{EPROTO, "iSNS PDUs out of order", ""};
        next_sequence_++;
        if (payload_.size() + length > max_message) return Error{EMSGSIZE, "iSNS message", ""};
        payload_.append(in_, header_length, length);
        in_.erase(0, header_length + length);
        if (!(flags & flag::last)) continue;
        open_ = false;
        Message message{function, flags, transaction, 0, {}};
        std::string_view payload = payload_;
        if (function & response_bit) {
            if (payload.size() < 4) return Error{EPROTO, "an iSNS answer with no status", ""};
            message.status = get32(payload.data());
            payload.remove_prefix(4);
        }
        if (!parse_attributes(payload, message.attributes)) return Error{EPROTO, "an iSNS attribute with a false length", ""};
        return std::optional(std::move(message));
    }
    return std::optional<Message>();
}

const char* status_text(uint32_t status) {
    static constexpr const char* texts[] = {
        "Successful", "Unknown Error", "Message Format Error", "Invalid Registration", "reserved status", "Invalid Query",
        "Source Unknown", "Source Absent", "Source Unauthorized", "No Such Entry", "Version Not Supported", "Internal Error",
        "Busy", "Option Not Understood", "Invalid Update", "Message Not Supported", "SCN Event Rejected",
        "SCN Registration Rejected", "Attribute Not Implemented", "FC_DOMAIN_ID Not Available", "FC_DOMAIN_ID Not Allocated",
        "ESI Not Available", "Invalid Deregistration", "Registration Feature Not Supported"};
    return status < std::size(texts) ? texts[status] : "reserved status";
}

std::vector<FoundPortal> targets_of(const Message& answer, unsigned& ignored) {
    std::vector<FoundPortal> found;
    std::string name, address;
    size_t of_node = 0;                          // where the current target's portals begin
    bool skip = true;
    std::string pg_address;
    uint16_t pg_port = 0;
    for (const Attribute& a : answer.attributes) {
        switch (a.tag) {
            case Tag::iscsi_name:
                name = a.text();
                skip = !config::safe_name(name);
                ignored += skip;
                of_node = found.size();
                address.clear();
                break;
            case Tag::portal_address: address = a.address(); break;
            case Tag::portal_port: {
                uint32_t port = a.number();
                if (skip) break;
                if (address.empty() || (port & udp_bit) || (port & 0xffff) == 0) ignored++;
                else found.push_back({name, address, uint16_t(port), 1});
                break;
            }
            case Tag::pg_address: pg_address = a.address(); break;
            case Tag::pg_port: pg_port = uint16_t(a.number()); break;
            case Tag::pg_tag: {
                if (a.value.empty()) break;      // NULL: no relation
                bool named = !pg_address.empty();
                for (size_t i = of_node; i < found.size(); i++)
                    if (!named || (found[i].host == pg_address && found[i].port == pg_port)) found[i].tpgt = uint16_t(a.number());
                break;
            }
            default: break;
        }
    }
    return found;
}

Message target_query(const std::string& initiator_name) {
    Message m;
    m.function = uint16_t(Function::query);
    m.flags = flag::from_client;
    m.attributes = {text_attribute(Tag::iscsi_name, initiator_name), number_attribute(Tag::node_type, node_target), {Tag::delimiter, ""}};
    for (Tag tag : {Tag::iscsi_name, Tag::portal_address, Tag::portal_port, Tag::pg_address, Tag::pg_port, Tag::pg_tag})
        m.attributes.push_back({tag, ""});
    return m;
}

Message registration(const std::string& entity, const std::vector<Node>& nodes, const std::vector<Portal>& portals, uint32_t period_s,
                     uint16_t esi_port, uint32_t esi_interval_s) {
    Message m;
    m.function = uint16_t(Function::register_devices);
    m.flags = flag::from_client | flag::replace;
    m.attributes = {text_attribute(Tag::iscsi_name, nodes.empty() ? entity : nodes.front().name), text_attribute(Tag::entity, entity),
                    {Tag::delimiter, ""}, text_attribute(Tag::entity, entity), number_attribute(Tag::entity_protocol, protocol_iscsi)};
    if (period_s) m.attributes.push_back(number_attribute(Tag::registration_period, period_s));
    for (const Portal& p : portals)
        if (auto address = address_attribute(Tag::portal_address, p.host)) {
            m.attributes.push_back(std::move(*address));
            m.attributes.push_back(number_attribute(Tag::portal_port, p.port));
            if (!esi_port) continue;
            m.attributes.push_back(number_attribute(Tag::esi_interval, esi_interval_s));
            m.attributes.push_back(number_attribute(Tag::esi_port, esi_port));
        }
    for (const Node& n : nodes) {
        if (!config::safe_name(n.name)) continue;
        m.attributes.push_back(text_attribute(Tag::iscsi_name, n.name));
        m.attributes.push_back(number_attribute(Tag::node_type, n.target ? node_target : node_initiator));
        if (!n.alias.empty()) m.attributes.push_back(text_attribute(Tag::alias, n.alias.substr(0, 255)));
    }
    return m;
}

Message deregistration(const std::string& source_name, const std::string& entity) {
    Message m;
    m.function = uint16_t(Function::deregister);
    m.flags = flag::from_client;
    m.attributes = {text_attribute(Tag::iscsi_name, source_name), {Tag::delimiter, ""}, text_attribute(Tag::entity, entity)};
    return m;
}

}  // namespace iscsi::mgmt::isns
