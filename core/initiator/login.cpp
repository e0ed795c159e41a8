#include "core/initiator/login.h"

#include <charconv>
#include <cstdio>
#include <optional>

#include "core/io/address.h"
#include "core/nego/negotiate.h"
#include "core/wire/text_keys.h"

namespace iscsi::initiator {

using wire::LoginStatus;
using wire::Stage;

namespace {

constexpr size_t max_data_segment = 8192;       // §6.3: the default MaxRecvDataSegmentLength holds during login
constexpr size_t max_logical_text = 64 * 1024;
constexpr unsigned max_exchanges = 64;          // PDUs we send in one login; a target that wants more never ends

// From the peer to a message: printable, short.
std::string printable(std::string_view s) {
    std::string out(s.substr(0, 128));
    for (char& c : out)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    return out;
}

}  // namespace

nego::Limits LoginSettings::default_offers() {
    nego::Limits l;
    l.initial_r2t = false;
    l.max_recv_data_segment = 262144;
    l.max_burst = 16776192;
    l.first_burst = 262144;
    l.default_time2retain = 0;
    return l;
}

const char* text(LoginStatus status) {
    switch (status) {
    case LoginStatus::success: return "success";
    case LoginStatus::moved_temporarily: return "target moved temporarily";
    case LoginStatus::moved_permanently: return "target moved permanently";
    case LoginStatus::initiator_error: return "initiator error";
    case LoginStatus::authentication_failed: return "authentication failure";
    case LoginStatus::authorization_failed: return "authorization failure";
    case LoginStatus::not_found: return "target not found";
    case LoginStatus::target_removed: return "target removed";
    case LoginStatus::unsupported_version: return "unsupported version";
    case LoginStatus::too_many_connections: return "too many connections";
    case LoginStatus::missing_parameter: return "missing parameter";
    case LoginStatus::cannot_include: return "cannot include the connection in the session";
    case LoginStatus::session_type_unsupported: return "session type not supported";
    case LoginStatus::session_does_not_exist: return "session does not exist";
    case LoginStatus::invalid_request: return "invalid during login";
    case LoginStatus::target_error: return "target error";
    case LoginStatus::service_unavailable: return "service unavailable";
    case LoginStatus::out_of_resources: return "target out of resources";
    }
    switch (uint16_t(status) >> 8) {
    case 1: return "redirection";
    case 2: return "initiator error";
    case 3: return "target error";
    default: return "unknown status";
    }
}

bool drop_misread_hash(LoginSettings& settings, const LoginFailure& failure) {
    if (settings.chap.account.user.empty() || failure.kind != LoginFailure::Kind::refused ||
        failure.status != LoginStatus::initiator_error || settings.chap.algorithms.size() < 2)
        return false;
    return std::erase(settings.chap.algorithms, auth::Hash::sha256) > 0;
}

class Login::Machine {
public:
    explicit Machine(LoginSettings s)
        : settings_(std::move(s)), negotiation_(nego::Role::initiator,
                                                settings_.tsih == 0 ? nego::When::leading_login : nego::When::further_login,
                                                settings_.offers, nego::Params{}),
          chap_(chap_config(settings_.chap)), gatherer_(max_logical_text) {
        with_security_ = !settings_.chap.account.user.empty();
        success_.exp_stat_sn = settings_.exp_stat_sn;
    }

    Step start() {
        // Without CHAP SecurityNegotiation is skipped, as open-iscsi does (§6.3: either stage may be the first).
        stage_ = with_security_ ? Stage::security : Stage::operational;
        negotiation_.offer(stage_, text_);
        if (with_security_) chap_.start(text_);
        return send(with_security_ ? chap_.may_transit() : true);
    }

