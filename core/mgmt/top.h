// What `iscsi top` shows: the difference of two looks at the counters of a running tgtd, per session and logical unit.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace iscsi::mgmt {

struct TopCounters {
    uint64_t tid = 0, lun = 0, sid = 0;
    std::string initiator;
    uint64_t read_bytes = 0, reads = 0, written_bytes = 0, writes = 0, errors = 0, busy_us = 0, in_flight = 0;
};

// The answer to a JSON request for statistics of the whole system. Nothing is asked of it but to be flat objects in an array.
std::vector<TopCounters> parse_top(std::string_view json);

struct TopRow {
    uint64_t tid = 0, lun = 0, sid = 0;
    std::string initiator;
    double reads = 0, writes = 0;                   // per second
    double read_bytes = 0, written_bytes = 0;       // per second
    double latency_us = 0;                          // mean of the commands that ended
    double depth = 0;                               // commands under way, on average (Little's law)
    uint64_t errors = 0;                            // in this interval
};

// Busiest first. A row whose counters went back (a new session under an old number) begins anew; one that did nothing is left
// out unless `idle`.
std::vector<TopRow> top_rows(const std::vector<TopCounters>& before, const std::vector<TopCounters>& after, double seconds, bool idle);

}  // namespace iscsi::mgmt
