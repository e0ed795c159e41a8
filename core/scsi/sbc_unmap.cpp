// WRITE SAME (10) and (16), UNMAP: SBC-3 5.43, 5.44, 5.28.
#include <algorithm>

#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {
namespace {

int range(store::Store& s, store::Op op, uint64_t offset, uint64_t length) {
    store::Request r;
    r.op = op;
    r.offset = offset;
    r.length = length;
    return s.perform(r);
}

int fill(store::Store& s, Bytes block, uint64_t offset, uint64_t length) {
    std::vector<uint8_t> buffer(std::max<size_t>(block.size(), 256 << 10));
    for (size_t at = 0; at < buffer.size(); at += block.size()) std::copy(block.begin(), block.end(), &buffer[at]);
    for (uint64_t done = 0; done < length;) {
        store::Request r;
        r.op = store::Op::write;
        r.offset = offset + done;
        r.length = std::min<uint64_t>(buffer.size(), length - done);
        r.data = MutableBytes(buffer).first(size_t(r.length));
        if (int error = s.perform(r)) return error;
        done += r.length;
    }
    return 0;
}

}  // namespace

bool Handlers::check_write_same(Unit& u, Command& c) {
    Disk& d = disk(u);
    const Extent e = extent(c.cdb);
    const bool unmap = c.cdb[1] & 8, no_data = c.cdb[0] == 0x93 && (c.cdb[1] & 1);
    // WRPROTECT, ANCHOR, and the PBDATA and LBDATA of old are not there; UNMAP needs thin provisioning.
    if ((c.cdb[1] & 0xf6) || (unmap && !u.flag(Unit::State::thin))) return illegal(c, 0x24);
    // WSNZ is 1 where blocks can be unmapped: no blocks is refused there rather than taken for "to the end". Initiators
    // that mean that have been seen to send UNMAP with a block of other bytes than zeros, and would not get what they want.
    if (e.blocks == 0 && u.flag(Unit::State::thin)) return illegal(c, 0x24);
    if (!in_range(d, c, e)) return false;
    c.length = no_data ? 0 : d.block_size();
    if (c.expected_out && c.expected_out != c.length) return illegal(c, 0x24);
    if (no_data) c.flow = Flow::none;
    return true;
}

// No blocks: all to the end. UNMAP of blocks that must read as something else than zeros is a plain write.
bool Handlers::write_same(Unit& u, Command& c) {
    if (c.parameters.size() != c.length) return illegal(c, 0x1a), true;
    return submit(disk(u), c, [](Disk& d, Command& command) {
        const Extent e = extent(command.cdb);
        const uint64_t offset = e.lba << d.block_shift_, blocks = e.blocks ? e.blocks : d.blocks() - std::min(e.lba, d.blocks());
        const uint64_t length = blocks << d.block_shift_;
        const auto& block = command.parameters;
        const bool zeros = std::all_of(block.begin(), block.end(), [](uint8_t b) { return b == 0; });
        store::Store& s = *d.medium().store;
        int error = 0;
        if (length == 0) return;
        if (zeros) error = range(s, (command.cdb[1] & 8) ? store::Op::unmap : store::Op::zero, offset, length);
        else error = fill(s, block, offset, length);
        if (!error && d.flag(Unit::State::write_through)) error = range(s, store::Op::flush, 0, 0);
        if (error) fail_store(command, error, store::Op::write);
    });
}

bool Handlers::check_unmap(Unit&, Command& c) {
    return !(c.cdb[1] & 1) || illegal(c, 0x24);         // ANCHOR
}

// All descriptors are checked before the first is carried out. A last one that is cut short is ignored, as SBC-3 says.
bool Handlers::unmap(Unit& u, Command& c) {
    const Disk& d = disk(u);
    if (c.parameters.empty()) return true;
    if (c.parameters.size() < 8) return illegal(c, 0x1a), true;
    const size_t listed = get16(&c.parameters[2]);
    const size_t count = std::min<size_t>(listed, c.parameters.size() - 8) / 16;
    if (count > max_unmap_descriptors) return illegal(c, 0x26), true;
    for (size_t i = 0; i < count; i++)
        if (!in_range(d, c, {get64(&c.parameters[8 + 16 * i]), get32(&c.parameters[16 + 16 * i])})) return true;
    if (count == 0) return true;
    return submit(disk(u), c, [](Disk& k, Command& command) {
        store::Store& s = *k.medium().store;
        const size_t n = std::min<size_t>(get16(&command.parameters[2]), command.parameters.size() - 8) / 16;
        for (size_t i = 0; i < n; i++) {
            const uint64_t offset = get64(&command.parameters[8 + 16 * i]) << k.block_shift_;
            const uint64_t length = uint64_t(get32(&command.parameters[16 + 16 * i])) << k.block_shift_;
            if (length == 0) continue;
            if (int error = range(s, store::Op::unmap, offset, length)) return fail_store(command, error, store::Op::write);
        }
        if (k.flag(Unit::State::write_through))
            if (int error = range(s, store::Op::flush, 0, 0)) fail_store(command, error, store::Op::flush);
    });
}

}  // namespace iscsi::scsi
