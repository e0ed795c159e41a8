// A login's texts against either side's negotiation: the first byte picks the role, the second the stage of each text;
// texts are separated by 0xff. Whatever the peer says, agreed values stay inside the keys' ranges and our limits.
#include <cstdlib>

#include "core/nego/negotiate.h"

using namespace iscsi;
using namespace iscsi::nego;

namespace {

Limits limits(uint8_t bits) {
    Limits l;
    l.initiator_name = "iqn.i";
    l.target_name = "iqn.t";
    l.alias = bits & 1 ? "alias" : "";
    l.discovery = bits & 2;
    l.header_digest = Digests(bits >> 2 & 3);
    l.data_digest = Digests(bits >> 4 & 3);
    l.initial_r2t = bits & 64;
    l.error_recovery_level = bits & 128 ? 2 : 0;
    l.max_outstanding_r2t = 8;
    l.max_burst = bits & 1 ? 4096 : 1 << 20;
    l.offer_task_reporting = l.offer_protocol_level = bits & 2;
    return l;
}

void check(const Negotiation& n, const Limits& l, bool finished) {
    const Params& p = n.params();
    for (const Key& key : keys()) {
        if (!key.field.flag && !key.field.number) continue;
        const uint32_t v = key.field.get(p);
        if (v < key.min || v > key.max) std::abort();
    }
    if (p.max_recv_data_segment < 512 || p.max_xmit_data_segment < 512 || p.max_xmit_data_segment >= 1u << 24) std::abort();
    if (p.header_digest && !admits_crc32c(l.header_digest)) std::abort();
    if (p.data_digest && !admits_crc32c(l.data_digest)) std::abort();
    if (!finished) return;
    if (!p.header_digest && !admits_none(l.header_digest)) std::abort();
    if (p.first_burst > p.max_burst) std::abort();
    if (p.discovery && (p.max_connections != 1 || p.error_recovery_level != 0)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 3) return 0;
    const bool target = data[0] & 1;
    const When when = When(data[0] / 2 % 3);
    uint8_t stages = data[1];
    const Limits l = limits(data[2]);
    Params start;
    if (when != When::leading_login) start.initiator_name = "iqn.i";
    Negotiation n(target ? Role::target : Role::initiator, when, l, start);
    std::string_view rest(reinterpret_cast<const char*>(data + 3), size - 3);
    for (int round = 0; round < 8; ++round) {
        const wire::Stage stage = when == When::full_feature ? wire::Stage::full_feature
                                  : stages & 1               ? wire::Stage::operational
                                                             : wire::Stage::security;
        stages >>= 1;
        wire::TextWriter out;
        n.offer(stage, out);
        out.clear();
        const size_t end = rest.find('\xff');
        std::vector<wire::TextKey> pairs;
        if (wire::parse_text(as_bytes(rest.substr(0, end)), pairs) != wire::TextError::none) return 0;
        const Verdict v = n.digest(stage, pairs, out);
        if (bool(v) != v.why.empty()) std::abort();
        check(n, l, false);
        if (!v) return 0;
        n.declare(stage, out);
        n.offer_missing(out);
        std::vector<wire::TextKey> ours;
        if (wire::parse_text(as_bytes(out.text()), ours) != wire::TextError::none) std::abort();
        if (end == rest.npos) break;
        rest.remove_prefix(end + 1);
    }
    if (n.finish()) check(n, l, when == When::leading_login);
    return 0;
}
