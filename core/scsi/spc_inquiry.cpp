// INQUIRY, SPC-4 6.4, and the vital product data pages, SPC-4 7.8 and SBC-3 6.6.
#include <algorithm>

#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {
namespace {

void text_field(uint8_t* at, size_t width, std::string_view text) {
    std::memset(at, ' ', width);
    std::memcpy(at, text.data(), std::min(width, text.size()));
}

// FNV-1a with a good last stir (the finalizer of MurmurHash3). An identifier, not a secret.
uint64_t hash(std::string_view text, uint64_t seed) {
    uint64_t h = 0xcbf29ce484222325 ^ seed;
    for (char ch : text) h = (h ^ uint8_t(ch)) * 0x100000001b3;
    h ^= h >> 33, h *= 0xff51afd7ed558ccd;
    h ^= h >> 33, h *= 0xc4ceb9fe1a85ec53;
    return h ^ h >> 33;
}

std::vector<uint8_t> page_of(size_t length) { return std::vector<uint8_t>(4 + length); }

}  // namespace

std::vector<uint8_t> standard_inquiry(uint8_t qualifier_and_type, bool removable, std::string_view vendor, std::string_view product,
                                      std::string_view revision, const uint16_t (&versions)[3]) {
    std::vector<uint8_t> d(66);
    d[0] = qualifier_and_type;
    d[1] = removable ? 0x80 : 0;
    d[2] = 5;                       // SPC-3
    d[3] = 0x12;                    // HISUP, response data format 2
    d[4] = uint8_t(d.size() - 5);
    d[7] = 0x02;                    // CMDQUE
    text_field(&d[8], 8, vendor);
    text_field(&d[16], 16, product);
    text_field(&d[32], 4, revision);
    for (size_t i = 0; i < 3; i++) put16(&d[58 + 2 * i], versions[i]);
    return d;
}

// Checked at begin; the standard data is made here too, the pages in execute.
bool Handlers::inquiry(Unit& u, Command& c) {
    const bool evpd = c.cdb[1] & 1;
    if ((c.cdb[1] & 2) || (!evpd && c.cdb[2])) return illegal(c, 0x24);
    if (!evpd) return true;
    static constexpr uint8_t known[] = {0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2};
    (void)u;
    return std::find(std::begin(known), std::end(known), c.cdb[2]) != std::end(known) || illegal(c, 0x24);
}

// NAA identifiers: 3h, locally assigned, and 6h. With scsi_id set by the administrator the second is tgt's function of
// it (its hex digits), so that two hosts that give one disk one scsi_id stay one disk to multipath; else both
// are a hash of target name, LUN and host.
std::vector<uint8_t> Unit::naa_locked(bool extended) const {
    std::vector<uint8_t> id(extended ? 16 : 8);
    const std::string name = identity_.target_name + "," + std::to_string(identity_.lun) + "," + identity_.host_seed;
    if (extended && own_scsi_id_) {
        for (char ch : scsi_id_) {
            const char l = char(ch | 0x20);
            const uint8_t nibble = ch >= '0' && ch <= '9' ? uint8_t(ch - '0') : l >= 'a' && l <= 'f' ? uint8_t(l - 'a' + 10) : 0;
            for (size_t i = 0; i < 16; i++) id[i] = uint8_t(id[i] << 4 | (i < 15 ? id[i + 1] >> 4 : nibble));
        }
        id[0] = uint8_t((id[0] & 0x0f) | 0x60);
    } else if (extended) {
        put64(&id[0], hash(name, 0x6) >> 28);       // 6, a company id of zeros as tgt's, then 100 bits
        id[0] = 0x60;
        put64(&id[8], hash(name, 0x66));
    } else {
        put64(&id[0], hash(name, 0x3));
        id[0] = uint8_t((id[0] & 0x0f) | 0x30);
    }
    return id;
}

bool Handlers::vital_product_data(Unit& u, Command& c) {
    std::lock_guard lock(u.mutex_);
    const uint8_t type = uint8_t(u.type_);
    if (!(c.cdb[1] & 1))
        return answer(c, standard_inquiry(type, u.flag(Unit::State::removable), u.vendor_, u.product_, u.revision_,
                                          u.type_ == DeviceType::disk ? disk_versions : controller_versions));
    std::vector<uint8_t> p;
    switch (c.cdb[2]) {
    case 0x00:
        p = {0, 0, 0, 0, 0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2};
        break;
    case 0x80:          // unit serial number, right-aligned in 36 bytes
        p = page_of(36);
        std::memset(&p[4], ' ', 36);
        std::memcpy(&p[40 - u.scsi_sn_.size()], u.scsi_sn_.data(), u.scsi_sn_.size());
        break;
    case 0x83: {        // device identification: T10 text, NAA 3h, NAA 6h
        p = page_of(4 + 36 + 4 + 8 + 4 + 16);
        p[4] = 0x02, p[5] = 0x01, p[7] = 36;
        std::memcpy(&p[8], u.scsi_id_.data(), u.scsi_id_.size());
        p[44] = 0x01, p[45] = 0x03, p[47] = 8;
        auto naa3 = u.naa_locked(false), naa6 = u.naa_locked(true);
        std::copy(naa3.begin(), naa3.end(), &p[48]);
        p[56] = 0x01, p[57] = 0x03, p[59] = 16;
        std::copy(naa6.begin(), naa6.end(), &p[60]);
        break;
    }
    case 0x86:          // extended INQUIRY data
        p = page_of(60);
        p[5] = 0x07;    // HEADSUP, ORDSUP, SIMPSUP
        p[6] = 0x01;    // V_SUP: the cache is volatile
        break;
    case 0xb0:          // block limits
        p = page_of(60);
        p[5] = max_compare_blocks;
        put16(&p[6], uint16_t(u.optimal_granularity_));
        put32(&p[12], u.optimal_length_);
        if (u.flag(Unit::State::thin)) {
            p[4] = 1;                                   // WSNZ, see check_write_same
            put32(&p[20], 0xffffffff);                  // UNMAP: any number of blocks
            put32(&p[24], max_unmap_descriptors);
        }
        break;
    case 0xb1:          // block device characteristics
        p = page_of(64);
        put16(&p[4], uint16_t(u.rotation_rate_));
        break;
    default:            // b2, logical block provisioning: LBPU LBPWS LBPWS10 LBPRZ, thin
        p = page_of(4);
        if (u.flag(Unit::State::thin)) p[5] = 0xe4, p[6] = 0x02;
        break;
    }
    p[0] = type;
    p[1] = c.cdb[2];
    put16(&p[2], uint16_t(p.size() - 4));
    return answer(c, std::move(p));
}

}  // namespace iscsi::scsi
