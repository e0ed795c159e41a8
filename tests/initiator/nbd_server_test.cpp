#include "core/initiator/nbd_server.h"

#include <doctest/doctest.h>

#include "tests/support/ram_target.h"

using namespace iscsi;
using namespace iscsi::initiator;
using kernel::NbdCommand;

namespace {

struct Rig final : SessionOwner, NbdServer::Owner {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    test::RamTarget target{*loop, 4 << 20};
    std::unique_ptr<Session> session;
    std::unique_ptr<NbdServer> server;
    Fd kernel;
    bool up = false, gone = false;

    explicit Rig(unsigned depth = 16, size_t max_memory = 1 << 20, uint64_t size_check_ms = 1000000) {
        SessionConfig config = session_config(target.url(), "iqn.2026-01.test:i");
        session = std::make_unique<Session>(*loop, config, static_cast<SessionOwner&>(*this));
        session->start();
        while (!up) loop->run_once(100);
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        kernel = Fd(ends[0]);
        NbdServer::Settings s;
        s.lun = lun_field(1);
        s.disk.blocks = 8192;
        s.disk.unmap = true;
        s.depth = depth;
        s.max_memory = max_memory;
        s.size_check_ms = size_check_ms;
        server = std::make_unique<NbdServer>(*loop, Fd(ends[1]), s, static_cast<NbdServer::Owner&>(*this));
        server->use(session.get());
    }
    ~Rig() { session.reset(); }
    void session_up(Session&) override { up = true; }
    void session_ended(Session&, const SessionEnd&) override { server->use(nullptr); }
    void nbd_disconnected() override { gone = true; }
    void nbd_resized(uint64_t bytes) override { sizes.push_back(bytes); }
    std::vector<uint64_t> sizes;

    void ask(NbdCommand command, uint64_t handle, uint64_t from, uint32_t length, Bytes data = {}) {
        kernel::NbdRequest r;
        r.magic = kernel::nbd_request_magic;
        r.command = uint16_t(command);
        std::memcpy(r.handle, &handle, 8);
        r.from = from;
        r.length = length;
        std::vector<uint8_t> out(reinterpret_cast<uint8_t*>(&r), reinterpret_cast<uint8_t*>(&r) + sizeof r);
        out.insert(out.end(), data.begin(), data.end());
        for (size_t at = 0; at < out.size();) {
            ssize_t n = ::send(kernel.get(), out.data() + at, out.size() - at, MSG_NOSIGNAL);
            if (n > 0) at += size_t(n);
            else loop->run_once(1);
        }
    }
    std::vector<uint8_t> take(size_t n) {
        std::vector<uint8_t> out(n);
        size_t at = 0;
        for (int i = 0; i < 5000 && at < n; i++) {
            ssize_t got = ::recv(kernel.get(), out.data() + at, n - at, 0);
            if (got > 0) at += size_t(got);
            else loop->run_once(10);
        }
        REQUIRE(at == n);
        return out;
    }
    // The reply's handle; its error goes to `error`.
    uint64_t reply(uint32_t& error) {
        auto b = take(16);
        CHECK(get32(&b[0]) == kernel::nbd_reply_magic);
        error = get32(&b[4]);
        uint64_t handle;
        std::memcpy(&handle, &b[8], 8);
        return handle;
    }
};

}  // namespace

TEST_CASE("requests of the nbd driver become SCSI commands") {
    Rig rig;
    uint32_t error = 99;
    std::vector<uint8_t> data(300000 / 512 * 512);
    for (size_t i = 0; i < data.size(); i++) data[i] = uint8_t(i * 13 + i / 255);
    rig.ask(NbdCommand::write, 11, 4096, uint32_t(data.size()), data);
    CHECK(rig.reply(error) == 11);
    CHECK(error == 0);
    CHECK(std::equal(data.begin(), data.end(), rig.target.disk.begin() + 4096));
    rig.ask(NbdCommand::read, 12, 4096, uint32_t(data.size()));
    CHECK(rig.reply(error) == 12);
    CHECK(error == 0);
    CHECK(rig.take(data.size()) == data);
    rig.ask(NbdCommand::flush, 13, 0, 0);
    CHECK(rig.reply(error) == 13);
    CHECK(rig.target.flushes == 1);
    rig.ask(NbdCommand::trim, 14, 4096, 8192);
    CHECK(rig.reply(error) == 14);
    CHECK(rig.target.unmaps == 1);
    CHECK(rig.target.disk[4096] == 0);
    rig.ask(NbdCommand::write_zeroes, 15, 16384, 512);
    CHECK(rig.reply(error) == 15);
    CHECK(error == 0);
    CHECK(rig.target.same == 1);
    rig.target.fail_at_lba = 100;
    rig.ask(NbdCommand::read, 16, 100 * 512, 512);
    CHECK(rig.reply(error) == 16);
    CHECK(error == EIO);
    struct Row { NbdCommand command; uint64_t from; uint32_t length; };
    for (const Row& r : {Row{NbdCommand::read, 4 << 20, 512}, {NbdCommand::read, 1, 512}, {NbdCommand::read, 0, 100},
                         {NbdCommand::trim, UINT64_MAX - 511, 1024}, {NbdCommand(9), 0, 512}}) {
        rig.ask(r.command, 17, r.from, r.length);
        CHECK(rig.reply(error) == 17);
        CHECK(error == EINVAL);
    }
    CHECK_FALSE(rig.gone);
    rig.ask(NbdCommand::disconnect, 0, 0, 0);
    for (int i = 0; i < 100 && !rig.gone; i++) rig.loop->run_once(10);
    CHECK(rig.gone);
}

