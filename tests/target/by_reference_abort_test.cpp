// Payloads on their way in while something else happens: commands that waited start, tasks are aborted, the stream does not go on.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/scsi/disk.h"
#include "core/store/store.h"
#include "core/wire/digest.h"
#include "tests/support/pattern.h"
#include "tests/support/target_harness.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::DataIn;
using wire::R2t;
using wire::ScsiResponse;

namespace {

constexpr size_t burst = 256 << 10;
constexpr uint64_t lun2 = uint64_t(2) << 48;

// LUN 1 is in memory, LUN 2 a file of 1 MiB on tmpfs.
struct Fixture {
    TempDir dir{"/dev/shm"};
    std::string path = dir / "disk";
    TestTarget target;
    std::shared_ptr<store::TestStore> file;
    RawClient client{target};

    explicit Fixture(std::vector<std::string> keys) {
        file = std::make_shared<store::TestStore>(file_medium(path, 1 << 20));
        scsi::DiskOptions disk;
        disk.identity = {1, 2, target_iqn, "host"};
        REQUIRE(target.target->router.add(2, scsi::Disk::over(file, disk)));
        keys.insert(keys.end(), {"MaxRecvDataSegmentLength=262144", "MaxBurstLength=262144"});
        client.enter(keys);
        auto c = client.command({0});
        c.lun = lun2;
        client.send(c);
        client.expect<ScsiResponse>();
    }
    // A WRITE of one burst to LUN 2, of which the header has come and is dealt with.
    wire::ScsiCommand begin_write(uint64_t lun = lun2) {
        auto c = client.write(0, burst / 512);
        c.lun = lun;
        client.send(c);
        auto r2t = client.expect<R2t>();
        REQUIRE(uint32_t(r2t.desired_length) == burst);
        auto header = client.data_out(c, r2t.ttt, 0, 0, true);
        header.lun = lun;
        client.send_head(header, burst);
        target.turn();
        return c;
    }
};

}  // namespace

TEST_CASE("a command that waited starts while another one's payload comes in") {
    Fixture f({"InitialR2T=No", "FirstBurstLength=4096", "ImmediateData=No"});
    auto data = pattern(burst, 5), waited = pattern(4096, 77);
    f.client.send_hung(f.client.read(0, 8));
    auto ordered = f.client.write(64, 8);
    ordered.flags = uint8_t((ordered.flags & 0x78 & ~wire::final_bit) | 2);
    f.client.send(ordered);
    f.client.send(f.client.data_out(ordered, wire::reserved_tag, 0, 0, true), waited);
    auto c = f.begin_write();
    f.client.send_raw(Bytes(data).first(100001));
    CHECK(f.target.until([&] { return f.file->spliced > 90000; }));
    f.target.store->cold = false;
    f.target.store->release();
    CHECK(f.client.expect<DataIn>().status == 0);
    auto r = f.client.expect<ScsiResponse>();
    CHECK(r.status == 0);
    CHECK(uint32_t(r.itt) == uint32_t(ordered.itt));
    f.client.send_raw(Bytes(data).subspan(100001));
    r = f.client.expect<ScsiResponse>();
    CHECK(r.status == 0);
    CHECK(uint32_t(r.itt) == uint32_t(c.itt));
    CHECK(read_back(*f.target.store, 64 * 512, 4096) == waited);
    CHECK(read_back(*f.file, 0, burst) == data);
}

TEST_CASE("a digested payload of an aborted task is still checked in whole, and the session goes on") {
    for (bool with_error : {false, true}) {
        CAPTURE(with_error);
        Fixture f({"DataDigest=CRC32C", "InitialR2T=Yes", "ImmediateData=No"});
        f.client.data_digest = true;
        auto data = pattern(burst, 5);
        f.begin_write(lun1);
        f.client.send_raw(Bytes(data).first(200001));
        f.target.turn();
        RawClient other(f.target);
        other.initiator = "iqn.2026-01.example:other";
        REQUIRE(other.login() == 0);
        other.send(other.tmf(wire::TmfFunction::logical_unit_reset));
        CHECK(other.expect<wire::TmfResponse>().response == 0);
        std::vector<uint8_t> rest(data.begin() + 200001, data.end());
        rest.resize(rest.size() + 4);
        wire::put_digest(&rest[rest.size() - 4], wire::crc32c(0, data) ^ uint32_t(with_error));
        f.client.send_raw(rest);
        if (with_error) {
            f.client.expect<wire::Reject>();
            CHECK(f.client.closed());
        } else {
            f.client.drop_attentions();
            CHECK(read_back(*f.target.store, 0, burst) == std::vector<uint8_t>(burst));
        }
    }
}

TEST_CASE("a stream that ends while the pipe has no slot left ends the connection") {
    for (bool reset : {false, true}) {
        CAPTURE(reset);
        Fixture f({"InitialR2T=Yes", "ImmediateData=No"});
        f.begin_write();
        for (int i = 0; i < 64; i++) {
            const uint8_t byte = uint8_t(i);
            f.client.send_raw({&byte, 1});
            f.target.turn(1);
        }
        if (reset) {
            linger now{1, 0};
            ::setsockopt(f.client.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
            f.client.close();
        } else {
            f.client.half_close();
        }
        CHECK(f.target.until([&] { return f.target.directory.sessions.size() == 0; }));
    }
}

TEST_CASE("urgent data in a payload is passed over, and nobody spins") {
    for (size_t before : {0u, 1u, 5000u}) {
        CAPTURE(before);
        Fixture f({"InitialR2T=Yes", "ImmediateData=No"});
        auto data = pattern(burst, 5);
        f.begin_write();
        f.client.send_raw(Bytes(data).first(before));
        f.target.turn();
        REQUIRE(::send(f.client.fd(), "!", 1, MSG_OOB | MSG_DONTWAIT) == 1);
        f.client.send_raw(Bytes(data).subspan(before));
        CHECK(f.client.expect<ScsiResponse>().status == 0);
        CHECK(read_back(*f.file, 0, burst) == data);
    }
}

TEST_CASE("an ORDERED WRITE behind a READ does not show in the READ's data, also while that is on its way") {
    for (uint64_t lun : {lun1, lun2}) {
        CAPTURE(lun);
        Fixture f({"InitialR2T=Yes", "ImmediateData=Yes"});
        auto ordered = [&](wire::ScsiCommand c) {
            c.flags = uint8_t((c.flags & 0xf8) | 2);
            c.lun = lun;
            return c;
        };
        f.client.send(ordered(f.client.command({0})));
        CHECK(f.client.expect<ScsiResponse>().status == 0);
        const auto before = pattern(burst, 9);
        (lun == lun1 ? f.target.store : f.file)->try_write(before, 0);
        auto c = f.client.read(0, burst / 512);
        c.lun = lun;
        f.client.send(c);
        f.target.turn();
        f.client.send(ordered(f.client.write(burst / 512 - 1, 1)), pattern(512, 1));
        f.target.turn();
        std::vector<uint8_t> data, piece;
        while (data.size() < burst) {
            CHECK(f.client.expect<DataIn>(&piece).status == 0);
            data.insert(data.end(), piece.begin(), piece.end());
        }
        CHECK(data == before);
        CHECK(f.client.expect<ScsiResponse>().status == 0);
        CHECK(read_back(lun == lun1 ? *f.target.store : *f.file, burst - 512, 512) == pattern(512, 1));
    }
}
