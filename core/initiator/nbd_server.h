// Serves one end of a socket pair, whose other end the kernel's nbd driver has, from a session: requests become SCSI
// commands, many at a time. Reads whole requests, never more data in memory than `max_memory`; what the session loses it
// sends again; when the session has ended requests fail with EIO until it is back. Follows the unit's size: asked for when the
// session is back, at CAPACITY DATA HAS CHANGED and now and then, since a unit without commands tells nothing.
#pragma once
#include <memory>
#include <vector>

#include "core/initiator/remote_lun.h"
#include "core/kernel/nbd.h"

namespace iscsi::initiator {

class NbdServer final : private io::Watcher {
public:
    struct Settings {
        uint64_t lun = 0;
        DiskInfo disk;
        unsigned depth = 128;
        size_t max_memory = 16 << 20;
        uint64_t size_check_ms = 10000;
    };
    class Owner {
    public:
        virtual void nbd_disconnected() = 0;            // the kernel let go of the device; must not destroy the server
        virtual void nbd_resized(uint64_t bytes) = 0;   // the unit's size is another one: the kernel must know

    protected:
        ~Owner() = default;
    };

    NbdServer(io::Loop& loop, Fd socket, Settings settings, Owner& owner);
    ~NbdServer();
    // nullptr: there is none now; requests fail. The session outlives its use here.
    void use(Session* session);
    unsigned in_flight() const { return busy_; }

private:
    struct Slot {
        ScsiRequest request;
        kernel::NbdRequest nbd;
        std::vector<uint8_t> data;
        kernel::NbdReply reply;
        uint8_t unmap_list[24];
        unsigned attempts = 0;
        uint64_t done = 0, piece = 0;                   // trim and zero: bytes
        Slot* next = nullptr;                           // free, or waiting to be sent or to be tried again
        NbdServer* server = nullptr;
    };

    void on_ready(uint32_t events) override;
    bool receive();
    bool begin();
    void execute(Slot& slot);
    void trim_piece(Slot& slot);
    void submit(Slot& slot);
    void completed(Slot& slot);
    void answer(Slot& slot, int error);
    void send();
    void release(Slot& slot);
    void retry_all();
    void gone();
    void update_events();
    void ask_size();
    void size_answered();

    io::Loop& loop_;
    Fd socket_;
    Settings settings_;
    Owner& owner_;
    Session* session_ = nullptr;
    io::Deferred send_later_;
    io::Timer retry_;
    std::vector<Slot> slots_;
    Slot *free_ = nullptr, *out_ = nullptr, *out_last_ = nullptr, *again_ = nullptr;
    Slot* reading_ = nullptr;                           // its payload is being read
    size_t read_done_ = 0, out_done_ = 0, memory_ = 0;
    kernel::NbdRequest header_;
    size_t header_done_ = 0;
    bool header_whole_ = false, watched_ = false;
    unsigned busy_ = 0;
    uint32_t events_ = 0;
    std::vector<uint8_t> zeros_;
    io::Timer size_check_;
    ScsiRequest size_request_;
    uint8_t size_answer_[capacity_16_answer];
    bool asking_size_ = false, size_known_late_ = false;
};

}  // namespace iscsi::initiator
