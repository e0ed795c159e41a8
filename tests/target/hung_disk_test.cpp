// A disk that hangs holds up nobody but those who wait for it: not another session, not another logical unit of the same one,
// whether its own data is in the page cache or not.
#include "core/scsi/disk.h"
#include "core/store/memory.h"
#include "tests/support/target_harness.h"

using namespace iscsi;
using namespace iscsi::target;
using wire::DataIn;

TEST_CASE("a hung logical unit leaves all others alone") {
    TestTarget t;
    auto fine = std::make_shared<store::TestStore>(*store::make_ram("1M", 1 << 20));
    scsi::DiskOptions options;
    options.identity.lun = 2;
    REQUIRE(t.target->router.add(2, scsi::Disk::over(fine, options)));
    RawClient stuck(t), other(t);
    other.isid++;
    stuck.enter();
    other.enter();
    auto on_second = [](wire::ScsiCommand c) {
        c.lun = scsi::Router::encode_lun(2);
        return c;
    };
    for (RawClient* c : {&stuck, &other})           // its own unit attention
        c->send(on_second(c->command({0, 0, 0, 0, 0, 0}))), (void)c->expect<wire::ScsiResponse>();

    t.hang_disk();
    for (int i = 0; i < 20; i++) stuck.send(stuck.read(uint32_t(i), 1));
    t.await_stuck();
    for (bool cold : {false, true}) {
        fine->cold = cold;
        for (RawClient* c : {&other, &stuck}) {
            auto read = on_second(c->read(1, 4));
            c->send(read);
            std::vector<uint8_t> data;
            auto in = c->expect<DataIn>(&data);
            CHECK(uint32_t(in.itt) == uint32_t(read.itt));
            CHECK(data.size() == 2048);
        }
    }
    CHECK(t.store->performed == 0);
    t.store->release();
    for (int i = 0; i < 20; i++) CHECK(stuck.expect<DataIn>().status == 0);
}
