#include "applets/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace iscsi::applets {

void Background::detach() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    Fd read_end(ends[0]), write_end(ends[1]);
    pid_t child = ::fork();
    if (child < 0) return;              // stays in the foreground rather than not at all
    if (child == 0) {
        ::setsid();
        report_ = std::move(write_end);
        return;
    }
    write_end.reset();
    char byte;
    if (::read(read_end.get(), &byte, 1) == 1) ::_exit(0);
    int status = 0;
    ::waitpid(child, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

void Background::ready() {
    if (!report_) return;
    if (::chdir("/") != 0) return;
    Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd = 0; null && fd <= 2; fd++) ::dup2(null.get(), fd);
    (void)!::write(report_.get(), "r", 1);
    report_.reset();
}

Result<std::unique_ptr<Signals>> Signals::create(io::Loop& loop, std::function<void(int)> on_signal) {
    std::unique_ptr<Signals> signals(new Signals(loop, std::move(on_signal)));
    sigset_t set;
    ::sigemptyset(&set);
    for (int s : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, s);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals->fd_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals->fd_) return Error{errno, "signalfd", ""};
    TRY_VOID(loop.add(signals->fd_.get(), EPOLLIN, *signals));
    return signals;
}

Signals::~Signals() {
    if (fd_) loop_.remove(fd_.get(), *this);
}

void Signals::on_ready(uint32_t) {
    signalfd_siginfo info;
    while (::read(fd_.get(), &info, sizeof info) == ssize_t(sizeof info)) on_signal_(int(info.ssi_signo));
}

void notify_systemd(const std::string& text) {
    const char* path = std::getenv("NOTIFY_SOCKET");
    if (!path || (path[0] != '/' && path[0] != '@')) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    size_t length = std::strlen(path);
    if (length >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = 0;
    Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return;
    (void)!::sendto(socket.get(), text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address),
                    socklen_t(offsetof(sockaddr_un, sun_path) + length));
}

void harden_process() {
    if (Fd fd(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); fd) (void)!::write(fd.get(), "-1000\n", 6);
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    rlimit more{1048576, 1048576};
    if (::setrlimit(RLIMIT_NOFILE, &more) == 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace iscsi::applets
