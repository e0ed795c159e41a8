#include "core/scsi/reservations.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "core/store/memory.h"
#include "tests/support/scsi_harness.h"
#include "tests/support/temp_dir.h"

using namespace iscsi;
using namespace iscsi::scsi;

namespace {

constexpr const char* read_10 = "28 00 00 00 00 00 00 00 01 00";
constexpr const char* write_10 = "2a 00 00 00 00 00 00 00 01 00";
constexpr uint8_t reg = 0, reserve = 1, release = 2, clear = 3, preempt = 4, preempt_and_abort = 5, register_ignore = 6;

struct Fixture : Harness {
    std::shared_ptr<Disk> disk = make_disk();
    std::vector<std::unique_ptr<Nexus>> nexus;      // three initiators
    std::vector<uint64_t> aborted;
    static std::shared_ptr<Disk> make_disk() {
        DiskOptions o;
        o.identity.lun = 1;
        return Disk::over(*store::make_ram("1M", 1 << 20), o);
    }
    Fixture() {
        router.add(1, disk);
        for (uint64_t i = 1; i <= 3; i++) {
            nexus.push_back(make_nexus(i));
            nexus.back()->abort_tasks = [this, i](std::optional<uint64_t> lun, std::function<void()> done) {
                CHECK(lun == Router::encode_lun(1));
                aborted.push_back(i);
                done();
            };
            arrive(*nexus.back());
            run(int(i) - 1, "00 00 00 00 00 00");
        }
    }
    Answer run(int who, const char* cdb, std::vector<uint8_t> out = {}) {
        return Harness::run(nexus[size_t(who)].get(), 1, cdb, std::move(out));
    }
    std::string out(int who, uint8_t action, uint8_t type, uint64_t key, uint64_t service_key, uint8_t flags = 0,
                    const std::vector<uint8_t>& more = {}) {
        std::vector<uint8_t> list(24), cdb = hex("5f 00 00 00 00 00 00 00 00 00");
        put64(&list[0], key);
        put64(&list[8], service_key);
        list[20] = flags;
        list.insert(list.end(), more.begin(), more.end());
        cdb[1] = action;
        cdb[2] = type;
        put32(&cdb[5], uint32_t(list.size()));
        return Harness::run(nexus[size_t(who)].get(), 1, cdb, list).text();
    }
    std::string write(int who) { return run(who, write_10, std::vector<uint8_t>(512)).text(); }
    std::string read(int who) { return run(who, read_10).text(); }
    std::vector<uint8_t> keys() { return run(2, "5e 00 00 00 00 00 00 00 ff 00").data; }
    size_t registered() { return get32(&keys()[4]) / 8; }
    std::vector<uint8_t> reservation() { return run(2, "5e 01 00 00 00 00 00 00 ff 00").data; }
    // What this nexus is told next, and nothing after it.
    std::string told(int who) {
        std::string first = run(who, "00 00 00 00 00 00").text();
        CHECK(run(who, "00 00 00 00 00 00").text() == "good");
        return first;
    }
};

std::vector<uint8_t> transport_id(const std::string& port) {
    std::vector<uint8_t> id(4 + std::max<size_t>(20, pad4(port.size() + 1)));
    id[0] = 0x45;
    put16(&id[2], uint16_t(id.size() - 4));
    std::copy(port.begin(), port.end(), &id[4]);
    return id;
}

}  // namespace

