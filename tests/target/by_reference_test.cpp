// Long payloads that stay in the kernel: Data-Out spliced into the file, Data-In sent from it.
#include <fcntl.h>
#include <unistd.h>

#include <map>

#include "core/store/file.h"
#include "tests/support/pattern.h"
#include "tests/support/target_harness.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::DataIn;
using wire::R2t;
using wire::ScsiResponse;
using wire::TmfFunction;

namespace {

constexpr size_t burst = 256 << 10, whole = 1 << 20;

struct Fixture {
    TempDir dir;
    std::string path;
    std::unique_ptr<TestTarget> target;
    std::unique_ptr<RawClient> client;

    explicit Fixture(const char* parent) : dir(parent), path(dir / "disk") {
        target = std::make_unique<TestTarget>(ServerOptions{}, file_medium(path, whole));
        client = std::make_unique<RawClient>(*target);
        client->enter({"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144", "InitialR2T=Yes", "ImmediateData=No"});
    }
    std::vector<uint8_t> on_disk(size_t offset, size_t length) {
        std::vector<uint8_t> bytes(length);
        Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        CHECK(::pread(file.get(), bytes.data(), length, off_t(offset)) == ssize_t(length));
        return bytes;
    }
    // A WRITE of two bursts from block 1 on, up to the R2T of the first.
    wire::ScsiCommand begin_write(R2t& r2t) {
        auto c = client->write(1, 2 * burst / 512);
        client->send(c);
        r2t = client->expect<R2t>();
        REQUIRE(uint32_t(r2t.desired_length) == burst);
        return c;
    }
    // The same, and the first bytes of its first burst, most of which are in the file by then.
    wire::ScsiCommand begin_burst(R2t& r2t, Bytes first) {
        auto c = begin_write(r2t);
        client->send_head(client->data_out(c, r2t.ttt, 0, 0, true), burst);
        client->send_raw(first);
        CHECK(target->until([&] { return target->store->spliced + 10000 >= first.size(); }));
        return c;
    }
    // The header of a burst's only Data-Out, then the bytes in pieces, each taken by the target before the next is sent.
    void send_burst(const wire::ScsiCommand& c, const R2t& r2t, Bytes data, std::initializer_list<size_t> pieces) {
        client->send_head(client->data_out(c, r2t.ttt, 0, r2t.buffer_offset, true), data.size());
        target->turn();
        size_t at = 0;
        for (size_t piece : pieces) {
            client->send_raw(data.subspan(at, piece));
            target->turn();
            at += piece;
        }
        client->send_raw(data.subspan(at));
    }
};

}  // namespace

TEST_CASE("a long Data-Out is spliced, in whatever pieces it comes") {
    for (const char* parent : {"/tmp", "/dev/shm"}) {
        CAPTURE(parent);
        Fixture f(parent);
        auto data = pattern(2 * burst, 3);
        R2t r2t;
        auto c = f.begin_write(r2t);
        f.send_burst(c, r2t, Bytes(data).first(burst), {1, 510, 5000, 100000});
        r2t = f.client->expect<R2t>();
        f.send_burst(c, r2t, Bytes(data).subspan(burst), {});
        CHECK(f.client->expect<ScsiResponse>().status == 0);
        CHECK(f.on_disk(512, data.size()) == data);
        CHECK(f.on_disk(0, 512) == std::vector<uint8_t>(512));
        CHECK(f.on_disk(512 + data.size(), 512) == std::vector<uint8_t>(512));
        CHECK(f.target->store->spliced > 0);
    }
}

TEST_CASE("a disk that falls behind in the middle of a spliced payload gets the rest by copies") {
    Fixture f("/dev/shm");
    auto data = pattern(2 * burst, 9);
    R2t r2t;
    auto c = f.begin_burst(r2t, Bytes(data).first(100001));
    f.target->store->cold = true;
    f.client->send_raw(Bytes(data).subspan(100001, burst - 100001));
    r2t = f.client->expect<R2t>();
    f.client->send(f.client->data_out(c, r2t.ttt, 0, burst, true), Bytes(data).subspan(burst));
    CHECK(f.client->expect<ScsiResponse>().status == 0);
    CHECK(f.on_disk(512, data.size()) == data);
    CHECK(f.target->store->performed > 0);
    CHECK(f.target->store->spliced < 110000);
}

