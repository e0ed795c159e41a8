#include "core/target/task.h"

namespace iscsi::target {

void Task::reset() {
    session = nullptr;
    connection = nullptr;
    itt = cmd_sn = ref_cmd_sn = last_ttt_before = edtl = edtl_in = 0;
    flags = 0;
    immediate = false;
    want = received = charged = solicited = 0;
    if (r2t_sn > 0 || open_bursts > 0 || bursts[0].exp_data_sn > 0) bursts = {};
    open_bursts = r2t_sn = 0;
    sent = data_sn = 0;
    read_ahead.reset();
    read_ahead_used = 0;
    phase = Phase::executing;
    in_flight = 0;
    failed = data_lost = aborted = queued = false;
    started_us = 0;
    counters = nullptr;
    accounted = false;
    hash_next = send_next = nullptr;
}

}  // namespace iscsi::target
