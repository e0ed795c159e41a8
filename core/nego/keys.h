// The text keys of RFC 7143 §13 (and RFC 7144, 7145): one row each. Default, range, rule and where a key may appear
// come from here, for both sides. Params is what a login agreed on; Limits is what our side is willing to agree on.
#pragma once
#include <span>
#include <string>

#include "core/wire/opcode.h"

namespace iscsi::nego {

// Values that have a place on both sides of a negotiation. The initial ones are the RFC's defaults, which are also
// what tgtd shows for a new target.
struct Values {
    bool initial_r2t = true, immediate_data = true;
    bool data_pdu_in_order = true, data_sequence_in_order = true;
    uint32_t max_connections = 1;
    uint32_t max_recv_data_segment = 8192;      // ours: what we can take in one PDU
    uint32_t max_burst = 262144, first_burst = 65536;
    uint32_t default_time2wait = 2, default_time2retain = 20;
    uint32_t max_outstanding_r2t = 1;
    uint32_t error_recovery_level = 0;
    uint32_t protocol_level = 1;                // iSCSIProtocolLevel, RFC 7144 §7.1.1
};

enum class TaskReporting : uint8_t { rfc3720, response_fence, fast_abort };     // §13.23, weakest first

// What was agreed. Everything but the digests and the two segment lengths is the session's.
struct Params : Values {
    bool header_digest = false, data_digest = false;    // CRC32C or none
    uint32_t max_xmit_data_segment = 8192;      // the peer's MaxRecvDataSegmentLength, cut to Limits::max_xmit_data_segment
    TaskReporting task_reporting = TaskReporting::rfc3720;
    bool discovery = false;                     // SessionType
    std::string initiator_name, initiator_alias, target_name, target_alias;
    std::string target_address;                 // from the target, at a redirect
    uint32_t portal_group_tag = 0;              // from the target; valid if has_portal_group_tag
    bool has_portal_group_tag = false;
};

// Which digests we admit and, on the initiator, in which order they are offered.
enum class Digests : uint8_t { none, crc32c, crc32c_none, none_crc32c };
const char* text(Digests d);                            // "CRC32C,None"
bool parse_digests(std::string_view list, Digests& out);
constexpr bool admits_none(Digests d) { return d != Digests::crc32c; }
constexpr bool admits_crc32c(Digests d) { return d != Digests::none; }

struct Limits : Values {
    Digests header_digest = Digests::none, data_digest = Digests::none;
    uint32_t max_xmit_data_segment = 0;         // send no longer PDUs even if the peer takes them; 0: as the peer says
    TaskReporting task_reporting = TaskReporting::rfc3720;      // the strongest we keep
    // declared, if not empty
    std::string alias;                          // TargetAlias or InitiatorAlias
    uint32_t portal_group_tag = 1;              // target only
    // initiator only
    std::string initiator_name, target_name;
    bool discovery = false;
    bool offer_task_reporting = false, offer_protocol_level = false;    // open-iscsi offers neither
};

enum class Rule : uint8_t {
    bool_or, bool_and, minimum, maximum,    // §13 "result function"
    digest, task_reporting,                 // lists
    declare_number, declare_text, declare_name, declare_type,   // declarative
    ask,                                    // SendTargets: answered by the text code
    security,                               // §12: answered by auth/
    marker, marker_interval,                // §13.25, obsolete: answered No, Reject
    rdma, rdma_length, rdma_declare,        // RFC 7145, not on plain TCP: No, Irrelevant, NotUnderstood
};
enum class Use : uint8_t { leading, login, all, full_feature };     // §13: LO, IO, ALL, FFPO
enum class Scope : uint8_t { session, connection };                 // SW, CO
inline constexpr uint8_t by_initiator = 1, by_target = 2, by_both = 3;

// Where a row's value lives in Values; at most one of the two is set.
struct Field {
    bool Values::* flag = nullptr;
    uint32_t Values::* number = nullptr;
    constexpr Field() = default;
    constexpr Field(bool Values::* f) : flag(f) {}
    constexpr Field(uint32_t Values::* n) : number(n) {}
    uint32_t get(const Values& v) const { return flag ? uint32_t(v.*flag) : v.*number; }
    void set(Values& v, uint32_t to) const { if (flag) v.*flag = to != 0; else v.*number = to; }
};

struct Key {
    std::string_view name;
    Rule rule;
    uint32_t initial, min, max;             // default and admissible range; for text the longest value
    Field field;
    Use use;
    Scope scope;
    uint8_t senders;
    bool any_stage;                         // also in SecurityNegotiation
    bool in_discovery;                      // false: "Irrelevant when: SessionType=Discovery"
    const char* section;
};

std::span<const Key> keys();
const Key* find_key(std::string_view name);     // nullptr: not understood

}  // namespace iscsi::nego
