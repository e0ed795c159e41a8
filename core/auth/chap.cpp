#include "core/auth/chap.h"

#include <algorithm>

#include "core/base/random.h"

namespace iscsi::auth {
namespace {

constexpr std::string_view chap_keys[] = {"CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"};

// What one text holds for us. Views into it.
struct Heard {
    std::optional<std::string_view> method, algorithm, id, challenge, name, response;
    bool repeated = false, foreign = false;
    bool any_chap() const { return algorithm || id || challenge || name || response; }
};

Heard hear(wire::TextKeys keys) {
    Heard h;
    auto put = [&h](std::optional<std::string_view>& to, std::string_view value) {
        if (to) h.repeated = true;
        to = value;
    };
    for (const wire::TextKey& k : keys) {
        if (k.key == "AuthMethod") put(h.method, k.value);
        else if (k.key == chap_keys[0]) put(h.algorithm, k.value);
        else if (k.key == chap_keys[1]) put(h.id, k.value);
        else if (k.key == chap_keys[2]) put(h.challenge, k.value);
        else if (k.key == chap_keys[3]) put(h.name, k.value);
        else if (k.key == chap_keys[4]) put(h.response, k.value);
        else if (k.key.starts_with("SRP_") || k.key.starts_with("KRB_") || k.key == "TargetAuth") h.foreign = true;
    }
    return h;
}

struct Binary {
    uint8_t bytes[max_binary];
    size_t length = 0;
    Bytes view() const { return {bytes, length}; }
    bool decode(std::string_view text) {
        auto n = wire::decode_binary(text, bytes);
        length = n.value_or(0);
        return n.has_value();
    }
};

bool parse_id(std::string_view text, uint8_t& id) {
    auto n = wire::parse_number(text);
    if (!n || *n > 255) return false;
    id = uint8_t(*n);
    return true;
}

// RFC 1994 §4.1: the hash over identifier, secret, challenge.
void respond(Hash hash, uint8_t id, const Secret& secret, Bytes challenge, MutableBytes out) {
    hash_of(hash, {Bytes(&id, 1), as_bytes(secret.reveal()), challenge}, out);
}

// True if `response` is what `secret` gives. Takes the same time whatever the bytes.
bool answers(Hash hash, uint8_t id, const Secret& secret, Bytes challenge, Bytes response) {
    uint8_t expected[max_hash_length];
    const size_t n = hash_length(hash);
    respond(hash, id, secret, challenge, expected);
    const bool equal = equal_in_constant_time({expected, n}, response);
    ::explicit_bzero(expected, sizeof expected);
    return equal;
}

void add_response(Hash hash, uint8_t id, const Account& account, Bytes challenge, wire::TextWriter& out) {
    uint8_t response[max_hash_length];
    const size_t n = hash_length(hash);
    respond(hash, id, account.secret, challenge, response);
    out.add("CHAP_N", account.user);
    out.add_hex("CHAP_R", {response, n});
}

bool same(Bytes a, Bytes b) { return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()); }

}  // namespace

// --- target ---------------------------------------------------------------------------------------------------

ChapTarget::~ChapTarget() { ::explicit_bzero(challenge_, sizeof challenge_); }

Progress ChapTarget::fail(const char* why) {
    why_ = why;
    user_.clear();
    state_ = State::finished;
    return progress_ = Progress::failed;
}

Progress ChapTarget::digest(wire::TextKeys keys, wire::TextWriter& answer) {
    if (progress_ == Progress::failed) return progress_;
    const Heard h = hear(keys);
    if (h.repeated) return fail("a security key came twice");
    if (h.foreign) return fail("a key of an authentication method that was not chosen");

    switch (state_) {
        case State::method:
            if (h.method) {
                if (choose_method(*h.method, answer) != Progress::open) {
                    if (progress_ == Progress::done && h.any_chap()) return fail("CHAP keys without CHAP");
                    return progress_;
                }
                if (!h.any_chap()) return progress_;
                break;                          // the first step came along with the proposal
            }
            if (h.any_chap()) return fail("CHAP keys before AuthMethod");
            if (!config_.required) return progress_ = Progress::done;
            // The initiator leaves the proposal to us (§6.3.2).
            if (proposed_) return fail("no AuthMethod, but authentication is required");
            proposed_ = true;
            answer.add("AuthMethod", "CHAP");
            return progress_;
        case State::algorithm:
        case State::response:
            if (h.method) return fail("AuthMethod came twice");
            break;
        case State::finished:
            if (h.method || h.any_chap()) return fail("security keys after the end of authentication");
            return progress_;
    }

    if (state_ == State::algorithm) {
        if (!h.algorithm) return fail("no CHAP_A");
        if (h.id || h.challenge || h.name || h.response) return fail("CHAP keys out of order");
        return choose_algorithm(*h.algorithm, answer);
    }
    if (h.algorithm) return fail("CHAP_A came twice");
    if (!h.name || !h.response) return fail("no CHAP_N or CHAP_R");
    if (h.id.has_value() != h.challenge.has_value()) return fail("CHAP_I without CHAP_C, or the reverse");
    return check_response(*h.name, *h.response, h.id, h.challenge, answer);
}

