// How iscsiadm talks to iscsid: frames on the abstract unix stream socket @ISCSIADM_ABSTRACT_NAMESPACE (the name
// systemd's iscsid.socket listens on). Little-endian, one machine, but both ends may be of different versions:
//
//   0 magic "iSCd" | 4 version (2) | 6 kind (2) | 8 tag (4) | 12 payload length (4) | 16 payload
//   payload: fields, each  key length (2) | value length (4) | key | value
//
// Unknown fields are ignored, so a new field needs no new version; a changed meaning does. A request carries a tag of
// the client's choice and its reply repeats it: replies come when they are ready, in any order, so one client runs many
// logins side by side. The first request is `hello`.
//
// A hello is padded to the size of open-iscsi's fixed request: its daemon then answers at once (with its own fixed
// reply, which has no magic) where it would otherwise wait for the rest for ever, and we can say who is there.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/initiator/initiator_error.h"

namespace iscsi::mgmt {

using initiator::InitiatorError;

inline constexpr char iscsid_socket_name[] = "ISCSIADM_ABSTRACT_NAMESPACE";
inline constexpr uint16_t iscsid_protocol_version = 1;
inline constexpr size_t iscsid_header_length = 16;
inline constexpr size_t iscsid_max_payload = 256 * 1024;
inline constexpr size_t open_iscsi_request_length = 16104, open_iscsi_answer_length = 2464;

// Fields of each request, and of its reply after "error" (a number of InitiatorError, always there) and "message" (why,
// one line, may be missing).
enum class IscsidRequest : uint16_t {
    hello = 1,          // -                                     -> version (of the daemon's program), pid
    login = 2,          // record (node record as `key = value` lines), wait 0|1, time_limit_ms,
                        // multiple 0|1 (one more session to the same portal), reason (onboot: keep at stop)
                        //                                       -> sid, host. wait=0: at once, with no sid
    logout = 3,         // sid, force 0|1 (even if its devices are mounted), time_limit_ms   -> -
    states = 4,         // sid (missing: all)                    -> session*: "SID CONNECTION-STATE|INTERNAL-STATE"
    stats = 5,          // sid                                   -> snmp*: "NAME VALUE", extended*: "NAME VALUE"
    stop = 6,           // -                                     -> -. Sessions stay
    rescan = 7,         // sid                                   -> -
    initiator_info = 8, // -                                     -> initiator_name, initiator_alias, config_file
    sync = 9,           // - : answer when no session is being taken over or recovered       -> -
};
inline constexpr uint16_t iscsid_reply_bit = 0x8000;

struct IscsidMessage {
    uint16_t version = iscsid_protocol_version;
    uint16_t kind = 0;                  // IscsidRequest, with iscsid_reply_bit in a reply
    uint32_t tag = 0;
    std::vector<std::pair<std::string, std::string>> fields;

    IscsidRequest request() const { return IscsidRequest(kind & ~iscsid_reply_bit); }
    bool reply() const { return kind & iscsid_reply_bit; }
    void add(std::string_view key, std::string_view value) { fields.emplace_back(key, value); }
    void add(std::string_view key, uint64_t value) { add(key, std::string_view(std::to_string(value))); }
    // The first value of the key.
    std::optional<std::string_view> get(std::string_view key) const;
    std::optional<uint32_t> number(std::string_view key) const;
    std::vector<std::string_view> all(std::string_view key) const;
    InitiatorError error() const;       // of a reply; `daemon_comm` if it carries none
};

std::string encode(const IscsidMessage& message);
// A hello of exactly open_iscsi_request_length bytes.
std::string encode_hello(uint32_t tag);

// Takes one frame off the front of `in`. Nothing if more bytes are needed; an Error if these are not our frames.
struct IscsidDecoded {
    IscsidMessage message;
    size_t used;
};
Result<std::optional<IscsidDecoded>> decode_iscsid(Bytes in);

// What -P 1 shows of one session.
struct IscsidSessionState {
    uint32_t sid;
    std::string connection;             // "LOGGED IN"
    std::string internal;               // "NO CHANGE"
};
std::optional<IscsidSessionState> parse_session_state(std::string_view text);

// The tool's end: blocking calls, each with a time limit. In an Error here `code` is an InitiatorError (not errno) and
// `what` the whole line to print.
class IscsidClient {
public:
    using Clock = std::chrono::steady_clock;

    // Connects and says hello. InitiatorError::daemon_not_connected with errno in `why_not` when nobody listens;
    // daemon_comm when who listens speaks another language.
    static Result<IscsidClient> connect(int* why_not = nullptr, std::string_view socket_name = iscsid_socket_name);

    // Sends and returns the tag; receive() hands out replies as they come.
    Result<uint32_t> send(IscsidMessage request);
    Result<IscsidMessage> receive(Clock::time_point deadline);
    // send + receive of this one.
    Result<IscsidMessage> call(IscsidMessage request, std::chrono::milliseconds limit);

    const std::string& daemon_version() const { return daemon_version_; }
    int daemon_pid() const { return daemon_pid_; }          // 0 if it did not say

private:
    explicit IscsidClient(Fd fd) : fd_(std::move(fd)) {}
    Error stranger() const;             // who listens is not this program's daemon
    Result<void> send_all(std::string_view bytes, Clock::time_point deadline);

    Fd fd_;
    uint32_t next_tag_ = 1;
    std::string in_;
    std::vector<IscsidMessage> early_;      // replies that came while call() waited for another
    std::string daemon_version_;
    int daemon_pid_ = 0;
};

inline IscsidMessage request(IscsidRequest kind) {
    IscsidMessage m;
    m.kind = uint16_t(kind);
    return m;
}

}  // namespace iscsi::mgmt
