// What a tool asks a logical unit: INQUIRY, vital product data, REPORT LUNS, capacity, limits; and the CDBs of reads and
// writes. The answers are checked for length field by field: a target may send anything.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/initiator/client.h"

namespace iscsi::initiator {

struct Inquiry {
    uint8_t peripheral = 0;             // qualifier << 5 | device type
    bool removable = false;
    uint8_t version = 0;
    std::string vendor, product, revision;      // printable, trailing blanks removed
    uint8_t device_type() const { return peripheral & 0x1f; }
    uint8_t qualifier() const { return peripheral >> 5; }
};

struct DiskInfo {
    uint64_t blocks = 0;
    uint32_t block_size = 512, physical_block = 512;
    bool read_only = false;             // write protect in the mode header
    bool thin = false, zeros = false;   // LBPME, LBPRZ: unmapped blocks read as zeros
    bool unmap = false, write_same_unmap = false;       // LBPU, LBPWS
    uint32_t max_transfer = 0, optimal_transfer = 0;    // blocks; 0: no limit told
    uint32_t max_unmap_blocks = 0, max_unmap_descriptors = 0;
    uint64_t max_write_same = 0;        // blocks; 0: no limit told
    uint64_t bytes() const { return blocks * block_size; }
};

// READ CAPACITY(16): the command, and blocks and block size of its answer; nothing if that makes no disk.
inline constexpr uint32_t capacity_16_answer = 32;
void make_read_capacity_16(ScsiRequest& request);
struct Capacity { uint64_t blocks = 0; uint32_t block_size = 0; };
std::optional<Capacity> parse_capacity_16(Bytes answer);

const char* device_type_name(uint8_t type);     // "DIRECT_ACCESS" ..., as iscsi-ls prints them

Result<std::vector<uint64_t>> report_luns(Client& client);      // LUN fields, at most 4096
Result<Inquiry> inquiry(Client& client, uint64_t lun);
Result<std::vector<uint8_t>> raw_inquiry(Client& client, uint64_t lun, bool evpd, uint8_t page);
// Capacity and limits of a disk; fails for other types.
Result<DiskInfo> disk_info(Client& client, uint64_t lun);

// Fills in the CDB (READ/WRITE (10) or (16), by need). Lengths in blocks.
void make_read(ScsiRequest& request, uint64_t lba, uint32_t blocks);
void make_write(ScsiRequest& request, uint64_t lba, uint32_t blocks, bool fua = false);
void make_synchronize_cache(ScsiRequest& request);
// WRITE SAME(16) of one block of zeros (request.out); `unmap` as far as the target can.
void make_write_same(ScsiRequest& request, uint64_t lba, uint32_t blocks, bool unmap);
// UNMAP of one extent; `list` is the parameter data, request.out points to it.
void make_unmap(ScsiRequest& request, uint8_t (&list)[24], uint64_t lba, uint32_t blocks);
// GET LBA STATUS from `lba`; parse with next_extent.
void make_get_lba_status(ScsiRequest& request, uint64_t lba, uint32_t allocation_length);

struct LbaExtent { uint64_t lba = 0, blocks = 0; bool mapped = true; };
// The descriptors of a GET LBA STATUS answer (SBC-3 5.4), in order, as far as they are whole and go on from `lba`.
std::vector<LbaExtent> parse_lba_status(Bytes answer, uint64_t lba);

}  // namespace iscsi::initiator
