#include "core/scsi/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "core/base/fd.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {

Unit::Unit(DeviceType type, const UnitIdentity& identity, const char* product)
    : identity_(identity), type_(type), product_(product) {
    char text[64];
    std::snprintf(text, sizeof text, "IET     %04x%04x", identity.tid, unsigned(identity.lun));
    scsi_id_ = text;
    std::snprintf(text, sizeof text, "beaf%u%llu", identity.tid, static_cast<unsigned long long>(identity.lun));
    scsi_sn_ = text;
}

namespace {
class Controller final : public Unit {
public:
    explicit Controller(const UnitIdentity& identity) : Unit(DeviceType::controller, identity, "Controller") {}
};
}  // namespace

std::shared_ptr<Unit> make_controller(const UnitIdentity& identity) { return std::make_shared<Controller>(identity); }

// ---- commands

bool Unit::begin(Command& c) {
    bool known = false;
    const Row* row = find_row(type_, c.cdb, known);
    const uint32_t s = state();
    if (row && (row->flags & Row::thin_only) && !(s & State::thin)) row = nullptr, known = false;
    if ((s & (State::unit_attention | State::reserved)) && !admit(c, row)) return true;
    if (!row) {
        Handlers::illegal(c, known ? 0x24 : 0x20);
        return true;
    }
    if (c.cdb[row->length - 1] & 4) {           // NACA, and NORMACA is 0 (SAM-5 5.2)
        Handlers::illegal(c, 0x24);
        return true;
    }
    if ((s & State::no_medium) && (row->flags & Row::needs_medium)) {
        fail(c, SenseKey::not_ready, 0x3a);
        return true;
    }
    if ((s & (State::read_only | State::swp)) && (row->flags & Row::writes)) {
        fail(c, SenseKey::data_protect, 0x27);
        return true;
    }
    c.row = row;
    c.flow = row->flow;
    switch (row->length_size) {
    case 1: c.length = c.cdb[row->length_at]; break;
    case 2: c.length = get16(c.cdb + row->length_at); break;
    case 4: c.length = get32(c.cdb + row->length_at); break;
    default: break;
    }
    const bool fine = !row->check || row->check(*this, c);
    const bool medium = c.flow == Flow::medium_read || c.flow == Flow::medium_write;
    if (fine && (medium ? c.length > 0 : row->run != nullptr)) return false;
    c.flow = Flow::none;
    return true;
}

bool Unit::execute(Command& c) { return c.row && c.row->run ? c.row->run(*this, c) : true; }

// Some nexus has a unit attention, or someone holds a reservation: is this command touched by it?
bool Unit::admit(Command& c, const Row* row) {
    if (!c.nexus) return true;
    std::lock_guard lock(mutex_);
    auto nexus = nexuses_.find(c.nexus->id);
    if (nexus != nexuses_.end() && !nexus->second.attentions.empty() && !(row && (row->flags & Row::ignores_attention))) {
        auto [asc, ascq] = nexus->second.attentions.front();
        nexus->second.attentions.erase(nexus->second.attentions.begin());
        update_state_locked();
        fail(c, SenseKey::unit_attention, asc, ascq);
        return false;
    }
    if (!row) return true;
    Access access = row->access;
    // SPC-4 table 65, SBC-3 table 13: harmless forms of commands that are otherwise refused.
    if (row->opcode == 0x1e && !(c.cdb[4] & 3)) access = Access::free;
    if (row->opcode == 0x1b && (c.cdb[4] & 0xf1) == 1) access = Access::free_persistent;
    if (!reservations_.conflict(*c.nexus, access)) return true;
    c.status = Status::reservation_conflict;
    return false;
}

// ---- nexuses and unit attentions

void Unit::update_state_locked() {
    bool pending = false;
    for (auto& n : nexuses_) pending |= !n.second.attentions.empty();
    set_flag(State::unit_attention, pending);
    set_flag(State::reserved, reservations_.any());
}

void Unit::attention_locked(uint8_t asc, uint8_t ascq, const Nexus* except) {
    const std::pair<uint8_t, uint8_t> what{asc, ascq};
    for (auto& [id, n] : nexuses_) {
        if (except && except->id == id) continue;
        if (asc == 0x29) n.attentions.clear();      // SPC-4 5.14: a reset says it all
        if (std::find(n.attentions.begin(), n.attentions.end(), what) == n.attentions.end()) n.attentions.push_back(what);
    }
    update_state_locked();
}

void Unit::nexus_arrived(Nexus& nexus) {
    std::lock_guard lock(mutex_);
    NexusState& n = nexuses_[nexus.id];
    n.initiator_port = nexus.initiator_port;
    n.abort_tasks = nexus.abort_tasks;
    n.attentions.assign(1, {0x29, 0x00});
    update_state_locked();
}

void Unit::nexus_lost(Nexus& nexus) {
    std::lock_guard lock(mutex_);
    nexuses_.erase(nexus.id);
    reservations_.nexus_lost(nexus.id);
    update_state_locked();
}

void Unit::raise_unit_attention(uint8_t asc, uint8_t ascq, const Nexus* except) {
    std::lock_guard lock(mutex_);
    attention_locked(asc, ascq, except);
}

