#include "core/doctor/doctor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "core/base/fd.h"
#include "core/base/file.h"
#include "core/config/iscsid_conf.h"
#include "core/io/loop.h"

namespace iscsi::doctor {

Result<Report> examine(const Options& options) {
    Report report;
    State state;
    check_identity(options, state, report);
    check_records(options, state, report);
    check_modules(options, state, report);
    check_iscsid(options, state, report);
    check_target_side(options, state, report);
    check_leftovers(options, state, report);
    check_timeouts(options, state, report);
    check_firewall(options, state, report);
    if (state.initiator_name.empty()) state.initiator_name = config::random_initiator_name("iqn.1993-08.org.debian:01");
    TRY_VOID(check_portals(options, state, report));
    return report;
}

std::optional<std::string> output_of(const char* const* argv, uint64_t deadline_ms) {
    if (::access(argv[0], X_OK) != 0) return {};
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return {};
    Fd in(ends[0]), out(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) return {};
    if (child == 0) {
        const int null = ::open("/dev/null", O_RDWR);
        ::dup2(null, 0);
        ::dup2(out.get(), 1);
        ::dup2(null, 2);
        ::execv(argv[0], const_cast<char**>(argv));
        ::_exit(127);
    }
    out.reset();
    std::string text;
    bool whole = false;
    for (const uint64_t end = io::Loop::clock_ms() + deadline_ms;;) {
        const uint64_t now = io::Loop::clock_ms();
        pollfd p{in.get(), POLLIN, 0};
        if (now >= end || ::poll(&p, 1, int(end - now)) <= 0) break;
        char chunk[4096];
        const ssize_t n = ::read(in.get(), chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        whole = n == 0;
        if (n <= 0 || text.size() > (1u << 20)) break;
        text.append(chunk, size_t(n));
    }
    if (!whole) ::kill(child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (!whole || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return {};
    return text;
}

bool process_runs(const std::string& proc, std::string_view name) {
    for (const std::string& entry : list_folder(proc))
        if (entry[0] >= '1' && entry[0] <= '9' && read_attribute(proc + "/" + entry + "/comm") == name) return true;
    return false;
}

}  // namespace iscsi::doctor
