#include "core/mgmt/tgt_server.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <thread>

#include "core/base/log.h"
#include "core/mgmt/tgt_client.h"

using namespace iscsi;
using namespace iscsi::mgmt;

namespace {

// A server on a socket of its own in a directory of its own.
struct Fixture {
    char directory[32] = "/tmp/tgt_serverXXXXXX";
    std::unique_ptr<io::Loop> loop;
    std::unique_ptr<TgtServer> server;
    std::vector<TgtRequest> seen;
    std::vector<std::shared_ptr<TgtReply>> held;

    Fixture() {
        REQUIRE(::mkdtemp(directory));
        ::setenv("TGT_IPC_SOCKET", (std::string(directory) + "/s").c_str(), 1);
        loop = std::move(*io::Loop::create());
    }
    ~Fixture() {
        server.reset();
        for (const char* name : {"/s.0", "/s.0.lock"}) ::unlink((std::string(directory) + name).c_str());
        ::rmdir(directory);
        ::unsetenv("TGT_IPC_SOCKET");
    }
    Result<std::unique_ptr<TgtServer>> make(TgtServer::Options options = {}) {
        return TgtServer::create(*loop, options, [this](const TgtRequest& r, std::shared_ptr<TgtReply> reply) {
            seen.push_back(r);
            held.push_back(std::move(reply));
        });
    }
    Fd connect() {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, server->path().c_str());
        REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        return fd;
    }
    void turn(int n = 4) { for (int i = 0; i < n; i++) loop->run_once(0); }
};

std::string receive_all(int fd) {
    std::string s;
    char chunk[4096];
    for (ssize_t n; (n = ::recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0;) s.append(chunk, size_t(n));
    return s;
}

TgtRequest show() {
    TgtRequest r;
    r.mode = TgtMode::target;
    return r;
}

}  // namespace

TEST_CASE("requests of many clients, in pieces, answered out of order") {
    Fixture f;
    f.server = std::move(*f.make());
    Fd a = f.connect(), b = f.connect();
    const std::string request = encode(show());
    for (char c : request) {
        REQUIRE(::send(a.get(), &c, 1, 0) == 1);
        f.turn(2);
    }
    TgtRequest other = show();
    other.tid = 5;
    std::string second = encode(other);
    REQUIRE(::send(b.get(), second.data(), second.size(), 0) == ssize_t(second.size()));
    f.turn();
    REQUIRE(f.held.size() == 2);
    CHECK(f.seen[1].tid == 5);
    bool sent = false;
    f.held[1]->answer({TgtCode::no_target, ""}, [&] { sent = true; });
    CHECK(sent);
    CHECK((receive_all(b.get()) == encode(TgtAnswer{TgtCode::no_target, ""})));
    CHECK(receive_all(a.get()).empty());
    f.held[0]->answer({TgtCode::ok, "hello\n"});
    f.turn();
    CHECK((receive_all(a.get()) == encode(TgtAnswer{TgtCode::ok, "hello\n"})));
}

TEST_CASE("a reply that is dropped answers all the same; a client that left does not matter") {
    Fixture f;
    f.server = std::move(*f.make());
    Fd a = f.connect(), b = f.connect();
    const std::string request = encode(show());
    ::send(a.get(), request.data(), request.size(), 0);
    ::send(b.get(), request.data(), request.size(), 0);
    f.turn();
    REQUIRE(f.held.size() == 2);
    b.reset();
    f.turn();
    bool sent = false;
    f.held[1]->answer({TgtCode::ok, "x"}, [&] { sent = true; });
    CHECK(sent);
    f.held.clear();
    f.turn();
    CHECK((receive_all(a.get()) == encode(TgtAnswer{TgtCode::unknown, ""})));
}

TEST_CASE("nonsense and oversized requests are answered, not kept") {
    Fixture f;
    f.server = std::move(*f.make());
    Fd a = f.connect();
    std::string junk(300, '\xff');
    ::send(a.get(), junk.data(), junk.size(), 0);
    f.turn();
    CHECK((receive_all(a.get()) == encode(TgtAnswer{TgtCode::invalid, ""})));
    CHECK(f.held.empty());
}

TEST_CASE("a client that sends nothing is closed in time; more clients than allowed wait") {
    log::open("test", log::Sink::quiet, log::Level::error);
    Fixture f;
    f.server = std::move(*f.make({.control_port = 0, .max_clients = 2, .request_ms = 30}));
    Fd a = f.connect(), b = f.connect(), c = f.connect();
    const std::string request = encode(show());
    ::send(c.get(), request.data(), request.size(), 0);
    f.turn();
    CHECK(f.held.empty());
    for (int i = 0; i < 20 && f.held.empty(); i++) f.loop->run_once(50);
    CHECK(f.held.size() == 1);
    char byte;
    CHECK(::recv(a.get(), &byte, 1, MSG_DONTWAIT) == 0);
}

TEST_CASE("client and server understand each other; large answers arrive whole") {
    Fixture f;
    f.server = std::move(*f.make());
    Result<TgtAnswer> answer = Error{};
    std::thread client([&] { answer = tgt_call(0, show()); f.loop->stop(); });
    const std::string large(3 << 20, 'x');
    while (!f.loop->stopping()) {
        f.loop->run_once(1000);
        for (auto& reply : f.held) reply->answer({TgtCode::ok, large});
        f.held.clear();
    }
    client.join();
    REQUIRE(answer);
    CHECK((answer->text == large));
}

TEST_CASE("no daemon, and a path that is too long") {
    Fixture f;
    auto none = tgt_call(0, show());
    REQUIRE(!none);
    CHECK(none.error().code == ENOTCONN);
    CHECK(none.error().what == "failed to send request hdr to tgt daemon, Transport endpoint is not connected");
    ::setenv("TGT_IPC_SOCKET", std::string(110, 'a').c_str(), 1);
    auto longer = tgt_call(0, show());
    REQUIRE(!longer);
    CHECK(longer.error().what.starts_with("management path too long: aaa"));
    CHECK(!f.make());
}
