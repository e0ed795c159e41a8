#include "core/io/poll_window.h"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/io/loop.h"

using iscsi::io::Loop;
using iscsi::io::PollWindow;

TEST_CASE("a window opens while work comes soon, step by step up to its limit") {
    PollWindow window(100);
    CHECK(window.us() == 0);
    window.waited(60);
    CHECK(window.us() == 10);
    for (unsigned want : {20u, 40u, 80u}) {
        window.waited(want);            // longer than it looked, short enough to be worth looking
        CHECK(window.us() == want);
    }
    window.waited(60);                  // found within the window
    CHECK(window.us() == 80);
    window.waited(81);
    CHECK(window.us() == 100);
    window.waited(100);
    CHECK(window.us() == 100);
}

TEST_CASE("one long wait closes a window") {
    PollWindow window(100);
    for (int i = 0; i < 5; i++) window.waited(100);
    REQUIRE(window.us() == 100);
    window.waited(101);
    CHECK(window.us() == 0);
    window.waited(uint64_t(-1));
    CHECK(window.us() == 0);
}

TEST_CASE("a window of 0 stays shut") {
    PollWindow window;
    window.waited(0);
    window.waited(1);
    CHECK_FALSE(window.enabled());
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
