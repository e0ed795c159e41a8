// Carries out store requests that would block. Completions come back on the loop that submitted, so a
// session never sees another thread. Two implementations, chosen at run time: io_uring (engine_uring.cpp)
// where the kernel has it and the store is a plain descriptor, worker threads (engine_threads.cpp) elsewhere.
#pragma once
#include <memory>

#include "core/base/bytes.h"
#include "core/io/loop.h"

namespace iscsi::store {
class Store;
struct Request;
}

namespace iscsi::io {

class Engine {
public:
    virtual ~Engine() = default;                // waits for what is in flight
    // Takes a request that try_* refused (or that is a flush, unmap, zero). request.done is called once, on the loop.
    virtual void submit(const std::shared_ptr<store::Store>& store, store::Request& request) = 0;
    virtual size_t in_flight() const = 0;       // as seen by the loop
    // Memory that many requests will use; it outlives the engine's last request. What an engine makes of it is its affair.
    virtual void use_memory(MutableBytes arena) { (void)arena; }
};

struct EngineOptions {
    unsigned threads = 4;           // started on first use, ended when idle for a while
    bool allow_uring = true;
};

// One engine for one loop; used from that loop only.
std::unique_ptr<Engine> make_engine(Loop& loop, const EngineOptions& options);

}  // namespace iscsi::io
