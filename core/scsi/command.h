// One SCSI command as the device server sees it: no transport in here. SAM-5.
//
// The transport drives it through four calls on the LogicalUnit it found by routing (router.h):
//   begin(c)           decodes and checks the CDB; afterwards c.flow says what moves, or c has completed
//   parameter data     flow data_out: the transport gathers c.length bytes into c.parameters
//   execute(c)         flows none, data_in, data_out: does the work
//   transfer(chunk)    flows medium_read, medium_write: moves one piece of the extent, any order, any size
//   finish(c)          flows medium_*: after the last chunk (FUA, verify); sets the status
// execute and finish either complete at once (return true) or later by c.done(c) on the same loop (return false).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/store/store.h"

namespace iscsi::io { class Engine; }

namespace iscsi::scsi {

class LogicalUnit;
class Router;
struct Row;

enum class Status : uint8_t {       // SAM-5 5.3.1
    good = 0x00, check_condition = 0x02, condition_met = 0x04, busy = 0x08, reservation_conflict = 0x18,
    task_set_full = 0x28, aca_active = 0x30, task_aborted = 0x40,
};

enum class SenseKey : uint8_t {     // SPC-4 4.5.6
    no_sense = 0, recovered = 1, not_ready = 2, medium_error = 3, hardware_error = 4, illegal_request = 5,
    unit_attention = 6, data_protect = 7, blank_check = 8, copy_aborted = 10, aborted_command = 11, miscompare = 14,
};

struct Sense {
    SenseKey key = SenseKey::no_sense;
    uint8_t asc = 0, ascq = 0;
    std::optional<uint64_t> information;    // SPC-4 4.5.2.2: LBA or offset of a miscompare
    std::optional<uint32_t> sense_key_specific;   // 24 bits, with SKSV
};

// The initiator port's side of an I_T nexus; made by the transport at login, one per session, lives as long as it.
// Reservations and unit attentions belong to it.
struct Nexus {
    uint64_t id = 0;                        // unique in the process
    std::string initiator_port;             // "iqn...,i,0x00023d000001": the TransportID's name (SPC-4 7.6.4.6)
    std::string initiator_name;             // the part before the comma
    std::string target_port;                // "iqn...,t,0x0001"
    uint16_t relative_target_port = 1;
    uint64_t router_generation = 0;         // for the transport's cache of the LU table
    // PREEMPT AND ABORT (SPC-4 5.13.11.4.5): ends the tasks of this nexus on one LUN field. Called on any thread, by units
    // that copied it when the nexus arrived; `done` is called once, on any thread, when none of them can reach the medium.
    std::function<void(std::optional<uint64_t> lun, std::function<void()> done)> abort_tasks;
};

enum class TaskAttribute : uint8_t { untagged = 0, simple = 1, ordered = 2, head_of_queue = 3, aca = 4 };

enum class Flow : uint8_t { none, data_in, data_out, medium_read, medium_write };

// How medium_read/medium_write chunks are treated.
enum class MediumOp : uint8_t { read, write, write_verify, verify, orwrite };

struct Command {
    // In, from the transport.
    Nexus* nexus = nullptr;
    uint64_t lun = 0;                       // 64-bit LUN field as on the wire (SAM-5 4.7)
    uint8_t cdb[260]{};
    size_t cdb_length = 16;
    uint32_t expected_out = 0, expected_in = 0;     // bytes the initiator means to send and to take
    TaskAttribute attribute = TaskAttribute::simple;
    io::Engine* engine = nullptr;           // of the loop this command lives on
    void (*done)(Command&) = nullptr;       // asynchronous completion of execute and finish
    void* owner = nullptr;                  // the transport's

    // Out.
    Status status = Status::good;
    Sense sense;                            // valid with check_condition
    Flow flow = Flow::none;
    MediumOp medium_op = MediumOp::read;
    uint64_t length = 0;                    // bytes the CDB asks to move: parameter list length, allocation length or blocks
    uint64_t offset = 0;                    // medium flows: first byte on the medium
    bool fua = false;
    std::vector<uint8_t> parameters;        // data_out: the parameter list; data_in: the answer (already cut to the
                                            // allocation length)
    // The device server's while the command runs.
    std::shared_ptr<LogicalUnit> lu;
    const Row* row = nullptr;               // of the command table
    store::Request request;
    uint32_t step = 0;
    std::shared_ptr<void> context;

    void reset();                           // ready for the next command; keeps the vectors' capacity
};

// One piece of a medium flow. The transport owns it and the bytes until it has completed.
struct Chunk {
    Command* command = nullptr;
    uint64_t position = 0;                  // bytes from the start of the command's extent
    MutableBytes data;
    bool at_once = false;                   // `data` is short-lived: transfer() either completes now, or returns false having
                                            // done nothing, never calls done, and the transport tries again with its own memory
    bool failed = false;                    // the command's status and sense are set then
    void (*done)(Chunk&) = nullptr;         // asynchronous completion of transfer
    void* owner = nullptr;
    store::Request request;                 // the device server's
    std::vector<uint8_t> scratch;           // the device server's (verify, orwrite)
};

// CHECK CONDITION with this sense.
void fail(Command& c, SenseKey key, uint8_t asc, uint8_t ascq = 0);
void fail(Command& c, Sense sense);

// Fixed (70h, 18 bytes) or descriptor (72h) format, SPC-4 4.5.
std::vector<uint8_t> encode_sense(const Sense& sense, bool descriptor_format);

}  // namespace iscsi::scsi
