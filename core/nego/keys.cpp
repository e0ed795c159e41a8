#include "core/nego/keys.h"

namespace iscsi::nego {
namespace {

constexpr uint32_t max24 = (1u << 24) - 1;
constexpr Field none{};
constexpr auto LO = Use::leading, IO = Use::login, ALL = Use::all, FFPO = Use::full_feature;
constexpr auto SW = Scope::session, CO = Scope::connection;

// name, rule, default, min, max, field, use, scope, senders, any stage, in discovery sessions, section of RFC 7143
constexpr Key table[] = {
    {"HeaderDigest", Rule::digest, 0, 0, 255, none, IO, CO, by_both, false, true, "13.1"},
    {"DataDigest", Rule::digest, 0, 0, 255, none, IO, CO, by_both, false, true, "13.1"},
    {"MaxConnections", Rule::minimum, 1, 1, 65535, &Values::max_connections, LO, SW, by_both, false, false, "13.2"},
    {"SendTargets", Rule::ask, 0, 0, 223, none, FFPO, SW, by_initiator, false, true, "13.3"},
    {"TargetName", Rule::declare_name, 0, 0, 223, none, IO, SW, by_initiator, true, true, "13.4"},
    {"InitiatorName", Rule::declare_name, 0, 0, 223, none, IO, SW, by_initiator, true, true, "13.5"},
    {"TargetAlias", Rule::declare_text, 0, 0, 255, none, ALL, SW, by_target, true, true, "13.6"},
    {"InitiatorAlias", Rule::declare_text, 0, 0, 255, none, ALL, SW, by_initiator, true, true, "13.7"},
    {"TargetAddress", Rule::declare_text, 0, 0, 255, none, ALL, SW, by_target, true, true, "13.8"},
    {"TargetPortalGroupTag", Rule::declare_number, 0, 0, 65535, none, IO, SW, by_target, true, true, "13.9"},
    {"InitialR2T", Rule::bool_or, 1, 0, 1, &Values::initial_r2t, LO, SW, by_both, false, false, "13.10"},
    {"ImmediateData", Rule::bool_and, 1, 0, 1, &Values::immediate_data, LO, SW, by_both, false, false, "13.11"},
    {"MaxRecvDataSegmentLength", Rule::declare_number, 8192, 512, max24, none, ALL, CO, by_both, false, true, "13.12"},
    {"MaxBurstLength", Rule::minimum, 262144, 512, max24, &Values::max_burst, LO, SW, by_both, false, false, "13.13"},
    {"FirstBurstLength", Rule::minimum, 65536, 512, max24, &Values::first_burst, LO, SW, by_both, false, false, "13.14"},
    {"DefaultTime2Wait", Rule::maximum, 2, 0, 3600, &Values::default_time2wait, LO, SW, by_both, false, true, "13.15"},
    {"DefaultTime2Retain", Rule::minimum, 20, 0, 3600, &Values::default_time2retain, LO, SW, by_both, false, true,
     "13.16"},
    {"MaxOutstandingR2T", Rule::minimum, 1, 1, 65535, &Values::max_outstanding_r2t, LO, SW, by_both, false, false,
     "13.17"},
    {"DataPDUInOrder", Rule::bool_or, 1, 0, 1, &Values::data_pdu_in_order, LO, SW, by_both, false, false, "13.18"},
    {"DataSequenceInOrder", Rule::bool_or, 1, 0, 1, &Values::data_sequence_in_order, LO, SW, by_both, false, false,
     "13.19"},
    {"ErrorRecoveryLevel", Rule::minimum, 0, 0, 2, &Values::error_recovery_level, LO, SW, by_both, false, true, "13.20"},
    {"SessionType", Rule::declare_type, 0, 0, 255, none, LO, SW, by_initiator, true, true, "13.21"},
    {"TaskReporting", Rule::task_reporting, 0, 0, 255, none, LO, SW, by_both, false, false, "13.23"},
    {"iSCSIProtocolLevel", Rule::minimum, 1, 0, 31, &Values::protocol_level, LO, SW, by_both, false, false,
     "RFC 7144 7.1.1"},
    {"IFMarker", Rule::marker, 0, 0, 1, none, IO, CO, by_both, false, true, "13.25"},
    {"OFMarker", Rule::marker, 0, 0, 1, none, IO, CO, by_both, false, true, "13.25"},
    {"IFMarkInt", Rule::marker_interval, 0, 0, 255, none, IO, CO, by_both, false, true, "13.25"},
    {"OFMarkInt", Rule::marker_interval, 0, 0, 255, none, IO, CO, by_both, false, true, "13.25"},
    {"X#NodeArchitecture", Rule::declare_text, 0, 0, 255, none, LO, SW, by_both, false, true, "13.26"},
    {"RDMAExtensions", Rule::rdma, 0, 0, 1, none, LO, SW, by_both, false, false, "RFC 7145 6.3"},
    {"TargetRecvDataSegmentLength", Rule::rdma_length, 8192, 512, max24, none, IO, CO, by_both, false, false,
     "RFC 7145 6.4"},
    {"InitiatorRecvDataSegmentLength", Rule::rdma_length, 8192, 512, max24, none, IO, CO, by_both, false, false,
     "RFC 7145 6.5"},
    {"MaxOutstandingUnexpectedPDUs", Rule::rdma_declare, 0, 0, 0xffffffff, none, LO, CO, by_both, false, false,
     "RFC 7145 6.7"},
    {"AuthMethod", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1"},
    {"CHAP_A", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1.3"},
    {"CHAP_I", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1.3"},
    {"CHAP_C", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.3"},
    {"CHAP_N", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1.3"},
    {"CHAP_R", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.3"},
    {"KRB_AP_REQ", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.1"},
    {"KRB_AP_REP", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.1"},
    {"SRP_U", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1.2"},
    {"TargetAuth", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1.2"},
    {"SRP_GROUP", Rule::security, 0, 0, 255, none, IO, CO, by_both, true, true, "12.1.2"},
    {"SRP_A", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.2"},
    {"SRP_B", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.2"},
    {"SRP_M", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.2"},
    {"SRP_s", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.2"},
    {"SRP_HM", Rule::security, 0, 0, 8192, none, IO, CO, by_both, true, true, "12.1.2"},
};
static_assert(std::size(table) <= 64);

}  // namespace

std::span<const Key> keys() { return table; }

const Key* find_key(std::string_view name) {
    for (const Key& key : table)
        if (key.name == name) return &key;
    return nullptr;
}

const char* text(Digests d) {
    switch (d) {
        case Digests::none: return "None";
        case Digests::crc32c: return "CRC32C";
        case Digests::crc32c_none: return "CRC32C,None";
        case Digests::none_crc32c: return "None,CRC32C";
    }
    return "None";
}

bool parse_digests(std::string_view list, Digests& out) {
    for (Digests d : {Digests::none, Digests::crc32c, Digests::crc32c_none, Digests::none_crc32c})
        if (list == text(d)) {
            out = d;
            return true;
        }
    return false;
}

}  // namespace iscsi::nego
