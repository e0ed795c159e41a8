#include "core/scsi/reservations.h"

#include <algorithm>
#include <charconv>

namespace iscsi::scsi {
namespace {

constexpr uint8_t reservations_preempted = 0x03, reservations_released = 0x04, registrations_preempted = 0x05;    // 2Ah/xx
constexpr size_t most_registrations = 512;

void illegal(Command& c, uint8_t asc, uint8_t ascq = 0) { fail(c, SenseKey::illegal_request, asc, ascq); }
void conflicts(Command& c) { c.status = Status::reservation_conflict; }

bool known_type(uint8_t type) { return type == 1 || type == 3 || (type >= 5 && type <= 8); }

// TransportID of an iSCSI initiator port, SPC-4 7.6.4.6, format 01b: "iqn...,i,0x00023d000001".
std::vector<uint8_t> transport_id(const std::string& initiator_port) {
    const size_t text = std::max<size_t>(20, pad4(initiator_port.size() + 1));
    std::vector<uint8_t> id(4 + text);
    id[0] = 0x45;
    put16(&id[2], uint16_t(text));
    std::memcpy(&id[4], initiator_port.data(), initiator_port.size());
    return id;
}

// Takes one TransportID off the list; nothing if it is malformed or not an iSCSI port.
std::optional<std::string> take_transport_id(Bytes& list) {
    if (list.size() < 4 || list[0] != 0x45) return std::nullopt;
    const size_t length = get16(&list[2]);
    if (length < 20 || length % 4 || length > list.size() - 4) return std::nullopt;
    std::string_view text = as_text(list.subspan(4, length));
    const size_t end = text.find('\0');
    if (end == text.npos || text.substr(0, end).find(",i,0x") == text.npos) return std::nullopt;
    list = list.subspan(4 + length);
    return std::string(text.substr(0, end));
}

}  // namespace

// PERSISTENT RESERVE OUT's basic parameter list, SPC-4 6.16.3.
struct Reservations::Request {
    uint64_t key = 0, service_key = 0;
    bool spec_i_pt = false, aptpl = false;
    Type type = Type::none;
    Bytes rest;                     // after the first 24 bytes
};

const Reservations::Registration* Reservations::find(const std::string& port, uint16_t target_port) const {
    for (auto& r : registrations_)
        if (r.relative_target_port == target_port && r.initiator_port == port) return &r;
    return nullptr;
}
Reservations::Registration* Reservations::find(const std::string& port, uint16_t target_port) {
    return const_cast<Registration*>(std::as_const(*this).find(port, target_port));
}

bool Reservations::holds(const Registration& r) const {
    if (type_ == Type::none) return false;
    return all_registrants() || (r.relative_target_port == holder_target_port_ && r.initiator_port == holder_port_);
}

bool Reservations::conflict(const Nexus& nexus, Access access) const {
    if (access == Access::free || access == Access::release) return false;
    if (legacy_holder_ != 0 && legacy_holder_ != nexus.id) return true;
    if (type_ == Type::none || (access != Access::read && access != Access::write)) return false;
    const Registration* r = find(nexus.initiator_port, nexus.relative_target_port);
    if (r && (registrants_only() || holds(*r))) return false;
    const bool write_exclusive = type_ == Type::write_exclusive || type_ == Type::write_exclusive_registrants ||
                                 type_ == Type::write_exclusive_all;
    return !(write_exclusive && access == Access::read);
}

// SPC-2 5.5.1; with registrations about (CRH 0, SPC-4 5.13.3) both are refused.
bool Reservations::reserve(const Nexus& nexus) {
    if (!registrations_.empty() || (legacy_holder_ != 0 && legacy_holder_ != nexus.id)) return false;
    legacy_holder_ = nexus.id;
    return true;
}
bool Reservations::release(const Nexus& nexus) {
    if (!registrations_.empty()) return false;
    if (legacy_holder_ == nexus.id) legacy_holder_ = 0;
    return true;
}

// ---- PERSISTENT RESERVE IN, SPC-4 6.15

bool Reservations::in(Command& c, uint8_t action, bool can_persist, std::vector<uint8_t>& out) const {
    out.assign(8, 0);
    if (action == 2) {          // REPORT CAPABILITIES: SIP_C, ATP_C, PTPL_C; TMV and all six types
        put16(&out[0], 8);
        out[2] = uint8_t(0x0c | (can_persist ? 1 : 0));
        out[3] = uint8_t(0x80 | (aptpl_ ? 1 : 0));
        out[4] = 0xea, out[5] = 0x01;
        return true;
    }
    put32(&out[0], generation_);
    if (action == 0) {
        for (auto& r : registrations_) {
            out.resize(out.size() + 8);
            put64(&out[out.size() - 8], r.key);
        }
    } else if (action == 1) {
        if (type_ != Type::none) {
            out.resize(24);
            const Registration* holder = all_registrants() ? nullptr : find(holder_port_, holder_target_port_);
            put64(&out[8], holder ? holder->key : 0);
            out[21] = uint8_t(type_);
        }
    } else if (action == 3) {
        for (auto& r : registrations_) {
            const auto id = transport_id(r.initiator_port);
            const size_t at = out.size();
            out.resize(at + 24);
            put64(&out[at], r.key);
            if (holds(r)) out[at + 12] = 1, out[at + 13] = uint8_t(type_);
            put16(&out[at + 18], r.relative_target_port);
            put32(&out[at + 20], uint32_t(id.size()));
            out.insert(out.end(), id.begin(), id.end());
        }
    } else {
        illegal(c, 0x24);
        return false;
    }
    put32(&out[4], uint32_t(out.size() - 8));
    return true;
}

// ---- PERSISTENT RESERVE OUT, SPC-4 6.16 and 5.13

void Reservations::out(Command& c, bool can_persist, std::vector<Effect>& effects, bool& save) {
    const uint8_t action = c.cdb[1] & 0x1f;
    const Bytes list(c.parameters);
    const bool persisted = aptpl_;
    save = false;
    if (list.size() < 24) return illegal(c, 0x1a);      // PARAMETER LIST LENGTH ERROR
    if (action == 7) {
        register_and_move(c, can_persist);
    } else {
        Request q;
        q.key = get64(&list[0]);
        q.service_key = get64(&list[8]);
        q.spec_i_pt = list[20] & 8;
        q.aptpl = list[20] & 1;
        q.rest = list.subspan(24);
        const bool typed = action == 1 || action == 2 || action == 4 || action == 5;
        if (typed && (c.cdb[2] >> 4)) return illegal(c, 0x24);                          // scope: the unit
        if (typed && !known_type(c.cdb[2] & 0x0f)) return illegal(c, 0x24);
        if (typed) q.type = Type(c.cdb[2] & 0x0f);
        if (q.spec_i_pt && action != 0) return illegal(c, 0x26);
        if (!q.spec_i_pt && list.size() != 24) return illegal(c, 0x1a);
        const Registration* self = find(c.nexus->initiator_port, c.nexus->relative_target_port);
        if (action != 0 && action != 6 && (!self || self->key != q.key)) return conflicts(c);
        switch (action) {
        case 0: register_key(c, q, false, can_persist, effects); break;
        case 1: reserve_persistent(c, q); break;
        case 2: release_persistent(c, q, effects); break;
        case 3: {                                       // CLEAR
            const std::string own = c.nexus->initiator_port;
            for (auto& r : registrations_)
                if (r.initiator_port != own) effects.push_back({r.initiator_port, 0x2a, reservations_preempted, false});
            registrations_.clear();
            drop_reservation();
            generation_++;
            break;
        }
        case 4: preempt(c, q, false, effects); break;
        case 5: preempt(c, q, true, effects); break;
        case 6: register_key(c, q, true, can_persist, effects); break;
        default: return illegal(c, 0x24);
        }
    }
    save = c.status == Status::good && (aptpl_ || persisted);
}

void Reservations::drop_reservation() {
    type_ = Type::none;
    holder_port_.clear();
    holder_target_port_ = 0;
}

// Unregisters one. A holder's reservation goes with it, or with the last registrant; registrants that had access only by
// it are told (SPC-4 5.13.11.2).
void Reservations::remove(size_t index, std::vector<Effect>& effects, const std::string& except) {
    const Registration gone = registrations_[index];
    const bool held = holds(gone), registrants = registrants_only();
    registrations_.erase(registrations_.begin() + long(index));
    if (!held || (all_registrants() && !registrations_.empty())) return;
    drop_reservation();
    if (registrants)
        for (auto& r : registrations_)
            if (r.initiator_port != except) effects.push_back({r.initiator_port, 0x2a, reservations_released, false});
}

void Reservations::register_key(Command& c, const Request& q, bool ignore, bool can_persist, std::vector<Effect>& effects) {
    const Nexus& n = *c.nexus;
    Registration* self = find(n.initiator_port, n.relative_target_port);
    if (!ignore && q.key != (self ? self->key : 0)) return conflicts(c);
    if (q.aptpl && !can_persist) return illegal(c, 0x26);
    std::vector<std::string> others;
    if (q.spec_i_pt) {
        if (self) return illegal(c, 0x26);
        if (q.rest.size() < 4 || get32(&q.rest[0]) != q.rest.size() - 4) return illegal(c, 0x1a);
        for (Bytes ids = q.rest.subspan(4); !ids.empty();) {
            auto port = take_transport_id(ids);
            if (!port || *port == n.initiator_port || find(*port, n.relative_target_port)) return illegal(c, 0x26);
            others.push_back(std::move(*port));
        }
    }
    if (self && q.service_key == 0) {
        remove(size_t(self - registrations_.data()), effects, n.initiator_port);
    } else if (self) {
        self->key = q.service_key;
    } else if (q.service_key != 0) {
        if (registrations_.size() + others.size() >= most_registrations) return illegal(c, 0x55, 0x04);
        registrations_.push_back({n.initiator_port, n.target_port, n.relative_target_port, q.service_key});
        for (auto& port : others) registrations_.push_back({port, n.target_port, n.relative_target_port, q.service_key});
    }
    aptpl_ = q.aptpl;
    generation_++;
}

void Reservations::reserve_persistent(Command& c, const Request& q) {
    const Registration& self = *find(c.nexus->initiator_port, c.nexus->relative_target_port);
    if (type_ != Type::none) {
        if (!holds(self) || type_ != q.type) conflicts(c);
        return;
    }
    type_ = q.type;
    holder_port_ = self.initiator_port;
    holder_target_port_ = self.relative_target_port;
}

void Reservations::release_persistent(Command& c, const Request& q, std::vector<Effect>& effects) {
    const Registration& self = *find(c.nexus->initiator_port, c.nexus->relative_target_port);
    if (type_ == Type::none || !holds(self)) return;
    if (type_ != q.type) return illegal(c, 0x26, 0x04);         // INVALID RELEASE OF PERSISTENT RESERVATION
    const bool tell = registrants_only() || all_registrants();
    drop_reservation();
    if (!tell) return;
    for (auto& r : registrations_)
        if (r.initiator_port != c.nexus->initiator_port)
            effects.push_back({r.initiator_port, 0x2a, reservations_released, false});
}

// SPC-4 5.13.11.4.
void Reservations::preempt(Command& c, const Request& q, bool abort, std::vector<Effect>& effects) {
    const Nexus& n = *c.nexus;
    const Registration* holder = type_ == Type::none || all_registrants() ? nullptr : find(holder_port_, holder_target_port_);
    const bool all = all_registrants() && q.service_key == 0;
    const bool takes_over = all || (holder && holder->key == q.service_key);
    if (q.service_key == 0 && !all) return illegal(c, 0x26);
    auto is_victim = [&](const Registration& r) {
        return !(r.initiator_port == n.initiator_port && r.relative_target_port == n.relative_target_port) &&
               (all || r.key == q.service_key);
    };
    const bool any_match = std::any_of(registrations_.begin(), registrations_.end(),
                                       [&](auto& r) { return all || r.key == q.service_key; });
    if (!any_match) return conflicts(c);
    for (auto& r : registrations_)
        if (is_victim(r)) effects.push_back({r.initiator_port, 0x2a, registrations_preempted, abort});
    std::erase_if(registrations_, is_victim);
    if (takes_over) {
        const bool changes = type_ != q.type;
        type_ = q.type;
        holder_port_ = n.initiator_port;
        holder_target_port_ = n.relative_target_port;
        for (auto& r : registrations_)
            if (changes && r.initiator_port != n.initiator_port)
                effects.push_back({r.initiator_port, 0x2a, reservations_released, false});
    }
    generation_++;
}

// SPC-4 6.16.4.
void Reservations::register_and_move(Command& c, bool can_persist) {
    const Nexus& n = *c.nexus;
    Bytes list(c.parameters);
    const uint64_t key = get64(&list[0]), service_key = get64(&list[8]);
    const bool unregister = list[17] & 2, aptpl = list[17] & 1;
    const uint16_t target_port = get16(&list[18]);
    const uint32_t id_length = get32(&list[20]);
    Registration* self = find(n.initiator_port, n.relative_target_port);
    if (!self || self->key != key || !holds(*self) || all_registrants()) return conflicts(c);
    if (id_length != list.size() - 24) return illegal(c, 0x1a);
    Bytes ids = list.subspan(24);
    auto port = take_transport_id(ids);
    if (!port || !ids.empty() || service_key == 0 || (aptpl && !can_persist)) return illegal(c, 0x26);
    if (target_port != n.relative_target_port || *port == n.initiator_port) return illegal(c, 0x26);
    if (Registration* other = find(*port, target_port)) other->key = service_key;
    else if (registrations_.size() >= most_registrations) return illegal(c, 0x55, 0x04);
    else registrations_.push_back({*port, n.target_port, target_port, service_key});
    holder_port_ = *port;
    holder_target_port_ = target_port;
    if (unregister)
        std::erase_if(registrations_, [&](auto& r) {
            return r.initiator_port == n.initiator_port && r.relative_target_port == n.relative_target_port;
        });
    aptpl_ = aptpl;
    generation_++;
}

// ---- the state file: a line each, words separated by blanks, other bytes than printable ASCII as %XX

namespace {

std::string quote(const std::string& text) {
    std::string out;
    for (char ch : text) {
        if (ch > ' ' && ch < 0x7f && ch != '%') {
            out += ch;
        } else {
            char hex[4];
            std::snprintf(hex, sizeof hex, "%%%02x", unsigned(uint8_t(ch)));
            out += hex;
        }
    }
    return out.empty() ? "%" : out;
}

bool unquote(std::string_view text, std::string& out) {
    out.clear();
    if (text == "%") return true;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned value = 0;
        if (text.size() - i < 3) return false;
        auto r = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
        if (r.ec != std::errc() || r.ptr != text.data() + i + 3) return false;
        out += char(value);
        i += 2;
    }
    return true;
}

std::vector<std::string_view> words(std::string_view line) {
    std::vector<std::string_view> out;
    while (!line.empty()) {
        const size_t end = std::min(line.find(' '), line.size());
        if (end) out.push_back(line.substr(0, end));
        line.remove_prefix(std::min(end + 1, line.size()));
    }
    return out;
}

template <class T>
bool read_number(std::string_view text, T& out, int base) {
    auto r = std::from_chars(text.data(), text.data() + text.size(), out, base);
    return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

constexpr std::string_view magic = "iscsi-persistent-reservations 1";

}  // namespace

std::string Reservations::serialize() const {
    if (!aptpl_) return {};
    std::string out(magic);
    out += '\n';
    char number[40];
    for (auto& r : registrations_) {
        std::snprintf(number, sizeof number, " %016llx %u", static_cast<unsigned long long>(r.key), unsigned(r.relative_target_port));
        out += "registration " + quote(r.initiator_port) + " " + quote(r.target_port) + number + "\n";
    }
    if (type_ != Type::none) {
        std::snprintf(number, sizeof number, "reservation %u %u ", unsigned(type_), unsigned(holder_target_port_));
        out += number + quote(holder_port_) + "\n";
    }
    out += "end\n";
    return out;
}

bool Reservations::parse(std::string_view text) {
    Reservations next;
    next.legacy_holder_ = legacy_holder_;
    next.aptpl_ = true;
    bool first = true, ended = false;
    while (!text.empty()) {
        const size_t newline = text.find('\n');
        if (newline == text.npos || ended) return false;
        const std::string_view line = text.substr(0, newline);
        text.remove_prefix(newline + 1);
        if (first) {
            if (line != magic) return false;
            first = false;
            continue;
        }
        const auto w = words(line);
        if (w.size() == 5 && w[0] == "registration") {
            Registration r;
            if (!unquote(w[1], r.initiator_port) || !unquote(w[2], r.target_port) || !read_number(w[3], r.key, 16) ||
                !read_number(w[4], r.relative_target_port, 10) || next.registrations_.size() >= most_registrations)
                return false;
            next.registrations_.push_back(std::move(r));
        } else if (w.size() == 4 && w[0] == "reservation") {
            unsigned type = 0;
            if (!read_number(w[1], type, 10) || type > 8 || !known_type(uint8_t(type)) ||
                !read_number(w[2], next.holder_target_port_, 10) || !unquote(w[3], next.holder_port_))
                return false;
            next.type_ = Type(type);
        } else if (w.size() == 1 && w[0] == "end") {
            ended = true;
        } else {
            return false;
        }
    }
    if (!ended) return false;
    *this = std::move(next);
    return true;
}

}  // namespace iscsi::scsi