TEST_CASE("more requests than slots or memory wait their turn") {
    Rig rig(4, 100000);
    std::vector<uint8_t> block(65536, 0x5a);
    uint32_t error;
    for (uint64_t i = 0; i < 40; i++) rig.ask(NbdCommand::write, i, i * 65536, 65536, block);
    CHECK(rig.server->in_flight() <= 4);
    std::vector<bool> seen(40);
    for (int i = 0; i < 40; i++) {
        uint64_t handle = rig.reply(error);
        CHECK(error == 0);
        REQUIRE(handle < 40);
        CHECK_FALSE(seen[handle]);
        seen[handle] = true;
    }
    CHECK(rig.target.disk[39 * 65536 + 5] == 0x5a);
}

TEST_CASE("a unit that grows or shrinks makes the device another size") {
    for (bool idle : {true, false}) {           // by the check now and then; by the unit attention
        CAPTURE(idle);
        Rig rig(16, 1 << 20, idle ? 20 : 1000000);
        uint32_t error = 99;
        rig.ask(NbdCommand::read, 1, 0, 512);
        CHECK(rig.reply(error) == 1);
        rig.take(512);
        CHECK(rig.sizes.empty());
        auto resize = [&](size_t bytes) {
            const size_t told = rig.sizes.size();
            rig.target.disk.resize(bytes);
            rig.target.mapped.resize(bytes / 512);
            if (!idle) {
                rig.target.attention = 1;
                rig.target.attention_code = 0x2a09;
                rig.ask(NbdCommand::read, 2, 0, 512);
                CHECK(rig.reply(error) == 2);
                CHECK(error == 0);
                rig.take(512);
            }
            for (int i = 0; i < 500 && rig.sizes.size() == told; i++) rig.loop->run_once(10);
            REQUIRE(rig.sizes.size() == told + 1);
            CHECK(rig.sizes.back() == bytes);
        };
        resize(6 << 20);
        rig.ask(NbdCommand::write, 3, (6 << 20) - 512, 512, std::vector<uint8_t>(512, 7));
        CHECK(rig.reply(error) == 3);
        CHECK(error == 0);
        CHECK(rig.target.disk.back() == 7);
        resize(5 << 20);
        rig.ask(NbdCommand::read, 4, 5 << 20, 512);
        CHECK(rig.reply(error) == 4);
        CHECK(error == EINVAL);
    }
}

TEST_CASE("what the nbd driver may not send ends the device") {
    Rig rig;
    uint8_t junk[28] = {1, 2, 3};
    REQUIRE(::send(rig.kernel.get(), junk, sizeof junk, 0) == 28);
    for (int i = 0; i < 100 && !rig.gone; i++) rig.loop->run_once(10);
    CHECK(rig.gone);
    Rig big;
    big.ask(NbdCommand::read, 1, 0, 0xfffffe00);
    for (int i = 0; i < 100 && !big.gone; i++) big.loop->run_once(10);
    CHECK(big.gone);
}

TEST_CASE("the netlink message that makes a device") {
    kernel::NbdDevice d;
    d.bytes = 1 << 20;
    d.block_size = 512;
    d.index = 3;
    const std::string a = kernel::nbd_connect_attributes(d, 7);
    const uint8_t golden[] = {8, 0, 1, 0, 3, 0, 0, 0, 12, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0, 0, 12, 0, 3, 0, 0, 2, 0, 0, 0, 0, 0, 0,
                              12, 0, 5, 0, 13, 0, 0, 0, 0, 0, 0, 0, 16, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 7, 0, 0, 0};
    if constexpr (std::endian::native == std::endian::little) CHECK(a == std::string(std::begin(golden), std::end(golden)));
}
