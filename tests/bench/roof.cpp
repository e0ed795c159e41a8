// The roof: what loopback TCP and the page cache allow a storage server that has no protocol to speak of. One thread, epoll;
// requests are 48 bytes, answers 48 bytes and the data. Four ways of moving the bytes:
//   each      pread + one send per answer; writes by recv + pwrite
//   gather    all answers of a wake-up in one gathered send
//   sendfile  header with MSG_MORE, data by sendfile; writes spliced from the socket into the file
//   map       answers gathered straight from a mapping of the file; writes received into it
// roof MODE PORT FILE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "tests/bench/roof.h"

namespace {

using bench::RoofHeader;
enum class Mode { each, gather, sendfile, map };

struct Conn {
    int fd = -1;
    std::vector<char> in = std::vector<char>(256 << 10);
    size_t have = 0;
    RoofHeader write{};       // the write whose payload is arriving
    size_t payload_left = 0;
};

struct Server {
    Mode mode = Mode::each;
    int file = -1, pipe_r = -1, pipe_w = -1;
    char* map = nullptr;
    size_t size = 0;
    std::vector<char> arena = std::vector<char>(8 << 20);
    size_t arena_used = 0;
    std::vector<iovec> out;
    std::vector<RoofHeader> headers = std::vector<RoofHeader>(1024);
    size_t headers_used = 0;
};

[[noreturn]] void die(const char* what) { perror(what); exit(1); }

// The peer reads while it writes, so a blocking send cannot deadlock.
void flush(Server& s, Conn& c) {
    size_t at = 0;
    while (at < s.out.size()) {
        msghdr m{};
        m.msg_iov = &s.out[at];
        m.msg_iovlen = std::min<size_t>(s.out.size() - at, 1024);
        ssize_t n = sendmsg(c.fd, &m, MSG_NOSIGNAL);
        if (n < 0) break;
        while (n > 0) {
            size_t step = std::min<size_t>(n, s.out[at].iov_len);
            s.out[at].iov_base = static_cast<char*>(s.out[at].iov_base) + step;
            s.out[at].iov_len -= step;
            n -= ssize_t(step);
            if (s.out[at].iov_len == 0) at++;
        }
    }
    s.out.clear();
    s.arena_used = s.headers_used = 0;
}

void queue(Server& s, Conn& c, const RoofHeader& h, void* data, size_t length) {
    s.headers[s.headers_used] = h;
    s.out.push_back({&s.headers[s.headers_used++], sizeof h});
    if (length) s.out.push_back({data, length});
    if (s.mode == Mode::each || s.headers_used == s.headers.size()) flush(s, c);
}

void answer_read(Server& s, Conn& c, const RoofHeader& h) {
    if (s.mode == Mode::map) return queue(s, c, h, s.map + h.offset, h.length);
    if (s.mode == Mode::sendfile) {
        if (send(c.fd, &h, sizeof h, MSG_MORE | MSG_NOSIGNAL) != sizeof h) return;
        off_t at = off_t(h.offset);
        for (size_t left = h.length; left > 0;) {
            ssize_t n = ::sendfile(c.fd, s.file, &at, left);
            if (n <= 0) return;
            left -= size_t(n);
        }
        return;
    }
    if (s.arena.size() - s.arena_used < h.length) flush(s, c);
    char* at = s.arena.data() + s.arena_used;
    if (pread(s.file, at, h.length, off_t(h.offset)) != ssize_t(h.length)) die("pread");
    s.arena_used += h.length;
    queue(s, c, h, at, h.length);
}

// Payload that came with the header has been read into `in`; the rest goes the way of the mode.
bool receive_payload(Server& s, Conn& c) {
    const uint64_t done = c.write.length - c.payload_left;
    const uint64_t at = c.write.offset + done;
    ssize_t n = 0;
    if (s.mode == Mode::sendfile) {
        n = splice(c.fd, nullptr, s.pipe_w, nullptr, c.payload_left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        loff_t to = loff_t(at);
        for (ssize_t left = n; left > 0;) {
            ssize_t m = splice(s.pipe_r, nullptr, s.file, &to, size_t(left), SPLICE_F_MOVE);
            if (m <= 0) die("splice into the file");
            left -= m;
        }
    } else if (s.mode == Mode::map) {
        n = recv(c.fd, s.map + at, c.payload_left, MSG_DONTWAIT);
        if (n <= 0) return n < 0 && errno == EAGAIN;
    } else {
        if (s.arena.size() - s.arena_used < c.write.length) flush(s, c);
        n = recv(c.fd, s.arena.data() + s.arena_used, std::min(c.payload_left, s.arena.size() - s.arena_used), MSG_DONTWAIT);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        if (pwrite(s.file, s.arena.data() + s.arena_used, size_t(n), off_t(at)) != n) die("pwrite");
    }
    c.payload_left -= size_t(n);
    if (c.payload_left == 0) queue(s, c, c.write, nullptr, 0);
    return true;
}

bool valid(const Server& s, const RoofHeader& h) {
    return (h.op == bench::roof_read || h.op == bench::roof_write) && h.length <= (8u << 20) && h.length <= s.size && h.offset <= s.size - h.length;
}

// One step: a piece of payload, or what requests there are. In place means: no payload is read beyond a write's header.
enum class Step { more, wait, closed };
Step step(Server& s, Conn& c) {
    if (c.payload_left) {
        const size_t before = c.payload_left;
        if (!receive_payload(s, c)) return Step::closed;
        return c.payload_left == before ? Step::wait : Step::more;
    }
    const bool exact = (s.mode == Mode::sendfile || s.mode == Mode::map) && c.write.op == bench::roof_write;
    const size_t room = exact ? sizeof(RoofHeader) - c.have : c.in.size() - c.have;
    ssize_t n = recv(c.fd, c.in.data() + c.have, room, MSG_DONTWAIT);
    if (n <= 0) return n < 0 && errno == EAGAIN ? Step::wait : Step::closed;
    c.have += size_t(n);
    size_t at = 0;
    while (c.have - at >= sizeof(RoofHeader)) {
        RoofHeader h;
        memcpy(&h, c.in.data() + at, sizeof h);
        if (!valid(s, h)) return Step::closed;
        at += sizeof h;
        if (h.op == bench::roof_read) {
            answer_read(s, c, h);
            continue;
        }
        c.write = h;
        size_t here = std::min<size_t>(h.length, c.have - at);
        if (here && pwrite(s.file, c.in.data() + at, here, off_t(h.offset)) != ssize_t(here)) die("pwrite");
        at += here;
        c.payload_left = h.length - here;
        if (c.payload_left) break;
        queue(s, c, h, nullptr, 0);
    }
    memmove(c.in.data(), c.in.data() + at, c.have - at);
    c.have -= at;
    return exact || c.payload_left ? Step::more : Step::wait;
}

bool serve(Server& s, Conn& c) {
    Step last = Step::more;
    for (int rounds = 0; rounds < 128 && last == Step::more; rounds++) last = step(s, c);
    flush(s, c);
    return last != Step::closed;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) { fprintf(stderr, "usage: roof each|gather|sendfile|map PORT FILE\n"); return 64; }
    signal(SIGPIPE, SIG_IGN);               // sendfile has no MSG_NOSIGNAL
    Server s;
    std::string_view mode = argv[1];
    s.mode = mode == "gather" ? Mode::gather : mode == "sendfile" ? Mode::sendfile : mode == "map" ? Mode::map : Mode::each;
    s.file = open(argv[3], O_RDWR | O_CLOEXEC);
    struct stat st;
    if (s.file < 0 || fstat(s.file, &st) != 0) die(argv[3]);
    s.size = size_t(st.st_size);
    if (s.mode == Mode::map) {
        s.map = static_cast<char*>(mmap(nullptr, s.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s.file, 0));
        if (s.map == MAP_FAILED) die("mmap");
    }
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0) die("pipe");
    s.pipe_r = pipes[0], s.pipe_w = pipes[1];
    fcntl(s.pipe_w, F_SETPIPE_SZ, 1 << 20);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sockaddr_in a{};
    a.sin_family = AF_INET, a.sin_port = htons(uint16_t(atoi(argv[2]))), a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || listen(listener, 128) != 0) die("listen");
    int ep = epoll_create1(EPOLL_CLOEXEC);
    epoll_event e{};
    e.events = EPOLLIN;
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        epoll_event events[64];
        int n = epoll_wait(ep, events, 64, -1);
        for (int i = 0; i < n; i++) {
            auto* c = static_cast<Conn*>(events[i].data.ptr);
            if (!c) {
                c = new Conn;
                c->fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
                setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                e.data.ptr = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
            } else if (!serve(s, *c)) {
                close(c->fd);
                delete c;
            }
        }
    }
}
