#include "core/nego/negotiate.h"

#include <algorithm>

namespace iscsi::nego {
namespace {

using wire::LoginStatus;
using wire::Stage;

constexpr unsigned max_unknown = 64;        // keys we do not understand, per negotiation
constexpr unsigned max_waits = 6;           // exchanges in which the peer may leave an offer of ours unanswered (§6.2)

size_t row(const Key& key) { return size_t(&key - keys().data()); }

bool reserved_answer(std::string_view v) { return v == "Reject" || v == "Irrelevant" || v == "NotUnderstood"; }

Verdict refuse(const Key& key, const char* why, LoginStatus status = LoginStatus::initiator_error) {
    return {status, std::string(key.name) + " " + why};
}

// Declarative keys have no answer; the others do (§6.2).
bool declarative(const Key& key) {
    switch (key.rule) {
        case Rule::declare_number:
        case Rule::declare_text:
        case Rule::declare_name:
        case Rule::declare_type: return true;
        default: return false;
    }
}

// Keys that came after RFC 3720, or are obsolete: an older peer may not understand them (§6.2).
bool may_be_unknown(const Key& key) {
    return key.rule == Rule::marker || key.rule == Rule::task_reporting || key.name == "iSCSIProtocolLevel";
}

// open-iscsi's words, which people search for; its log puts "Login negotiation failed, " before them.
Verdict not_the_digest(const Key& key, const std::string& wanted, const std::string& got) {
    const std::string name(key.name);
    return {LoginStatus::initiator_error, name + "=" + wanted + " is required, can't accept " + name + "=" + got};
}

constexpr std::string_view task_reporting_names[] = {"RFC3720", "ResponseFence", "FastAbort"};

std::string task_reporting_list(TaskReporting strongest) {      // §13.23: at least the first two must be offered
    std::string list = strongest == TaskReporting::fast_abort ? "FastAbort," : "";
    return list + (strongest == TaskReporting::rfc3720 ? "RFC3720,ResponseFence" : "ResponseFence,RFC3720");
}

// A value from the peer in a line of our log: as it came if printable and short.
std::string shown(std::string_view value) {
    std::string s(value.substr(0, 64));
    for (char& c : s)
        if (c < ' ' || c > '~') c = '?';
    return s;
}

}  // namespace

Negotiation::Negotiation(Role role, When when, const Limits& limits, const Params& start)
    : role_(role), when_(when), limits_(limits), params_(start) {
    if (role == Role::initiator && when == When::leading_login) {
        params_.discovery = limits.discovery;
        params_.initiator_name = limits.initiator_name;
        params_.initiator_alias = limits.alias;
        params_.target_name = limits.target_name;
    }
    if (when != When::full_feature) {           // connection-only values begin anew with each connection
        params_.header_digest = params_.data_digest = false;
        params_.max_recv_data_segment = params_.max_xmit_data_segment = 8192;
    }
}

uint32_t Negotiation::own(const Key& key) const {
    if (params_.discovery && key.field.number == &Values::error_recovery_level) return 0;      // §7.4.1, §13.21
    uint32_t v = std::clamp(key.field.get(limits_), key.min, key.max);
    if (key.field.number == &Values::first_burst) v = std::min(v, limits_.max_burst);           // §13.14
    return std::max(v, key.min);
}

Digests Negotiation::own_digests(const Key& key) const {
    return key.name == "HeaderDigest" ? limits_.header_digest : limits_.data_digest;
}

bool& Negotiation::digest_flag(const Key& key) {
    return key.name == "HeaderDigest" ? params_.header_digest : params_.data_digest;
}

Negotiation::Pass Negotiation::pass_of(const Key* key) {
    if (!key) return Pass::plain;
    if (key->rule == Rule::declare_type) return Pass::type;
    // answered with regard to MaxBurstLength, ErrorRecoveryLevel and DataSequenceInOrder of the same text
    if (key->field.number && (key->field.number == &Values::first_burst || key->field.number == &Values::max_outstanding_r2t))
        return Pass::dependent;
    return Pass::plain;
}

Verdict Negotiation::digest(Stage stage, wire::TextKeys pairs, wire::TextWriter& answer) {
    if (!settled()) ++waited_;
    for (Pass pass : {Pass::type, Pass::plain, Pass::dependent}) {
        for (const wire::TextKey& pair : pairs) {
            const Key* key = find_key(pair.key);
            if (pass_of(key) != pass) continue;
            if (!key) {
                if (++unknown_ > max_unknown) return {LoginStatus::initiator_error, "too many keys not understood"};
                if (!reserved_answer(pair.value)) answer.add(pair.key, "NotUnderstood");
                continue;
            }
            if (Verdict v = take(stage, pair, *key, answer); !v) return v;
        }
    }
    first_ = false;
    if (answer.overflowed()) return {LoginStatus::out_of_resources, "the answer is longer than a login may be"};
    if (role_ == Role::target && when_ != When::full_feature) {
        if (params_.initiator_name.empty())                                                     // §6.3
            return {LoginStatus::missing_parameter, "no InitiatorName in the first request"};
        if (!params_.discovery && params_.target_name.empty())
            return {LoginStatus::missing_parameter, "no TargetName in the first request of a normal session"};
    }
    return {};
}

Verdict Negotiation::take(Stage stage, const wire::TextKey& pair, const Key& key, wire::TextWriter& answer) {
    const size_t i = row(key);
    const std::string_view value = pair.value;
    if (declared_[i] && value == "NotUnderstood") return refuse(key, "is not understood by the peer");
    if (offered_[i] && !answered_[i]) {
        answered_.set(i);
        return take_answer(key, value);
    }
    if (Verdict v = check_place(stage, key); !v) return v;
    if (key.rule == Rule::ask) return {};
    // §6.3, §6.4: once per login or negotiation. The pairs of an authentication method are auth/'s to count: the target
    // sends CHAP_N and CHAP_R, too, but each side each key once.
    if (received_[i] && key.name != "TargetAddress") return refuse(key, "came twice");
    if (offered_[i]) return refuse(key, "was already negotiated");
    received_.set(i);
    if (key.rule == Rule::security) return {};
    if (reserved_answer(value)) return refuse(key, "has a reserved value");                     // §6.2
    return declarative(key) ? take_declaration(key, value) : take_proposal(key, value, answer);
}

// Whether the peer may send this key here (§6.3, §13).
Verdict Negotiation::check_place(Stage stage, const Key& key) const {
    const uint8_t peer = role_ == Role::target ? by_initiator : by_target;
    if (!(key.senders & peer)) return refuse(key, "is not the peer's to send");
    const bool text = when_ == When::full_feature;
    if (text && (key.rule == Rule::security || (declarative(key) && key.use != Use::all)))
        return refuse(key, "is for the login only");
    if (!text && key.use == Use::full_feature) return refuse(key, "is for the Full Feature Phase only");
    // Who, what kind and which target decide what may be negotiated at all, so they cannot come or change later.
    if (!text && !first_ && (key.rule == Rule::declare_name || key.rule == Rule::declare_type))
        return refuse(key, "belongs in the first request");
    if (!text && stage == Stage::security && !key.any_stage) return refuse(key, "is not for SecurityNegotiation");
    if (!text && stage == Stage::operational && key.rule == Rule::security)
        return refuse(key, "is not for LoginOperationalNegotiation");
    return {};
}

Verdict Negotiation::take_declaration(const Key& key, std::string_view value) {
    if (key.rule == Rule::declare_number) {
        auto number = wire::parse_number(value);
        if (!number || *number < key.min || *number > key.max) return refuse(key, "is out of range");
        if (key.name == "TargetPortalGroupTag") {
            params_.portal_group_tag = uint32_t(*number);
            params_.has_portal_group_tag = true;
        } else {
            uint32_t cap = limits_.max_xmit_data_segment;
            params_.max_xmit_data_segment = cap ? std::min(uint32_t(*number), cap) : uint32_t(*number);
        }
        return {};
    }
    if (key.rule == Rule::declare_type) {
        if (value != "Discovery" && value != "Normal")
            return refuse(key, "is neither Discovery nor Normal", LoginStatus::session_type_unsupported);
        const bool discovery = value == "Discovery";
        if (when_ != When::leading_login && discovery != params_.discovery)
            return refuse(key, "differs from the session's", LoginStatus::cannot_include);
        params_.discovery = discovery;
        return {};
    }
    if (value.size() > key.max) return refuse(key, "is too long");
    if (key.rule == Rule::declare_name) {
        if (!wire::usable_iscsi_name(value)) return refuse(key, "is not an iSCSI name");
        std::string& name = key.name == "TargetName" ? params_.target_name : params_.initiator_name;
        if (when_ == When::further_login && !name.empty() && name != value)
            return refuse(key, "differs from the session's", LoginStatus::cannot_include);
        name = value;
    } else if (key.name == "InitiatorAlias") {
        params_.initiator_alias = value;
    } else if (key.name == "TargetAlias") {
        params_.target_alias = value;
    } else if (key.name == "TargetAddress") {
        params_.target_address = value;
    }                                           // X#NodeArchitecture must not matter (§13.26.2)
    return {};
}

// Our selection from what the peer offers (§6.2.2). A value that is not admissible is answered Reject and leaves the
// value in force.
uint32_t Negotiation::choose(const Key& key, uint32_t offered) const {
    const uint32_t ours = own(key);
    switch (key.rule) {
        case Rule::bool_or: return offered | ours;
        case Rule::bool_and: return offered & ours;
        case Rule::maximum: return std::max(offered, ours);
        default: break;
    }
    uint32_t v = std::min(offered, ours);
    if (key.field.number == &Values::first_burst) v = std::min(v, params_.max_burst);           // §13.14
    if (key.field.number == &Values::max_outstanding_r2t && params_.error_recovery_level > 0 &&
        params_.data_sequence_in_order)
        v = 1;                                                                                  // §13.19
    return v;
}

void Negotiation::answer_number(const Key& key, std::string_view value, wire::TextWriter& answer) {
    std::optional<uint64_t> offered;
    if (key.field.flag) {
        if (auto flag = wire::parse_bool(value)) offered = *flag;
    } else {
        offered = wire::parse_number(value);
    }
    if (!offered || *offered < key.min || *offered > key.max) {
        answer.add(key.name, "Reject");
        return;
    }
    const uint32_t result = choose(key, uint32_t(*offered));
    key.field.set(params_, result);
    if (key.field.flag) answer.add_bool(key.name, result != 0);
    else answer.add(key.name, uint64_t(result));
}

// The first value of the peer's list that we support (§6.2.1); values we do not know are passed over.
void Negotiation::answer_list(const Key& key, std::string_view value, wire::TextWriter& answer) {
    for (std::string_view rest = value, v; wire::next_value(rest, v);) {
        if (key.rule == Rule::digest) {
            const Digests ours = own_digests(key);
            const bool crc = v == "CRC32C";
            if (!(crc ? admits_crc32c(ours) : v == "None" && admits_none(ours))) continue;
            digest_flag(key) = crc;
        } else {
            auto at = std::find(std::begin(task_reporting_names), std::end(task_reporting_names), v);
            const auto level = uint8_t(at - std::begin(task_reporting_names));
            if (level > uint8_t(limits_.task_reporting)) continue;
            params_.task_reporting = TaskReporting(level);
        }
        answer.add(key.name, v);
        return;
    }
    answer.add(key.name, "Reject");
}

Verdict Negotiation::take_proposal(const Key& key, std::string_view value, wire::TextWriter& answer) {
    agreed_.set(row(key));
    if (reserved_for_discovery(key)) {
        answer.add(key.name, "Irrelevant");
        return {};
    }
    if (when_ == When::full_feature || (when_ == When::further_login && key.use == Use::leading)) {
        answer.add(key.name, "Reject");         // no key that is negotiated may change then; the value stays (§6.2)
        return {};
    }
    switch (key.rule) {
        case Rule::digest:
        case Rule::task_reporting: answer_list(key, value, answer); break;
        // §13.25: "Reject" should be, "No" may be answered; open-iscsi takes only No.
        case Rule::marker:
        case Rule::rdma: answer.add(key.name, wire::parse_bool(value) ? "No" : "Reject"); break;
        case Rule::marker_interval: answer.add(key.name, "Reject"); break;
        case Rule::rdma_length: answer.add(key.name, "Irrelevant"); break;
        case Rule::rdma_declare: answer.add(key.name, "NotUnderstood"); break;
        default: answer_number(key, value, answer); break;
    }
    return {};
}

// The peer's answer to an offer of ours, against the selection rules (§6.2).
Verdict Negotiation::take_answer(const Key& key, std::string_view value) {
    agreed_.set(row(key));
    if (key.rule == Rule::digest) {
        const Digests ours = own_digests(key);
        const bool crc = value == "CRC32C", none = value == "None" || reserved_answer(value);
        if ((crc && admits_crc32c(ours)) || (none && admits_none(ours))) {
            digest_flag(key) = crc;
            return {};
        }
        const char* wanted = ours == Digests::none ? "None" : "CRC32C";
        return not_the_digest(key, wanted, shown(value));
    }
    if (value == "NotUnderstood" && !may_be_unknown(key)) return refuse(key, "is not understood by the peer");
    if (reserved_answer(value)) {               // the value in force stays, here the default
        if (decides_alone(key)) key.field.set(params_, key.initial);
        return {};
    }
    if (key.rule == Rule::marker) return value == "No" ? Verdict{} : refuse(key, "cannot be but No");
    if (key.rule == Rule::task_reporting) {
        auto at = std::find(std::begin(task_reporting_names), std::end(task_reporting_names), value);
        if (at == std::end(task_reporting_names) || !wire::list_contains(task_reporting_list(limits_.task_reporting), value))
            return refuse(key, "has an answer that was not offered");
        params_.task_reporting = TaskReporting(at - std::begin(task_reporting_names));
        return {};
    }
    std::optional<uint64_t> number;
    if (key.field.flag) {
        if (auto flag = wire::parse_bool(value)) number = *flag;
    } else {
        number = wire::parse_number(value);
    }
    if (!number || *number < key.min || *number > key.max) return refuse(key, "has an answer out of range");
    const bool up = key.rule == Rule::maximum || key.rule == Rule::bool_or;
    if (up ? *number < own(key) : *number > own(key)) return refuse(key, "has an answer against its rule");
    key.field.set(params_, uint32_t(*number));
    return {};
}

void Negotiation::declare(Stage stage, wire::TextWriter& answer) {
    if (role_ != Role::target || when_ == When::full_feature) return;
    const Key& tag = *find_key("TargetPortalGroupTag");
    if (!declared_[row(tag)] && answer.add(tag.name, uint64_t(limits_.portal_group_tag & 0xffff))) {    // §6.3.1
        declared_.set(row(tag));
        params_.portal_group_tag = limits_.portal_group_tag & 0xffff;
        params_.has_portal_group_tag = true;
    }
    const Key& alias = *find_key("TargetAlias");
    if (!declared_[row(alias)] && !params_.discovery && !limits_.alias.empty() &&
        answer.add(alias.name, std::string_view(limits_.alias).substr(0, alias.max))) {
        declared_.set(row(alias));
        params_.target_alias = limits_.alias;
    }
    const Key& length = *find_key("MaxRecvDataSegmentLength");
    if (stage == Stage::operational && !declared_[row(length)]) add_offer(length, answer);
}

void Negotiation::add_offer(const Key& key, wire::TextWriter& out) {
    const size_t i = row(key);
    if (key.name == "MaxRecvDataSegmentLength") {
        const uint32_t ours = std::clamp(limits_.max_recv_data_segment, key.min, key.max);
        if (!out.add(key.name, uint64_t(ours))) return;
        declared_.set(i);
        params_.max_recv_data_segment = ours;
        return;
    }
    bool written = false;
    switch (key.rule) {
        case Rule::digest: written = out.add(key.name, text(own_digests(key))); break;
        case Rule::marker: written = out.add(key.name, "No"); break;
        case Rule::task_reporting: written = out.add(key.name, task_reporting_list(limits_.task_reporting)); break;
        default:
            written = key.field.flag ? out.add_bool(key.name, own(key) != 0) : out.add(key.name, uint64_t(own(key)));
    }
    if (!written) return;
    offered_.set(i);
    if (decides_alone(key)) key.field.set(params_, own(key));
}

// §6.2.2: No to an AND, Yes to an OR: the offer is the result, an answer is optional.
bool Negotiation::decides_alone(const Key& key) const {
    return (key.rule == Rule::bool_and && own(key) == 0) || (key.rule == Rule::bool_or && own(key) == 1);
}

// The value in force lies within our limits.
bool Negotiation::admits(const Key& key) const {
    if (reserved_for_discovery(key)) return true;
    if (key.rule == Rule::digest) {
        const bool crc = key.name == "HeaderDigest" ? params_.header_digest : params_.data_digest;
        return crc ? admits_crc32c(own_digests(key)) : admits_none(own_digests(key));
    }
    if (!key.field.flag && !key.field.number) return true;
    if (when_ == When::further_login) return true;              // session-wide: decided by the leading login
    const uint32_t now = key.field.get(params_), ours = own(key);
    return key.rule == Rule::maximum || key.rule == Rule::bool_or ? now >= ours : now <= ours;
}

bool Negotiation::satisfied() const {
    return std::all_of(keys().begin(), keys().end(), [this](const Key& key) { return admits(key); });
}

bool Negotiation::settled() const {
    if (waited_ >= max_waits) return true;
    for (const Key& key : keys())
        if (offered_[row(key)] && !answered_[row(key)] && !decides_alone(key)) return false;
    return true;
}

bool Negotiation::offer_missing(wire::TextWriter& answer) {
    if (role_ != Role::target || when_ == When::full_feature) return false;
    bool offered = false;
    for (const Key& key : keys()) {
        const size_t i = row(key);
        if (admits(key) || received_[i] || offered_[i]) continue;
        add_offer(key, answer);
        offered = true;
    }
    return offered || !settled();
}

void Negotiation::offer(Stage stage, wire::TextWriter& request) {
    if (role_ != Role::initiator || when_ == When::full_feature) return;
    if (!names_sent_) {
        names_sent_ = true;
        request.add("InitiatorName", limits_.initiator_name);
        if (!limits_.alias.empty()) request.add("InitiatorAlias", limits_.alias);
        if (!params_.discovery) request.add("TargetName", limits_.target_name);
        request.add("SessionType", params_.discovery ? "Discovery" : "Normal");
    }
    if (stage != Stage::operational) return;
    // open-iscsi's order, which targets have seen for twenty years
    static constexpr std::string_view order[] = {
        "HeaderDigest", "DataDigest", "DefaultTime2Wait", "DefaultTime2Retain", "IFMarker", "OFMarker",
        "ErrorRecoveryLevel", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength", "MaxOutstandingR2T",
        "MaxConnections", "DataPDUInOrder", "DataSequenceInOrder", "MaxRecvDataSegmentLength", "TaskReporting",
        "iSCSIProtocolLevel",
    };
    for (std::string_view name : order) {
        const Key& key = *find_key(name);
        const size_t i = row(key);
        if (offered_[i] || declared_[i] || received_[i] || reserved_for_discovery(key)) continue;
        if (when_ == When::further_login && key.use == Use::leading) continue;
        if (key.rule == Rule::task_reporting && !limits_.offer_task_reporting) continue;
        if (name == "iSCSIProtocolLevel" && !limits_.offer_protocol_level) continue;
        add_offer(key, request);
    }
}

Verdict Negotiation::finish() {
    for (const Key& key : keys()) {
        if (admits(key)) continue;
        // The two times are advice to the peer; keeping the default hurts nobody.
        if (key.name == "DefaultTime2Wait" || key.name == "DefaultTime2Retain") continue;
        // What an initiator offered and the target left unanswered or rejected stays at its default, which every
        // initiator must be able to live with; a digest that is required may not.
        if (role_ == Role::initiator && key.rule != Rule::digest) continue;
        if (key.rule == Rule::digest && role_ == Role::initiator)
            return not_the_digest(key, "CRC32C", "None");
        return refuse(key, "was not agreed on");
    }
    const Key& first_burst = *find_key("FirstBurstLength");                                     // §13.14
    if (role_ == Role::target && agreed_[row(first_burst)] && params_.first_burst > params_.max_burst)
        return refuse(first_burst, "exceeds MaxBurstLength");
    params_.first_burst = std::min(params_.first_burst, params_.max_burst);     // a default that is too large
    if (params_.error_recovery_level > 0 && params_.data_sequence_in_order && params_.max_outstanding_r2t > 1)
        return refuse(*find_key("MaxOutstandingR2T"), "must be 1 with this ErrorRecoveryLevel");    // §13.19
    if (params_.discovery) params_.max_connections = 1;                                         // §13.21
    return {};
}

bool TextGatherer::add(Bytes piece) {
    if (piece.size() > limit_ - text_.size()) return false;
    text_.append(as_text(piece));
    return true;
}

TextPieces::Piece TextPieces::next(size_t max_data_segment) {
    std::string_view piece = std::string_view(text_).substr(at_, max_data_segment);
    at_ += piece.size();
    return {piece, at_ < text_.size()};
}

}  // namespace iscsi::nego