Progress ChapTarget::choose_method(std::string_view list, wire::TextWriter& answer) {
    if (proposed_) {                            // an answer to our proposal is not answered
        if (list != "CHAP") return fail("the initiator refuses CHAP, but authentication is required");
        state_ = State::algorithm;
        return progress_;
    }
    for (std::string_view rest = list, v; wire::next_value(rest, v);) {
        if (v == "CHAP" && config_.required) {
            state_ = State::algorithm;
            answer.add("AuthMethod", v);
            return progress_ = Progress::open;
        }
        if (v == "None" && !config_.required) {
            state_ = State::finished;
            answer.add("AuthMethod", v);
            return progress_ = Progress::done;
        }
    }
    return fail(config_.required ? "the initiator does not offer CHAP" : "no account to authenticate the initiator with");
}

// §6.3.2: the first of the initiator's list that we support. (Initiators put the strongest first.)
Progress ChapTarget::choose_algorithm(std::string_view list, wire::TextWriter& answer) {
    for (std::string_view rest = list, v; wire::next_value(rest, v);) {
        auto number = wire::parse_number(v);
        auto at = std::find_if(config_.algorithms.begin(), config_.algorithms.end(),
                               [&](Hash hash) { return number && *number == uint64_t(hash); });
        if (at == config_.algorithms.end()) continue;
        hash_ = *at;
        challenge_length_ = hash_length(hash_);         // RFC 1994 §2.3: no shorter than the hash is strong
        fill_random({&id_, 1});
        fill_random({challenge_, challenge_length_});
        state_ = State::response;
        answer.add("CHAP_A", uint64_t(hash_));
        answer.add("CHAP_I", uint64_t(id_));
        answer.add_hex("CHAP_C", challenge());
        return progress_;
    }
    return fail("no CHAP algorithm in common");
}

Progress ChapTarget::check_response(std::string_view name, std::string_view response,
                                    std::optional<std::string_view> id, std::optional<std::string_view> challenge,
                                    wire::TextWriter& answer) {
    Binary received;
    if (!received.decode(response) || received.length != hash_length(hash_)) return fail("malformed CHAP_R");
    if (name.empty() || name.size() > max_user) return fail("malformed CHAP_N");
    // An unknown user costs the same work as a known one.
    const Secret* found = config_.lookup ? config_.lookup(name) : nullptr;
    const Secret nobody("no such account");
    const bool known = found && !found->empty();
    const bool right = answers(hash_, id_, known ? *found : nobody, this->challenge(), received.view());
    if (!(known & right)) return fail("wrong user or secret");
    // §9.2.1: the same secret in both directions
    if (config_.outgoing && answers(hash_, id_, config_.outgoing->secret, this->challenge(), received.view()))
        return fail("the initiator's secret is also ours");
    if (challenge) {
        if (prove(*id, *challenge, answer) == Progress::failed) return progress_;
        mutual_ = true;
    }
    user_ = name;
    state_ = State::finished;
    return progress_ = Progress::done;
}

Progress ChapTarget::prove(std::string_view id_text, std::string_view challenge_text, wire::TextWriter& answer) {
    if (!config_.outgoing || config_.outgoing->secret.empty())
        return fail("the initiator wants us to authenticate, but there is no outgoing account");
    uint8_t id = 0;
    Binary theirs;
    if (!parse_id(id_text, id)) return fail("malformed CHAP_I");
    if (!theirs.decode(challenge_text) || theirs.length < min_challenge) return fail("malformed or short CHAP_C");
    if (same(theirs.view(), challenge())) return fail("our own challenge was reflected");
    if (config_.outstanding && config_.outstanding(theirs.view()))
        return fail("the challenge of another connection was reflected");
    add_response(hash_, id, *config_.outgoing, theirs.view(), answer);
    return progress_;
}

// --- initiator ------------------------------------------------------------------------------------------------

ChapInitiator::~ChapInitiator() { ::explicit_bzero(challenge_, sizeof challenge_); }

