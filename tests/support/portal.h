// A listener on loopback whose connections are answered by a script.
#pragma once
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <memory>
#include <vector>

#include "core/io/address.h"
#include "tests/support/fake_target.h"

namespace iscsi::test {

// A socket that listens on a port of its own.
struct Listener {
    Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    uint16_t port = 0;
    Listener() {
        auto any = *io::parse_numeric("127.0.0.1", 0);
        REQUIRE(::bind(fd.get(), any.get(), any.length) == 0);
        REQUIRE(::listen(fd.get(), 64) == 0);
        sockaddr_storage bound{};
        socklen_t length = sizeof bound;
        REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0);
        port = io::from_sockaddr(reinterpret_cast<sockaddr*>(&bound), length).port();
    }
};

class Portal final : public io::Watcher {
public:
    Portal(io::Loop& loop, FakeTarget::Script s) : script(std::move(s)), loop_(loop) {
        REQUIRE(bool(loop.add(listener_.fd.get(), EPOLLIN, *this)));
    }
    ~Portal() { loop_.remove(listener_.fd.get(), *this); }

    uint16_t port() const { return listener_.port; }

    FakeTarget::Script script;                              // of the connections to come
    std::vector<std::unique_ptr<FakeTarget>> targets;       // in the order of their connections

private:
    void on_ready(uint32_t) override {
        int fd = ::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) targets.push_back(std::make_unique<FakeTarget>(loop_, Fd(fd), script));
    }

    io::Loop& loop_;
    Listener listener_;
};

}  // namespace iscsi::test
