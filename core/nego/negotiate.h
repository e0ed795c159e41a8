// Text negotiation, RFC 7143 §6.2-6.4, for either side. A Negotiation lives for one login (all its stages) or for
// one negotiation in the Full Feature Phase; it remembers which keys went which way and refuses a second time.
// Nothing takes effect before the owner copies params() after finish() (§6.2: negotiations are atomic).
// It knows nothing of PDUs: the owner gathers logical texts (TextGatherer), splits them and sets the T and F bits.
//
// Target, per complete logical text of the initiator:
//     verdict = n.digest(stage, keys, answer)      // refuse the login with verdict.status if it says so
//     n.declare(stage, answer)                     // TargetPortalGroupTag, TargetAlias, MaxRecvDataSegmentLength, once
//     if (T bit) t = !n.offer_missing(answer)      // true: something must be asked first, answer with T=0
//     before NSG=FullFeature is granted: n.settled() and n.finish()
// Initiator:
//     n.offer(stage, request)                      // names in the first request; operational keys in that stage
//     verdict = n.digest(stage, keys, next)        // answers to the target's own offers go to `next`
//     at the end: n.finish()
#pragma once
#include <bitset>
#include <string>

#include "core/nego/keys.h"
#include "core/wire/text_keys.h"

namespace iscsi::nego {

enum class Role : uint8_t { target, initiator };
enum class When : uint8_t { leading_login, further_login, full_feature };   // further_login: TSIH was not 0

// What became of a text. A target answers a failed login with `status`, a failed text with Reject "protocol error";
// an initiator drops the connection. `why` is for the log and names the key.
struct Verdict {
    wire::LoginStatus status = wire::LoginStatus::success;
    std::string why;
    explicit operator bool() const { return status == wire::LoginStatus::success; }
};

class Negotiation {
public:
    // `start` holds the values in force: Params{} for a leading login, the session's for the others.
    Negotiation(Role role, When when, const Limits& limits, const Params& start);

    // Takes the peer's pairs; appends answers. Security keys (§12) and SendTargets are checked for place and
    // repetition only: auth/ and the text code answer them.
    Verdict digest(wire::Stage stage, wire::TextKeys keys, wire::TextWriter& answer);

    // Target: what it declares by itself, each key once per login.
    void declare(wire::Stage stage, wire::TextWriter& answer);
    // Target, operational stage: offers keys the initiator did not mention and whose value in force our limits do not
    // admit. True if it offered something or an offer is unanswered, so the response must not carry T=1.
    bool offer_missing(wire::TextWriter& answer);
    // Target: the values in force are within our limits. If not, a request to go from SecurityNegotiation straight to
    // Full Feature Phase is answered with NSG=LoginOperationalNegotiation.
    bool satisfied() const;

    // Initiator: what to send in this stage that was not sent yet; open-iscsi's keys in its order.
    void offer(wire::Stage stage, wire::TextWriter& request);

    // Every offer of ours was answered, or the peer had its chances; finish() then says whether we can live with it.
    bool settled() const;
    // Integrity rules between keys (§6.2) and, on the initiator, required digests. After this params() count.
    Verdict finish();

    const Params& params() const { return params_; }

private:
    static constexpr size_t max_keys = 64;
    enum class Pass : uint8_t { type, plain, dependent };
    static Pass pass_of(const Key* key);
    Verdict take(wire::Stage stage, const wire::TextKey& pair, const Key& key, wire::TextWriter& answer);
    Verdict check_place(wire::Stage stage, const Key& key) const;
    Verdict take_declaration(const Key& key, std::string_view value);
    Verdict take_answer(const Key& key, std::string_view value);
    Verdict take_proposal(const Key& key, std::string_view value, wire::TextWriter& answer);
    void answer_number(const Key& key, std::string_view value, wire::TextWriter& answer);
    void answer_list(const Key& key, std::string_view value, wire::TextWriter& answer);
    uint32_t choose(const Key& key, uint32_t offered) const;
    uint32_t own(const Key& key) const;             // the value we want
    bool admits(const Key& key) const;
    void add_offer(const Key& key, wire::TextWriter& out);
    bool decides_alone(const Key& key) const;
    Digests own_digests(const Key& key) const;
    bool& digest_flag(const Key& key);
    bool reserved_for_discovery(const Key& key) const { return params_.discovery && !key.in_discovery; }

    Role role_;
    When when_;
    Limits limits_;
    Params params_;
    // by row of keys(): came from the peer, offered by us, answered by the peer, declared by us, agreed on
    std::bitset<max_keys> received_, offered_, answered_, declared_, agreed_;
    unsigned unknown_ = 0, waited_ = 0;
    bool names_sent_ = false, first_ = true;
};

// Puts the pieces of a logical text together (C bit, §6.1) under a hard limit. The target answers each piece with
// an empty response until the last one is there.
class TextGatherer {
public:
    explicit TextGatherer(size_t limit = 64 * 1024) : limit_(limit) {}
    bool add(Bytes piece);                      // false: over the limit, drop the connection
    Bytes text() const { return as_bytes(text_); }
    bool empty() const { return text_.empty(); }
    void clear() { text_.clear(); }

private:
    std::string text_;
    size_t limit_;
};

// Hands a logical text out in pieces that fit a PDU; all but the last go with C=1.
class TextPieces {
public:
    TextPieces() = default;
    explicit TextPieces(std::string text) : text_(std::move(text)) {}
    struct Piece { std::string_view text; bool more; };
    Piece next(size_t max_data_segment);
    bool done() const { return at_ >= text_.size(); }

private:
    std::string text_;
    size_t at_ = 0;
};

}  // namespace iscsi::nego
