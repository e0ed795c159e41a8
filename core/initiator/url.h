// iSCSI URLs as libiscsi and QEMU write them:
//   iscsi://[USER[%PASSWORD]@]HOST[:PORT]/TARGET/LUN[?key=value&...]
// Shorter ones serve where less is needed: iscsi://HOST (discovery), iscsi://HOST/TARGET. Query arguments: target_user,
// target_password (mutual CHAP), header_digest and data_digest (crc32c, none, crc32c-none, none-crc32c), initiator.
// The environment fills in what the URL does not say: LIBISCSI_CHAP_USERNAME, LIBISCSI_CHAP_PASSWORD,
// LIBISCSI_CHAP_TARGET_USERNAME, LIBISCSI_CHAP_TARGET_PASSWORD; a secret in a URL is visible in ps.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/base/secret.h"
#include "core/nego/keys.h"

namespace iscsi::initiator {

struct Url {
    std::string host;                   // name or numeric, without brackets
    uint16_t port = 3260;
    std::string target_name;            // empty: not given
    std::optional<uint16_t> lun;        // 0..16383
    std::string user, target_user;
    Secret password, target_password;
    nego::Digests header_digest = nego::Digests::none_crc32c, data_digest = nego::Digests::none_crc32c;
    std::string initiator_name;         // from the query; empty: the caller's
    std::string text() const;           // without secrets
};

// `environment`: getenv's signature; tests give their own.
Result<Url> parse_url(std::string_view text, const char* (*environment)(const char*) = nullptr);

// True if the text starts like such a URL.
bool is_url(std::string_view text);

// A LUN as the 64-bit field of a PDU: single level, peripheral or flat addressing (SAM-5 4.7.4).
uint64_t lun_field(uint16_t lun);
// And back; 0xffff if it is a kind of address we do not speak.
uint16_t lun_number(uint64_t field);

}  // namespace iscsi::initiator
