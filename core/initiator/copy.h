// Copies disk images: file or block device to logical unit, unit to file, unit to unit. Many chunks are under way at once;
// holes of the source (SEEK_DATA, GET LBA STATUS) and chunks of zeros are not sent but made holes at the destination. A
// state file says how far everything is durable, so that a copy that was interrupted goes on from there. --verify reads
// both sides again.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/initiator/copy_side.h"

namespace iscsi::initiator {

struct CopyPlan {
    uint64_t chunk = 1 << 20;           // bytes of one read and one write
    unsigned depth = 16;                // chunks under way
    bool detect_zeros = true;
    bool verify = false;
    bool flush = true;                  // at the end
    std::string state_file;             // empty: none
    bool resume = false;                // go on where the state file says
};

struct CopyProgress {
    uint64_t total = 0, done = 0;       // bytes of the source
    bool verifying = false;
};

struct CopyResult {
    bool ok = false, stopped = false;
    std::string error;                  // if not ok
    uint64_t total = 0, data = 0, holes = 0;    // bytes; data: what was written
    uint64_t resumed_at = 0;
};

class Copy {
public:
    Copy(io::Loop& loop, CopySide& source, CopySide& destination, CopyPlan plan);
    ~Copy();
    // Runs the loop until it is over. `tell` is called a few times a second.
    CopyResult run(const std::function<void(const CopyProgress&)>& tell);
    void stop() { stopping_ = true; }   // from a signal's watcher: what is under way finishes, the state file is written

private:
    struct Slot {
        CopyOp op, other;
        uint64_t at = 0, length = 0;
        bool busy = false, over = false, hole = false;
        std::vector<uint8_t> data, second;
        Copy* copy = nullptr;
        unsigned index = 0;
    };
    bool pass(bool verify, const std::function<void(const CopyProgress&)>& tell);
    void fill();
    bool next_extent();
    void start(Slot& slot);
    bool send_borrowed(Slot& slot);
    void copy_read(Slot& slot);
    void verify_read(Slot& slot);
    void finished(Slot& slot);
    bool failed(const CopyOp& op);
    bool whole_blocks(Slot& slot);
    void save_state(uint64_t position);
    bool load_state();
    uint64_t durable_position();
    bool flush_destination();

    io::Loop& loop_;
    CopySide& source_;
    CopySide& destination_;
    CopyPlan plan_;
    CopyResult result_;
    std::vector<Slot> slots_;
    CopyOp extent_op_;
    uint64_t next_ = 0, extent_end_ = 0, unit_ = 4096, done_ = 0;
    unsigned busy_ = 0;
    bool extent_mapped_ = true, extent_busy_ = false, filling_ = false, stopping_ = false, verifying_ = false;
};

}  // namespace iscsi::initiator
