#include "core/io/poll_window.h"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/io/loop.h"

using iscsi::io::Loop;
using iscsi::io::PollWindow;

TEST_CASE("a window opens while work comes soon") {
    PollWindow window(100);
    CHECK(window.us() == 0);
    window.waited(0, 101, 1000);
    CHECK(window.us() == 0);
    window.waited(0, 100, 2000);
    CHECK(window.us() == 100);
    for (uint64_t us : {1u, 99u, 100u}) {
        window.waited(us, us, 3000);            // found
        CHECK(window.us() == 100);
    }
}

TEST_CASE("what was looked for in vain is paid for by sleeping at once for 20 times as long") {
    PollWindow window(100);
    window.waited(0, 50, 1'000);
    REQUIRE(window.us() == 100);
    window.waited(100, 5'000, 10'000);
    CHECK(window.us() == 0);
    window.waited(0, 50, 11'999);
    CHECK(window.us() == 0);
    window.waited(0, 50, 12'000);
    CHECK(window.us() == 100);
}

TEST_CASE("a look that took longer than the window was somebody else's time") {
    PollWindow window(100);
    window.waited(0, 50, 1'000);
    REQUIRE(window.us() == 100);
    window.waited(3'000, 3'000, 10'000);        // found at the end of it
    CHECK(window.us() == 0);
    window.waited(0, 50, 69'999);
    CHECK(window.us() == 0);
    window.waited(0, 50, 70'000);
    CHECK(window.us() == 100);
}

TEST_CASE("a window of 0 stays shut") {
    PollWindow window;
    CHECK_FALSE(window.enabled());
    window.waited(0, 0, 0);
    window.waited(0, 1, 1);
    CHECK(window.us() == 0);
}

namespace {

struct Count final : iscsi::io::Watcher {
    explicit Count(int f) : fd(f) {}
    void on_ready(uint32_t) override {
        char c;
        calls += int(::read(fd, &c, 1));
    }
    int fd, calls = 0;
};

}  // namespace

TEST_CASE("a loop that looks for work serves descriptors, posted work and timers as one that sleeps") {
    auto loop = Loop::create();
    REQUIRE(loop);
    (*loop)->set_busy_poll(1000);
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    iscsi::Fd out(ends[0]), in(ends[1]);
    Count count(out.get());
    REQUIRE((*loop)->add(out.get(), EPOLLIN, count));
    bool posted = false, fired = false;
    for (int i = 0; i < 20; i++) {              // soon enough after each other to open the window
        REQUIRE(::write(in.get(), "x", 1) == 1);
        (*loop)->run_once(-1);
    }
    CHECK(count.calls == 20);
    (*loop)->post([&] { posted = true; });
    while (!posted) (*loop)->run_once(-1);
    iscsi::io::Timer timer(**loop, [&] { fired = true; });
    timer.arm(2);
    while (!fired) (*loop)->run_once(-1);
    CHECK(fired);
    (*loop)->run_once(0);
    (*loop)->remove(out.get(), count);
}
