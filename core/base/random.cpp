#include "core/base/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "core/base/log.h"

namespace iscsi {

void fill_random(MutableBytes out) {
    while (!out.empty()) {
        ssize_t n = ::getrandom(out.data(), out.size(), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            log::error("getrandom: no random bytes from the kernel");
            std::abort();
        }
        out = out.subspan(size_t(n));
    }
}

}  // namespace iscsi
