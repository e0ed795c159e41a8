// What every daemon of ours does around its work: go to the background once it is ready, obey signals, tell systemd.
#pragma once
#include <functional>
#include <string>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/io/loop.h"

namespace iscsi::applets {

// Into the background: the parent returns to the shell only when the child says that it is ready, and with the child's exit
// code if it never is. Fork before threads and locks are made.
class Background {
public:
    // In the child: returns. In the parent: never returns; it ends as the child reports.
    void detach();
    // The child is ready: the parent exits 0, stdio goes to /dev/null. Without detach() nothing happens.
    void ready();
    bool detached() const { return bool(report_); }

private:
    Fd report_;
};

// Signals as events of a loop. Blocks them for the process: make it before any thread.
class Signals final : public io::Watcher {
public:
    // SIGTERM, SIGINT and SIGHUP reach `on_signal`; SIGPIPE is ignored.
    static Result<std::unique_ptr<Signals>> create(io::Loop& loop, std::function<void(int)> on_signal);
    ~Signals();

private:
    Signals(io::Loop& loop, std::function<void(int)> on_signal) : loop_(loop), on_signal_(std::move(on_signal)) {}
    void on_ready(uint32_t events) override;
    io::Loop& loop_;
    Fd fd_;
    std::function<void(int)> on_signal_;
};

// sd_notify(3) without its library: "READY=1\nSTATUS=..." to $NOTIFY_SOCKET, if there is one.
void notify_systemd(const std::string& text);

// OOM killer and file descriptor limits as a storage daemon wants them; failures are no reason not to run.
void harden_process();

}  // namespace iscsi::applets
