#include "core/mgmt/tgt_params.h"

#include <strings.h>

#include <cstdlib>

namespace iscsi::mgmt {
namespace {

using nego::Limits;
using nego::Values;
using target::TargetConfig;

enum class Kind { number, flag, digest, fixed, inert_number, inert_flag, max_xmit, queue };

struct Row {
    const char* name;
    Kind kind;
    uint32_t min = 0, max = 0;
    uint32_t Values::*number = nullptr;
    bool Values::*flag = nullptr;
    nego::Digests Limits::*digest = nullptr;
    const char* initial = nullptr;          // of inert and fixed keys
};

constexpr uint32_t max_segment = 16777215;
constexpr Row rows[] = {
    {"MaxRecvDataSegmentLength", Kind::number, 512, max_segment, &Values::max_recv_data_segment},
    {"HeaderDigest", Kind::digest, 0, 0, nullptr, nullptr, &Limits::header_digest},
    {"DataDigest", Kind::digest, 0, 0, nullptr, nullptr, &Limits::data_digest},
    {"InitialR2T", Kind::flag, 0, 0, nullptr, &Values::initial_r2t},
    {"MaxOutstandingR2T", Kind::number, 1, 65535, &Values::max_outstanding_r2t},
    {"ImmediateData", Kind::flag, 0, 0, nullptr, &Values::immediate_data},
    {"FirstBurstLength", Kind::number, 512, max_segment, &Values::first_burst},
    {"MaxBurstLength", Kind::number, 512, max_segment, &Values::max_burst},
    {"DataPDUInOrder", Kind::flag, 0, 0, nullptr, &Values::data_pdu_in_order},
    {"DataSequenceInOrder", Kind::flag, 0, 0, nullptr, &Values::data_sequence_in_order},
    {"ErrorRecoveryLevel", Kind::number, 0, 2, &Values::error_recovery_level},
    {"IFMarker", Kind::inert_flag, 0, 0, nullptr, nullptr, nullptr, "No"},
    {"OFMarker", Kind::inert_flag, 0, 0, nullptr, nullptr, nullptr, "No"},
    {"DefaultTime2Wait", Kind::number, 0, 3600, &Values::default_time2wait},
    {"DefaultTime2Retain", Kind::number, 0, 3600, &Values::default_time2retain},
    {"OFMarkInt", Kind::fixed, 0, 0, nullptr, nullptr, nullptr, "Reject"},
    {"IFMarkInt", Kind::fixed, 0, 0, nullptr, nullptr, nullptr, "Reject"},
    {"MaxConnections", Kind::number, 1, 65535, &Values::max_connections},
    {"RDMAExtensions", Kind::inert_flag, 0, 0, nullptr, nullptr, nullptr, "Yes"},
    {"TargetRecvDataSegmentLength", Kind::inert_number, 512, max_segment, nullptr, nullptr, nullptr, "262144"},
    {"InitiatorRecvDataSegmentLength", Kind::inert_number, 512, max_segment, nullptr, nullptr, nullptr, "262144"},
    {"MaxOutstandingUnexpectedPDUs", Kind::inert_number, 0, 0xffffffff, nullptr, nullptr, nullptr, "0"},
    {"MaxXmitDataSegmentLength", Kind::max_xmit, 512, max_segment},
    {"MaxQueueCmd", Kind::queue, 1, 512},
};

// strtol with base 0, digits to the end.
bool parse_number(const std::string& text, uint32_t min, uint32_t max, uint32_t& out) {
    char* end;
    errno = 0;
    long long n = std::strtoll(text.c_str(), &end, 0);
    if (errno || end == text.c_str() || *end || n < (long long)min || n > (long long)max) return false;
    out = uint32_t(n);
    return true;
}

bool parse_flag(const std::string& text, bool& out) {
    if (text != "Yes" && text != "No") return false;
    out = text == "Yes";
    return true;
}

bool set_key(const Row& row, TargetConfig& config, InertKeys& inert, const std::string& value) {
    uint32_t n = 0;
    bool b = false;
    switch (row.kind) {
    case Kind::flag:
        if (!parse_flag(value, b)) return false;
        config.limits.*row.flag = b;
        return true;
    case Kind::digest: {
        nego::Digests& digest = config.limits.*row.digest;
        if (!nego::parse_digests(value, digest)) return false;
        // tgtd takes CRC32C as a wish: an initiator that offers only None still logs in.
        if (digest == nego::Digests::crc32c) digest = nego::Digests::crc32c_none;
        return true;
    }
    case Kind::fixed: return false;
    case Kind::inert_flag:
        if (!parse_flag(value, b)) return false;
        inert[row.name] = value;
        return true;
    default: break;
    }
    if (!parse_number(value, row.min, row.max, n)) return false;
    if (row.kind == Kind::number) config.limits.*row.number = n;
    if (row.kind == Kind::max_xmit) config.limits.max_xmit_data_segment = n;
    if (row.kind == Kind::queue) config.max_queue_cmd = n;
    if (row.kind == Kind::inert_number) {
        if (n == 1 && std::string_view(row.name) == "MaxOutstandingUnexpectedPDUs") return false;      // RFC 7145 §6.7: 0 or >= 2
        inert[row.name] = std::to_string(n);
    }
    return true;
}

std::string show_key(const Row& row, const TargetConfig& config, const InertKeys& inert) {
    switch (row.kind) {
    case Kind::number: return std::to_string(config.limits.*row.number);
    case Kind::flag: return config.limits.*row.flag ? "Yes" : "No";
    case Kind::digest: return config.limits.*row.digest == nego::Digests::none ? "None" : "CRC32C";
    case Kind::max_xmit: return std::to_string(config.limits.max_xmit_data_segment ? config.limits.max_xmit_data_segment : 8192);
    case Kind::queue: return std::to_string(config.max_queue_cmd);
    default: break;
    }
    auto place = inert.find(row.name);
    return place == inert.end() ? row.initial : place->second;
}

bool set_redirect(target::Redirect& r, std::string_view name, const std::string& value) {
    if (name == "RedirectAddress") {
        r.address = value;
    } else if (name == "RedirectPort") {
        uint32_t port;
        if (!value.empty() && !parse_number(value, 1, 65535, port)) return false;
        r.port = value;
    } else if (name == "RedirectReason") {
        if (value != "Temporary" && value != "Permanent") return false;
        r.reason = value;
    } else if (name == "RedirectCallback") {
        r.callback = value;
    } else {
        return false;
    }
    return true;
}

}  // namespace

bool set_target_parameter(TargetConfig& config, InertKeys& inert, std::string_view name, const std::string& value) {
    if (name == "state") {
        if (value != "offline" && value != "ready") return false;
        config.ready = value == "ready";
        return true;
    }
    if (name == "nop_interval" || name == "nop_count") {
        const int n = std::max(0, std::atoi(value.c_str()));
        (name == "nop_interval" ? config.nop_interval : config.nop_count) = n;
        return true;
    }
    if (name.starts_with("Redirect")) return set_redirect(config.redirect, name, value);
    const std::string text(name);
    for (const Row& row : rows)
        if (::strcasecmp(row.name, text.c_str()) == 0) return set_key(row, config, inert, value);
    return false;
}

std::vector<std::pair<std::string, std::string>> target_parameters(const TargetConfig& config, const InertKeys& inert) {
    std::vector<std::pair<std::string, std::string>> list;
    for (const Row& row : rows) list.emplace_back(row.name, show_key(row, config, inert));
    return list;
}

}  // namespace iscsi::mgmt
