// Long payloads in memory of their own, sent without a copy where that can be. Loopback copies them, but only when the receiver has
// room: until then the kernel refers to them as an interface would.
#include <sys/socket.h>

#include "core/store/memory.h"
#include "core/target/lingering.h"
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::DataIn;

namespace {

constexpr size_t size = 8 << 20, piece = 256 << 10;
constexpr uint16_t blocks = piece / 512;

uint8_t byte_at(size_t i) { return uint8_t(i * 7 + i / 256 + i / 65536); }

std::shared_ptr<store::Store> medium() {
    auto ram = *store::make_ram("zerocopy", size);
    std::vector<uint8_t> bytes(size);
    for (size_t i = 0; i < size; i++) bytes[i] = byte_at(i);
    REQUIRE(ram->try_write(bytes, 0) == ssize_t(size));
    return ram;
}

ServerOptions options(unsigned linger_ms = 5000) {
    ServerOptions o;
    o.linger_ms = linger_ms;
    o.engine.threads = 1;
    o.max_cold_bytes = 4 << 20;
    return o;
}

struct Fixture {
    TestTarget target;
    std::unique_ptr<RawClient> client;
    explicit Fixture(ServerOptions o = options(), std::vector<std::string> keys = {}) : target(o, medium()) {
        client = login("", std::move(keys));
        target.store->cold = true;
    }
    std::unique_ptr<RawClient> login(const char* name, std::vector<std::string> keys = {}) {
        auto c = std::make_unique<RawClient>(target);
        c->initiator += name;
        keys.insert(keys.end(), {"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144"});
        REQUIRE(c->login(keys) == 0);
        c->drop_attentions();
        return c;
    }
    size_t held() { return target.server->worker().held_bytes(); }
    void ask(RawClient& c, uint32_t at) { c.send(c.read(at * blocks, blocks)); }
    void check_answer(RawClient& c, uint32_t at) {
        std::vector<uint8_t> data;
        c.expect<DataIn>(&data);
        REQUIRE(data.size() == piece);
        size_t wrong = 0;
        for (size_t i = 0; i < piece; i++) wrong += data[i] != byte_at(at * piece + i);
        CHECK(wrong == 0);
    }
};

}  // namespace

TEST_CASE("a long cold read is held while it is on its way; loopback copies it, and later ones go as ever") {
    for (const char* digests : {"None", "CRC32C"}) {
        CAPTURE(digests);
        Fixture f(options(), {std::string("DataDigest=") + digests, std::string("HeaderDigest=") + digests});
        RawClient& c = *f.client;
        f.ask(c, 3);
        CHECK(f.target.until([&] { return f.held() == piece; }));
        f.check_answer(c, 3);
        CHECK(f.target.until([&] { return f.held() == 0; }));
        for (uint32_t i = 0; i < 8; i++) f.ask(c, i);
        f.target.turn();
        CHECK(f.held() == 0);               // off for this connection, and not before its peer has read
        for (uint32_t i = 0; i < 8; i++) f.check_answer(c, i);
    }
}

TEST_CASE("a long read with a data digest has memory of its own, cached or not") {
    Fixture f(options(), {"DataDigest=CRC32C"});
    f.target.store->cold = false;
    f.ask(*f.client, 5);
    CHECK(f.target.until([&] { return f.held() == piece; }));
    // What is written now is not what was read and digested.
    auto other = f.login(".other");
    auto w = other->write(5 * blocks, 1);
    other->send(w, std::vector<uint8_t>(512, 0xee));
    CHECK(other->expect<wire::ScsiResponse>().status == 0);
    f.check_answer(*f.client, 5);
    CHECK(f.target.until([&] { return f.held() == 0; }));
}

TEST_CASE("--zerocopy off: nothing is held") {
    ServerOptions o = options();
    o.zerocopy = false;
    Fixture f(o);
    f.ask(*f.client, 1);
    f.target.turn(20);
    CHECK(f.held() == 0);
    f.check_answer(*f.client, 1);
}

