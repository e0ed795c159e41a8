// One event loop, one thread. Everything a session owns lives on one loop and is touched only there,
// so CmdSN and StatSN need no lock. Other threads talk to a loop by post().
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/io/poll_window.h"

struct epoll_event;

namespace iscsi::io {

class Loop;

// Receives readiness of one fd. The owner keeps it alive while it is registered.
class Watcher {
public:
    virtual void on_ready(uint32_t events) = 0;     // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR ...

protected:
    ~Watcher() = default;
};

// One shot; arm again to repeat. Destroying it cancels it. Fires on its loop's thread.
class Timer {
public:
    Timer(Loop& loop, std::function<void()> fire) : loop_(loop), fire_(std::move(fire)) {}
    ~Timer() { cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    void arm(uint64_t ms_from_now);
    void cancel();
    bool armed() const { return armed_; }

private:
    friend class Loop;
    Loop& loop_;
    std::function<void()> fire_;
    std::multimap<uint64_t, Timer*>::iterator place_;
    bool armed_ = false;
};

// Work put off to the end of this wake-up: a connection queues its answers while it handles PDUs and
// sends them all at once here. Queued at most once; destroying it takes it off the queue.
class Deferred {
public:
    Deferred(Loop& loop, std::function<void()> run) : loop_(loop), run_(std::move(run)) {}
    ~Deferred();
    Deferred(const Deferred&) = delete;
    Deferred& operator=(const Deferred&) = delete;
    void schedule();

private:
    friend class Loop;
    Loop& loop_;
    std::function<void()> run_;
    bool queued_ = false;
};

class Loop {
public:
    static Result<std::unique_ptr<Loop>> create();
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // The fd stays the caller's; remove it before closing it. After remove() the watcher is not called
    // again, even for events of the current wake-up.
    Result<void> add(int fd, uint32_t events, Watcher& watcher);
    void modify(int fd, uint32_t events, Watcher& watcher);
    void remove(int fd, Watcher& watcher);

    // Thread safe: runs `work` on the loop's thread, in order.
    void post(std::function<void()> work);
    void run();              // until stop()
    void run_once(int timeout_ms);
    void stop();             // thread safe
    // Before it sleeps, looks for more events for up to that long, us, while they come that soon; 0: never. Timers may be late by it.
    void set_busy_poll(unsigned most_us) { window_ = PollWindow(most_us); }
    bool stopping() const { return stop_.load(std::memory_order_relaxed); }

    uint64_t now_ms() const { return now_ms_; }      // CLOCK_MONOTONIC, as of this wake-up
    static uint64_t clock_ms();

private:
    friend class Timer;
    friend class Deferred;
    Loop() = default;
    void run_posted();
    void run_deferred();
    void run_timers();
    int wait_ms(int limit) const;
    int wait(epoll_event* events, int most, int limit_ms);

    Fd epoll_, wake_;
    PollWindow window_;
    uint64_t now_ms_ = 0;
    std::multimap<uint64_t, Timer*> timers_;
    std::vector<Deferred*> deferred_, running_deferred_;
    std::mutex posted_mutex_;
    std::vector<std::function<void()>> posted_;
    std::atomic<bool> stop_{false};
    std::vector<const Watcher*> removed_;            // during this wake-up
    bool dispatching_ = false;
};

}  // namespace iscsi::io
