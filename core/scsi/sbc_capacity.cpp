// READ CAPACITY (10) and (16), GET LBA STATUS: SBC-3 5.15, 5.16, 5.5.
#include <algorithm>

#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {

bool Handlers::check_capacity_10(Unit&, Command& c) {
    c.length = 8;
    return (c.cdb[8] & 1) || get32(c.cdb + 2) == 0 || illegal(c, 0x24);     // an address is for PMI only
}

bool Handlers::capacity_10(Unit& u, Command& c) {
    std::vector<uint8_t> d(8);
    const uint64_t blocks = disk(u).blocks(), last = blocks ? blocks - 1 : 0;
    put32(&d[0], uint32_t(std::min<uint64_t>(last, 0xffffffff)));
    put32(&d[4], disk(u).block_size());
    return answer(c, std::move(d));
}

bool Handlers::capacity_16(Unit& u, Command& c) {
    std::vector<uint8_t> d(32);
    const Disk& k = disk(u);
    put64(&d[0], k.blocks() ? k.blocks() - 1 : 0);
    put32(&d[8], k.block_size());
    {
        std::lock_guard lock(u.mutex_);
        d[13] = uint8_t(k.physical_exponent_ & 0x0f);
        put16(&d[14], uint16_t(k.lowest_aligned_ & 0x3fff));
    }
    if (u.flag(Unit::State::thin)) d[14] |= 0xc0;       // LBPME, LBPRZ
    return answer(c, std::move(d));
}

bool Handlers::check_lba_status(Unit& u, Command& c) {
    return get64(c.cdb + 2) < disk(u).blocks() || illegal(c, 0x21);
}

// As many extents as fit, on a thread: the file system may read its maps. A block is deallocated if all of it lies in a
// hole, so the ends of a hole are rounded inwards.
bool Handlers::lba_status(Unit& u, Command& c) {
    if (c.length < 24) {
        std::vector<uint8_t> d(8);
        put32(&d[0], 4);
        return answer(c, std::move(d));
    }
    return submit(disk(u), c, [](Disk& d, Command& command) {
        constexpr size_t most = 64;
        const uint64_t block = d.block_size(), end = d.blocks();
        uint64_t lba = get64(command.cdb + 2);
        store::Store& s = *d.medium().store;
        std::vector<uint8_t> out(8);
        const size_t room = std::min<uint64_t>(most, (command.length - 8) / 16);
        while (lba < end && (out.size() - 8) / 16 < room) {
            store::Extent e = s.extent_at(lba * block, (end - lba) * block);
            uint64_t blocks = e.mapped ? (e.length + block - 1) / block : e.length / block;
            bool mapped = e.mapped;
            if (blocks == 0) blocks = 1, mapped = true;     // a hole within a block, or a store that cannot tell
            blocks = std::min<uint64_t>({blocks, end - lba, 0xffffffff});
            const size_t at = out.size();
            // Extents of one state that only rounding separated are one.
            if (at > 8 && out[at - 16 + 12] == (mapped ? 0 : 1) && get32(&out[at - 8]) + blocks <= 0xffffffff) {
                put32(&out[at - 8], uint32_t(get32(&out[at - 8]) + blocks));
            } else {
                out.resize(at + 16);
                put64(&out[at], lba);
                put32(&out[at + 8], uint32_t(blocks));
                out[at + 12] = mapped ? 0 : 1;
            }
            lba += blocks;
        }
        put32(&out[0], uint32_t(out.size() - 4));
        answer(command, std::move(out));
    });
}

}  // namespace iscsi::scsi
