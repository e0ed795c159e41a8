// The command table: one row per operation code and service action, in order. Dispatch, the checks that every
// command shares, and REPORT SUPPORTED OPERATION CODES read the same rows.
#pragma once
#include <span>

#include "core/scsi/reservations.h"
#include "core/scsi/unit.h"

namespace iscsi::scsi {

class Disk;

struct Row {
    // Flags.
    static constexpr uint16_t disk = 1, controller = 2, both = 3;      // who has it
    static constexpr uint16_t ignores_attention = 4;                   // SPC-4 5.14: INQUIRY, REPORT LUNS, REQUEST SENSE
    static constexpr uint16_t needs_medium = 8;
    static constexpr uint16_t writes = 16;                             // refused while write protected
    static constexpr uint16_t thin_only = 32;                          // unknown (5h/20h) on a unit that is not thin

    uint8_t opcode;
    int16_t service;            // -1: the opcode has none
    uint8_t length;             // of the CDB
    uint16_t flags;
    Access access;
    Flow flow;
    uint8_t length_at, length_size;     // where the CDB has its allocation or parameter list length
    MediumOp op;                        // medium flows
    bool (*check)(Unit&, Command&);     // at begin: false if the command failed
    bool (*run)(Unit&, Command&);       // execute; nullptr: begin has done everything
    uint8_t usage[16];                  // CDB usage data; byte 0 is filled in
};

inline constexpr uint32_t max_unmap_descriptors = 256;     // VPD page b0h says so, UNMAP enforces it
inline constexpr uint32_t max_compare_blocks = 128;        // COMPARE AND WRITE, likewise

// nullptr: not there. `known_opcode`: some row of this device has the opcode (the service action is the wrong one).
const Row* find_row(DeviceType type, const uint8_t* cdb, bool& known_opcode);
std::span<const Row> all_rows();

// The 66 bytes of standard INQUIRY data, SPC-4 6.4.2.
inline constexpr uint16_t disk_versions[3] = {0x04c0, 0x0960, 0x0300};           // SBC-3, iSCSI, SPC-3
inline constexpr uint16_t controller_versions[3] = {0x04c0, 0x0960, 0x01fb};
std::vector<uint8_t> standard_inquiry(uint8_t qualifier_and_type, bool removable, std::string_view vendor, std::string_view product,
                                      std::string_view revision, const uint16_t (&versions)[3]);

// The sense of a store's errno.
void fail_store(Command& c, int error, store::Op op);

// The handlers, one per command, in the file of their standard. `u` is a Disk where the row says so.
struct Handlers {
    // spc_inquiry.cpp, spc_vpd.cpp
    static bool inquiry(Unit& u, Command& c);
    static bool vital_product_data(Unit& u, Command& c);
    // spc_mode.cpp
    static bool check_mode_sense(Unit& u, Command& c);
    static bool mode_sense(Unit& u, Command& c);
    static bool mode_select(Unit& u, Command& c);
    // spc_misc.cpp
    static bool test_unit_ready(Unit& u, Command& c);
    static bool request_sense(Unit& u, Command& c);
    static bool report_opcodes(Unit& u, Command& c);
    static bool report_tmf(Unit& u, Command& c);
    static bool report_luns(Unit& u, Command& c);
    static bool prevent_allow(Unit& u, Command& c);
    static bool start_stop(Unit& u, Command& c);
    static bool check_format(Unit& u, Command& c);
    static bool format_unit(Unit& u, Command& c);
    // spc_reserve.cpp
    static bool reserve(Unit& u, Command& c);
    static bool check_reserve(Unit& u, Command& c);
    static bool release(Unit& u, Command& c);
    static bool persistent_in(Unit& u, Command& c);
    static bool persistent_out(Unit& u, Command& c);
    // sbc_capacity.cpp
    static bool check_capacity_10(Unit& u, Command& c);
    static bool capacity_10(Unit& u, Command& c);
    static bool capacity_16(Unit& u, Command& c);
    static bool check_lba_status(Unit& u, Command& c);
    static bool lba_status(Unit& u, Command& c);
    // sbc_rw.cpp
    static bool check_medium(Unit& u, Command& c);
    static bool check_verify(Unit& u, Command& c);
    static bool check_range(Unit& u, Command& c);
    static bool verify_medium(Unit& u, Command& c);
    static bool prefetch(Unit& u, Command& c);
    static bool synchronize(Unit& u, Command& c);
    static bool check_compare_and_write(Unit& u, Command& c);
    static bool compare_and_write(Unit& u, Command& c);
    // sbc_unmap.cpp
    static bool check_write_same(Unit& u, Command& c);
    static bool write_same(Unit& u, Command& c);
    static bool check_unmap(Unit& u, Command& c);
    static bool unmap(Unit& u, Command& c);

    // What they share.
    static Disk& disk(Unit& u);
    static bool illegal(Command& c, uint8_t asc, uint8_t ascq = 0);     // 5h; returns false
    static bool answer(Command& c, std::vector<uint8_t> data);          // cut to the allocation length; returns true
    struct Extent { uint64_t lba = 0; uint32_t blocks = 0; };
    static Extent extent(const uint8_t* cdb);                           // of the 6, 10, 12 and 16-byte layouts
    static bool in_range(const Disk& d, Command& c, const Extent& e);
    // Calls work on a thread that may block; c.done afterwards. The work sets status and sense. Returns false.
    static bool submit(Disk& d, Command& c, void (*work)(Disk&, Command&));
};

}  // namespace iscsi::scsi
