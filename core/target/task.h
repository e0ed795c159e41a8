// One SCSI task on its way through the target: the command, what of its data has come or gone, and the transfers between its
// buffers and the medium that are under way. Pooled by the worker: nothing is allocated per command in steady state.
#pragma once
#include <array>
#include <memory>
#include <vector>

#include "core/scsi/command.h"
#include "core/target/session_registry.h"
#include "core/wire/bhs.h"

namespace iscsi::target {

class Connection;
class Session;
struct Task;

inline constexpr uint32_t max_bursts = 8;       // R2Ts of one task outstanding, whatever was negotiated

// A run of Data-Out PDUs with one TTT: the unsolicited burst (reserved tag) or what one R2T asked for. RFC 7143 §11.7, §11.8.
struct Burst {
    uint32_t ttt = wire::reserved_tag;
    uint32_t next = 0, end = 0;                 // buffer offsets, bytes
    uint32_t exp_data_sn = 0;
    bool open = false;
    bool bulk = false;                          // long enough that its payloads are received where they belong
};

// One piece of a medium flow between memory that stays valid and the store.
struct Transfer {
    scsi::Chunk chunk;
    Task* task = nullptr;
    std::shared_ptr<MutableBytes> buffer;       // io::TransferMemory
    std::unique_ptr<Transfer> next;             // the pool's
};

struct Task {
    scsi::Command command;
    Session* session = nullptr;
    Connection* connection = nullptr;           // where it came in; nullptr once that is gone
    uint32_t itt = 0, cmd_sn = 0, ref_cmd_sn = 0;
    uint32_t edtl = 0;                          // Expected Data Transfer Length, bytes
    uint32_t edtl_in = 0;                       // of a bidirectional command: the read part
    uint8_t flags = 0;                          // R and W of the command PDU
    bool immediate = false;

    // Data-Out.
    uint32_t want = 0;                          // bytes that move: min(edtl, what the CDB asks)
    uint32_t received = 0;                      // bytes of `want` that have come
    uint32_t charged = 0;                       // of a long parameter list, to the worker's memory of transfers
    uint32_t solicited = 0;                     // offset up to which data has come or is asked for
    std::array<Burst, max_bursts> bursts;
    uint32_t open_bursts = 0, r2t_sn = 0;
    uint32_t last_ttt_before = 0;               // TTTs up to this one went to tasks before this

    // Data-In.
    uint32_t sent = 0, data_sn = 0;
    std::shared_ptr<MutableBytes> read_ahead;   // bytes [sent, sent + size - read_ahead_used) of a cold read
    size_t read_ahead_used = 0;

    enum class Phase : uint8_t { data_out, executing, data_in, respond };
    Phase phase = Phase::executing;
    uint32_t in_flight = 0;                     // transfers and executions that will call back
    bool failed = false;                        // a transfer failed; drain and respond
    bool data_lost = false;                     // so says a gap in DataSN
    bool aborted = false;                       // no response; freed when in_flight reaches 0
    bool queued = false;                        // on its connection's send queue
    uint64_t started_us = 0;
    LunCounters* counters = nullptr;        // counts this task as in flight while it is in the session's table
    bool accounted = false;                 // as submitted

    Task* hash_next = nullptr;                  // session's table by ITT
    Task* send_next = nullptr;                  // connection's send queue
    std::unique_ptr<Task> pool_next;

    void reset();                               // as new, for the pool; leaves `command` alone
    Burst* find_burst(uint32_t ttt) {
        for (Burst& b : bursts)
            if (b.open && b.ttt == ttt) return &b;
        return nullptr;
    }
    bool is_read() const { return flags & wire::ScsiCommand::read_bit; }
    bool is_write() const { return flags & wire::ScsiCommand::write_bit; }
};

}  // namespace iscsi::target
