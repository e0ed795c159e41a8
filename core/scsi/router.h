// The logical units of one SCSI target device: LUN -> LogicalUnit. Changed by management, read by all loops: a reader
// holds a snapshot and looks at generation() (one relaxed load) to learn that it is stale.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "core/scsi/logical_unit.h"

namespace iscsi::scsi {

using LunTable = std::map<uint64_t, std::shared_ptr<LogicalUnit>>;    // key: LUN number 0..16383

class Router {
public:
    std::shared_ptr<const LunTable> table() const;
    uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
    // Both raise 3Fh/0Eh REPORTED LUNS DATA HAS CHANGED on every LU for every nexus. False if taken / absent.
    bool add(uint64_t lun, std::shared_ptr<LogicalUnit> unit);
    bool remove(uint64_t lun);

    // The number in the 8-byte LUN field: peripheral (00b) or flat (01b) addressing, SAM-5 4.7.7; nothing if it is another.
    static std::optional<uint64_t> decode_lun(uint64_t wire);
    static uint64_t encode_lun(uint64_t number);

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const LunTable> table_ = std::make_shared<LunTable>();
    std::atomic<uint64_t> generation_{1};
};

// Finds the logical unit of c.lun and begins the command there. An unknown LUN answers INQUIRY with qualifier 011b,
// REPORT LUNS per SPC-4 6.33, REQUEST SENSE with 25h in the data, and all else 5h/25h/00h. Returns as LogicalUnit::begin; when it
// returns false, c.lu is set.
bool begin(const LunTable& table, Command& c);

}  // namespace iscsi::scsi
