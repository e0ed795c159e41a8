// Text requests in the full feature phase, RFC 7143 §11.10, §11.11: SendTargets (Appendix C) and negotiation of the few keys
// that may change there.
#include <algorithm>

#include "core/nego/negotiate.h"
#include "core/target/connection.h"

namespace iscsi::target {

namespace {
constexpr size_t max_text = 64 * 1024;         // of a request
constexpr size_t max_piece = 64 * 1024;        // of an answer; it has to fit the send batch
}

// One record: TargetName, then its address. We listen where the initiator reached us; that address is the one it can use.
static void list_target(const Target& target, const std::string& portal, std::string& out) {
    out += "TargetName=" + target.name();
    out += '\0';
    out += "TargetAddress=" + portal + "," + std::to_string(target.config().limits.portal_group_tag);
    out += '\0';
}

// True if this initiator may know of the target: the ACL admits it, and who authenticated with the account of some target
// sees those that ask for nobody or for that account. Who did not, or with an account for discoveries only, shows at login
// who it is.
bool Connection::visible(const Target& target, bool by_account) const {
    TargetConfig config = target.config();
    if (!config.acl.admits(session_->record->initiator, peer_address_)) return false;
    return !by_account || config.incoming_users.empty() || std::ranges::find(config.incoming_users, user_) != config.incoming_users.end();
}

bool Connection::text_request(const wire::TextRequest& header, Bytes data) {
    auto bhs = wire::header_cast<wire::Bhs>(header);
    const bool final = header.flags & wire::final_bit, more = header.flags & wire::TextRequest::continue_bit;
    if (final && more) return reject(wire::RejectReason::protocol_error, bhs);
    if (header.ttt != wire::reserved_tag) {
        // The next piece of a long answer, or of a request in several PDUs.
        if (header.itt != text_itt_ || header.ttt != text_ttt_) return reject(wire::RejectReason::protocol_error, bhs);
    } else {
        text_.clear();              // §11.10.4: the reserved TTT starts anew
        text_reply_.clear();
        text_sent_ = 0;
        text_negotiation_.reset();
        text_itt_ = header.itt;
    }
    if (text_.size() + data.size() > max_text) return reject(wire::RejectReason::protocol_error, bhs);
    text_.insert(text_.end(), data.begin(), data.end());
    if (more) {
        text_answer(header, {}, false, false);
        return true;
    }
    if (text_reply_.empty()) {
        std::vector<wire::TextKey> keys;
        if (wire::parse_text(text_, keys) != wire::TextError::none) return reject(wire::RejectReason::protocol_error, bhs);
        std::string answer;
        if (!text_keys(keys, answer)) return reject(wire::RejectReason::protocol_error, bhs);
        text_.clear();
        text_reply_.assign(answer.begin(), answer.end());
    }
    size_t piece = std::min<size_t>({text_reply_.size() - text_sent_, max_xmit_, max_piece});
    text_sent_ += piece;
    bool last = text_sent_ == text_reply_.size();
    text_answer(header, Bytes(text_reply_).subspan(text_sent_ - piece, piece), last && final, !last);
    if (last) {
        text_reply_.clear();
        text_sent_ = 0;
    }
    if (last && final && text_negotiation_) {       // §6.4: what was declared counts from the end of the negotiation
        max_xmit_ = text_negotiation_->params().max_xmit_data_segment;
        text_negotiation_.reset();
    }
    return true;
}

void Connection::text_answer(const wire::TextRequest& header, Bytes data, bool final, bool more) {
    wire::TextResponse r;
    r.itt = header.itt;
    r.lun = header.lun;
    if (final) r.flags |= wire::final_bit;
    if (more) r.flags |= wire::TextResponse::continue_bit;
    if (final) {
        r.ttt = wire::reserved_tag;
        text_itt_ = wire::reserved_tag;
    } else {
        if (++text_ttt_ == wire::reserved_tag) text_ttt_ = 0;
        r.ttt = text_ttt_;
    }
    control(r, data);
}

bool Connection::text_keys(wire::TextKeys keys, std::string& answer) {
    auto& directory = worker_.directory;
    if (!text_negotiation_) {
        nego::Limits limits = session_->target ? session_->target->config().limits : nego::Limits{};
        nego::Params in_force = session_->params;
        in_force.max_xmit_data_segment = max_xmit_;
        text_negotiation_ = std::make_unique<nego::Negotiation>(nego::Role::target, nego::When::full_feature, limits, in_force);
    }
    wire::TextWriter writer;
    if (!text_negotiation_->digest(wire::Stage::full_feature, keys, writer)) {
        text_negotiation_.reset();
        return false;
    }
    if (auto ask = wire::find_value(keys, "SendTargets")) {
        const std::string portal = local_.portal();
        const auto targets = directory.targets_by_age();
        const bool by_account = !user_.empty() && std::ranges::any_of(targets, [&](const auto& t) {
            TargetConfig config = t->config();
            return std::ranges::find(config.incoming_users, user_) != config.incoming_users.end();
        });
        if (*ask == "All") {
            if (!session_->discovery()) {
                answer = std::string("SendTargets=Reject") + '\0';     // Appendix C: All is for discovery sessions
            } else {
                for (const auto& t : targets)
                    if (!t->deleted && visible(*t, by_account)) list_target(*t, portal, answer);
            }
        } else {
            std::string_view name = ask->empty() && session_->target ? std::string_view(session_->target->name()) : *ask;
            bool own = session_->target && session_->target->name() == name;
            if (auto t = directory.find(name); t && !t->deleted && (own || (session_->discovery() && visible(*t, by_account))))
                list_target(*t, portal, answer);
        }
    }
    answer += writer.text();
    return true;
}

}  // namespace iscsi::target
