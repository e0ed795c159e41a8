// The initiator's side of login, RFC 7143 §6.3, §11.12, §12: a state machine without a socket. It is given settings, says
// which Login Request to send, is fed the target's answers and ends in success (the parameters in force) or failure.
// The owner does the connecting, the digests that start after login, the deadline, and follows redirects.
//
//     Login login(settings);
//     for (Login::Step step = login.start(); step == Login::Step::send; ) {
//         write login.header(), login.data() and its padding; read a Login Response
//         step = login.feed(header, data);
//     }
//     step is done: login.success(); failed: login.failure()
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/auth/chap.h"
#include "core/base/bytes.h"
#include "core/nego/keys.h"
#include "core/wire/bhs.h"

namespace iscsi::initiator {

struct ChapSettings {
    auth::Account account;                  // ours; an empty user: AuthMethod=None
    auth::Account target_account;           // mutual: what the target must prove to be; empty: one way
    std::vector<auth::Hash> algorithms{std::begin(auth::all_hashes), std::end(auth::all_hashes)};     // most wanted first
};

struct LoginSettings {
    // Names, alias, discovery or normal, and what is offered. The initial values below are open-iscsi's.
    nego::Limits offers = default_offers();
    std::array<uint8_t, 6> isid{0x00, 0x02, 0x3d, 0, 0, 0};
    uint16_t tsih = 0, cid = 0;
    uint32_t itt = 0, cmd_sn = 1, exp_stat_sn = 0;
    ChapSettings chap;

    static nego::Limits default_offers();
};

struct LoginSuccess {
    nego::Params params;                    // in force
    uint16_t tsih = 0;
    uint32_t cmd_sn = 0;                    // of the first command: login is immediate, so the one we started with
    uint32_t exp_stat_sn = 0;
    uint32_t exp_cmd_sn = 0, max_cmd_sn = 0;
};

struct LoginFailure {
    enum class Kind : uint8_t {
        refused,            // the target said so: status
        redirected,         // class 1: try address
        target_unproved,    // mutual CHAP: the target does not know its secret, or did not try
        security,           // no common method or algorithm, a challenge that is not acceptable
        negotiation,        // a key that we insist on was not agreed
        protocol,           // the answer breaks RFC 7143
    };
    Kind kind = Kind::protocol;
    wire::LoginStatus status = wire::LoginStatus::success;      // as received; success if the failure is our finding
    std::string text;                       // one line, printable; never a secret
    // Redirection: where to, checked. IPv6 without brackets.
    std::string host;
    uint16_t port = 3260;
    bool permanent = false;                 // 01/02
    // Another attempt later makes sense: target error class (3), nothing an administrator must mend.
    bool retry() const { return kind == Kind::refused && uint16_t(status) >> 8 == 3; }
};

// "target not found", "authentication failure" ...: what §11.13.5 calls a status.
const char* text(wire::LoginStatus status);

// tgt up to 1.0.85 takes CHAP_A=7 for SHA1 (it is SHA-256) and then ends the login with 02/00. True: that may be the case;
// SHA-256 has been taken off the list, try again.
bool drop_misread_hash(LoginSettings& settings, const LoginFailure& failure);

class Login {
public:
    enum class Step : uint8_t { send, done, failed };

    explicit Login(LoginSettings settings);
    ~Login();
    Login(Login&&) noexcept;
    Login& operator=(Login&&) noexcept;

    Step start();
    // A Login Response (any 48 bytes: the opcode is checked) and its data segment without padding.
    Step feed(const wire::LoginResponse& header, Bytes data);

    // After Step::send: the PDU, without padding and digests. Valid until the next call of feed().
    const wire::LoginRequest& header() const;
    Bytes data() const;

    const LoginSuccess& success() const;    // after done
    const LoginFailure& failure() const;    // after failed

private:
    class Machine;
    std::unique_ptr<Machine> machine_;
};

}  // namespace iscsi::initiator
