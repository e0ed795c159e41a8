// Basic Header Segments, RFC 7143 §11: one type per opcode, 48 bytes, fields by the RFC's names.
// They are moved by memcpy to and from the wire; all multi-byte fields are big-endian by type.
#pragma once
#include <type_traits>

#include "core/base/bytes.h"
#include "core/wire/opcode.h"

namespace iscsi::wire {

inline constexpr size_t bhs_length = 48;

// What every header shares; the first look at a PDU (§11.2.1).
struct Bhs {
    uint8_t opcode = 0;                 // with the I bit
    uint8_t flags = 0;
    uint8_t specific[2]{};
    uint8_t total_ahs_length = 0;       // in 4-byte words
    be24 data_segment_length;           // bytes, without padding
    be64 lun;
    be32 itt;
    uint8_t rest[28]{};
    Opcode op() const { return Opcode(opcode & opcode_mask); }
    bool immediate() const { return opcode & immediate_bit; }
    bool final() const { return flags & final_bit; }
};

struct ScsiCommand {                    // §11.3
    static constexpr uint8_t read_bit = 0x40, write_bit = 0x20, attribute_mask = 0x07;
    uint8_t opcode = uint8_t(Opcode::scsi_command);
    uint8_t flags = final_bit;          // F R W . . ATTR
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;           // immediate data
    be64 lun;
    be32 itt, expected_data_transfer_length, cmd_sn, exp_stat_sn;
    uint8_t cdb[16]{};
};

struct ScsiResponse {                   // §11.4
    static constexpr uint8_t bidi_overflow = 0x10, bidi_underflow = 0x08, overflow = 0x04, underflow = 0x02;
    uint8_t opcode = uint8_t(Opcode::scsi_response);
    uint8_t flags = final_bit;
    uint8_t response = 0;               // 0 completed at target, 1 target failure
    uint8_t status = 0;                 // SAM-5 status code
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;           // 2-byte SenseLength + sense data
    uint8_t reserved8[8]{};
    be32 itt, snack_tag, stat_sn, exp_cmd_sn, max_cmd_sn, exp_data_sn, bidi_residual_count, residual_count;
};

struct TmfRequest {                     // §11.5
    uint8_t opcode = uint8_t(Opcode::tmf_request) | immediate_bit;
    uint8_t function = final_bit;       // bit 7 is always 1
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, referenced_task_tag, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn;
    uint8_t reserved40[8]{};
};

struct TmfResponse {                    // §11.6
    uint8_t opcode = uint8_t(Opcode::tmf_response);
    uint8_t flags = final_bit;
    uint8_t response = 0;               // TmfResult
    uint8_t reserved3 = 0;
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    uint8_t additional_response[8]{};   // RFC 7144 §4.2: bytes 8.. of QUERY ASYNCHRONOUS EVENT; reserved otherwise
    be32 itt, reserved20, stat_sn, exp_cmd_sn, max_cmd_sn;
    uint8_t reserved36[12]{};
};

struct DataOut {                        // §11.7
    uint8_t opcode = uint8_t(Opcode::data_out);
    uint8_t flags = 0;
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, ttt, reserved24, exp_stat_sn, reserved32, data_sn, buffer_offset, reserved44;
};

struct DataIn {                         // §11.7
    static constexpr uint8_t acknowledge_bit = 0x40, overflow = 0x04, underflow = 0x02, status_bit = 0x01;
    uint8_t opcode = uint8_t(Opcode::data_in);
    uint8_t flags = 0;                  // F A 0 0 0 O U S
    uint8_t reserved2 = 0;
    uint8_t status = 0;                 // valid if S
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;                           // valid if A
    be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, buffer_offset, residual_count;
};

struct R2t {                            // §11.8
    uint8_t opcode = uint8_t(Opcode::r2t);
    uint8_t flags = final_bit;
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;           // always 0
    be64 lun;
    be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, r2t_sn, buffer_offset, desired_length;
};

struct AsyncMessage {                   // §11.9
    uint8_t opcode = uint8_t(Opcode::async_message);
    uint8_t flags = final_bit;
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 reserved16, reserved20, stat_sn, exp_cmd_sn, max_cmd_sn;   // reserved16 is 0xffffffff
    uint8_t async_event = 0, async_vcode = 0;
    be16 parameter1, parameter2, parameter3;
    uint8_t reserved44[4]{};
};

struct TextRequest {                    // §11.10
    static constexpr uint8_t continue_bit = 0x40;
    uint8_t opcode = uint8_t(Opcode::text_request);
    uint8_t flags = final_bit;          // F C
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, ttt, cmd_sn, exp_stat_sn;
    uint8_t reserved32[16]{};
};

struct TextResponse {                   // §11.11
    static constexpr uint8_t continue_bit = 0x40;
    uint8_t opcode = uint8_t(Opcode::text_response);
    uint8_t flags = 0;
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn;
    uint8_t reserved36[12]{};
};

struct LoginRequest {                   // §11.12
    static constexpr uint8_t transit_bit = 0x80, continue_bit = 0x40;
    uint8_t opcode = uint8_t(Opcode::login_request) | immediate_bit;
    uint8_t flags = 0;                  // T C . . CSG NSG
    uint8_t version_max = 0, version_min = 0;
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    uint8_t isid[6]{};
    be16 tsih;
    be32 itt;
    be16 cid, reserved22;
    be32 cmd_sn, exp_stat_sn;
    uint8_t reserved32[16]{};
    Stage csg() const { return Stage((flags >> 2) & 3); }
    Stage nsg() const { return Stage(flags & 3); }
};

struct LoginResponse {                  // §11.13
    static constexpr uint8_t transit_bit = 0x80, continue_bit = 0x40;
    uint8_t opcode = uint8_t(Opcode::login_response);
    uint8_t flags = 0;
    uint8_t version_max = 0, version_active = 0;
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    uint8_t isid[6]{};
    be16 tsih;
    be32 itt, reserved20, stat_sn, exp_cmd_sn, max_cmd_sn;
    be16 status;                        // LoginStatus
    uint8_t reserved38[10]{};
    Stage csg() const { return Stage((flags >> 2) & 3); }
    Stage nsg() const { return Stage(flags & 3); }
};

struct LogoutRequest {                  // §11.14
    uint8_t opcode = uint8_t(Opcode::logout_request) | immediate_bit;
    uint8_t reason = final_bit;         // bit 7 is always 1
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    uint8_t reserved8[8]{};
    be32 itt;
    be16 cid, reserved22;
    be32 cmd_sn, exp_stat_sn;
    uint8_t reserved32[16]{};
};

struct LogoutResponsePdu {              // §11.15
    uint8_t opcode = uint8_t(Opcode::logout_response);
    uint8_t flags = final_bit;
    uint8_t response = 0;
    uint8_t reserved3 = 0;
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    uint8_t reserved8[8]{};
    be32 itt, reserved20, stat_sn, exp_cmd_sn, max_cmd_sn, reserved36;
    be16 time2wait, time2retain;        // seconds
    be32 reserved44;
};

struct Snack {                          // §11.16
    uint8_t opcode = uint8_t(Opcode::snack);
    uint8_t type = final_bit;           // 0 data/R2T, 1 status, 2 DataACK, 3 R-Data
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, ttt, reserved24, exp_stat_sn, reserved32, reserved36, beg_run, run_length;
};

struct Reject {                         // §11.17
    uint8_t opcode = uint8_t(Opcode::reject);
    uint8_t flags = final_bit;
    uint8_t reason = 0;
    uint8_t reserved3 = 0;
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;           // the header that was refused
    uint8_t reserved8[8]{};
    be32 itt = reserved_tag;
    be32 reserved20, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, reserved40, reserved44;
};

struct NopOut {                         // §11.18
    uint8_t opcode = uint8_t(Opcode::nop_out);
    uint8_t flags = final_bit;
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, ttt, cmd_sn, exp_stat_sn;
    uint8_t reserved32[16]{};
};

struct NopIn {                          // §11.19
    uint8_t opcode = uint8_t(Opcode::nop_in);
    uint8_t flags = final_bit;
    uint8_t reserved2[2]{};
    uint8_t total_ahs_length = 0;
    be24 data_segment_length;
    be64 lun;
    be32 itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn;
    uint8_t reserved36[12]{};
};

template <class... Header>
constexpr bool all_are_headers =
    ((sizeof(Header) == bhs_length && alignof(Header) == 1 && std::is_trivially_copyable_v<Header>) && ...);
static_assert(all_are_headers<Bhs, ScsiCommand, ScsiResponse, TmfRequest, TmfResponse, DataOut, DataIn, R2t, AsyncMessage,
                              TextRequest, TextResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponsePdu,
                              Snack, Reject, NopOut, NopIn>);
static_assert(offsetof(ScsiCommand, itt) == 16 && offsetof(ScsiCommand, cdb) == 32);
static_assert(offsetof(ScsiResponse, itt) == 16 && offsetof(ScsiResponse, residual_count) == 44);
static_assert(offsetof(R2t, itt) == 16 && offsetof(R2t, r2t_sn) == 36 && offsetof(R2t, desired_length) == 44);
static_assert(offsetof(DataIn, data_sn) == 36 && offsetof(DataOut, data_sn) == 36 && offsetof(DataOut, buffer_offset) == 40);
static_assert(offsetof(LoginRequest, itt) == 16 && offsetof(LoginRequest, cmd_sn) == 24);
static_assert(offsetof(LoginResponse, stat_sn) == 24 && offsetof(LoginResponse, status) == 36);
static_assert(offsetof(LogoutResponsePdu, time2wait) == 40 && offsetof(AsyncMessage, async_event) == 36);
static_assert(offsetof(Snack, beg_run) == 40 && offsetof(TmfRequest, ref_cmd_sn) == 32 && offsetof(Reject, data_sn) == 36);

// Views one header as another type; both are 48 bytes.
template <class To, class From>
inline To header_cast(const From& from) {
    static_assert(sizeof(To) == bhs_length && sizeof(From) == bhs_length);
    To to;
    std::memcpy(static_cast<void*>(&to), &from, bhs_length);
    return to;
}

}  // namespace iscsi::wire
