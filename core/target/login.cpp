#include "core/target/login.h"

namespace iscsi::target {

using wire::LoginStatus;
using wire::Stage;

namespace {

// tgt shows MaxRecvDataSegmentLength=8192 for a target nobody configured. 8 KiB per PDU costs a header and a dispatch for
// each, so as long as the value is that default this much is declared instead.
constexpr uint32_t default_max_recv = 8192, declared_max_recv = 262144;

uint64_t isid_number(const uint8_t (&isid)[6]) {
    uint64_t n = 0;
    for (uint8_t b : isid) n = n << 8 | b;
    return n;
}

}  // namespace

Login::Login(Directory& directory, std::string peer_address)
    : directory_(directory), peer_address_(std::move(peer_address)) {}
Login::~Login() { directory_.challenges.forget(this); }

Login::Outcome Login::refuse(Reply& reply, LoginStatus status, std::string why) {
    reply.header.status = uint16_t(status);
    reply.header.flags &= 0x0c;             // CSG stays, T, C and NSG do not
    if (status != LoginStatus::moved_temporarily && status != LoginStatus::moved_permanently) reply.text.clear();
    why_ = std::move(why);
    return Outcome::refused;
}

// What must hold of every Login Request of one login (§11.12, §6.3.1).
const char* Login::check_request(const wire::LoginRequest& request) const {
    using R = wire::LoginRequest;
    bool transit = request.flags & R::transit_bit, more = request.flags & R::continue_bit;
    if (!(request.opcode & wire::immediate_bit)) return "Login Request without the I bit";
    if (transit && more) return "Login Request with both T and C";
    if (request.csg() != Stage::security && request.csg() != Stage::operational) return "Login Request with a bad CSG";
    if (transit && (request.nsg() <= request.csg() || uint8_t(request.nsg()) == 2)) return "Login Request with a bad NSG";
    if (!started_) return nullptr;
    if (isid_number(request.isid) != isid_ || request.tsih != tsih_ || request.cid != cid_)
        return "ISID, TSIH or CID changed during login";
    if (request.itt != itt_) return "initiator task tag changed during login";
    if (request.csg() != stage_) return "Login Request in another stage than agreed";
    return nullptr;
}

Login::Outcome Login::digest(const wire::LoginRequest& request, Bytes data, Reply& reply) {
    reply = {};
    std::memcpy(reply.header.isid, request.isid, sizeof request.isid);
    reply.header.tsih = request.tsih;
    reply.header.itt = request.itt;
    reply.header.flags = uint8_t(request.flags & 0x0c);
    if (request.version_min > 0) return refuse(reply, LoginStatus::unsupported_version, "unsupported version");
    if (const char* wrong = check_request(request)) return refuse(reply, LoginStatus::initiator_error, wrong);
    if (!started_) {
        started_ = true;
        stage_ = request.csg();
        isid_ = isid_number(request.isid);
        tsih_ = request.tsih;
        cid_ = request.cid;
        itt_ = request.itt;
    }
    cmd_sn_ = request.cmd_sn;
    if (!gathered_.add(data)) return refuse(reply, LoginStatus::initiator_error, "login text too long");
    if (request.flags & wire::LoginRequest::continue_bit) return Outcome::more;

    std::vector<wire::TextKey> keys;
    if (wire::TextError error = wire::parse_text(gathered_.text(), keys); error != wire::TextError::none)
        return refuse(reply, LoginStatus::initiator_error, wire::text(error));
    Outcome outcome = Outcome::more;
    if (!identified_) outcome = first_text(keys, reply);
    if (outcome == Outcome::more) outcome = stage_text(request, keys, reply);
    gathered_.clear();
    return outcome;
}

std::string Login::redirect_address() const {
    Redirect r = target_->config().redirect;
    if (!r.active() || r.address == peer_address_) return "";
    bool v6 = r.address.find(':') != std::string::npos && r.address.front() != '[';
    std::string address = v6 ? "[" + r.address + "]" : r.address;
    return r.port.empty() ? address : address + ":" + r.port;
}

// The first logical text names who talks to whom (§6.3: InitiatorName, SessionType, TargetName).
Login::Outcome Login::first_text(wire::TextKeys keys, Reply& reply) {
    auto initiator = wire::find_value(keys, "InitiatorName");
    if (!initiator || initiator->empty()) return refuse(reply, LoginStatus::missing_parameter, "no InitiatorName");
    if (initiator->size() > wire::max_name_length) return refuse(reply, LoginStatus::initiator_error, "InitiatorName too long");
    initiator_ = *initiator;
    auto type = wire::find_value(keys, "SessionType");
    if (type && *type != "Normal" && *type != "Discovery")
        return refuse(reply, LoginStatus::session_type_unsupported, "unknown SessionType");
    bool discovery = type && *type == "Discovery";
    nego::Limits limits;
    if (discovery) {
        if (tsih_ != 0) return refuse(reply, LoginStatus::session_does_not_exist, "discovery session with a TSIH");
    } else {
        auto name = wire::find_value(keys, "TargetName");
        if (!name || name->empty()) return refuse(reply, LoginStatus::missing_parameter, "no TargetName");
        target_ = directory_.find(*name);
        if (!target_ || target_->deleted)
            return refuse(reply, LoginStatus::not_found, "no such target: " + std::string(name->substr(0, wire::max_name_length)));
        TargetConfig config = target_->config();
        if (!config.acl.admits(initiator_, peer_address_))
            return refuse(reply, LoginStatus::not_found, "initiator not allowed by the ACL of " + target_->name());
        if (std::string address = redirect_address(); !address.empty()) {
            reply.text = "TargetAddress=" + address + '\0';
            return refuse(reply, config.redirect.reason == "Permanent" ? LoginStatus::moved_permanently : LoginStatus::moved_temporarily,
                          "redirected to " + address);
        }
        if (!config.ready) return refuse(reply, LoginStatus::target_error, "target " + target_->name() + " is offline");
        if (tsih_ != 0) {
            auto session = directory_.sessions.find(tsih_);
            if (!session || session->tid != target_->tid() || session->initiator != initiator_ || session->isid != isid_)
                return refuse(reply, LoginStatus::session_does_not_exist, "no session of that TSIH");
            return refuse(reply, LoginStatus::too_many_connections, "one connection per session");
        }
        limits = config.limits;
        limits.alias = config.alias;
    }
    // A discovery session is open to all and has but short requests: 8 KiB it stays.
    if (target_ && limits.max_recv_data_segment == default_max_recv) limits.max_recv_data_segment = declared_max_recv;
    // One connection a session, ErrorRecoveryLevel 0, data in order: what the data path is built for.
    limits.max_connections = 1;
    limits.error_recovery_level = 0;
    limits.data_pdu_in_order = limits.data_sequence_in_order = true;
    if (limits.max_outstanding_r2t > max_bursts) limits.max_outstanding_r2t = max_bursts;

    policy_ = directory_.policy(target_.get());
    auth::ChapTarget::Config chap;
    chap.lookup = [this](std::string_view user) -> const Secret* {
        for (const Account& a : policy_.incoming)
            if (a.user == user) return &a.secret;
        return nullptr;
    };
    chap.required = !policy_.incoming.empty();
    chap.outgoing = policy_.outgoing ? &*policy_.outgoing : nullptr;
    chap.outstanding = [this](Bytes challenge) { return directory_.challenges.contains(challenge); };
    chap_ = std::make_unique<auth::ChapTarget>(std::move(chap));
    negotiation_ = std::make_unique<nego::Negotiation>(nego::Role::target, nego::When::leading_login, limits, nego::Params{});
    identified_ = true;
    return Outcome::more;
}

Login::Outcome Login::stage_text(const wire::LoginRequest& request, wire::TextKeys keys, Reply& reply) {
    wire::TextWriter answer;
    if (stage_ == Stage::security) {
        if (chap_->digest(keys, answer) == auth::Progress::failed)
            return refuse(reply, LoginStatus::authentication_failed, std::string("authentication failed: ") + chap_->why());
        directory_.challenges.note(this, chap_->challenge());
    } else if (chap_->progress() != auth::Progress::done && !chap_->may_skip()) {
        return refuse(reply, LoginStatus::authentication_failed, "authentication is required");
    }
    if (nego::Verdict v = negotiation_->digest(stage_, keys, answer); !v) return refuse(reply, v.status, v.why);
    negotiation_->declare(stage_, answer);

    bool grant = request.flags & wire::LoginRequest::transit_bit;
    Stage next = request.nsg();
    if (stage_ == Stage::security) {
        if (grant && chap_->progress() != auth::Progress::done && !chap_->may_skip()) grant = false;
        if (chap_->progress() == auth::Progress::open && !chap_->challenge().empty()) grant = false;
        if (grant && next == Stage::full_feature && !negotiation_->satisfied()) next = Stage::operational;
    } else if (negotiation_->offer_missing(answer)) {
        grant = false;
    }
    if (grant && next == Stage::full_feature) {
        if (!negotiation_->settled())
            grant = false;
        else if (nego::Verdict v = negotiation_->finish(); !v)
            return refuse(reply, v.status, v.why);
    }
    if (answer.overflowed()) return refuse(reply, LoginStatus::target_error, "login answer too long");
    reply.text = answer.text();
    if (!grant) return Outcome::more;
    reply.header.flags |= uint8_t(wire::LoginResponse::transit_bit | uint8_t(next));
    stage_ = next;
    if (next != Stage::full_feature) return Outcome::more;
    directory_.challenges.forget(this);
    return Outcome::complete;
}

}  // namespace iscsi::target
