#include "core/io/engine.h"

#include "core/io/engine_threads.h"
#include "core/io/engine_uring.h"

namespace iscsi::io {

std::unique_ptr<Engine> make_engine(Loop& loop, const EngineOptions& options) {
    if (options.allow_uring) return std::make_unique<UringEngine>(loop, options.threads);
    return std::make_unique<ThreadEngine>(loop, options.threads);
}

}  // namespace iscsi::io
