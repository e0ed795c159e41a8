#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/bench/load.h"
#include "tests/bench/roof.h"

namespace bench {

int connect_to(const Options& o) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    sockaddr_in a{};
    a.sin_family = AF_INET, a.sin_port = htons(o.port);
    if (inet_pton(AF_INET, o.host.c_str(), &a.sin_addr) != 1 || connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) {
        perror("load: connect");
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

bool Output::flush(int fd) {
    while (first_ < chunks_.size()) {
        const Chunk& front = chunks_[first_];
        ssize_t sent;
        if (front.length >= by_reference_ && sent_ >= front.head_length && sent_ < front.head_length + front.length) {
            const size_t done = sent_ - front.head_length;
            off_t at = front.data - payload() + off_t(done);
            sent = sendfile(fd, payload_fd(), &at, front.length - done);
        } else {
            sent = send_gathered(fd);
        }
        if (sent < 0) return errno == EAGAIN || errno == EINTR;
        sent_ += size_t(sent);
        while (first_ < chunks_.size()) {
            const Chunk& c = chunks_[first_];
            const size_t whole = c.head_length + c.length + c.tail_length;
            if (sent_ < whole) break;
            sent_ -= whole;
            first_++;
        }
    }
    chunks_.clear();
    first_ = 0;
    return true;
}

// Everything up to the first long payload, which goes by reference.
ssize_t Output::send_gathered(int fd) {
    std::array<iovec, 384> v;
    size_t n = 0, skip = sent_;
    int more = 0;
    auto put = [&](const char* p, size_t length) {
        const size_t drop = std::min(skip, length);
        skip -= drop;
        if (length > drop) v[n++] = {const_cast<char*>(p) + drop, length - drop};
    };
    for (size_t i = first_; i < chunks_.size() && n + 3 <= v.size(); i++) {
        put(chunks_[i].head.data(), chunks_[i].head_length);
        if (chunks_[i].length >= by_reference_ && skip < chunks_[i].length) {
            more = MSG_MORE;
            break;
        }
        put(chunks_[i].data, chunks_[i].length);
        put(chunks_[i].tail.data(), chunks_[i].tail_length);
    }
    msghdr m{};
    m.msg_iov = v.data(), m.msg_iovlen = n;
    return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL | more);
}

Offsets::Offsets(const Options& o, uint64_t size, unsigned number)
    : state_(0x9e3779b97f4a7c15ull * (number + 1)), slots_(std::max<uint64_t>(1, size / o.bs)), bs_(o.bs), read_percent_(o.read_percent), sequential_(o.sequential) {
    if (sequential_) at_ = slots_ / o.sessions * number;
}

uint64_t Offsets::random() {                    // xorshift64*
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull >> 16;
}

uint64_t Offsets::next() { return (sequential_ ? at_++ : random()) % slots_ * bs_; }
bool Offsets::reads() { return read_percent_ == 100 || (read_percent_ > 0 && random() % 100 < read_percent_); }

int payload_fd() {
    static const int fd = [] {
        const int f = memfd_create("payload", MFD_CLOEXEC);
        if (f < 0 || ftruncate(f, payload_size) != 0) { perror("load: memfd"); exit(1); }
        return f;
    }();
    return fd;
}

const char* payload() {
    static const char* const noise = [] {
        auto* p = static_cast<char*>(mmap(nullptr, payload_size, PROT_READ | PROT_WRITE, MAP_SHARED, payload_fd(), 0));
        if (p == MAP_FAILED) { perror("load: mmap"); exit(1); }
        uint64_t x = 1;
        for (size_t i = 0; i < payload_size; i += 8) { x = x * 6364136223846793005ull + 1442695040888963407ull; memcpy(p + i, &x, 8); }
        return p;
    }();
    return noise;
}

namespace {

class RoofSession final : public Session {
public:
    RoofSession(const Options& o, int fd) : o_(o), fd_(fd), offsets_(o, o.size, 0), started_(o.depth) {
        for (unsigned i = 0; i < o.depth; i++) free_.push_back(i);
    }
    ~RoofSession() override { close(fd_); }
    int fd() const override { return fd_; }
    bool flush() override { return out_.flush(fd_); }
    void fill(Totals&) override {
        while (!free_.empty()) {
            const uint32_t tag = free_.back();
            free_.pop_back();
            RoofHeader h{};
            const bool read = offsets_.reads();
            h.op = read ? roof_read : roof_write, h.tag = tag, h.offset = offsets_.next(), h.length = o_.bs;
            auto& c = out_.add();
            memcpy(c.head.data(), &h, sizeof h);
            c.head_length = sizeof h;
            if (!read) c.data = payload(), c.length = o_.bs;
            started_[tag] = now_ns();
        }
    }
    bool receive(Totals& t) override {
        for (;;) {
            if (discard_) {
                // thrown away in the kernel, not copied
                ssize_t n = recv(fd_, nullptr, discard_, MSG_DONTWAIT | MSG_TRUNC);
                if (n <= 0) return n < 0 && errno == EAGAIN;
                if ((discard_ -= size_t(n)) == 0) done(t);
                continue;
            }
            const size_t room = o_.bs >= long_data ? sizeof(RoofHeader) : in_.size();      // long data is not copied, it is thrown away
            ssize_t n = recv(fd_, in_.data() + have_, room - have_, MSG_DONTWAIT);
            if (n <= 0) return n < 0 && errno == EAGAIN;
            have_ += size_t(n);
            size_t at = 0;
            while (have_ - at >= sizeof(RoofHeader)) {
                memcpy(&head_, &in_[at], sizeof head_);
                if (head_.tag >= started_.size()) return false;
                at += sizeof head_;
                const size_t data = head_.op == roof_read ? head_.length : 0, here = std::min(data, have_ - at);
                at += here;
                if ((discard_ = data - here) != 0) break;
                done(t);
            }
            memmove(in_.data(), &in_[at], have_ - at);
            have_ -= at;
        }
    }
private:
    void done(Totals& t) {
        t.latency.add(now_ns() - started_[head_.tag]);
        free_.push_back(head_.tag);
    }
    const Options& o_;
    int fd_;
    Offsets offsets_;
    Output out_{o_};
    std::vector<uint64_t> started_;
    std::vector<uint32_t> free_;
    std::vector<char> in_ = std::vector<char>(64 << 10);
    size_t have_ = 0, discard_ = 0;
    RoofHeader head_{};
};

}  // namespace

std::unique_ptr<Session> make_roof_session(const Options& o) {
    int fd = connect_to(o);
    if (fd < 0) return nullptr;
    return std::make_unique<RoofSession>(o, fd);
}

}  // namespace bench
