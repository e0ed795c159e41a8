#include "core/io/zerocopy.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include "core/base/fd.h"

using namespace iscsi;
using io::Zerocopy;

namespace {

struct Memory {
    std::vector<uint8_t> bytes;
    std::shared_ptr<void> held = std::make_shared<int>();
    explicit Memory(size_t size, uint8_t seed = 1) : bytes(size) {
        for (size_t i = 0; i < size; i++) bytes[i] = uint8_t(i * 7 + i / 256 + seed);
    }
    iovec piece() { return {bytes.data(), bytes.size()}; }
};

struct Pair {
    Fd near, far;
    Pair() {
        Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof at;
        REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), length) == 0);
        REQUIRE(::listen(listener.get(), 1) == 0);
        REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &length) == 0);
        far = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::connect(far.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
        near = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        REQUIRE(near);
    }
    std::vector<uint8_t> take(size_t size) {
        std::vector<uint8_t> got(size);
        CHECK(::recv(far.get(), got.data(), size, MSG_WAITALL) == ssize_t(size));
        return got;
    }
    bool notified(Zerocopy& z) {
        pollfd p{near.get(), 0, 0};
        return ::poll(&p, 1, 2000) == 1 && (p.revents & POLLERR) && z.take_notification(near.get());
    }
};

}  // namespace

TEST_CASE("zerocopy: completions release what they name, in any order, and once") {
    Zerocopy z(-1);
    Memory a(10), b(20), c(30), d(40);
    for (Memory* m : {&a, &b, &c, &d}) z.sent(m->held, m->bytes.size());
    CHECK(z.held_bytes() == 100);
    z.completed(2, 2, false);
    CHECK(c.held.use_count() == 1);
    CHECK(b.held.use_count() == 2);
    CHECK(z.held_bytes() == 70);
    z.completed(1, 2, false);
    CHECK(b.held.use_count() == 1);
    CHECK(z.held_bytes() == 50);
    z.completed(4, 9, false);               // nothing was sent by these numbers
    CHECK(z.held_bytes() == 50);
    z.completed(0, 3, false);
    CHECK(a.held.use_count() == 1);
    CHECK(d.held.use_count() == 1);
    CHECK(z.held_bytes() == 0);
    z.sent(a.held, a.bytes.size());
    z.completed(0, 3, false);
    CHECK(a.held.use_count() == 2);
    z.completed(4, 4, false);
    CHECK(a.held.use_count() == 1);
}

TEST_CASE("zerocopy: pieces of one memory hold it once, until the last is done with") {
    Zerocopy z(-1);
    Memory a(100), b(7);
    for (Memory* m : {&a, &a, &a, &b, &a}) z.sent(m->held, m->bytes.size());
    CHECK(z.held_bytes() == 207);           // what comes back to it later is counted anew
    z.completed(0, 1, false);
    CHECK(z.held_bytes() == 207);
    z.completed(2, 3, false);
    CHECK(z.held_bytes() == 100);
    CHECK(b.held.use_count() == 1);
    CHECK(a.held.use_count() == 2);
    z.completed(4, 4, false);
    CHECK(z.held_bytes() == 0);
    CHECK(a.held.use_count() == 1);
}

TEST_CASE("zerocopy: numbers wrap at 2^32") {
    Zerocopy z(-1, 0xfffffffe);
    Memory m[5] = {Memory(1), Memory(2), Memory(4), Memory(8), Memory(16)};     // fffffffe ffffffff 0 1 2
    for (Memory& one : m) z.sent(one.held, one.bytes.size());
    z.completed(0xffffffff, 0, false);
    CHECK(z.held_bytes() == 1 + 8 + 16);
    z.completed(2, 2, false);
    CHECK(z.held_bytes() == 1 + 8);
    z.completed(0xfffffffe, 1, false);
    CHECK(z.held_bytes() == 0);
    for (Memory& one : m) CHECK(one.held.use_count() == 1);
    z.sent(m[0].held, m[0].bytes.size());
    z.completed(3, 3, false);
    CHECK(z.held_bytes() == 0);
}

TEST_CASE("zerocopy: one try decides, and a copy ends it for good") {
    Pair pair;
    Zerocopy z(pair.near.get());
    CHECK(z.wanted());
    Memory m(10);
    z.sent(m.held, m.bytes.size());
    CHECK_FALSE(z.wanted());                // what becomes of it?
    z.completed(0, 0, false);
    CHECK(z.wanted());
    z.sent(m.held, m.bytes.size());
    CHECK(z.wanted());
    z.completed(1, 1, true);
    CHECK_FALSE(z.wanted());
    CHECK(z.off());
    z.sent(m.held, m.bytes.size());
    z.completed(2, 2, false);
    CHECK_FALSE(z.wanted());
    CHECK(z.held_bytes() == 0);
}

TEST_CASE("zerocopy: off where the socket has none of it") {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
    Fd near(both[0]), far(both[1]);
    Zerocopy z(near.get());
    CHECK(z.off());
    Memory m(64 * 1024);
    CHECK(z.send(near.get(), m.piece(), m.held, m.bytes.size(), 0) > 0);
    CHECK(z.held_bytes() == 0);
}

TEST_CASE("zerocopy: loopback copies, and says so once the peer has all; until then memory is held") {
    Pair pair;
    Zerocopy z(pair.near.get());
    REQUIRE_FALSE(z.off());
    Memory m(512 * 1024);
    const ssize_t n = z.send(pair.near.get(), m.piece(), m.held, m.bytes.size(), 0);
    REQUIRE(n > 0);
    CHECK(z.held_bytes() == m.bytes.size());
    CHECK(m.held.use_count() == 2);
    pollfd p{pair.near.get(), 0, 0};
    CHECK(::poll(&p, 1, 20) == 0);          // the peer reads nothing: most of it is in the queue
    CHECK_FALSE(z.take_notification(pair.near.get()));
    CHECK(m.held.use_count() == 2);
    CHECK(pair.take(size_t(n)) == std::vector<uint8_t>(m.bytes.begin(), m.bytes.begin() + n));
    REQUIRE(pair.notified(z));
    CHECK(m.held.use_count() == 1);
    CHECK(z.held_bytes() == 0);
    CHECK(z.off());
    CHECK(z.sends() == 1);
    const ssize_t more = z.send(pair.near.get(), m.piece(), m.held, m.bytes.size(), 0);
    CHECK(more > 0);
    CHECK(z.sends() == 1);
    CHECK(m.held.use_count() == 1);
    CHECK(pair.take(size_t(more)).size() == size_t(more));
}

TEST_CASE("zerocopy: short pieces and those that may not by plain sends") {
    Pair pair;
    Zerocopy z(pair.near.get());
    Memory small(Zerocopy::least - 1), large(Zerocopy::least);
    CHECK(z.send(pair.near.get(), small.piece(), small.held, small.bytes.size(), 0) == ssize_t(small.bytes.size()));
    CHECK(pair.take(small.bytes.size()) == small.bytes);
    CHECK(z.send(pair.near.get(), large.piece(), large.held, 0, 0) == ssize_t(large.bytes.size()));
    CHECK(pair.take(large.bytes.size()) == large.bytes);
    CHECK(z.sends() == 0);
    CHECK(z.wanted());
}
