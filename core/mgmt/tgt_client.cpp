#include "core/mgmt/tgt_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include <cstring>

#include "core/base/fd.h"

namespace iscsi::mgmt {
namespace {

constexpr uint64_t starting_daemon_ms = 5000;
constexpr uint64_t poll_ms = 10;

uint64_t now_ms() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000 + uint64_t(t.tv_nsec) / 1000000;
}

void sleep_ms(uint64_t ms) {
    timespec t{time_t(ms / 1000), long(ms % 1000) * 1000000};
    ::nanosleep(&t, nullptr);
}

// One attempt; on failure errno says why.
Fd connect_once(const std::string& path) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return fd;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);       // the caller checked the length
    timeval limit{10, 0};               // a full backlog makes connect wait
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
    int error = errno;
    fd.reset();
    errno = error;
    return fd;
}

bool daemon_holds_lock(const std::string& path) {
    Fd fd(::open((path + ".lock").c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return false;
    struct flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    return ::fcntl(fd.get(), F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

Result<Fd> connect_daemon(const std::string& path, unsigned wait_seconds) {
    const Error nobody{ENOTCONN, "failed to send request hdr to tgt daemon, Transport endpoint is not connected", ""};
    const uint64_t start = now_ms();
    for (;;) {
        if (Fd fd = connect_once(path)) return fd;
        bool may_come = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
        const uint64_t waited = now_ms() - start;
        if (!may_come || (waited >= uint64_t(wait_seconds) * 1000 && (waited >= starting_daemon_ms || !daemon_holds_lock(path))))
            return nobody;
        sleep_ms(poll_ms);
    }
}

// Reads until `in` holds `wanted` bytes; 0, or the errno, or ECONNABORTED at the end of the stream.
int receive(int fd, std::string& in, size_t wanted) {
    char chunk[16384];
    while (in.size() < wanted) {
        ssize_t n = ::recv(fd, chunk, std::min(sizeof chunk, wanted - in.size()), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return ECONNABORTED;
        in.append(chunk, size_t(n));
    }
    return 0;
}

}  // namespace

Result<TgtAnswer> tgt_call(int control_port, const TgtRequest& request, unsigned wait_seconds, unsigned answer_seconds) {
    const std::string path = tgt_socket_path(control_port);
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return Error{ENOTCONN, "management path too long: " + path +
                         "\ntgtadm: failed to send request hdr to tgt daemon, Transport endpoint is not connected", ""};
    Fd fd = TRY(connect_daemon(path, wait_seconds));
    const timeval limit{time_t(answer_seconds), 0};
    if (answer_seconds) ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);

    const std::string out = encode(request);
    size_t done = 0;
    while (done < out.size()) {
        ssize_t n = ::send(fd.get(), out.data() + done, out.size() - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;              // refused before it was read whole: the answer, if any, says why
        done += size_t(n);
    }
    auto no_answer = [&](int code) {
        if (code != ECONNABORTED || done < out.size()) {
            if (code == ECONNABORTED) code = ECONNRESET;
            return Error{code, std::string("can't get the response, ") + std::strerror(code), ""};
        }
        return Error{ECONNRESET, "tgtd closed the socket", ""};
    };
    std::string in;
    if (int error = receive(fd.get(), in, tgt_answer_header)) return no_answer(error);
    auto length = tgt_answer_length(as_bytes(in));
    if (!length) return Error{EPROTO, "can't understand the response of tgtd", ""};
    if (int error = receive(fd.get(), in, *length)) return no_answer(error);
    auto answer = decode_tgt_answer(as_bytes(in));
    if (!answer) return Error{EPROTO, "can't understand the response of tgtd", ""};
    return *answer;
}

void tgt_await_end(int control_port, unsigned limit_ms) {
    const std::string path = tgt_socket_path(control_port);
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return;
    for (uint64_t start = now_ms(); now_ms() - start < limit_ms; sleep_ms(poll_ms))
        if (!connect_once(path)) return;
}

}  // namespace iscsi::mgmt
