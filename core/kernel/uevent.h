// The messages of the kernel's iSCSI transport class on NETLINK_ISCSI (include/scsi/iscsi_if.h): the fixed part of every
// request, reply and event, in host byte order. Layouts are the kernel's; offsets are proved below.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace iscsi::kernel {

inline constexpr int netlink_iscsi = 8;             // NETLINK_ISCSI
inline constexpr uint32_t daemon_group = 1;         // ISCSI_NL_GRP_ISCSID

enum class Request : uint32_t {
    create_session = 11, destroy_session = 12, create_connection = 13, destroy_connection = 14, bind_connection = 15,
    set_param = 16, start_connection = 17, stop_connection = 18, send_pdu = 19, get_stats = 20, unbind_session = 27,
};
enum class EventKind : uint32_t {
    recv_pdu = 101, connection_error = 102, interface_error = 103, destroy_session = 104, unbind_session = 105,
    create_session = 106,
};
enum class StopFlag : uint32_t { terminate = 1, suspend = 2, recover = 3 };

enum class Param : uint32_t {
    max_recv_dlength = 0, max_xmit_dlength = 1, header_digest = 2, data_digest = 3, initial_r2t = 4, max_r2t = 5,
    immediate_data = 6, first_burst = 7, max_burst = 8, pdu_in_order = 9, data_seq_in_order = 10, erl = 11,
    exp_statsn = 14, target_name = 15, tpgt = 16, persistent_address = 17, persistent_port = 18, recovery_timeout = 19,
    username = 22, username_in = 23, password = 24, password_in = 25, fast_abort = 26, abort_timeout = 27,
    lu_reset_timeout = 28, ping_timeout = 30, recv_timeout = 31, iface_name = 32, initiator_name = 34,
    tgt_reset_timeout = 35, discovery_session = 43,
};

struct Uevent {
    uint32_t type = 0;
    int32_t error = 0;                  // -errno in an interface_error
    uint64_t transport_handle = 0;
    union Asked {
        struct { uint32_t initial_cmdsn; uint16_t cmds_max, queue_depth; } create_session;
        struct { uint32_t sid, cid; } connection;           // create, destroy, start; sessions use sid alone; stats
        struct { uint32_t sid, cid; uint64_t endpoint; uint32_t is_leading; } bind;    // endpoint: the fd's number
        struct { uint32_t sid, cid, param, length; } set_param;
        struct { uint32_t sid, cid; uint64_t connection_handle; uint32_t flag; } stop;
        struct { uint32_t sid, cid, header_size, data_size; } send_pdu;
        uint8_t bytes[24];
    } u{.bytes = {}};
    union Answer {
        int32_t code;
        struct { uint32_t sid, host; } create_session;
        struct { uint32_t sid, cid; uint64_t handle; } recv_pdu;
        struct { uint32_t sid, cid, error; } connection_error;
        struct { uint32_t host, sid; } destroy_session;     // the odd one out: host first
        uint8_t bytes[16];
    } r{.bytes = {}};
};
static_assert(sizeof(Uevent) == 56 && std::is_trivially_copyable_v<Uevent>);
static_assert(offsetof(Uevent, error) == 4 && offsetof(Uevent, transport_handle) == 8 && offsetof(Uevent, u) == 16 &&
              offsetof(Uevent, r) == 40);
static_assert(offsetof(Uevent, u.bind.endpoint) == 24 && offsetof(Uevent, u.bind.is_leading) == 32);
static_assert(offsetof(Uevent, u.create_session.cmds_max) == 20 && offsetof(Uevent, u.create_session.queue_depth) == 22);
static_assert(offsetof(Uevent, u.set_param.param) == 24 && offsetof(Uevent, u.set_param.length) == 28);
static_assert(offsetof(Uevent, u.stop.flag) == 32 && offsetof(Uevent, u.send_pdu.data_size) == 28);
static_assert(offsetof(Uevent, r.connection_error.error) == 48 && offsetof(Uevent, r.destroy_session.sid) == 44);

// What GET_STATS answers after its Uevent: 24 numbers, then `custom_length` named ones.
struct StatsHead {
    uint64_t octets[2];                 // transmitted, received
    uint32_t counters[19];              // in the order of stats_names
    uint32_t custom_length;
};
struct CustomStat {
    char name[64];
    uint64_t value;
};
static_assert(sizeof(StatsHead) == 96 && offsetof(StatsHead, custom_length) == 92 && sizeof(CustomStat) == 72);

// CONN_ERROR's number in the words of the kernel's header: "ISCSI_ERR_TCP_CONN_CLOSE: TCP connection closed".
const char* connection_error_text(uint32_t error);

}  // namespace iscsi::kernel
