// tgtadm --mode logicalunit: units on and off a target's router, their parameters, how they are shown.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/base/format.h"
#include "core/base/log.h"
#include "core/mgmt/tgt_ops.h"
#include "core/scsi/disk.h"

namespace iscsi::mgmt {
namespace {

constexpr uint64_t max_lun = 16383;         // flat addressing, SAM-5 4.7.7.3

// Everything on a router of ours is a Unit: the controller and disks.
scsi::Unit& unit_of(scsi::LogicalUnit& lu) { return static_cast<scsi::Unit&>(lu); }

bool valid_flags(const std::string& flags) { return flags == "" || flags == "sync" || flags == "direct" || flags == "sync:direct"; }

// Decimal megabytes, rounded as tgt rounds.
uint64_t megabytes(uint64_t bytes) {
    const uint64_t sectors = bytes / 512;
    return (sectors - (sectors / 625 - 974)) / 1950;
}

const char* yes(bool b) { return b ? "Yes" : "No"; }

TgtCode code_of(scsi::Change change) {
    switch (change) {
    case scsi::Change::done: return TgtCode::ok;
    case scsi::Change::removal_prevented: return TgtCode::prevent_removal;
    case scsi::Change::invalid_request: break;
    }
    return TgtCode::invalid;
}

}  // namespace

void TgtOps::add_controller(target::Target& t) {
    t.router.add(0, scsi::make_controller({uint32_t(t.tid()), 0, t.name(), options_.host_seed}));
}

TgtAnswer TgtOps::lun_op(const TgtRequest& r) {
    const auto t = directory_.find(r.tid);
    if (!t) return refuse(r.op == TgtOp::remove ? TgtCode::no_lun : TgtCode::no_target);
    if (r.op == TgtOp::create) return lun_new(r, *t);
    const auto table = t->router.table();
    const auto row = table->find(r.lun);
    if (row == table->end()) return refuse(TgtCode::no_lun);
    switch (r.op) {
    case TgtOp::update: return lun_update(r, unit_of(*row->second));
    case TgtOp::remove: return lun_delete(r, *t);
    case TgtOp::stat: return stat({t}, &r.lun, r.json);
    default: return refuse(TgtCode::invalid);
    }
}

TgtAnswer TgtOps::lun_new(const TgtRequest& r, target::Target& t) {
    const auto table = t.router.table();
    if (table->count(r.lun)) return refuse(TgtCode::lun_exists);
    if (r.lun > max_lun) return refuse(TgtCode::invalid);
    const TgtText text = decode_tgt_text(r);
    scsi::DiskOptions options;
    options.bstype = text.bstype.value_or("rdwr");
    options.path = text.path.value_or("");
    options.flags = text.bsoflags.value_or("");
    options.bsopts = text.bsopts.value_or("");
    if (!store::known_store_type(options.bstype) || !valid_flags(options.flags)) return refuse(TgtCode::invalid);
    if (r.device == TgtDevice::passthrough) return refuse(TgtCode::invalid);       // wants bstype sg or bsg
    if (r.device != TgtDevice::disk) {
        log::error("target %d lun %llu: only disks can be made", t.tid(), static_cast<unsigned long long>(r.lun));
        return refuse(TgtCode::unsupported);
    }
    if (text.blocksize) {
        const unsigned long size = std::strtoul(text.blocksize->c_str(), nullptr, 0);
        if (size < 512 || size > (1u << 20) || (size & (size - 1)) != 0)
            log::warning("target %d lun %llu: block size %s is no power of two from 512 on, 512 is used", t.tid(),
                         static_cast<unsigned long long>(r.lun), text.blocksize->c_str());
        else options.block_size = uint32_t(size);
    }
    options.identity = {uint32_t(t.tid()), r.lun, t.name(), options_.host_seed};
    auto disk = scsi::Disk::create(options);
    if (!disk) {
        log::error("target %d lun %llu: %s", t.tid(), static_cast<unsigned long long>(r.lun), disk.error().text().c_str());
        return refuse(TgtCode::invalid);
    }
    keep_reservations(t, r.lun, **disk);
    if (!t.router.add(r.lun, *disk)) return refuse(TgtCode::lun_exists);
    records_[t.tid()][r.lun].made = text;
    return {};
}

// Persistent reservations that shall survive a power loss (APTPL) live in a file per unit, under the target's name, so that
// a restart with another tid finds them.
void TgtOps::keep_reservations(const target::Target& t, uint64_t lun, scsi::Unit& unit) const {
    if (options_.state_directory.empty()) return;
    if (::mkdir(options_.state_directory.c_str(), 0700) != 0 && errno != EEXIST) {
        log::debug("create %s: %s; reservations do not survive a restart", options_.state_directory.c_str(), std::strerror(errno));
        return;                     // an initramfs has no such place
    }
    const std::string path = options_.state_directory + "/" + t.name() + ",lun" + std::to_string(lun) + ".reservations";
    if (auto kept = unit.keep_reservations_in(path); !kept) log::warning("%s", kept.error().text().c_str());
}

TgtAnswer TgtOps::lun_delete(const TgtRequest& r, target::Target& t) {
    if (r.lun == 0) return refuse(TgtCode::invalid);
    for (const auto& s : directory_.sessions.of_target(t.tid()))
        if (s->counters(r.lun)->in_flight != 0) return refuse(TgtCode::lun_active);
    if (!t.router.remove(r.lun)) return refuse(TgtCode::no_lun);
    records_[t.tid()].erase(r.lun);
    return {};
}

// Pair by pair from the left; what can be set is set, and the first refusal is the answer.
TgtAnswer TgtOps::lun_update(const TgtRequest& r, scsi::Unit& unit) {
    const TgtText text = decode_tgt_text(r);
    std::string_view rest = text.params ? std::string_view(*text.params) : std::string_view();
    TgtCode code = TgtCode::ok;
    while (!rest.empty()) {
        const std::string_view pair = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
        if (pair.empty()) continue;                     // tgt skips it; Pacemaker's agent begins its list with a comma
        const size_t equals = pair.find('=');
        TgtCode result = TgtCode::invalid;
        if (equals != std::string_view::npos && equals + 1 < pair.size()) {
            const std::string key(pair.substr(0, equals)), value(pair.substr(equals + 1));
            result = code_of(unit.set(key, value));
            if (result == TgtCode::ok) record_param(r.tid, r.lun, key, value);
        }
        if (code == TgtCode::ok) code = result;
    }
    return refuse(code);
}

void TgtOps::show_luns(std::string& out, target::Target& t) const {
    for (const auto& [lun, lu] : *t.router.table()) {
        const scsi::UnitStatus s = unit_of(*lu).status();
        append(out, "        LUN: %llu\n            Type: %s\n            SCSI ID: %s\n            SCSI SN: %s\n",
               static_cast<unsigned long long>(lun), s.type, s.scsi_id.c_str(), s.scsi_sn.c_str());
        append(out, "            Size: %llu MB, Block size: %u\n", static_cast<unsigned long long>(megabytes(s.size)), s.block_size);
        append(out, "            Online: %s\n            Removable media: %s\n            Prevent removal: %s\n", yes(s.online),
               yes(s.removable), yes(s.prevent_removal));
        append(out, "            Readonly: %s\n            SWP: %s\n            Thin-provisioning: %s\n", yes(s.read_only), yes(s.swp),
               yes(s.thin));
        append(out, "            Backing store type: %s\n            Backing store path: %s\n            Backing store flags: %s\n",
               s.store_type.c_str(), s.store_path.empty() ? "None" : s.store_path.c_str(), s.store_flags.c_str());
    }
}

void TgtOps::luns_json(Json& json, target::Target& t) const {
    json.key("luns").array();
    for (const auto& [lun, lu] : *t.router.table()) {
        const scsi::UnitStatus s = unit_of(*lu).status();
        json.object().field("lun", lun).field("type", s.type).field("scsi_id", s.scsi_id).field("scsi_sn", s.scsi_sn);
        json.field("size", s.size).field("block_size", s.block_size).field("online", s.online).field("removable", s.removable);
        json.field("prevent_removal", s.prevent_removal).field("read_only", s.read_only).field("swp", s.swp).field("thin", s.thin);
        json.field("store_type", s.store_type).key("store_path");
        if (s.store_path.empty()) json.null();
        else json.value(s.store_path);
        json.field("store_flags", s.store_flags).end();
    }
    json.end();
}

}  // namespace iscsi::mgmt
