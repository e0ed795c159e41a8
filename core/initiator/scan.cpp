#include "core/initiator/scan.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/log.h"

namespace iscsi::initiator {

Result<void> scan_session(const kernel::Sysfs& sysfs, uint32_t sid, int host, uint32_t queue_depth, bool rescan) {
    if (rescan)
        for (const auto& device : sysfs.devices(sid))
            if (auto done = sysfs.rescan_device(device); !done) log::warning("%s", done.error().text().c_str());
    TRY_VOID(sysfs.scan_host(host));
    for (const auto& device : sysfs.devices(sid))
        if (auto set = sysfs.set_queue_depth(device, queue_depth); !set)
            log::debug("%s", set.error().text().c_str());     // not every device has a queue to set
    return {};
}

Result<void> ScanJob::start(const kernel::Sysfs& sysfs, uint32_t sid, int host, uint32_t queue_depth, bool rescan) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error{errno, "pipe", ""};
    Fd read_end(ends[0]), write_end(ends[1]);
    child_ = ::fork();
    if (child_ < 0) return Error{errno, "fork", ""};
    if (child_ == 0) {
        auto done = scan_session(sysfs, sid, host, queue_depth, rescan);
        if (!done) log::error("scan of host%d failed: %s", host, done.error().text().c_str());
        ::_exit(done ? 0 : 1);
    }
    pipe_ = std::move(read_end);
    return loop_.add(pipe_.get(), EPOLLIN, *this);
}

ScanJob::~ScanJob() {
    if (pipe_) loop_.remove(pipe_.get(), *this);
}

void ScanJob::on_ready(uint32_t) {
    loop_.remove(pipe_.get(), *this);
    pipe_.reset();
    if (child_ > 0) ::waitpid(child_, nullptr, 0);      // it is past its last line
    child_ = -1;
    auto done = std::move(done_);
    done();
}

}  // namespace iscsi::initiator