    Step feed(const wire::LoginResponse& h, Bytes data) {
        if (h.opcode != uint8_t(wire::Opcode::login_response)) return fail_protocol("not a Login Response");
        if (h.total_ahs_length != 0) return fail_protocol("Login Response with an additional header");
        if (data.size() != h.data_segment_length || data.size() > max_data_segment)
            return fail_protocol("Login Response longer than 8192 bytes");
        const uint16_t status = h.status;
        if (status >> 8 == 1) return redirected(status, data);
        if (status != 0) return refused(status);
        if (const char* wrong = check(h)) return fail_protocol(wrong);

        success_.exp_stat_sn = h.stat_sn + 1;
        success_.exp_cmd_sn = h.exp_cmd_sn;
        success_.max_cmd_sn = h.max_cmd_sn;
        success_.tsih = h.tsih;
        answered_ = true;
        if (!gatherer_.add(data)) return fail_protocol("login text without end");
        text_.clear();
        if (h.flags & wire::LoginResponse::continue_bit) return send(false);    // §6.2: an empty request asks for the rest
        return logical_text(h);
    }

    wire::LoginRequest header_;
    wire::TextWriter text_{max_data_segment};
    LoginSuccess success_;
    LoginFailure failure_;

private:
    static auth::ChapInitiator::Config chap_config(const ChapSettings& s) {
        auth::ChapInitiator::Config c;
        c.chap = !s.account.user.empty();
        c.offer_none = true;        // one-way CHAP proves us to the target; one that does not ask is fine, as open-iscsi has it
        c.account = s.account;
        c.target_account = s.target_account;
        c.algorithms = s.algorithms;
        return c;
    }

    // What §11.13 demands of a successful response's header; nullptr if it is so.
    const char* check(const wire::LoginResponse& h) const {
        const bool transit = h.flags & wire::LoginResponse::transit_bit, more = h.flags & wire::LoginResponse::continue_bit;
        if (h.version_active != 0) return "iSCSI version not supported";
        if (h.itt != settings_.itt) return "Login Response with another task tag";
        if (std::memcmp(h.isid, settings_.isid.data(), sizeof h.isid) != 0) return "Login Response with another ISID";
        if (answered_ && h.stat_sn != success_.exp_stat_sn) return "Login Response with a wrong StatSN";
        if (h.csg() != stage_) return "Login Response of another stage";
        if (transit && more) return "Login Response with both T and C";
        if (transit && !(header_.flags & wire::LoginRequest::transit_bit)) return "the target changes the stage unasked";
        if (transit && h.nsg() != header_.nsg()) return "the target goes to a stage that was not asked for";
        return nullptr;
    }

    Step logical_text(const wire::LoginResponse& h) {
        std::vector<wire::TextKey> keys;
        if (auto error = wire::parse_text(gatherer_.text(), keys); error != wire::TextError::none)
            return fail_protocol(std::string("login text: ") + wire::text(error));
        if (stage_ == Stage::security && chap_.digest(keys, text_) == auth::Progress::failed) return fail_security();
        nego::Verdict verdict = negotiation_.digest(stage_, keys, text_);
        if (!verdict) return fail(LoginFailure::Kind::negotiation, verdict.why);
        gatherer_.clear();      // the pairs pointed into it

        if (h.flags & wire::LoginResponse::transit_bit) {
            if (stage_ == Stage::operational) return finish();
            if (chap_.progress() != auth::Progress::done) return fail_security();
            if (!text_.empty()) return fail_protocol("the target leaves the security stage with a question open");
            stage_ = Stage::operational;
            negotiation_.offer(stage_, text_);
            return send(true);
        }
        return send(stage_ == Stage::operational || chap_.may_transit());
    }

    Step finish() {
        if (!text_.empty()) return fail_protocol("the target ends login with an offer open");
        if (nego::Verdict verdict = negotiation_.finish(); !verdict) return fail(LoginFailure::Kind::negotiation, verdict.why);
        success_.params = negotiation_.params();
        if (success_.tsih == 0 && !settings_.offers.discovery) return fail_protocol("a session without TSIH");
        success_.cmd_sn = settings_.cmd_sn;
        return Step::done;
    }

