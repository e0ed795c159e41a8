// Commands of any shape against a small thin ram disk and the controller, from two initiators, each carried through as the
// transport does. The input is a list of records: a byte of flags (bit 0 which initiator, bits 1-2 which LUN, bit 3 cold
// store, bits 4-7 the length of the data in units of 16 bytes, 15: 600), 16 bytes of CDB, the data.
#include <algorithm>
#include <cstdlib>

#include "core/base/log.h"
#include "core/store/memory.h"
#include "tests/support/scsi_harness.h"
#include "tests/support/test_store.h"

using namespace iscsi;
using namespace iscsi::scsi;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    log::open("fuzz", log::Sink::quiet, log::Level::error);
    Harness h;
    h.chunk_size = 1500;
    auto store = std::make_shared<store::TestStore>(*store::make_ram("64k", 64 << 10));
    auto disk = Disk::over(store, {});
    disk->set("thin_provisioning", "1");
    disk->set("removable", "1");
    h.router.add(0, make_controller({}));
    h.router.add(1, disk);
    std::unique_ptr<Nexus> nexus[2] = {Harness::make_nexus(1), Harness::make_nexus(2)};
    for (auto& n : nexus) h.arrive(*n);
    for (int commands = 0; size >= 17 && commands < 32; commands++) {
        const uint8_t flags = data[0];
        std::vector<uint8_t> cdb(data + 1, data + 17);
        data += 17, size -= 17;
        const size_t wanted = (flags >> 4) == 15 ? 600 : size_t(flags >> 4) * 16, n = std::min(size, wanted);
        std::vector<uint8_t> out(data, data + n);
        data += n, size -= n;
        out.resize(std::max<size_t>(out.size(), wanted));
        store->cold = flags & 8;
        static constexpr uint64_t luns[4] = {1, 0, 1, 7};
        Answer a = h.run(nexus[flags & 1].get(), luns[(flags >> 1) & 3], cdb, std::move(out));
        const auto sense = encode_sense(a.sense, flags & 1);
        if (sense.size() > 252 || a.data.size() > (64u << 10) || h.engine.in_flight()) std::abort();
        if (a.flow == Flow::data_in && a.data.size() > a.length) std::abort();
    }
    for (auto& n : nexus) h.leave(*n);
    (void)disk->status();
    return 0;
}