TEST_CASE("PERSISTENT RESERVE: who may read and write under each type") {
    struct Row { uint8_t type; bool registered_read, registered_write, other_read, other_write; };
    for (const Row& r : {Row{1, true, false, true, false}, {3, false, false, false, false}, {5, true, true, true, false},
                         {6, true, true, false, false}, {7, true, true, true, false}, {8, true, true, false, false}}) {
        CAPTURE(r.type);
        Fixture f;
        CHECK(f.out(0, reg, 0, 0, 0xaa) == "good");
        CHECK(f.out(1, reg, 0, 0, 0xbb) == "good");
        CHECK(f.out(0, reserve, r.type, 0xaa, 0) == "good");
        CHECK(f.read(0) == "good");
        CHECK(f.write(0) == "good");
        CHECK(f.read(1) == (r.registered_read ? "good" : "conflict"));
        CHECK(f.write(1) == (r.registered_write ? "good" : "conflict"));
        CHECK(f.read(2) == (r.other_read ? "good" : "conflict"));
        CHECK(f.write(2) == (r.other_write ? "good" : "conflict"));
        for (const char* free : {"00 00 00 00 00 00", "12 00 00 00 ff 00", "25 00 00 00 00 00 00 00 00 00", "1e 00 00 00 00 00",
                                 "a3 0c 00 00 00 00 00 00 08 00 00 00", "1b 00 00 00 01 00"})
            CHECK(f.run(2, free).text() == "good");
        CHECK(f.run(2, "1e 00 00 00 01 00").text() == "conflict");
        CHECK(f.run(2, "1b 00 00 00 00 00").text() == "conflict");
        CHECK(f.run(2, "16 00 00 00 00 00").text() == "conflict");
        CHECK(f.out(1, reserve, r.type, 0xbb, 0) == (r.type >= 7 ? "good" : "conflict"));
        CHECK(f.out(2, reserve, r.type, 0, 0) == "conflict");
        CHECK(f.out(0, reserve, r.type, 0xaa, 0) == "good");
        CHECK(f.out(0, reserve, r.type == 1 ? 3 : 1, 0xaa, 0) == "conflict");
        CHECK(f.reservation().size() == 24);
        CHECK(f.reservation()[21] == r.type);
        CHECK(get64(&f.reservation()[8]) == (r.type >= 7 ? 0 : 0xaa));
        CHECK(f.out(0, release, r.type == 1 ? 3 : 1, 0xaa, 0) == "05/26/04");
        CHECK(f.out(0, release, r.type, 0xaa, 0) == "good");
        CHECK(f.told(1) == (r.type >= 5 ? "06/2a/04" : "good"));
        CHECK(f.write(2) == "good");
    }
}

TEST_CASE("PERSISTENT RESERVE: registering") {
    Fixture f;
    CHECK(f.out(0, reg, 0, 0x99, 0xaa) == "conflict");
    CHECK(f.out(0, reg, 0, 0, 0) == "good");
    CHECK(f.registered() == 0);
    CHECK(f.out(0, reg, 0, 0, 0xaa) == "good");
    CHECK(f.out(0, reg, 0, 0, 0xab) == "conflict");
    CHECK(f.out(0, reg, 0, 0xaa, 0xab) == "good");
    CHECK(get64(&f.keys()[8]) == 0xab);
    CHECK(f.out(0, register_ignore, 0, 0x1234, 0xac) == "good");
    CHECK(get64(&f.keys()[8]) == 0xac);
    CHECK(f.out(0, reg, 0, 0xac, 0xad, 1) == "05/26/00");       // APTPL without a file
    CHECK(f.out(0, register_ignore, 0, 0, 0xad, 8) == "05/26/00");
    CHECK(f.out(0, reserve, 2, 0xac, 0) == "05/24/00");
    CHECK(f.out(0, reserve, 0x11, 0xac, 0) == "05/24/00");
    CHECK(f.run(0, "5f 00 00 00 00 00 00 00 17 00", std::vector<uint8_t>(23)).text() == "05/1a/00");
    CHECK(f.run(0, "5f 1f 00 00 00 00 00 00 18 00", std::vector<uint8_t>(24)).text() == "05/24/00");
    CHECK(f.run(0, "5e 1f 00 00 00 00 00 00 18 00").text() == "05/24/00");
    // a holder that unregisters lets go; registrants of a registrants-only type are told
    CHECK(f.out(1, reg, 0, 0, 0xbb) == "good");
    CHECK(f.out(0, reserve, 5, 0xac, 0) == "good");
    CHECK(f.out(0, reg, 0, 0xac, 0) == "good");
    CHECK(f.reservation().size() == 8);
    CHECK(f.told(1) == "06/2a/04");
    // all registrants: the last one takes it along
    CHECK(f.out(0, reg, 0, 0, 0xaa) == "good");
    CHECK(f.out(0, reserve, 8, 0xaa, 0) == "good");
    CHECK(f.out(0, reg, 0, 0xaa, 0) == "good");
    CHECK(f.reservation().size() == 24);
    CHECK(f.out(1, reg, 0, 0xbb, 0) == "good");
    CHECK(f.reservation().size() == 8);
    // a registration outlives its session
    CHECK(f.out(0, reg, 0, 0, 0xaa) == "good");
    f.leave(*f.nexus[0]);
    CHECK(f.registered() == 1);
    f.arrive(*f.nexus[0]);
    CHECK(f.run(0, "00 00 00 00 00 00").text() == "06/29/00");
    CHECK(f.out(0, reserve, 1, 0xaa, 0) == "good");
    f.disk->logical_unit_reset(nullptr);
    f.run(2, "00 00 00 00 00 00");
    CHECK(f.reservation().size() == 24);
}

