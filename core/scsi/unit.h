// What disk and controller have in common: identity, attributes as tgtadm sets them, unit attentions, reservations and
// the way of a command from its CDB to its handler (table.h).
//
// Threads: everything here may be called from any thread. `mutex_` guards all that is not atomic. The path of READ and
// WRITE looks at one word, `state_`, and takes the mutex only if some nexus has a unit attention pending, or someone
// holds a reservation.
#pragma once
#include <string_view>

#include "core/scsi/mode_pages.h"
#include "core/scsi/reservations.h"
#include "core/scsi/router.h"

namespace iscsi::scsi {

enum class DeviceType : uint8_t { disk = 0x00, controller = 0x0c };

struct UnitIdentity {
    uint32_t tid = 1;
    uint64_t lun = 0;
    // Together with the LUN these make the NAA identifier of VPD page 83h: unique among hosts, the same after a restart.
    std::string target_name;
    std::string host_seed;              // /etc/machine-id, say; may be empty
};

// What `tgtadm --mode target --op show` prints of a unit.
struct UnitStatus {
    const char* type = "";              // disk, controller
    std::string scsi_id, scsi_sn;
    uint64_t size = 0;                  // bytes
    uint32_t block_size = 1;
    bool online = true, removable = false, prevent_removal = false, read_only = false, swp = false, thin = false;
    std::string store_type = "null", store_path, store_flags;     // path empty: no medium
};

// The answer to a change; tgtadm's errors 17 and 24.
enum class Change { done, invalid_request, removal_prevented };

class Unit : public LogicalUnit {
public:
    bool begin(Command& c) final;
    bool execute(Command& c) final;
    bool finish(Command&) override { return true; }
    bool transfer(Chunk&) override { return true; }

    void nexus_arrived(Nexus& nexus) override;
    void nexus_lost(Nexus& nexus) override;
    void logical_unit_reset(Nexus* cause) override;
    void raise_unit_attention(uint8_t asc, uint8_t ascq, const Nexus* except) override;
    void drop_unit_attention(const Nexus& nexus, uint8_t asc, uint8_t ascq) override;
    bool descriptor_sense() const override { return flag(State::descriptor_sense); }

    // One `key=value` of `tgtadm --op update --mode logicalunit --params`; values are read as tgt reads them (atoi).
    virtual Change set(std::string_view key, std::string_view value);
    virtual UnitStatus status() const;

    // Registrations with APTPL survive power loss in this file, read now and written (atomically, synced) at each change.
    // Without it APTPL is refused. Call before the first command.
    Result<void> keep_reservations_in(const std::string& path);

    Result<void> save_reservations();           // blocks; any thread

    const UnitIdentity& identity() const { return identity_; }
    DeviceType type() const { return type_; }

protected:
    Unit(DeviceType type, const UnitIdentity& identity, const char* product);

    // Bits of state_.
    struct State {
        static constexpr uint32_t unit_attention = 1;   // some nexus has one
        static constexpr uint32_t reserved = 2;         // RESERVE or PERSISTENT RESERVE is in force
        static constexpr uint32_t offline = 4;
        static constexpr uint32_t no_medium = 8;        // offline and removable: nothing works on the medium
        static constexpr uint32_t read_only = 16;       // tgtadm readonly=1, or the store is
        static constexpr uint32_t swp = 32;             // Control mode page SWP
        static constexpr uint32_t write_through = 64;   // WCE is 0
        static constexpr uint32_t descriptor_sense = 128;
        static constexpr uint32_t thin = 256;
        static constexpr uint32_t removable = 512;
    };
    uint32_t state() const { return state_.load(std::memory_order_acquire); }
    bool flag(uint32_t bit) const { return (state() & bit) != 0; }
    void set_flag(uint32_t bit, bool on) {
        if (on) state_.fetch_or(bit, std::memory_order_acq_rel);
        else state_.fetch_and(~bit, std::memory_order_acq_rel);
    }

    // Called with mutex_ held.
    void attention_locked(uint8_t asc, uint8_t ascq, const Nexus* except);
    bool removal_prevented() const;

    friend struct Handlers;             // the handlers of table.cpp: one static function per command

    struct NexusState {
        std::string initiator_port;
        std::vector<std::pair<uint8_t, uint8_t>> attentions;    // oldest first, no pair twice
        bool prevents_removal = false;
        decltype(Nexus::abort_tasks) abort_tasks;
    };

    const UnitIdentity identity_;
    const DeviceType type_;
    std::atomic<uint32_t> state_{0};
    mutable std::mutex mutex_;
    std::map<uint64_t, NexusState> nexuses_;            // by Nexus::id
    std::string vendor_ = "IET", product_, revision_ = "0001", scsi_id_, scsi_sn_;
    bool own_scsi_id_ = false;          // scsi_id was set: the NAA identifier is tgt's function of it
    uint32_t optimal_granularity_ = 0, optimal_length_ = 0, rotation_rate_ = 0;
    ModePages modes_;
    Reservations reservations_;
    std::string reservation_file_;
    std::mutex file_mutex_;             // one writer of the reservation file at a time

private:
    bool admit(Command& c, const Row* row);
    void update_state_locked();
    std::vector<uint8_t> naa_locked(bool extended) const;
};

// LUN 0 of every target: "RAID IET Controller 0001".
std::shared_ptr<Unit> make_controller(const UnitIdentity& identity);

}  // namespace iscsi::scsi
