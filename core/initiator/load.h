// A load on a logical unit, for measuring targets: reads and writes at a queue depth, over one or several sessions of one
// loop, with a histogram of latencies. Cheap on the client's side: no copy of what is read, one clock reading per command.
#pragma once
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "core/initiator/client.h"

namespace iscsi::initiator {

// Latencies in nanoseconds: 32 steps per power of two, so a percentile is right within 3 %.
class Histogram {
public:
    void add(uint64_t ns);
    void merge(const Histogram& other);
    uint64_t count() const { return count_; }
    uint64_t min() const { return count_ ? min_ : 0; }
    uint64_t max() const { return max_; }
    uint64_t mean() const { return count_ ? sum_ / count_ : 0; }
    uint64_t percentile(double p) const;            // 0 < p <= 100

private:
    static constexpr unsigned steps_log2 = 5, groups = 40;
    static unsigned place(uint64_t ns);
    static uint64_t value(unsigned place);
    std::array<uint32_t, size_t(groups) << steps_log2> buckets_{};
    uint64_t count_ = 0, sum_ = 0, min_ = UINT64_MAX, max_ = 0;
};

struct LoadPlan {
    SessionConfig session;
    uint64_t lun = 0;
    bool random = true;
    unsigned write_percent = 0;         // 0 reads only, 100 writes only
    uint32_t block = 4096;              // bytes per command
    unsigned depth = 1, sessions = 1;
    uint64_t time_ms = 5000;            // ends after so long, or
    uint64_t count = 0;                 // after so many commands if not 0
    uint64_t ramp_ms = 0;               // not measured
    uint64_t range = 0;                 // bytes from the start of the unit; 0: all of it
    bool discard = true;                // what is read is not copied out of the socket
    uint64_t seed = 1;
    unsigned busy_poll_us = 0;          // io::Loop::set_busy_poll()
    io::Loop* loop = nullptr;           // where it runs; null: on one of its own
    std::function<void()> begins;       // called when everybody is logged in
    const bool* interrupted = nullptr;  // true: end now, with what there is; set on `loop`
};

struct LoadResult {
    struct Side {
        uint64_t bytes = 0;
        Histogram latency;
    } read, write;
    double seconds = 0, user_seconds = 0, system_seconds = 0;       // CPU: this process's
    uint64_t login_us = 0;              // all sessions
    uint64_t retries = 0;
    bool header_digest = false, data_digest = false, interrupted = false;
    uint64_t count() const { return read.latency.count() + write.latency.count(); }
};

Result<LoadResult> run_load(const LoadPlan& plan);

}  // namespace iscsi::initiator