TEST_CASE("an aborted read's data that are on their way stay as they are") {
    Fixture f;
    RawClient& c = *f.client;
    f.ask(c, 2);
    CHECK(f.target.until([&] { return f.held() == piece; }));
    c.send(c.tmf(wire::TmfFunction::abort_task_set));
    f.target.turn();
    auto other = f.login(".other");
    for (uint32_t i = 8; i < 16; i++) {     // memory that would be used anew, if any were free to be
        f.ask(*other, i);
        f.check_answer(*other, i);
    }
    f.check_answer(c, 2);
    CHECK(f.target.until([&] { return f.held() == 0; }));
}

TEST_CASE("peers that read nothing hold a bounded part of the memory, and the others are served") {
    Fixture f;
    std::vector<std::unique_ptr<RawClient>> stuck;
    for (int i = 0; i < 12; i++) {
        stuck.push_back(f.login((".stuck" + std::to_string(i)).c_str()));
        for (uint32_t k = 0; k < 8; k++) f.ask(*stuck.back(), k);
    }
    f.target.turn(100);
    CHECK(f.held() > 0);
    CHECK(f.held() <= f.target.server->worker().options.max_cold_bytes / 2);
    CHECK(f.target.server->worker().cold_room());
    for (uint32_t i = 0; i < 16; i++) {
        f.ask(*f.client, i);
        f.check_answer(*f.client, i);
    }
    for (auto& c : stuck)
        for (uint32_t k = 0; k < 8; k++) f.check_answer(*c, k);
    CHECK(f.target.until([&] { return f.held() == 0; }));
}

TEST_CASE("a connection that ends leaves its memory to the kernel until the peer has all of it") {
    Fixture f;
    f.ask(*f.client, 7);
    CHECK(f.target.until([&] { return f.held() == piece; }));
    f.target.directory.sessions.all().front()->drop();
    CHECK(f.target.until([&] { return f.target.server->connections() == 0; }));
    CHECK(f.held() == piece);
    auto other = f.login(".other");
    for (uint32_t i = 8; i < 16; i++) {
        f.ask(*other, i);
        f.check_answer(*other, i);
    }
    CHECK(f.held() >= piece);
    f.check_answer(*f.client, 7);
    CHECK(f.client->closed());
    CHECK(f.target.until([&] { return f.held() == 0; }));
}

TEST_CASE("after an initiator's RST nothing is held any more") {
    Fixture f;
    f.ask(*f.client, 7);
    CHECK(f.target.until([&] { return f.held() == piece; }));
    linger abortive{1, 0};
    ::setsockopt(f.client->fd(), SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
    f.client->close();
    CHECK(f.target.until([&] { return f.held() == 0; }));
    CHECK(f.target.until([&] { return f.target.server->connections() == 0; }));
}

TEST_CASE("a peer that never takes what a closed connection left is cut off, then the memory is free") {
    Fixture f(options(20));
    f.ask(*f.client, 7);
    CHECK(f.target.until([&] { return f.held() == piece; }));
    f.target.directory.sessions.all().front()->drop();
    CHECK(f.target.until([&] { return f.held() == 0; }));
    std::vector<uint8_t> sink(size);
    ssize_t n;
    while ((n = ::recv(f.client->fd(), sink.data(), sink.size(), 0)) > 0) {}
    CHECK(n == -1);
    CHECK(errno == ECONNRESET);
}

TEST_CASE("a logout's answer arrives behind data that are on their way") {
    Fixture f;
    f.ask(*f.client, 7);
    CHECK(f.target.until([&] { return f.held() == piece; }));
    wire::LogoutRequest request;
    request.itt = f.client->itt++;
    request.cmd_sn = f.client->cmd_sn;
    request.opcode |= 0x40;
    request.reason = 0x80;
    f.client->send(request);
    f.target.turn();
    f.check_answer(*f.client, 7);
    CHECK(f.client->expect<wire::LogoutResponsePdu>().response == 0);
    CHECK(f.client->closed());
    CHECK(f.target.until([&] { return f.held() == 0; }));
}
