// Who may use a logical unit: RESERVE/RELEASE (SPC-2 5.5) and PERSISTENT RESERVE (SPC-4 5.13). Pure bookkeeping, no
// threads and no files; the unit owns it, guards it, and carries out what it reports.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/scsi/command.h"

namespace iscsi::scsi {

// How a command fares when somebody else holds a reservation (SPC-4 table 65, SBC-3 table 13).
enum class Access : uint8_t {
    free,           // always allowed
    free_persistent,// allowed under PERSISTENT RESERVE, refused under RESERVE
    read,           // allowed under Write Exclusive types
    write,          // refused unless the type admits the nexus to everything
    release,        // RELEASE: allowed, without effect
    persistent_out, // PERSISTENT RESERVE OUT: has rules of its own; refused under RESERVE
    persistent_in,
};

class Reservations {
public:
    enum class Type : uint8_t {     // SPC-4 table 214
        none = 0, write_exclusive = 1, exclusive_access = 3, write_exclusive_registrants = 5, exclusive_access_registrants = 6,
        write_exclusive_all = 7, exclusive_access_all = 8,
    };
    struct Registration {
        std::string initiator_port, target_port;
        uint16_t relative_target_port = 1;
        uint64_t key = 0;
    };
    // What PERSISTENT RESERVE OUT did to others: a unit attention each, and whose tasks end.
    struct Effect {
        std::string initiator_port;
        uint8_t asc = 0, ascq = 0;          // 0: none
        bool abort = false;
    };

    bool any() const { return legacy_holder_ != 0 || type_ != Type::none; }
    bool conflict(const Nexus& nexus, Access access) const;

    // RESERVE and RELEASE. False: RESERVATION CONFLICT.
    bool reserve(const Nexus& nexus);
    bool release(const Nexus& nexus);
    void nexus_lost(uint64_t nexus_id) { if (legacy_holder_ == nexus_id) legacy_holder_ = 0; }
    void reset() { legacy_holder_ = 0; }

    // PERSISTENT RESERVE IN (parameter data, uncut) and OUT. `save` is set when the state file must be written.
    // `can_persist` is false where APTPL has no file to go to.
    bool in(Command& c, uint8_t service_action, bool can_persist, std::vector<uint8_t>& out) const;
    void out(Command& c, bool can_persist, std::vector<Effect>& effects, bool& save);

    // The state file: empty if nothing is to survive.
    std::string serialize() const;
    bool parse(std::string_view text);

private:
    struct Request;
    Registration* find(const std::string& initiator_port, uint16_t target_port);
    const Registration* find(const std::string& initiator_port, uint16_t target_port) const;
    bool holds(const Registration& r) const;
    bool all_registrants() const { return type_ == Type::write_exclusive_all || type_ == Type::exclusive_access_all; }
    bool registrants_only() const {
        return type_ == Type::write_exclusive_registrants || type_ == Type::exclusive_access_registrants;
    }
    void drop_reservation();
    void remove(size_t index, std::vector<Effect>& effects, const std::string& except);
    void register_key(Command& c, const Request& q, bool ignore, bool can_persist, std::vector<Effect>& effects);
    void register_and_move(Command& c, bool can_persist);
    void reserve_persistent(Command& c, const Request& q);
    void release_persistent(Command& c, const Request& q, std::vector<Effect>& effects);
    void preempt(Command& c, const Request& q, bool abort, std::vector<Effect>& effects);

    uint64_t legacy_holder_ = 0;            // Nexus::id; 0 none
    std::vector<Registration> registrations_;
    uint32_t generation_ = 0;
    Type type_ = Type::none;
    std::string holder_port_;               // with relative_target_port: the holder, unless all registrants are
    uint16_t holder_target_port_ = 0;
    bool aptpl_ = false;
};

}  // namespace iscsi::scsi
