// The engine of last resort, and of everything that is not a plain read, write or flush: threads that block.
//
// Each store has its own queue and may occupy at most `threads` threads, so a disk that hangs takes its own
// threads with it and nobody else's. Threads start when a request finds none idle and end after a while without work.
// Completed requests wait in a list; the first one in it wakes the loop by one eventfd write for all.
#pragma once
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>

#include "core/io/engine.h"
#include "core/store/store.h"

namespace iscsi::io {

class ThreadEngine final : public Engine, Watcher {
public:
    ThreadEngine(Loop& loop, unsigned threads_per_store);
    ~ThreadEngine() override;
    void submit(const std::shared_ptr<store::Store>& store, store::Request& request) override;
    size_t in_flight() const override { return in_flight_; }

private:
    // Requests of one store, in order. Stays for its next request; the store is held only while there is one.
    struct Queue {
        std::shared_ptr<store::Store> store;
        const store::Store* key = nullptr;
        store::Request* first = nullptr;
        store::Request* last = nullptr;
        unsigned active = 0;            // threads working on it
    };
    struct Worker {
        ThreadEngine* engine = nullptr;
        pthread_t thread{};
        bool ended = false;
    };

    void on_ready(uint32_t events) override;
    Queue& queue_of(const std::shared_ptr<store::Store>& store);
    Queue* runnable();
    void start_worker();
    void reap();
    void work(Worker& self);
    void complete(store::Request& request);
    void deliver();

    Loop& loop_;
    const unsigned per_store_;
    Fd wake_;
    size_t in_flight_ = 0;              // the loop's view

    std::mutex mutex_;
    std::condition_variable wanted_;
    std::deque<Queue> queues_;          // a deque: a worker keeps a reference while it works
    std::list<Worker> workers_;
    size_t live_ = 0, idle_ = 0;
    store::Request* done_first_ = nullptr;
    store::Request* done_last_ = nullptr;
    bool stopping_ = false;
};

}  // namespace iscsi::io
