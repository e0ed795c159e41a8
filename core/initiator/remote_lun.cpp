#include "core/initiator/remote_lun.h"

#include <algorithm>

namespace iscsi::initiator {
namespace {

std::string printable(Bytes field) {
    std::string s(as_text(field));
    for (char& c : s)
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
    while (!s.empty() && (s.back() == ' ' || s.back() == '?')) s.pop_back();
    return s;
}

// Runs a command that reads at most `size` bytes; what arrived.
Result<std::vector<uint8_t>> fetch(Client& client, ScsiRequest& r, uint64_t lun, size_t size, const char* what) {
    std::vector<uint8_t> data(size);
    r.lun = lun;
    r.in = data;
    TRY_VOID(client.execute(r, what));
    data.resize(std::min<size_t>(r.transferred, size));
    return data;
}

Result<std::vector<uint8_t>> read_capacity_16(Client& client, uint64_t lun) {
    ScsiRequest r;
    make_read_capacity_16(r);
    return fetch(client, r, lun, capacity_16_answer, "READ CAPACITY(16)");
}

Result<std::vector<uint8_t>> read_capacity_10(Client& client, uint64_t lun) {
    ScsiRequest r;
    r.cdb[0] = 0x25;
    return fetch(client, r, lun, 8, "READ CAPACITY(10)");
}

// Block limits and provisioning (SBC-3 6.6.3, 6.6.4); optional, so their absence is no error.
void take_vpd(Client& client, uint64_t lun, DiskInfo& d) {
    auto pages = raw_inquiry(client, lun, true, 0x00);
    if (!pages || pages->size() < 4) return;
    auto has = [&](uint8_t page) { return std::find(pages->begin() + 4, pages->end(), page) != pages->end(); };
    if (has(0xb0))
        if (auto p = raw_inquiry(client, lun, true, 0xb0); p && p->size() >= 16) {
            d.max_transfer = get32(&(*p)[8]);
            d.optimal_transfer = get32(&(*p)[12]);
            if (p->size() >= 28) {
                d.max_unmap_blocks = get32(&(*p)[20]);
                d.max_unmap_descriptors = get32(&(*p)[24]);
            }
            if (p->size() >= 44) d.max_write_same = get64(&(*p)[36]);
        }
    if (has(0xb2))
        if (auto p = raw_inquiry(client, lun, true, 0xb2); p && p->size() >= 6) {
            d.unmap = (*p)[5] & 0x80;
            d.write_same_unmap = (*p)[5] & 0x40;
        }
}

// What the arithmetic here and in the tools relies on.
bool makes_a_disk(const Capacity& c) {
    const bool power = c.block_size >= 256 && c.block_size <= 65536 && (c.block_size & (c.block_size - 1)) == 0;
    return power && c.blocks > 0 && c.blocks <= UINT64_MAX / 2 / c.block_size;
}

}  // namespace

void make_read_capacity_16(ScsiRequest& r) {
    std::memset(r.cdb, 0, sizeof r.cdb);
    r.cdb[0] = 0x9e;
    r.cdb[1] = 0x10;
    put32(&r.cdb[10], capacity_16_answer);
}

std::optional<Capacity> parse_capacity_16(Bytes answer) {
    if (answer.size() < 12) return {};
    const Capacity c{get64(answer.data()) + 1, get32(&answer[8])};
    if (!makes_a_disk(c)) return {};
    return c;
}

const char* device_type_name(uint8_t type) {
    static const char* const names[] = {"DIRECT_ACCESS", "SEQUENTIAL_ACCESS", "PRINTER", "PROCESSOR", "WRITE_ONCE", "MMC", "SCANNER",
                                        "OPTICAL_MEMORY", "MEDIA_CHANGER", "COMMUNICATIONS", "UNKNOWN", "UNKNOWN",
                                        "STORAGE_ARRAY_CONTROLLER", "ENCLOSURE_SERVICES", "SIMPLIFIED_DIRECT_ACCESS",
                                        "OPTICAL_CARD_READER", "BRIDGE_CONTROLLER", "OSD"};
    if (type == 0x1e) return "WELL_KNOWN_LUN";
    if (type == 0x1f) return "NO_DEVICE";
    return type < std::size(names) ? names[type] : "UNKNOWN";
}

Result<std::vector<uint64_t>> report_luns(Client& client) {
    ScsiRequest r;
    const uint32_t size = 8 + 8 * 4096;
    r.cdb[0] = 0xa0;
    put32(&r.cdb[6], size);
    auto data = TRY(fetch(client, r, 0, size, "REPORT LUNS"));
    std::vector<uint64_t> luns;
    if (data.size() < 8) return luns;
    size_t length = std::min<size_t>(get32(data.data()), data.size() - 8);
    for (size_t at = 8; at + 8 <= 8 + length; at += 8) luns.push_back(get64(&data[at]));
    return luns;
}

Result<std::vector<uint8_t>> raw_inquiry(Client& client, uint64_t lun, bool evpd, uint8_t page) {
    ScsiRequest r;
    r.cdb[0] = 0x12;
    r.cdb[1] = evpd;
    r.cdb[2] = page;
    put16(&r.cdb[3], 1024);
    auto data = TRY(fetch(client, r, lun, 1024, "INQUIRY"));
    // The answer says how long it is; never longer than what came.
    size_t length = data.size() < 5 ? 0 : evpd ? 4 + size_t(get16(&data[2])) : 5 + size_t(data[4]);
    if (length < data.size()) data.resize(length);
    return data;
}

Result<Inquiry> inquiry(Client& client, uint64_t lun) {
    auto data = TRY(raw_inquiry(client, lun, false, 0));
    if (data.size() < 5) return Error{0, "INQUIRY", "answer too short"};
    data.resize(std::max<size_t>(data.size(), 36));
    Inquiry i;
    i.peripheral = data[0];
    i.removable = data[1] & 0x80;
    i.version = data[2];
    Bytes all(data);
    i.vendor = printable(all.subspan(8, 8));
    i.product = printable(all.subspan(16, 16));
    i.revision = printable(all.subspan(32, 4));
    return i;
}

Result<DiskInfo> disk_info(Client& client, uint64_t lun) {
    DiskInfo d;
    auto c = read_capacity_16(client, lun);
    if (!c && client.ended()) return c.error();
    if (c && c->size() >= 12) {
        const uint64_t last = get64(c->data());
        d.blocks = last + 1;
        d.block_size = get32(&(*c)[8]);
        if (c->size() >= 16) {
            d.physical_block = uint32_t(std::min<uint64_t>(uint64_t(d.block_size) << ((*c)[13] & 0x0f), 1u << 30));
            d.thin = (*c)[14] & 0x80;
            d.zeros = (*c)[14] & 0x40;
        }
    } else {
        auto c10 = TRY(read_capacity_10(client, lun));
        if (c10.size() < 8) return Error{0, "READ CAPACITY", "answer too short"};
        d.blocks = uint64_t(get32(c10.data())) + 1;
        d.block_size = d.physical_block = get32(&c10[4]);
    }
    if (!makes_a_disk({d.blocks, d.block_size}))
        return Error{0, "READ CAPACITY", std::to_string(d.blocks) + " blocks of " + std::to_string(d.block_size) + " bytes make no disk"};
    take_vpd(client, lun, d);
    ScsiRequest mode;                           // MODE SENSE(6), all pages: bit 7 of the device-specific parameter is WP
    mode.cdb[0] = 0x1a;
    mode.cdb[2] = 0x3f;
    mode.cdb[4] = 4;
    if (auto m = fetch(client, mode, lun, 4, "MODE SENSE"); m && m->size() >= 3) d.read_only = (*m)[2] & 0x80;
    return d;
}

namespace {
void rw(ScsiRequest& r, uint8_t op10, uint8_t op16, uint64_t lba, uint32_t blocks, uint8_t flags) {
    std::memset(r.cdb, 0, sizeof r.cdb);
    r.cdb[1] = flags;
    if (lba + blocks <= 0xffffffff && blocks <= 0xffff) {
        r.cdb[0] = op10;
        put32(&r.cdb[2], uint32_t(lba));
        put16(&r.cdb[7], uint16_t(blocks));
    } else {
        r.cdb[0] = op16;
        put64(&r.cdb[2], lba);
        put32(&r.cdb[10], blocks);
    }
}
}  // namespace

void make_read(ScsiRequest& r, uint64_t lba, uint32_t blocks) { rw(r, 0x28, 0x88, lba, blocks, 0); }
void make_write(ScsiRequest& r, uint64_t lba, uint32_t blocks, bool fua) { rw(r, 0x2a, 0x8a, lba, blocks, fua ? 0x08 : 0); }

void make_synchronize_cache(ScsiRequest& r) {
    std::memset(r.cdb, 0, sizeof r.cdb);
    r.cdb[0] = 0x35;
    r.in = {};
    r.out = {};
    r.discard = 0;
}

void make_write_same(ScsiRequest& r, uint64_t lba, uint32_t blocks, bool unmap) {
    std::memset(r.cdb, 0, sizeof r.cdb);
    r.cdb[0] = 0x93;
    r.cdb[1] = unmap ? 0x08 : 0;
    put64(&r.cdb[2], lba);
    put32(&r.cdb[10], blocks);
}

void make_unmap(ScsiRequest& r, uint8_t (&list)[24], uint64_t lba, uint32_t blocks) {
    std::memset(r.cdb, 0, sizeof r.cdb);
    std::memset(list, 0, sizeof list);
    r.cdb[0] = 0x42;
    put16(&r.cdb[7], sizeof list);
    put16(&list[0], sizeof list - 2);
    put16(&list[2], 16);
    put64(&list[8], lba);
    put32(&list[16], blocks);
    r.in = {};
    r.discard = 0;
    r.out = list;
}

void make_get_lba_status(ScsiRequest& r, uint64_t lba, uint32_t allocation_length) {
    std::memset(r.cdb, 0, sizeof r.cdb);
    r.cdb[0] = 0x9e;
    r.cdb[1] = 0x12;
    put64(&r.cdb[2], lba);
    put32(&r.cdb[10], allocation_length);
}

std::vector<LbaExtent> parse_lba_status(Bytes answer, uint64_t lba) {
    std::vector<LbaExtent> out;
    if (answer.size() < 8) return out;
    const size_t length = std::min<size_t>(get32(answer.data()) + size_t(4), answer.size());
    for (size_t at = 8; at + 16 <= length; at += 16) {
        LbaExtent e{get64(&answer[at]), get32(&answer[at + 8]), (answer[at + 12] & 0x0f) == 0};
        if (e.lba != lba || e.blocks == 0 || e.lba + e.blocks < e.lba) break;
        lba += e.blocks;
        out.push_back(e);
    }
    return out;
}

}  // namespace iscsi::initiator