TEST_CASE("PERSISTENT RESERVE: SPEC_I_PT, REGISTER AND MOVE, full status") {
    Fixture f;
    auto list = transport_id(f.nexus[1]->initiator_port);
    std::vector<uint8_t> more(4);
    put32(more.data(), uint32_t(list.size()));
    more.insert(more.end(), list.begin(), list.end());
    CHECK(f.out(0, reg, 0, 0, 0xaa, 8, more) == "good");
    CHECK(f.registered() == 2);
    auto status = f.run(2, "5e 03 00 00 00 00 00 0f ff 00").data;
    CHECK(get32(&status[4]) == status.size() - 8);
    CHECK(get64(&status[8]) == 0xaa);
    CHECK(get16(&status[26]) == 1);
    CHECK(std::string(reinterpret_cast<char*>(&status[36])) == f.nexus[0]->initiator_port);
    CHECK(f.out(1, reserve, 3, 0xaa, 0) == "good");
    CHECK(f.out(1, clear, 0, 0xaa, 0) == "good");
    CHECK(f.told(0) == "06/2a/03");
    for (auto bad : {hex("00000010"), hex("00000018 45000014"), hex("00000004 45000000"), hex("00000004 05000000")})
        CHECK(f.out(0, reg, 0, 0, 0xaa, 8, bad).substr(0, 3) == "05/");
    CHECK(f.registered() == 0);

    auto move = [&](int who, uint64_t key, uint64_t service_key, const std::string& port, uint8_t flags) {
        auto id = transport_id(port);
        std::vector<uint8_t> p(24), cdb = hex("5f 07 00 00 00 00 00 00 00 00");
        put64(&p[0], key);
        put64(&p[8], service_key);
        p[17] = flags;
        put16(&p[18], 1);
        put32(&p[20], uint32_t(id.size()));
        p.insert(p.end(), id.begin(), id.end());
        put32(&cdb[5], uint32_t(p.size()));
        return static_cast<Harness&>(f).run(f.nexus[size_t(who)].get(), 1, cdb, p).text();
    };
    CHECK(f.out(0, reg, 0, 0, 0xaa) == "good");
    CHECK(move(0, 0xaa, 0xbb, f.nexus[1]->initiator_port, 0) == "conflict");     // holds nothing
    CHECK(f.out(0, reserve, 3, 0xaa, 0) == "good");
    CHECK(move(1, 0xaa, 0xbb, f.nexus[1]->initiator_port, 0) == "conflict");
    CHECK(move(0, 0xaa, 0, f.nexus[1]->initiator_port, 0) == "05/26/00");
    CHECK(move(0, 0xaa, 0xbb, f.nexus[0]->initiator_port, 0) == "05/26/00");
    CHECK(move(0, 0xaa, 0xbb, "not a port", 0) == "05/26/00");
    CHECK(move(0, 0xaa, 0xbb, f.nexus[1]->initiator_port, 2) == "good");
    CHECK(f.registered() == 1);
    CHECK(f.write(1) == "good");
    CHECK(f.write(0) == "conflict");
}

TEST_CASE("PERSISTENT RESERVE: PREEMPT, PREEMPT AND ABORT, CLEAR") {
    Fixture f;
    auto all = [&] {
        CHECK(f.out(0, register_ignore, 0, 0, 0xaa) == "good");
        CHECK(f.out(1, register_ignore, 0, 0, 0xbb) == "good");
        CHECK(f.out(2, register_ignore, 0, 0, 0xcc) == "good");
    };
    all();
    CHECK(f.out(0, reserve, 6, 0xaa, 0) == "good");
    CHECK(f.out(1, preempt, 6, 0xbb, 0xdd) == "conflict");       // no such key
    CHECK(f.out(1, preempt, 6, 0xbb, 0) == "05/26/00");
    CHECK(f.out(1, preempt, 6, 0xbb, 0xcc) == "good");          // not the holder: only the registration goes
    CHECK(f.told(2) == "06/2a/05");
    CHECK(f.write(2) == "conflict");
    CHECK(f.write(0) == "good");
    CHECK(f.aborted.empty());
    CHECK(f.out(1, preempt_and_abort, 3, 0xbb, 0xaa) == "good");
    CHECK(f.aborted == std::vector<uint64_t>{1});
    CHECK(f.told(0) == "06/2a/05");
    CHECK(f.write(0) == "conflict");
    CHECK(f.write(1) == "good");
    CHECK(f.reservation()[21] == 3);
    CHECK(f.out(1, clear, 0, 0xbb, 0) == "good");
    CHECK(f.registered() == 0);
    all();
    CHECK(f.out(0, reserve, 8, 0xaa, 0) == "good");
    CHECK(f.out(1, preempt, 1, 0xbb, 0) == "good");              // all registrants: all others go
    CHECK(f.told(0) == "06/2a/05");
    CHECK(f.told(2) == "06/2a/05");
    CHECK(f.registered() == 1);
    CHECK(f.write(0) == "conflict");
    all();
    CHECK(f.out(0, clear, 0, 0xaa, 0) == "good");
    CHECK(f.told(1) == "06/2a/03");
    CHECK(f.write(2) == "06/2a/03");
    CHECK(f.write(2) == "good");
}

