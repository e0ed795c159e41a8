#include "core/io/loop.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <climits>

namespace iscsi::io {

void Timer::arm(uint64_t ms_from_now) {
    cancel();
    place_ = loop_.timers_.emplace(Loop::clock_ms() + ms_from_now, this);
    armed_ = true;
}

void Timer::cancel() {
    if (!armed_) return;
    loop_.timers_.erase(place_);
    armed_ = false;
}

Deferred::~Deferred() {
    if (!queued_) return;
    std::erase(loop_.deferred_, this);
    std::replace(loop_.running_deferred_.begin(), loop_.running_deferred_.end(), this, static_cast<Deferred*>(nullptr));
}

void Deferred::schedule() {
    if (queued_) return;
    queued_ = true;
    loop_.deferred_.push_back(this);
}

Result<std::unique_ptr<Loop>> Loop::create() {
    std::unique_ptr<Loop> loop(new Loop);
    loop->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!loop->epoll_) return Error{errno, "epoll_create1", ""};
    loop->wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!loop->wake_) return Error{errno, "eventfd", ""};
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;       // nullptr marks the wake-up fd
    if (::epoll_ctl(loop->epoll_.get(), EPOLL_CTL_ADD, loop->wake_.get(), &event) != 0)
        return Error{errno, "epoll_ctl", "eventfd"};
    loop->now_ms_ = clock_ms();
    return loop;
}

Loop::~Loop() = default;

static uint64_t clock_us() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1'000'000 + uint64_t(t.tv_nsec) / 1000;
}

uint64_t Loop::clock_ms() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000 + uint64_t(t.tv_nsec) / 1000000;
}

Result<void> Loop::add(int fd, uint32_t events, Watcher& watcher) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &watcher;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Error{errno, "epoll_ctl add", ""};
    return {};
}

void Loop::modify(int fd, uint32_t events, Watcher& watcher) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &watcher;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Loop::remove(int fd, Watcher& watcher) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    if (dispatching_) removed_.push_back(&watcher);
}

void Loop::post(std::function<void()> work) {
    bool first;
    {
        std::lock_guard lock(posted_mutex_);
        first = posted_.empty();
        posted_.push_back(std::move(work));
    }
    if (first) {
        uint64_t one = 1;
        (void)!::write(wake_.get(), &one, sizeof one);
    }
}

void Loop::stop() {
    stop_.store(true, std::memory_order_relaxed);
    uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
}

void Loop::run_posted() {
    std::vector<std::function<void()>> work;
    {
        std::lock_guard lock(posted_mutex_);
        work.swap(posted_);
    }
    for (auto& w : work) w();
}

void Loop::run_deferred() {
    // What is scheduled while these run waits for the next wake-up, which then does not sleep.
    running_deferred_.swap(deferred_);
    for (size_t i = 0; i < running_deferred_.size(); i++) {
        Deferred* d = running_deferred_[i];
        if (!d) continue;
        d->queued_ = false;
        running_deferred_[i] = nullptr;
        d->run_();
    }
    running_deferred_.clear();
}

void Loop::run_timers() {
    while (!timers_.empty() && timers_.begin()->first <= now_ms_) {
        Timer* t = timers_.begin()->second;
        t->cancel();
        t->fire_();
    }
}

int Loop::wait_ms(int limit) const {
    if (!deferred_.empty()) return 0;
    if (timers_.empty()) return limit;
    uint64_t next = timers_.begin()->first, now = clock_ms();
    uint64_t wait = next > now ? next - now : 0;
    if (limit >= 0 && wait > uint64_t(limit)) return limit;
    return int(std::min<uint64_t>(wait, INT_MAX));
}

int Loop::wait(epoll_event* events, int most, int limit_ms) {
    if (!window_.enabled() || limit_ms == 0) return ::epoll_wait(epoll_.get(), events, most, limit_ms);
    const uint64_t begin = clock_us();
    uint64_t now = begin;
    int n = 0;
    while (n == 0 && now - begin < window_.us()) {
        n = ::epoll_wait(epoll_.get(), events, most, 0);
        if (n == 0) ::sched_yield();            // who looks for work takes nobody's time who has some
        now = clock_us();
    }
    const uint64_t looked = now - begin;
    if (n == 0) {
        n = ::epoll_wait(epoll_.get(), events, most, limit_ms);
        now = clock_us();
    }
    window_.waited(looked, now - begin, now);
    return n;
}

void Loop::run_once(int timeout_ms) {
    constexpr int most = 64;
    epoll_event events[most];
    int n = wait(events, most, wait_ms(timeout_ms));
    now_ms_ = clock_ms();
    removed_.clear();
    dispatching_ = true;
    bool woken = false;
    for (int i = 0; i < n; i++) {
        auto* watcher = static_cast<Watcher*>(events[i].data.ptr);
        if (!watcher) {
            uint64_t count;
            (void)!::read(wake_.get(), &count, sizeof count);
            woken = true;
            continue;
        }
        if (!removed_.empty() && std::find(removed_.begin(), removed_.end(), watcher) != removed_.end()) continue;
        watcher->on_ready(events[i].events);
    }
    dispatching_ = false;
    if (woken) run_posted();
    run_timers();
    run_deferred();
}

void Loop::run() {
    while (!stopping()) run_once(-1);
}

}  // namespace iscsi::io
