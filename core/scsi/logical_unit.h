// What the transport asks of a logical unit (SAM-5 4.6): disk (disk.h) or the controller at LUN 0. Shared by
// all loops; what it shares (reservations, unit attentions, mode pages) it guards itself, and the path of READ and
// WRITE takes no lock.
#pragma once
#include <atomic>
#include <memory>

#include "core/scsi/command.h"

namespace iscsi::scsi {

class LogicalUnit : public std::enable_shared_from_this<LogicalUnit> {
public:
    virtual ~LogicalUnit() = default;

    // Decodes and checks c.cdb. Returns true if c has completed (status set; flow none).
    virtual bool begin(Command& c) = 0;
    // true: completed. false: c.done will be called on the loop of c.engine.
    virtual bool execute(Command& c) = 0;
    virtual bool finish(Command& c) = 0;
    // true: moved (or chunk.failed). false: chunk.done will be called.
    virtual bool transfer(Chunk& chunk) = 0;
    // Memory of the store for [position, position + length) of a medium flow that the transport may send from or
    // receive into instead of transfer(); empty if transfer() is the way. After receiving in place no transfer() is due.
    virtual MutableBytes in_place(Command& c, uint64_t position, size_t length) { (void)c; (void)position; (void)length; return {}; }

    // The same, of a read, as part of a file that the kernel sends from.
    virtual store::FileRange in_file(Command& c, uint64_t position, size_t length) { (void)c; (void)position; (void)length; return {}; }
    // The same, of a write, as bytes that wait in a pipe: store::Store::splices() and try_splice().
    virtual bool splices(Command& c, uint64_t position, size_t length) { (void)c; (void)position; (void)length; return false; }
    virtual ssize_t splice(Command& c, uint64_t position, int pipe, size_t length) { (void)c; (void)position; (void)pipe; (void)length; return -EAGAIN; }

    // I_T nexus events. A nexus that arrives gets 29h/00h; one that leaves loses its unit attentions and RESERVE(6).
    virtual void nexus_arrived(Nexus& nexus) = 0;
    virtual void nexus_lost(Nexus& nexus) = 0;
    // Task management: unit attentions for the others, reservations (SAM-5 6.3). Aborting tasks is the transport's.
    virtual void logical_unit_reset(Nexus* cause) = 0;
    virtual void raise_unit_attention(uint8_t asc, uint8_t ascq, const Nexus* except) = 0;
    // REPORT LUNS answers what 3Fh/0Eh announced: no need to tell this nexus any more.
    virtual void drop_unit_attention(const Nexus& nexus, uint8_t asc, uint8_t ascq) = 0;

    // Looks whether the medium grew or shrank; if so initiators get 2Ah/09h. Cheap: called every few seconds. True: it did.
    virtual bool refresh_size() { return false; }

    // Descriptor-format sense was asked for (Control mode page D_SENSE, tgt's sense_format).
    virtual bool descriptor_sense() const { return false; }
};

}  // namespace iscsi::scsi
