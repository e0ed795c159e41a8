// iSNS messages, RFC 4171 §5: PDUs of tagged attributes on TCP port 3205. Only what an initiator that looks for targets and a
// target that registers itself need: DevAttrReg, DevAttrQry, DevDereg and their answers, and the answers to ESI and SCN.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace iscsi::mgmt::isns {

inline constexpr uint16_t default_port = 3205;
inline constexpr size_t header_length = 12;
inline constexpr size_t max_message = 4 * 1024 * 1024;     // of a server's answer, all its PDUs

enum class Function : uint16_t {        // §4.1.3; an answer has the top bit set
    register_devices = 0x0001,
    query = 0x0002,
    deregister = 0x0004,
    state_change = 0x0008,              // these two come from the server
    status_inquiry = 0x000d,
};
inline constexpr uint16_t response_bit = 0x8000;

namespace flag {                        // §5.1.4; bit 16 of the RFC's picture is the top one
inline constexpr uint16_t from_client = 0x8000, replace = 0x1000, last = 0x0800, first = 0x0400;
}

enum class Tag : uint32_t {             // §6.1
    delimiter = 0, entity = 1, entity_protocol = 2, registration_period = 6,
    portal_address = 16, portal_port = 17, esi_interval = 19, esi_port = 20,
    iscsi_name = 32, node_type = 33, alias = 34,
    pg_address = 49, pg_port = 50, pg_tag = 51,
};
inline constexpr uint32_t node_target = 1, node_initiator = 2;      // §6.4.2
inline constexpr uint32_t protocol_iscsi = 2;                       // §6.2.2

struct Attribute {
    Tag tag;
    std::string value;                  // without padding

    uint32_t number() const;            // 0 if it is not 4 bytes
    std::string text() const;           // up to the terminating NUL
    std::string address() const;        // §6.3.1: IPv6, or IPv4 mapped into it; "" if it is neither
};
Attribute number_attribute(Tag tag, uint32_t value);
Attribute text_attribute(Tag tag, std::string_view value);          // with its NUL
// A numeric address; nothing if it is none.
std::optional<Attribute> address_attribute(Tag tag, std::string_view host);

struct Message {
    uint16_t function = 0;
    uint16_t flags = 0;
    uint16_t transaction = 0;
    uint32_t status = 0;                // of an answer, §5.4
    std::vector<Attribute> attributes;
};

// One PDU; a message of more than 65532 bytes is refused (E2BIG).
Result<std::string> encode(const Message& message);

// Puts PDUs together (§5.2). Feed it what arrives; it hands out a message once its last PDU is there.
class Reader {
public:
    // An Error: these are no iSNS PDUs, or they are too many.
    Result<std::optional<Message>> take(Bytes bytes);

private:
    std::string in_, payload_;
    bool open_ = false;
    uint16_t function_ = 0, transaction_ = 0, next_sequence_ = 0;
};

// "No Such Entry"; §5.4.
const char* status_text(uint32_t status);

// What a server answers to a query for targets: each with the portals that follow it, and their portal group tags.
struct FoundPortal {
    std::string target, host;
    uint16_t port = 3260;
    uint16_t tpgt = 1;
};
std::vector<FoundPortal> targets_of(const Message& answer, unsigned& ignored);

// Requests.
Message target_query(const std::string& initiator_name);
struct Portal {
    std::string host;                   // numeric
    uint16_t port = 3260;
};
struct Node {
    std::string name, alias;
    bool target = true;
};
// Registers nodes and their portals as one Network Entity in place of what it had before. `period_s` 0: the server's.
// Nodes and portals that cannot be registered are left out. `esi_port`: where the server may ask whether the portals are there,
// every `esi_interval_s`; 0: nowhere.
Message registration(const std::string& entity, const std::vector<Node>& nodes, const std::vector<Portal>& portals, uint32_t period_s,
                     uint16_t esi_port = 0, uint32_t esi_interval_s = 0);
Message deregistration(const std::string& source_name, const std::string& entity);

}  // namespace iscsi::mgmt::isns
