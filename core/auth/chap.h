// The SecurityNegotiation stage with AuthMethod None and CHAP, RFC 7143 §12.1, §9.2.1, RFC 1994. Two state machines
// over text keys, one per side, for one login each; no sockets. Both see every pair of each logical text of the
// stage and skip the keys that are not theirs.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/auth/hashes.h"
#include "core/base/secret.h"
#include "core/wire/text_keys.h"

namespace iscsi::auth {

inline constexpr Hash all_hashes[] = {Hash::sha3_256, Hash::sha256, Hash::sha1, Hash::md5};     // strongest first
inline constexpr size_t max_binary = 1024;              // CHAP_C and CHAP_R, §12.1.3
inline constexpr size_t min_challenge = 16;             // a shorter one from the peer is refused
inline constexpr size_t max_user = 255;

struct Account {
    std::string user;
    Secret secret;
};

enum class Progress : uint8_t {
    open,           // more to come: do not leave the stage (target: T=0)
    done,           // as far as security goes the stage may be left
    failed,         // target: status 0201; initiator: close. why() says it
};

// True if that challenge is one we sent on another connection that is still in its login (§9.2.1: reflection across
// connections). May be empty.
using Outstanding = std::function<bool(Bytes challenge)>;

class ChapTarget {
public:
    struct Config {
        // The secret of an incoming account, nullptr if unknown. Borrowed until the call returns.
        std::function<const Secret*(std::string_view user)> lookup;
        bool required = false;                  // there are incoming accounts; false: None is chosen if offered
        const Account* outgoing = nullptr;      // to prove ourselves; nullptr: a mutual login is refused. Outlives this
        std::vector<Hash> algorithms{std::begin(all_hashes), std::end(all_hashes)};
        Outstanding outstanding;
    };
    explicit ChapTarget(Config config) : config_(std::move(config)) {}
    ~ChapTarget();
    ChapTarget(const ChapTarget&) = delete;
    ChapTarget& operator=(const ChapTarget&) = delete;

    // One logical text of the initiator in the security stage, even if it has no security key.
    Progress digest(wire::TextKeys keys, wire::TextWriter& answer);
    Progress progress() const { return progress_; }
    // The operational stage without SecurityNegotiation before it is admitted.
    bool may_skip() const { return !config_.required; }

    const char* why() const { return why_; }            // for the log
    const std::string& user() const { return user_; }   // authenticated as; empty with None
    bool mutual() const { return mutual_; }
    Bytes challenge() const { return {challenge_, challenge_length_}; }     // ours, while the login lasts

private:
    enum class State : uint8_t { method, algorithm, response, finished };
    Progress fail(const char* why);
    Progress choose_method(std::string_view list, wire::TextWriter& answer);
    Progress choose_algorithm(std::string_view list, wire::TextWriter& answer);
    Progress check_response(std::string_view name, std::string_view response, std::optional<std::string_view> id,
                            std::optional<std::string_view> challenge, wire::TextWriter& answer);
    Progress prove(std::string_view id, std::string_view challenge, wire::TextWriter& answer);

    Config config_;
    State state_ = State::method;
    Progress progress_ = Progress::open;
    const char* why_ = "";
    bool proposed_ = false, mutual_ = false;
    Hash hash_ = Hash::md5;
    uint8_t id_ = 0, challenge_[max_hash_length]{};
    size_t challenge_length_ = 0;
    std::string user_;
};

class ChapInitiator {
public:
    struct Config {
        bool chap = false;                      // false: AuthMethod=None
        bool offer_none = false;                // with chap: also accept to go without (never with target_account)
        Account account;                        // ours
        Account target_account;                 // the target must prove to be this; user and secret empty: one-way
        std::vector<Hash> algorithms{std::begin(all_hashes), std::end(all_hashes)};     // offered in this order
        Outstanding outstanding;
    };
    explicit ChapInitiator(Config config) : config_(std::move(config)) {}
    ~ChapInitiator();
    ChapInitiator(const ChapInitiator&) = delete;
    ChapInitiator& operator=(const ChapInitiator&) = delete;

    void start(wire::TextWriter& request);                          // AuthMethod=
    // One logical text of the target; keys for the next request are appended. After `done` the T bit may be set
    // (with CHAP one-way that is already so in the request that carries CHAP_R: see may_transit).
    Progress digest(wire::TextKeys keys, wire::TextWriter& request);
    // The request being built may carry T=1.
    bool may_transit() const { return state_ == State::sent_response || state_ == State::finished; }

    Progress progress() const { return progress_; }
    const char* why() const { return why_; }
    Bytes challenge() const { return {challenge_, challenge_length_}; }     // ours, in a mutual login

private:
    enum class State : uint8_t { start, sent_method, sent_algorithms, sent_response, finished };
    Progress fail(const char* why);
    Progress take_method(std::optional<std::string_view> method, wire::TextWriter& request);
    Progress send_response(std::string_view algorithm, std::string_view id, std::string_view challenge,
                           wire::TextWriter& request);
    Progress check_target(std::string_view name, std::string_view response);
    bool mutual() const { return !config_.target_account.secret.empty(); }

    Config config_;
    State state_ = State::start;
    Progress progress_ = Progress::open;
    const char* why_ = "";
    Hash hash_ = Hash::md5;
    uint8_t id_ = 0, challenge_[max_hash_length]{};
    size_t challenge_length_ = 0;
};

}  // namespace iscsi::auth
