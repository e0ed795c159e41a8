// Everything one kernel session is made from, out of its node record: checked once here, so that the engine never doubts
// a number again.
#pragma once
#include <optional>
#include <string>

#include "core/config/records.h"
#include "core/initiator/login.h"
#include "core/kernel/sysfs.h"

namespace iscsi::initiator {

struct SessionSettings {
    std::string target_name, initiator_name, initiator_alias;
    std::string address;                    // as in the record: a name or a numeric address without brackets
    uint16_t port = 3260;
    int32_t tpgt = -1;
    std::string iface_name = "default";
    std::string bind_interface;             // SO_BINDTODEVICE
    std::string bind_address;               // source address
    nego::Limits offers = LoginSettings::default_offers();      // without the names
    ChapSettings chap;
    uint32_t initial_cmd_sn = 0;
    uint16_t cmds_max = 128, queue_depth = 32;
    uint32_t login_retry_max = 8, reopen_max = 0;
    uint32_t login_timeout = 15, logout_timeout = 15;       // seconds, as all below
    int32_t replacement_timeout = 120;
    uint32_t abort_timeout = 15, lu_reset_timeout = 30, tgt_reset_timeout = 30;
    uint32_t ping_interval = 5, ping_timeout = 5;
    bool fast_abort = true, scan = true;
    uint32_t window_size = 524288, type_of_service = 0;
    int32_t xmit_priority = -20;

    // "[target: T, portal: A,P] through [iface: I]" of log lines is made from these.
    std::string describe() const;
};

// An Error's text says which key is wrong. The record's own iface.initiatorname goes before `initiator_name`.
Result<SessionSettings> session_settings(const config::Record& node, const std::string& initiator_name,
                                         const std::string& initiator_alias, const kernel::Sysfs& sysfs);

// For a session found in the kernel with no record: what sysfs tells, on top of `base` (the defaults of iscsid.conf).
Result<SessionSettings> settings_from_kernel(const kernel::SessionInfo& session, const kernel::Sysfs& sysfs,
                                             const config::Record& base, const std::string& initiator_alias);

}  // namespace iscsi::initiator