TEST_CASE("an error of the medium in the middle of a spliced payload is a status, and the session goes on") {
    Fixture f("/dev/shm");
    auto data = pattern(2 * burst, 9);
    R2t r2t;
    f.begin_burst(r2t, Bytes(data).first(50000));
    f.target->store->write_error = EIO;
    f.client->send_raw(Bytes(data).subspan(50000, burst - 50000));
    CHECK(f.client->expect<ScsiResponse>().status == uint8_t(scsi::Status::check_condition));
    f.target->store->write_error = 0;
    f.client->send(f.client->command({0x00}));
    CHECK(f.client->expect<ScsiResponse>().status == 0);
}

TEST_CASE("an aborted task's payload stops in the middle and its rest is dropped") {
    Fixture f("/dev/shm");
    auto data = pattern(2 * burst, 5);
    R2t r2t;
    auto c = f.begin_burst(r2t, Bytes(data).first(100001));
    RawClient other(*f.target);
    other.initiator = "iqn.2026-01.example:other";
    REQUIRE(other.login() == 0);
    other.send(other.tmf(TmfFunction::logical_unit_reset));
    CHECK(other.expect<wire::TmfResponse>().response == 0);
    const size_t then = f.target->store->spliced;
    f.client->send_raw(Bytes(data).subspan(100001, burst - 100001));
    f.client->drop_attentions();
    CHECK(f.target->store->spliced == then);
    CHECK(f.on_disk(512 + 100001, 512) == std::vector<uint8_t>(512));
    c = f.begin_write(r2t);                 // and the connection is where it should be
    f.send_burst(c, r2t, Bytes(data).first(burst), {70000});
    r2t = f.client->expect<R2t>();
    f.send_burst(c, r2t, Bytes(data).subspan(burst), {});
    CHECK(f.client->expect<ScsiResponse>().status == 0);
    CHECK(f.on_disk(512, data.size()) == data);
}

TEST_CASE("a long READ is sent from the file, also to who reads slowly") {
    for (const char* parent : {"/tmp", "/dev/shm"}) {
        CAPTURE(parent);
        Fixture f(parent);
        auto data = pattern(whole, 77);
        Fd file(::open(f.path.c_str(), O_RDWR | O_CLOEXEC));
        REQUIRE(::pwrite(file.get(), data.data(), data.size(), 0) == ssize_t(data.size()));
        std::map<uint32_t, std::vector<uint8_t>> got;       // by task: they may be served in turn
        std::vector<uint32_t> tasks;
        for (uint32_t i = 0; i < 8; i++) {
            auto c = f.client->read(i, uint16_t(2047 - i));
            tasks.push_back(c.itt);
            f.client->send(c);
        }
        f.target->turn(20);                 // fills the socket, so that the rest waits in parts of the file
        for (int left = 8; left > 0;) {
            auto pdu = f.client->receive();
            REQUIRE(pdu);
            REQUIRE(pdu->op() == wire::Opcode::data_in);
            auto& bytes = got[pdu->as<DataIn>().itt];
            CHECK(uint32_t(pdu->as<DataIn>().buffer_offset) == bytes.size());
            bytes.insert(bytes.end(), pdu->data.begin(), pdu->data.end());
            left -= pdu->as<DataIn>().flags & DataIn::status_bit;
        }
        for (uint32_t i = 0; i < 8; i++) {
            CHECK(got[tasks[i]].size() == (2047 - i) * 512);
            CHECK(std::equal(got[tasks[i]].begin(), got[tasks[i]].end(), data.begin() + i * 512));
        }
    }
}

TEST_CASE("a file cut short under a READ ends that connection only") {
    Fixture f("/dev/shm");
    auto data = pattern(whole, 1);
    Fd file(::open(f.path.c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(::pwrite(file.get(), data.data(), data.size(), 0) == ssize_t(data.size()));
    RawClient other(*f.target);
    other.initiator = "iqn.2026-01.example:other";
    other.enter();
    for (int i = 0; i < 32; i++) f.client->send(f.client->read(0, 2048));
    f.target->turn(20);
    REQUIRE(::ftruncate(file.get(), 4096) == 0);
    CHECK(f.client->closed());
    other.send(other.read(0, 8));
    CHECK(other.expect<DataIn>().status == 0);
}
