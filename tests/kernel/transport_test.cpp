#include "core/kernel/transport.h"

#include <doctest/doctest.h>

#include "tests/support/fake_kernel.h"

using namespace iscsi;
using namespace iscsi::kernel;

namespace {
struct Rig {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    test::FakeKernel* fake = new test::FakeKernel;
    Transport transport{std::unique_ptr<Channel>(fake), 0xffffffffc0123456};
    std::vector<Event> events;
    unsigned lost = 0;
    Rig() { REQUIRE(bool(transport.watch(*loop, [this](const Event& e) { events.push_back(e); }, [this] { lost++; }))); }
};
}  // namespace

TEST_CASE("a kernel request has the kernel's layout") {
    // As iscsid 2.1.8 sent it: sid 1, cid 0, parameter 15, 5 bytes with their NUL, no padding.
    struct Capture : Channel {
        std::vector<uint8_t> sent;
        Result<void> send(Bytes b) override { sent.assign(b.begin(), b.end()); return {}; }
        Result<std::vector<uint8_t>> receive(int) override { return std::vector<uint8_t>(); }
        int fd() const override { return -1; }
    };
    auto* capture = new Capture;
    Transport t{std::unique_ptr<Channel>(capture), 0x0102030405060708};
    CHECK(!t.set_param(1, 0, Param::target_name, "iqn."));      // no answer: an error, not a hang
    const uint16_t type_and_flags[] = {16, 0};          // words in the host's order
    uint32_t expect[] = {77, 0, 0, 0, 16, 0, 0, 0, 1, 0, 15, 5};
    const uint64_t handle = 0x0102030405060708;
    std::memcpy(&expect[1], type_and_flags, 4);
    std::memcpy(&expect[6], &handle, 8);
    REQUIRE(capture->sent.size() == 77);
    CHECK(std::memcmp(capture->sent.data(), expect, sizeof expect) == 0);
    CHECK(std::memcmp(capture->sent.data() + 72, "iqn.", 5) == 0);
}

TEST_CASE("events in front of a reply wait for the loop") {
    Rig r;
    auto made = r.transport.create_session(7, 128, 32);
    REQUIRE(bool(made));
    CHECK(made->sid == 1);
    CHECK(made->host == 0);
    CHECK(r.events.empty());
    r.loop->run_once(0);
    REQUIRE(r.events.size() == 1);
    CHECK(r.events[0].kind == EventKind::create_session);
    CHECK(r.events[0].sid == 1);
}

TEST_CASE("a kernel error is an errno, in either of its two forms") {
    Rig r;
    r.fake->fail[Request::destroy_session] = EBUSY;
    auto done = r.transport.destroy_session(1);
    REQUIRE(!done);
    CHECK(done.error().code == EBUSY);
    CHECK(bool(r.transport.bind_connection(1, 0, 5)));
}

TEST_CASE("a destroyed session's event names it in another place") {
    Rig r;
    r.fake->event(EventKind::destroy_session, 9);
    r.fake->event(EventKind::connection_error, 3, 1022);
    r.transport.poll(0);
    REQUIRE(r.events.size() == 2);
    CHECK(r.events[0].sid == 9);
    CHECK(r.events[1].sid == 3);
    CHECK(r.events[1].error == 1022);
    CHECK(std::string(connection_error_text(1022)) == "ISCSI_ERR_NOP_TIMEDOUT: A NOP has timed out");
}

TEST_CASE("a PDU from the kernel is cut to what its header says and what came") {
    Rig r;
    wire::LoginResponse header;
    r.fake->pdu(1, header, "A=1");
    r.fake->event(EventKind::recv_pdu, 1, 0, std::vector<uint8_t>(47));       // shorter than a header
    std::vector<uint8_t> liar(52);
    liar[5] = 0xff;
    r.fake->event(EventKind::recv_pdu, 1, 0, liar);
    r.fake->queue_raw({1, 2, 3});
    r.fake->queue_raw(std::vector<uint8_t>(72, 0xff));
    r.transport.poll(0);
    REQUIRE(r.events.size() == 2);
    CHECK(as_text(r.events[0].data) == "A=1");
    CHECK(r.events[1].data.size() == 4);
}
