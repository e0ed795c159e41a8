// Opcodes and codes of RFC 7143 §11 as they lie on the wire.
#pragma once
#include <cstdint>

namespace iscsi::wire {

enum class Opcode : uint8_t {      // §11.2.1.2
    nop_out = 0x00, scsi_command = 0x01, tmf_request = 0x02, login_request = 0x03, text_request = 0x04,
    data_out = 0x05, logout_request = 0x06, snack = 0x10,
    nop_in = 0x20, scsi_response = 0x21, tmf_response = 0x22, login_response = 0x23, text_response = 0x24,
    data_in = 0x25, logout_response = 0x26, r2t = 0x31, async_message = 0x32, reject = 0x3f,
};
inline constexpr uint8_t opcode_mask = 0x3f;
inline constexpr uint8_t immediate_bit = 0x40;     // I, §11.2.1.1
inline constexpr uint8_t final_bit = 0x80;         // F
inline constexpr uint32_t reserved_tag = 0xffffffff;

enum class TmfFunction : uint8_t {  // §11.5.1
    abort_task = 1, abort_task_set = 2, clear_aca = 3, clear_task_set = 4, logical_unit_reset = 5,
    target_warm_reset = 6, target_cold_reset = 7, task_reassign = 8,
    query_task = 9, query_task_set = 10, i_t_nexus_reset = 11, query_async_event = 12,   // RFC 7144
};
enum class TmfResult : uint8_t {    // §11.6.1
    complete = 0, no_such_task = 1, no_such_lun = 2, task_still_allegiant = 3, reassign_unsupported = 4,
    not_supported = 5, authorization_failed = 6, succeeded = 7 /* RFC 7144 */, rejected = 255,
};
enum class RejectReason : uint8_t { // §11.17.1
    data_digest_error = 0x02, snack_reject = 0x03, protocol_error = 0x04, command_not_supported = 0x05,
    immediate_command_reject = 0x06, task_in_progress = 0x07, invalid_data_ack = 0x08,
    invalid_pdu_field = 0x09, long_op_reject = 0x0a, waiting_for_logout = 0x0c,
};
enum class AsyncEvent : uint8_t {   // §11.9.1
    scsi = 0, logout_request = 1, drop_connection = 2, drop_all_connections = 3,
    renegotiate = 4, task_termination = 5, vendor = 255,
};
enum class LogoutReason : uint8_t { close_session = 0, close_connection = 1, recover_connection = 2 };
enum class LogoutResponse : uint8_t { success = 0, cid_not_found = 1, recovery_unsupported = 2, cleanup_failed = 3 };
enum class Stage : uint8_t { security = 0, operational = 1, full_feature = 3 };  // CSG, NSG

// Status-Class << 8 | Status-Detail, §11.13.5
enum class LoginStatus : uint16_t {
    success = 0x0000, moved_temporarily = 0x0101, moved_permanently = 0x0102,
    initiator_error = 0x0200, authentication_failed = 0x0201, authorization_failed = 0x0202, not_found = 0x0203,
    target_removed = 0x0204, unsupported_version = 0x0205, too_many_connections = 0x0206,
    missing_parameter = 0x0207, cannot_include = 0x0208, session_type_unsupported = 0x0209,
    session_does_not_exist = 0x020a, invalid_request = 0x020b,
    target_error = 0x0300, service_unavailable = 0x0301, out_of_resources = 0x0302,
};

}  // namespace iscsi::wire
