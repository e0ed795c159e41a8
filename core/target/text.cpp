// Text requests in the full feature phase, RFC 7143 §11.10, §11.11: SendTargets (Appendix C) and negotiation of the few keys
// that may change there.
#include <algorithm>

#include "core/nego/negotiate.h"
#include "core/target/connection.h"

namespace iscsi::target {

namespace {
constexpr size_t max_text = 64 * 1024;
}

// One record: TargetName, then its address. We listen where the initiator reached us; that address is the one it can use.
static void list_target(const Target& target, const std::string& portal, std::string& out) {
    out += "TargetName=" + target.name();
    out += '\0';
    out += "TargetAddress=" + portal + "," + std::to_string(target.config().limits.portal_group_tag);
    out += '\0';
}

// True if this initiator may know of the target: it passes the ACL, and a target that wants CHAP is shown in an
// authenticated or open discovery like any other (its account is asked for at login).
static bool visible(const Target& target, const SessionRecord& session, const std::string& peer) {
    return target.config().acl.admits(session.initiator, peer);
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
    size_t piece = std::min<size_t>(text_reply_.size(), max_xmit_);
    bool last = piece == text_reply_.size();
    text_answer(header, Bytes(text_reply_).first(piece), last && final, !last);
    text_reply_.erase(text_reply_.begin(), text_reply_.begin() + ptrdiff_t(piece));
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
        if (*ask == "All") {
            if (!session_->discovery()) {
                answer = std::string("SendTargets=Reject") + '\0';     // Appendix C: All is for discovery sessions
            } else {
                for (const auto& t : directory.targets_by_age())
                    if (!t->deleted && visible(*t, *session_->record, peer_address_)) list_target(*t, portal, answer);
            }
        } else {
            std::string_view name = ask->empty() && session_->target ? std::string_view(session_->target->name()) : *ask;
            bool own = session_->target && session_->target->name() == name;
            if (auto t = directory.find(name); t && !t->deleted && (own || (session_->discovery() && visible(*t, *session_->record, peer_address_))))
                list_target(*t, portal, answer);
        }
    }
    answer += writer.text();
    return true;
}

}  // namespace iscsi::target