Progress ChapInitiator::fail(const char* why) {
    why_ = why;
    state_ = State::finished;
    return progress_ = Progress::failed;
}

void ChapInitiator::start(wire::TextWriter& request) {
    const bool or_none = config_.offer_none && !mutual();
    request.add("AuthMethod", !config_.chap ? "None" : or_none ? "CHAP,None" : "CHAP");
    state_ = State::sent_method;
}

Progress ChapInitiator::digest(wire::TextKeys keys, wire::TextWriter& request) {
    if (progress_ == Progress::failed) return progress_;
    const Heard h = hear(keys);
    if (h.repeated) return fail("a security key came twice");
    if (h.foreign) return fail("a key of an authentication method that was not chosen");
    if (h.method && state_ != State::sent_method) return fail("AuthMethod came twice");

    switch (state_) {
        case State::start: return fail("the target answers before it was asked");
        case State::sent_method:
            if (h.any_chap()) return fail("CHAP keys before their time");
            return take_method(h.method, request);
        case State::sent_algorithms:
            if (!h.algorithm || !h.id || !h.challenge || h.name || h.response)
                return fail("CHAP_A, CHAP_I and CHAP_C were expected");
            return send_response(*h.algorithm, *h.id, *h.challenge, request);
        case State::sent_response:
            if (h.algorithm || h.id || h.challenge) return fail("CHAP keys out of order");
            if (!mutual()) {
                if (h.name || h.response) return fail("the target authenticates unasked");
            } else if (!h.name || !h.response) {
                return fail("the target did not authenticate");
            } else if (check_target(*h.name, *h.response) == Progress::failed) {
                return progress_;
            }
            state_ = State::finished;
            return progress_ = Progress::done;
        case State::finished:
            if (h.any_chap()) return fail("security keys after the end of authentication");
            return progress_;
    }
    return progress_;
}

Progress ChapInitiator::take_method(std::optional<std::string_view> method, wire::TextWriter& request) {
    if (!method) {                              // nothing to answer is fine only where nothing was asked for
        if (config_.chap) return fail("the target does not answer AuthMethod");
        method = "None";
    }
    if (*method == "None") {
        if (config_.chap && (!config_.offer_none || mutual())) return fail("the target chose None, CHAP is required");
        state_ = State::finished;
        return progress_ = Progress::done;
    }
    if (*method != "CHAP" || !config_.chap) return fail("the target wants another authentication method");
    std::string list;
    for (Hash hash : config_.algorithms) {
        if (!list.empty()) list += ',';
        list += std::to_string(unsigned(hash));
    }
    request.add("CHAP_A", list);
    state_ = State::sent_algorithms;
    return progress_;
}

Progress ChapInitiator::send_response(std::string_view algorithm, std::string_view id_text,
                                      std::string_view challenge_text, wire::TextWriter& request) {
    auto number = wire::parse_number(algorithm);
    auto at = std::find_if(config_.algorithms.begin(), config_.algorithms.end(),
                           [&](Hash hash) { return number && *number == uint64_t(hash); });
    if (at == config_.algorithms.end()) return fail("the target chose a CHAP algorithm that was not offered");
    hash_ = *at;
    uint8_t id = 0;
    Binary theirs;
    if (!parse_id(id_text, id)) return fail("malformed CHAP_I");
    if (!theirs.decode(challenge_text) || theirs.length < min_challenge) return fail("malformed or short CHAP_C");
    if (config_.outstanding && config_.outstanding(theirs.view())) return fail("a challenge of ours was reflected");
    add_response(hash_, id, config_.account, theirs.view(), request);
    if (mutual()) {
        challenge_length_ = hash_length(hash_);
        fill_random({&id_, 1});
        do fill_random({challenge_, challenge_length_});
        while (same(theirs.view(), challenge()));       // §9.2.1: never the responder's own
        request.add("CHAP_I", uint64_t(id_));
        request.add_hex("CHAP_C", challenge());
    }
    state_ = State::sent_response;
    return progress_;
}

Progress ChapInitiator::check_target(std::string_view name, std::string_view response) {
    Binary received;
    if (!received.decode(response) || received.length != hash_length(hash_)) return fail("malformed CHAP_R of the target");
    const bool right = answers(hash_, id_, config_.target_account.secret, challenge(), received.view());
    const bool named = config_.target_account.user.empty() || name == config_.target_account.user;
    if (!(right & named)) return fail("received incorrect CHAP response from target");
    // §9.2.1: the same secret in both directions
    if (answers(hash_, id_, config_.account.secret, challenge(), received.view()))
        return fail("the target's secret is also ours");
    return progress_;
}

}  // namespace iscsi::auth
