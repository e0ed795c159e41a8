#include "applets/discovery_polls.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/log.h"

namespace iscsi::applets {
namespace {

constexpr uint64_t look_ms = 10'000, look_busy_ms = 1000;
constexpr uint64_t longest_child_ms = 600'000;
constexpr size_t most_children = 4;
constexpr uint64_t never = ~uint64_t(0);

// The child: an ordinary process again, not the daemon that must not be killed or paged out.
[[noreturn]] void become_iscsiadm(const char* type, const std::string& portal) {
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(077);
    ::setpriority(PRIO_PROCESS, 0, 0);
    if (int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) (void)!::write(fd, "0", 1);
    if (int null = ::open("/dev/null", O_RDWR); null >= 0)
        for (int fd : {0, 1, 2}) ::dup2(null, fd);
    ::execl("/proc/self/exe", "iscsiadm", "-m", "discoverydb", "-t", type, "-p", portal.c_str(), "--logout-gone", "-D", "-l", static_cast<char*>(nullptr));
    ::_exit(127);
}

}  // namespace

DiscoveryPolls::DiscoveryPolls(io::Loop& loop, config::Database& database)
    : loop_(loop), database_(database), timer_(loop, [this] { look(); }) {
    timer_.arm(look_busy_ms);
}

DiscoveryPolls::~DiscoveryPolls() {
    for (const Poll& p : polls_)
        if (p.child > 0) ::kill(p.child, SIGTERM);
}

void DiscoveryPolls::look() {
    for (Poll& p : polls_) p.wanted = false;
    for (config::Kind kind : {config::Kind::send_targets, config::Kind::isns})
        for (const config::DiscoveryPortal& portal : database_.discoveries(kind)) {
            auto record = database_.discovery(kind, portal.address, portal.port);
            bool isns = kind == config::Kind::isns;
            if (!record || !record->yes(isns ? config::Key::isns_use_discoveryd : config::Key::st_use_discoveryd)) continue;
            auto known = std::find_if(polls_.begin(), polls_.end(), [&](const Poll& p) {
                return p.portal.kind == kind && p.portal.address == portal.address && p.portal.port == portal.port;
            });
            if (known == polls_.end()) known = polls_.insert(polls_.end(), Poll{portal});
            known->wanted = true;
            known->interval_s = std::max(0, record->number(isns ? config::Key::isns_poll_interval : config::Key::st_poll_interval));
        }
    size_t running = 0;
    for (Poll& p : polls_) {
        reap(p);
        running += p.child > 0;
    }
    std::erase_if(polls_, [](const Poll& p) { return !p.wanted && p.child <= 0; });
    for (Poll& p : polls_) {
        if (!p.wanted || p.child > 0 || running >= most_children || loop_.now_ms() < p.due_ms) continue;
        start(p);
        running += p.child > 0;
    }
    timer_.arm(running ? look_busy_ms : look_ms);
}

void DiscoveryPolls::reap(Poll& p) {
    if (p.child <= 0) return;
    int status = 0;
    pid_t gone = ::waitpid(p.child, &status, WNOHANG);
    if (gone == 0) {
        if (loop_.now_ms() - p.started_ms > longest_child_ms) ::kill(p.child, SIGKILL);
        return;
    }
    // 15: what it found is logged in to already; 21: there is nothing (any more)
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (gone > 0 && code != 0 && code != 15 && code != 21)
        log::warning("discovery at %s,%d: iscsiadm ended with %d", p.portal.address.c_str(), p.portal.port, code);
    p.child = 0;
    p.due_ms = p.interval_s ? p.started_ms + uint64_t(p.interval_s) * 1000 : never;
}

void DiscoveryPolls::start(Poll& p) {
    std::string portal = config::portal_text(p.portal.address, p.portal.port);
    p.started_ms = loop_.now_ms();
    p.child = ::fork();
    if (p.child == 0) become_iscsiadm(p.portal.kind == config::Kind::isns ? "isns" : "st", portal);
    if (p.child > 0) return;
    log::warning("fork: %m");
    p.due_ms = p.started_ms + look_ms;
}

}  // namespace iscsi::applets