TEST_CASE("RESERVE and RELEASE") {
    Fixture f;
    CHECK(f.run(0, "16 00 00 00 00 00").text() == "good");
    CHECK(f.run(0, "16 00 00 00 00 00").text() == "good");
    CHECK(f.write(0) == "good");
    for (const char* refused : {write_10, read_10, "00 00 00 00 00 00", "16 00 00 00 00 00", "56 00 00 00 00 00 00 00 00 00",
                                "5e 00 00 00 00 00 00 00 ff 00", "1a 00 3f 00 ff 00"})
        CHECK(f.run(1, refused).text() == "conflict");
    CHECK(f.out(1, reg, 0, 0, 0xaa) == "conflict");
    for (const char* fine : {"12 00 00 00 ff 00", "03 00 00 00 12 00", "a0 00 00 00 00 00 00 00 00 40 00 00", "17 00 00 00 00 00"})
        CHECK(f.run(1, fine).text() == "good");
    CHECK(f.write(1) == "conflict");
    CHECK(f.run(0, "57 00 00 00 00 00 00 00 00 00").text() == "good");
    CHECK(f.write(1) == "good");
    CHECK(f.run(0, "16 01 00 00 00 00").text() == "05/24/00");
    f.run(0, "16 00 00 00 00 00");
    f.leave(*f.nexus[0]);
    CHECK(f.write(1) == "good");
    f.run(1, "16 00 00 00 00 00");
    f.disk->logical_unit_reset(nullptr);
    CHECK(f.write(2) == "06/29/00");
    CHECK(f.write(2) == "good");
}

TEST_CASE("registrations with APTPL survive in their file") {
    TempDir dir;
    const std::string path = dir / "reservations";
    auto port = [](int i) { return Harness::make_nexus(uint64_t(i), "iqn.2026-01.test:odd name%")->initiator_port; };
    {
        Fixture f;
        REQUIRE(f.disk->keep_reservations_in(path));
        f.nexus[0]->initiator_port = port(1);
        CHECK((f.run(2, "5e 02 00 00 00 00 00 00 ff 00").data[2] & 1) == 1);
        CHECK(f.out(0, reg, 0, 0, 0xaa) == "good");
        struct stat st {};
        CHECK(::stat(path.c_str(), &st) != 0);              // not asked to
        CHECK(f.out(0, reg, 0, 0xaa, 0xfedcba9876543210, 1) == "good");
        REQUIRE(::stat(path.c_str(), &st) == 0);
        CHECK((st.st_mode & 0777) == 0600);
        CHECK(f.out(1, reg, 0, 0, 0xbb, 1) == "good");
        CHECK(f.out(0, reserve, 3, 0xfedcba9876543210, 0) == "good");
    }
    {
        Fixture f;
        REQUIRE(f.disk->keep_reservations_in(path));
        f.nexus[0]->initiator_port = port(1);
        CHECK(f.registered() == 2);
        CHECK(f.write(0) == "good");
        CHECK(f.write(1) == "conflict");
        CHECK(f.reservation()[21] == 3);
        CHECK((f.run(2, "5e 02 00 00 00 00 00 00 ff 00").data[3] & 1) == 1);
        CHECK(f.out(0, reg, 0, 0xfedcba9876543210, 0xaa, 0) == "good");         // APTPL off again
    }
    {
        Fixture f;
        REQUIRE(f.disk->keep_reservations_in(path));
        CHECK(f.registered() == 0);
    }
    Reservations r;
    for (const char* bad : {"x\n", "iscsi-persistent-reservations 1\n", "iscsi-persistent-reservations 1\nregistration a b 1\nend\n",
                            "iscsi-persistent-reservations 1\nreservation 2 1 a\nend\n", "iscsi-persistent-reservations 1\nend\nend\n",
                            "iscsi-persistent-reservations 1\nregistration %zz b 1 1\nend\n", "iscsi-persistent-reservations 1\nend"})
        CHECK(!r.parse(bad));
    CHECK(r.parse("iscsi-persistent-reservations 1\nend\n"));
}

TEST_CASE("a reservation file that cannot be written fails the command") {
    Fixture f;
    REQUIRE(f.disk->keep_reservations_in("/nonexistent/dir/file"));
    CHECK(f.out(0, reg, 0, 0, 0xaa, 1) == "04/44/00");
}
