// How tgtadm talks to tgtd: tgt 1.0.85's format, so that either end may be tgt's own. A unix stream socket, one request
// and one answer per connection, integers in host order:
//
//   request: 0 mode (4) | 4 op (4) | 8 lld[64] | 72 length of header and text (4) | 76 tid (4) | 80 sid (8) | 88 lun (8) |
//            96 cid (4) | 100 host (4) | 104 device type (4) | 108 outgoing (4) | 112 wishes (4) | 116 force (4) | 120 text, NUL
//   answer:  0 code (4) | 4 length of header and text (4) | 8 text, NUL if there is any
//
// The word at 112 is padding in tgt: zero from its tgtadm, ignored by its tgtd. Ours carries wishes there (JSON, the configuration).
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace iscsi::mgmt {

inline constexpr size_t tgt_request_header = 120;
inline constexpr size_t tgt_max_text = 8192;            // of a request
inline constexpr size_t tgt_max_answer = 64u << 20;     // what the client is willing to read
inline constexpr const char* tgt_socket_default = "/var/run/tgtd/socket";
inline constexpr const char* tgt_version = "1.0.85";      // the version of tgt whose behaviour this is

enum class TgtMode : uint32_t { system, target, logicalunit, portal, lld, session, connection, account };
enum class TgtOp : uint32_t { create, remove, show, bind, unbind, update, stat, start, stop };

enum class TgtCode : uint32_t {
    ok, unknown, no_memory, no_driver, no_target, no_lun, no_session, no_connection, no_binding, target_exists,
    lun_exists, binding_exists, acl_exists, no_acl, account_exists, no_account, too_many_accounts, invalid,
    outgoing_exists, target_active, lun_active, driver_busy, unsupported, unknown_parameter, prevent_removal,
};
// tgtadm's line for it, without the prefix.
const char* tgt_code_text(TgtCode code);

// SPC peripheral device types that --device-type names.
enum class TgtDevice : uint32_t { disk = 0, tape = 1, cd = 5, changer = 8, osd = 0x11, passthrough = 0xff };

inline constexpr uint64_t tgt_no_lun = ~uint64_t(0);

struct TgtRequest {
    TgtMode mode = TgtMode::system;
    TgtOp op = TgtOp::show;
    std::string lld;                    // empty: the first driver
    int32_t tid = -1;                   // -1: none (account modes: discovery)
    uint64_t sid = 0, lun = tgt_no_lun;
    uint32_t cid = 0, host = 0;
    TgtDevice device = TgtDevice::disk;
    bool outgoing = false, force = false, json = false;
    bool config = false;                // of system show: everything, as targets.conf
    std::string text;                   // see TgtText
};

struct TgtAnswer {
    TgtCode code = TgtCode::ok;
    std::string text;                   // for stdout, as is
};

// The text of a request: `key=value` joined by commas, in the order of this struct, after NAME=VALUE of an update;
// parameters last, as "targetOps VALUES," or "portalOps VALUES,".
struct TgtText {
    std::optional<std::string> name, value;             // --name, --value
    std::optional<std::string> path, bstype, bsopts, bsoflags, blocksize, targetname, initiator_address, initiator_name,
        user, password;
    std::optional<std::string> params;
};

std::string encode_tgt_text(const TgtText& text, bool portal_mode);
// Reads what this mode and op may hold. A value ends where a later key begins, so it may hold commas itself.
TgtText decode_tgt_text(const TgtRequest& request);

std::string encode(const TgtRequest& request);
std::string encode(const TgtAnswer& answer);

// How many bytes the whole message has, once its header is there: nothing if the header says nonsense.
std::optional<size_t> tgt_request_length(Bytes header);         // needs tgt_request_header bytes
std::optional<TgtRequest> decode_tgt_request(Bytes message);
inline constexpr size_t tgt_answer_header = 8;
std::optional<size_t> tgt_answer_length(Bytes header);
std::optional<TgtAnswer> decode_tgt_answer(Bytes message);

// $TGT_IPC_SOCKET or the default, with ".N".
std::string tgt_socket_path(int control_port);

}  // namespace iscsi::mgmt
