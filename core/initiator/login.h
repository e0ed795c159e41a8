// The initiator's side of login, RFC 7143 §6.3, §11.12, §12: a state machine without a socket. It is given settings, says
// which Login Request to send, is fed the target's answers and ends in success (the parameters in force) or failure.
// The owner does the connecting, the digests that start after login, the deadline, and redirects.
//
//     Login login(settings);
//     for (Login::Step step = login.start(); step == Login::Step::send; ) {
//         write login.header(), login.text() and its padding; read a Login Response
//         step = login.feed(header, data);
//     }
//     step is done: login.success(); failed: login.failure()
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/wire/bhs.h"

namespace iscsi::initiator {

// What HeaderDigest and DataDigest offer, most wanted first; iscsid.conf's words (§13.1).
enum class DigestOffer : uint8_t { none, crc32c, crc32c_none, none_crc32c };
// "None", "CRC32C", "CRC32C,None", "None,CRC32C"; false if it is none of them (case-insensitive, spaces ignored).
bool parse_digest_offer(std::string_view text, DigestOffer& out);

// CHAP algorithms by their numbers on the wire (§12.1.3; SHA3-256 by IANA).
enum class ChapAlgorithm : uint8_t { md5 = 5, sha1 = 6, sha256 = 7, sha3_256 = 8 };

struct ChapSettings {
    std::string user;                       // empty: AuthMethod=None
    Secret secret;
    std::string user_in;                    // what the target must prove (mutual CHAP); empty: one way
    Secret secret_in;
    std::vector<ChapAlgorithm> algorithms = {ChapAlgorithm::sha3_256, ChapAlgorithm::sha256, ChapAlgorithm::sha1,
                                             ChapAlgorithm::md5};      // most wanted first
};

// Operational parameters: what we offer and, after login, what is in force.
struct SessionParams {
    DigestOffer header_digest = DigestOffer::none, data_digest = DigestOffer::none;  // in force: none or crc32c
    uint32_t max_connections = 1;
    uint32_t max_recv_data_segment_length = 262144;     // what we receive
    uint32_t max_xmit_data_segment_length = 8192;       // what the target receives (declared by it; not offered)
    uint32_t max_burst_length = 16776192, first_burst_length = 262144;
    uint32_t default_time2wait = 2, default_time2retain = 0;
    uint32_t max_outstanding_r2t = 1;
    uint32_t error_recovery_level = 0;
    bool initial_r2t = false, immediate_data = true;
    bool data_pdu_in_order = true, data_sequence_in_order = true;
    uint32_t target_portal_group = 0;                   // as the target says (not offered)
    std::string target_alias;                           // as the target says; at most 255 printable characters
};

struct LoginSettings {
    std::string initiator_name, initiator_alias;        // an empty alias is not sent
    std::string target_name;                            // unused if discovery
    bool discovery = false;
    std::array<uint8_t, 6> isid{0x00, 0x02, 0x3d, 0, 0, 0};
    uint16_t tsih = 0, cid = 0;
    uint32_t itt = 0, cmd_sn = 1, exp_stat_sn = 0;
    SessionParams offers;
    ChapSettings chap;
};

struct LoginSuccess {
    SessionParams params;
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
        negotiation,        // a key that we insist on was not agreed
        protocol,           // the answer breaks RFC 7143
    };
    Kind kind = Kind::protocol;
    wire::LoginStatus status = wire::LoginStatus::initiator_error;  // as received; initiator_error if nothing was
    std::string text;                       // one line, printable; never a secret
    // Redirection: the TargetAddress without its tag ("192.0.2.1:3260", "[2001:db8::1]:3260", "host"); checked.
    std::string address;
    bool permanent = false;                 // 01/02
    // Worth another attempt later: target error class (3), nothing an administrator must mend.
    bool retry() const { return uint16_t(status) >> 8 == 3 && kind == Kind::refused; }
};

// "target not found", "authentication failure" ...: the RFC's word for a status, for messages.
const char* text(wire::LoginStatus status);

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
