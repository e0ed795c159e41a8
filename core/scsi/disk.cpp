#include "core/scsi/disk.h"

#include <bit>
#include <cstdlib>

#include "core/base/log.h"

namespace iscsi::scsi {
namespace {

uint32_t usable_block_size(uint32_t asked) {
    if (asked >= 512 && asked <= (1u << 20) && std::has_single_bit(asked)) return asked;
    log::warning("block size %u is not a power of two of 512 or more; using 512", asked);
    return 512;
}

DiskOptions with_usable_block_size(DiskOptions options) {
    options.block_size = usable_block_size(options.block_size);
    return options;
}

Result<std::shared_ptr<store::Store>> open(const DiskOptions& o, const std::string& path) {
    store::OpenOptions s;
    s.read_only = o.read_only;
    s.sync = o.flags.find("sync") != std::string::npos;
    s.direct = o.flags.find("direct") != std::string::npos;
    s.block_size = o.block_size;
    s.options = o.bsopts;
    return store::open_store(o.bstype, path, s);
}

int number(std::string_view text) { return std::atoi(std::string(text).c_str()); }

}  // namespace

Disk::Disk(const DiskOptions& options)
    : Unit(DeviceType::disk, options.identity, "VIRTUAL-DISK"), options_(with_usable_block_size(options)),
      block_size_(options_.block_size), block_shift_(unsigned(std::countr_zero(options_.block_size))) {
    // tgt's pages, SPC-4 7.5 and SBC-3 6.5; what may change: WCE and SWP.
    modes_.add(0x00, 0, {});
    modes_.add(0x02, 0, {0x80, 0x80, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    add_caching_page(true);
    modes_.add(0x0a, 0, {0x02, 0x10, 0, 0, 0, 0, 0, 0, 0x02, 0}, {0, 0, 0x08});
    modes_.add(0x0a, 1, {0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    modes_.add(0x1c, 0, {0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0});
}

Disk::~Disk() = default;

void Disk::add_caching_page(bool write_back) {
    const uint8_t first = write_back ? 0x14 : 0x10;
    modes_.add(0x08, 0, {first, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x80, 0x14, 0, 0, 0, 0, 0, 0}, {0x04});
}

Result<std::shared_ptr<Disk>> Disk::create(const DiskOptions& options) {
    std::shared_ptr<Disk> disk(new Disk(options));
    if (options.path.empty()) {
        disk->set_flag(State::removable | State::offline | State::no_medium, true);
    } else {
        disk->insert(TRY(open(disk->options_, options.path)));
    }
    return disk;
}

std::shared_ptr<Disk> Disk::over(std::shared_ptr<store::Store> store, const DiskOptions& options) {
    std::shared_ptr<Disk> disk(new Disk(options));
    disk->insert(std::move(store));
    return disk;
}

void Disk::insert(std::shared_ptr<store::Store> store) {
    const store::Capabilities can = store->capabilities();
    blocks_.store(store->size() >> block_shift_, std::memory_order_release);
    set_flag(State::read_only, can.read_only || read_only_asked_);
    physical_exponent_ = 0;
    for (uint32_t size = block_size_; size < can.physical_block && physical_exponent_ < 15; size *= 2) physical_exponent_++;
    media_.push_back(std::make_unique<const Medium>(Medium{std::move(store)}));
    medium_.store(media_.back().get(), std::memory_order_release);
}

std::shared_ptr<store::Store> Disk::store() const {
    const Medium* m = medium_.load(std::memory_order_acquire);
    return m ? m->store : nullptr;
}

bool Disk::refresh_size() {
    auto s = store();
    if (!s || !s->refresh_size()) return false;
    const uint64_t blocks = s->size() >> block_shift_;
    if (blocks_.exchange(blocks, std::memory_order_acq_rel) == blocks) return false;
    raise_unit_attention(0x2a, 0x09, nullptr);          // CAPACITY DATA HAS CHANGED
    return true;
}

Change Disk::change_path(const std::string& path) {
    if (!flag(State::offline)) return Change::invalid_request;
    auto opened = open(options_, path);
    if (!opened) {
        log::error("%s", opened.error().text().c_str());
        return Change::invalid_request;
    }
    if (!media_.empty()) media_.back()->store->retire();
    insert(std::move(*opened));
    return change_online(true);
}

Change Disk::change_online(bool online) {
    if (online) {
        if (media_.empty()) return Change::invalid_request;
        const bool was_offline = flag(State::offline);
        set_flag(State::offline | State::no_medium, false);
        if (was_offline && flag(State::removable)) attention_locked(0x28, 0x00, nullptr);   // NOT READY TO READY CHANGE
        else if (was_offline) attention_locked(0x2a, 0x09, nullptr);
        return Change::done;
    }
    if (removal_prevented()) return Change::removal_prevented;
    set_flag(State::offline, true);
    if (flag(State::removable)) set_flag(State::no_medium, true);
    return Change::done;
}

Change Disk::set(std::string_view key, std::string_view value) {
    if (value.empty()) return Change::invalid_request;
    if (key == "removable") {
        std::lock_guard lock(mutex_);
        const bool on = number(value) != 0;
        set_flag(State::removable, on);
        set_flag(State::no_medium, (on && flag(State::offline)) || media_.empty());
        return Change::done;
    }
    if (key == "readonly") {
        std::lock_guard lock(mutex_);
        read_only_asked_ = number(value) != 0;
        set_flag(State::read_only, read_only_asked_ || (!media_.empty() && media_.back()->store->capabilities().read_only));
        return Change::done;
    }
    if (key == "thin_provisioning") return set_flag(State::thin, number(value) != 0), Change::done;
    if (key == "online" || key == "path") {
        std::lock_guard lock(mutex_);
        return key == "online" ? change_online(number(value) == 1) : change_path(std::string(value));
    }
    if (key == "lbppbe" || key == "la_lba") {
        std::lock_guard lock(mutex_);
        (key == "lbppbe" ? physical_exponent_ : lowest_aligned_) = uint32_t(number(value));
        return Change::done;
    }
    if (key == "write_cache") {
        if (value != "on" && value != "off") return Change::invalid_request;
        std::lock_guard lock(mutex_);
        add_caching_page(value == "on");
        set_flag(State::write_through, value == "off");
        return Change::done;
    }
    return Unit::set(key, value);
}

UnitStatus Disk::status() const {
    UnitStatus s = Unit::status();
    s.type = "disk";
    s.block_size = block_size_;
    std::shared_ptr<store::Store> medium = store();
    s.store_type = medium ? medium->type_name() : options_.bstype;
    s.store_path = medium ? medium->path() : "";
    s.store_flags = options_.flags;
    s.size = blocks() << block_shift_;
    return s;
}

}  // namespace iscsi::scsi
