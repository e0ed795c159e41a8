// A SCSI scan of one session's host, and the queue depths after it, in a child process: the kernel probes the logical
// units within our write, which may take seconds. Its end is seen on a pipe.
#pragma once
#include <sys/types.h>

#include <functional>

#include "core/base/fd.h"
#include "core/io/loop.h"
#include "core/kernel/sysfs.h"

namespace iscsi::initiator {

// What the child does; blocks. Also for programs that have nothing else to do meanwhile.
Result<void> scan_session(const kernel::Sysfs& sysfs, uint32_t sid, int host, uint32_t queue_depth, bool rescan = false);

// Destroying it lets the child finish by itself.
class ScanJob : private io::Watcher {
public:
    ScanJob(io::Loop& loop, std::function<void()> done) : loop_(loop), done_(std::move(done)) {}
    ~ScanJob();
    // `rescan`: read the capacity of what is there as well.
    Result<void> start(const kernel::Sysfs& sysfs, uint32_t sid, int host, uint32_t queue_depth, bool rescan = false);

    bool running() const { return bool(pipe_); }

private:
    void on_ready(uint32_t) override;
    io::Loop& loop_;
    std::function<void()> done_;
    Fd pipe_;
    pid_t child_ = -1;
};

}  // namespace iscsi::initiator
