#include "core/io/engine_threads.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>

#include "core/base/log.h"

namespace iscsi::io {
namespace {
constexpr auto idle_for = std::chrono::seconds(20);
constexpr size_t most_workers = 64;
constexpr size_t stack_size = 256 << 10;
}  // namespace

ThreadEngine::ThreadEngine(Loop& loop, unsigned threads_per_store)
    : loop_(loop), per_store_(threads_per_store ? threads_per_store : 1),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_ || !loop_.add(wake_.get(), EPOLLIN, *this)) log::error("engine: no eventfd");
}

// What is queued is still carried out, and completed: the submitters are told before this returns.
ThreadEngine::~ThreadEngine() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wanted_.notify_all();
    for (Worker& w : workers_) ::pthread_join(w.thread, nullptr);
    deliver();
    loop_.remove(wake_.get(), *this);
}

ThreadEngine::Queue& ThreadEngine::queue_of(const std::shared_ptr<store::Store>& store) {
    Queue* unused = nullptr;
    for (Queue& q : queues_) {
        if (q.key == store.get()) return q;
        if (!q.first && !q.active) unused = &q;
    }
    if (!unused) unused = &queues_.emplace_back();
    unused->key = store.get();
    return *unused;
}

ThreadEngine::Queue* ThreadEngine::runnable() {
    for (Queue& q : queues_)
        if (q.first && q.active < per_store_) return &q;
    return nullptr;
}

void ThreadEngine::submit(const std::shared_ptr<store::Store>& store, store::Request& request) {
    request.next = nullptr;
    request.error = 0;
    request.progress = 0;
    in_flight_++;
    std::lock_guard lock(mutex_);
    Queue& q = queue_of(store);
    q.store = store;
    if (q.last) q.last->next = &request;
    else q.first = &request;
    q.last = &request;
    if (q.active >= per_store_) return;         // one of its own threads takes it next
    if (idle_ > 0) wanted_.notify_one();
    start_worker();
    if (live_ > 0) return;
    // No thread can be had at all: better to block this loop than to lose the request.
    q.first = q.last = nullptr;
    request.error = store::run_blocking(*store, request);
    complete(request);
}

void ThreadEngine::reap() {
    for (auto w = workers_.begin(); w != workers_.end();)
        if (w->ended) {
            ::pthread_join(w->thread, nullptr);
            w = workers_.erase(w);
        } else {
            ++w;
        }
}

// With the lock held. Starts one more if there is more to do than idle threads to do it.
void ThreadEngine::start_worker() {
    size_t waiting = 0;
    for (Queue& q : queues_) {
        unsigned free = per_store_ - std::min(q.active, per_store_);
        for (store::Request* r = q.first; r && free; r = r->next, free--) waiting++;
    }
    if (waiting <= idle_ || live_ >= most_workers) return;
    reap();
    Worker& w = workers_.emplace_back();
    w.engine = this;
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, stack_size);
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);      // signals are the main thread's
    auto entry = [](void* self) -> void* {
        auto* worker = static_cast<Worker*>(self);
        worker->engine->work(*worker);
        return nullptr;
    };
    int error = ::pthread_create(&w.thread, &attributes, entry, &w);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::pthread_attr_destroy(&attributes);
    if (error) workers_.pop_back();
    else live_++;
}

// With the lock held.
void ThreadEngine::complete(store::Request& r) {
    r.next = nullptr;
    const bool first = !done_first_;
    if (first) done_first_ = &r;
    else done_last_->next = &r;
    done_last_ = &r;
    if (!first) return;
    uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
}

void ThreadEngine::work(Worker& self) {
    std::unique_lock lock(mutex_);
    for (;;) {
        Queue* q = runnable();
        if (!q) {
            if (stopping_) break;
            idle_++;
            bool timeout = wanted_.wait_for(lock, idle_for) == std::cv_status::timeout;
            idle_--;
            if (timeout && !stopping_ && !runnable()) break;
            continue;
        }
        store::Request* r = q->first;
        q->first = r->next;
        if (!q->first) q->last = nullptr;
        q->active++;
        std::shared_ptr<store::Store> store = q->store;
        lock.unlock();
        r->error = store::run_blocking(*store, *r);
        lock.lock();
        q->active--;
        complete(*r);
        // The last reference to a store may go here, but not with the lock held.
        std::shared_ptr<store::Store> last;
        if (!q->first && !q->active) last = std::move(q->store), q->key = nullptr;
        lock.unlock();
        last.reset();
        store.reset();
        lock.lock();
    }
    live_--;
    self.ended = true;
}

void ThreadEngine::on_ready(uint32_t) {
    uint64_t count;
    (void)!::read(wake_.get(), &count, sizeof count);
    deliver();
}

void ThreadEngine::deliver() {
    store::Request* r;
    {
        std::lock_guard lock(mutex_);
        r = done_first_;
        done_first_ = done_last_ = nullptr;
    }
    while (r) {
        store::Request* next = r->next;
        r->next = nullptr;
        in_flight_--;
        r->done(*r);        // may submit again, may free r
        r = next;
    }
}

}  // namespace iscsi::io