void Unit::drop_unit_attention(const Nexus& nexus, uint8_t asc, uint8_t ascq) {
    if (!flag(State::unit_attention)) return;
    std::lock_guard lock(mutex_);
    auto n = nexuses_.find(nexus.id);
    if (n == nexuses_.end()) return;
    std::erase(n->second.attentions, std::pair<uint8_t, uint8_t>{asc, ascq});
    update_state_locked();
}

// SAM-5 6.3.3: reservations of RESERVE, PREVENT and mode pages go back; persistent reservations stay.
void Unit::logical_unit_reset(Nexus*) {
    std::lock_guard lock(mutex_);
    reservations_.reset();
    for (auto& n : nexuses_) n.second.prevents_removal = false;
    modes_.restore();
    set_flag(State::swp, modes_.software_write_protect());
    set_flag(State::write_through, !modes_.write_cache());
    attention_locked(0x29, 0x00, nullptr);      // POWER ON, RESET, OR BUS DEVICE RESET OCCURRED, as tgt says it
}

bool Unit::removal_prevented() const {
    return std::any_of(nexuses_.begin(), nexuses_.end(), [](auto& n) { return n.second.prevents_removal; });
}

// ---- attributes

namespace {
int number(std::string_view text) { return std::atoi(std::string(text).c_str()); }
std::string cut(std::string_view text, size_t most) { return std::string(text.substr(0, most)); }
}  // namespace

Change Unit::set(std::string_view key, std::string_view value) {
    if (value.empty()) return Change::invalid_request;
    std::lock_guard lock(mutex_);
    if (key == "vendor_id") vendor_ = cut(value, 8);
    else if (key == "product_id") product_ = cut(value, 16);
    else if (key == "product_rev") revision_ = cut(value, 4);
    else if (key == "scsi_sn") scsi_sn_ = cut(value, 36);
    else if (key == "scsi_id") scsi_id_ = cut(value, 36), own_scsi_id_ = true;
    else if (key == "rotation_rate") rotation_rate_ = uint32_t(number(value));
    else if (key == "optimal_xfer_gran") optimal_granularity_ = uint32_t(number(value));
    else if (key == "optimal_xfer_len") optimal_length_ = uint32_t(number(value));
    else if (key == "removable") set_flag(State::removable, number(value) != 0);
    else if (key == "sense_format") {
        set_flag(State::descriptor_sense, number(value) != 0);
        modes_.set_descriptor_sense(number(value) != 0);
    } else if (key == "mode_page") {
        if (!modes_.set(value)) return Change::invalid_request;
        set_flag(State::swp, modes_.software_write_protect());
        set_flag(State::write_through, !modes_.write_cache());
    } else {
        return Change::invalid_request;
    }
    return Change::done;
}

UnitStatus Unit::status() const {
    std::lock_guard lock(mutex_);
    UnitStatus s;
    s.type = "controller";
    s.scsi_id = scsi_id_;
    s.scsi_sn = scsi_sn_;
    const uint32_t bits = state();
    s.online = !(bits & State::offline);
    s.removable = bits & State::removable;
    s.prevent_removal = removal_prevented();
    s.read_only = bits & State::read_only;
    s.swp = bits & State::swp;
    s.thin = bits & State::thin;
    return s;
}

// ---- the reservation file

namespace {
Result<std::string> slurp(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        if (errno == ENOENT) return std::string();
        return Error{errno, "open reservation file", path};
    }
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = ::read(fd.get(), buffer, sizeof buffer)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error{errno, "read reservation file", path};
        text.append(buffer, size_t(n));
        if (text.size() > 4u << 20) return Error{EFBIG, "read reservation file", path};
    }
    return text;
}

Result<void> write_synced(const std::string& path, const std::string& text) {
    const std::string temporary = path + ".new";
    {
        Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (!fd) return Error{errno, "create reservation file", temporary};
        for (size_t done = 0; done < text.size();) {
            ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return Error{n ? errno : EIO, "write reservation file", temporary};
            done += size_t(n);
        }
        if (::fsync(fd.get()) != 0) return Error{errno, "sync reservation file", temporary};
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return Error{errno, "rename reservation file", path};
    const size_t slash = path.rfind('/');
    const std::string directory = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return Error{errno, "sync directory", directory};
    return {};
}
}  // namespace

// One writer at a time, and each writes what holds when it writes: the last one wins with the last state.
Result<void> Unit::save_reservations() {
    std::lock_guard writer(file_mutex_);
    std::string text, path;
    {
        std::lock_guard lock(mutex_);
        text = reservations_.serialize();
        path = reservation_file_;
    }
    return write_synced(path, text);
}

Result<void> Unit::keep_reservations_in(const std::string& path) {
    std::string text = TRY(slurp(path));
    std::lock_guard lock(mutex_);
    if (!text.empty() && !reservations_.parse(text)) return Error{0, "read reservation file", path + ": malformed"};
    reservation_file_ = path;
    update_state_locked();
    return {};
}

}  // namespace iscsi::scsi