    Step send(bool transit) {
        if (text_.overflowed()) return fail(LoginFailure::Kind::negotiation, "login text longer than 8192 bytes");
        if (++exchanges_ > max_exchanges) return fail_protocol("login without end");
        header_ = {};
        const Stage next = stage_ == Stage::security ? Stage::operational : Stage::full_feature;
        header_.flags = uint8_t(uint8_t(stage_) << 2);
        if (transit) header_.flags |= uint8_t(wire::LoginRequest::transit_bit | uint8_t(next));
        header_.data_segment_length = uint32_t(text_.text().size());
        std::memcpy(header_.isid, settings_.isid.data(), sizeof header_.isid);
        header_.tsih = settings_.tsih;
        header_.itt = settings_.itt;
        header_.cid = settings_.cid;
        header_.cmd_sn = settings_.cmd_sn;
        header_.exp_stat_sn = success_.exp_stat_sn;
        return Step::send;
    }

    Step refused(uint16_t status) {
        failure_.status = LoginStatus(status);
        char code[16];
        std::snprintf(code, sizeof code, " (%02x/%02x)", status >> 8, status & 0xff);
        return fail(LoginFailure::Kind::refused, initiator::text(failure_.status) + std::string(code));
    }

    // §11.13.5: TargetAddress=host[:port][,tag] says where to go.
    Step redirected(uint16_t status, Bytes data) {
        failure_.status = LoginStatus(status);
        failure_.permanent = failure_.status == LoginStatus::moved_permanently;
        std::vector<wire::TextKey> keys;
        std::optional<std::string_view> value;
        if (wire::parse_text(data, keys) == wire::TextError::none) value = wire::find_value(keys, "TargetAddress");
        if (!value) return fail_protocol("redirected without an address");
        auto place = io::split_host_port(value->substr(0, value->rfind(',')), 3260);
        if (!place) return fail_protocol("redirected to an address that is none");
        failure_.host = place->host;
        failure_.port = place->port;
        return fail(LoginFailure::Kind::redirected, "moved to " + printable(*value));
    }

    Step fail_security() {
        const bool mutual = !settings_.chap.target_account.secret.empty();
        const bool answered_chap = chap_.may_transit();         // our response went out: what failed is the target's
        const char* why = chap_.progress() == auth::Progress::failed ? chap_.why() : "the target did not authenticate itself";
        return fail(mutual && answered_chap ? LoginFailure::Kind::target_unproved : LoginFailure::Kind::security, why);
    }
    Step fail_protocol(std::string why) { return fail(LoginFailure::Kind::protocol, std::move(why)); }
    Step fail(LoginFailure::Kind kind, std::string why) {
        failure_.kind = kind;
        failure_.text = printable(why);
        return Step::failed;
    }

    LoginSettings settings_;
    nego::Negotiation negotiation_;
    auth::ChapInitiator chap_;
    nego::TextGatherer gatherer_;
    Stage stage_ = Stage::operational;
    bool with_security_ = false, answered_ = false;
    unsigned exchanges_ = 0;
};

Login::Login(LoginSettings settings) : machine_(std::make_unique<Machine>(std::move(settings))) {}
Login::~Login() = default;
Login::Login(Login&&) noexcept = default;
Login& Login::operator=(Login&&) noexcept = default;

Login::Step Login::start() { return machine_->start(); }
Login::Step Login::feed(const wire::LoginResponse& header, Bytes data) { return machine_->feed(header, data); }
const wire::LoginRequest& Login::header() const { return machine_->header_; }
Bytes Login::data() const { return as_bytes(machine_->text_.text()); }
const LoginSuccess& Login::success() const { return machine_->success_; }
const LoginFailure& Login::failure() const { return machine_->failure_; }

}  // namespace iscsi::initiator
