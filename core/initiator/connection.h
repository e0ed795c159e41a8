// One TCP connection of an initiator: PDUs out in gathered sends, PDUs in with their data landing where the owner wants
// it. It checks framing (lengths, additional headers, digests) and knows no session: what a PDU means is the owner's.
// Used by Session and Discovery; lives on their loop; can be opened again after close().
//
// Sending: put() queues; one sendmsg at the end of the wake-up takes all there is. Data is borrowed until it has been
// sent or the connection is closed. Receiving: one recvmsg fills the rest of the data segment that is being received and
// then the buffer behind it, so small PDUs come many at a time and large ones without a second copy.
#pragma once
#include <memory>
#include <vector>

#include "core/base/bytes.h"
#include "core/io/address.h"
#include "core/io/loop.h"
#include "core/wire/bhs.h"

namespace iscsi::initiator {

// To a NOP-In that wants an answer, §11.18: same TTT and LUN, no data, immediate.
inline wire::NopOut ping_answer(const wire::NopIn& ping, uint32_t cmd_sn, uint32_t exp_stat_sn) {
    wire::NopOut answer;
    answer.opcode |= wire::immediate_bit;
    answer.lun = ping.lun;
    answer.itt = wire::reserved_tag;
    answer.ttt = ping.ttt;
    answer.cmd_sn = cmd_sn;
    answer.exp_stat_sn = exp_stat_sn;
    return answer;
}

struct ConnectOptions {
    std::string bind_address;           // numeric; empty: any
    std::string bind_interface;         // SO_BINDTODEVICE; empty: any
    int buffer_size = 0;                // SO_SNDBUF and SO_RCVBUF before connect; 0: the kernel's
};

class Connection final : private io::Watcher {
public:
    // Where the data segment of an arriving PDU goes.
    struct Landing {
        enum class Way : uint8_t { here, scratch, discard, refuse };
        Way way = Way::scratch;         // scratch: the connection's own 8 KiB; a longer segment breaks the connection
                                        // discard: TCP only, and not with data digests (can_discard())
        uint8_t* at = nullptr;          // here: data_segment_length bytes
        const char* why = "";           // refuse: breaks the connection
    };

    // Callbacks must not destroy the connection; they may close() it.
    class Owner {
    public:
        virtual void connected() = 0;
        // Judges by the header alone, before the data arrives. Not called for a PDU without data.
        virtual Landing arriving(const wire::Bhs& header) = 0;
        // A whole PDU. `data` is empty if it was discarded.
        virtual void arrived(const wire::Bhs& header, Bytes data) = 0;
        // What want_room() or want_sent() asked for.
        virtual void room() = 0;
        // The end: refused, reset, closed by the target, framing. The connection is closed already.
        virtual void broken(const char* why, int error) = 0;

    protected:
        ~Owner() = default;
    };

    // `queue`: PDUs that wait to be sent, at least 16.
    Connection(io::Loop& loop, Owner& owner, size_t buffer = 128 * 1024, size_t queue = 256);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Starts to connect; connected() or broken() follows, not from within this call.
    Result<void> connect(const io::Address& to, const ConnectOptions& options);
    // Takes a connected socket (tests, fuzzing).
    Result<void> adopt(Fd socket);
    void close();
    bool is_open() const { return state_ != State::closed; }
    bool can_discard() const { return tcp_ && !data_digest_; }

    // In force from the next PDU on, both ways. `max_data`: our MaxRecvDataSegmentLength.
    void full_feature(bool header_digest, bool data_digest, uint32_t max_data);

    // True: a PDU can be put, with some room left for answers. False: room() will be called when there is.
    bool want_room();
    // A put() is over when sent_count() has reached what put_count() was after it. want_sent(): room() is called when
    // more has been sent.
    uint64_t put_count() const { return put_count_; }
    uint64_t sent_count() const { return put_count_ - queued_; }
    void want_sent() { watch_sent_ = true; }
    // False: no room at all, or not connected. The header's data_segment_length must be data.size().
    template <class Header>
    bool put(const Header& header, Bytes data = {}) {
        static_assert(sizeof(Header) == wire::bhs_length);
        return put_pdu(&header, data);
    }
    uint64_t received() const { return received_; }                 // bytes, for dead-peer detection

    static constexpr size_t scratch_size = 8192;

private:
    enum class State : uint8_t { closed, connecting, open };
    struct Outgoing {
        uint8_t header[wire::bhs_length + 4];
        uint8_t tail[8];                // padding and data digest
        uint8_t header_length, tail_length;
        Bytes data;
        size_t length() const { return header_length + data.size() + tail_length; }
    };

    size_t space() const { return queue_.size() - queued_; }
    void on_ready(uint32_t events) override;
    void finish_connect();
    bool put_pdu(const void* header, Bytes data);
    void flush();
    void sent(size_t bytes);
    void receive();
    bool receive_discarded();
    void parse();
    bool begin_pdu();
    bool take_data();
    bool end_pdu();
    void compact();
    void update_events();
    void fail(const char* why, int error = 0);

    io::Loop& loop_;
    Owner& owner_;
    io::Deferred flush_later_;
    Fd socket_;
    State state_ = State::closed;
    uint32_t events_ = 0, epoch_ = 0;           // epoch: counts close(), so that a loop notices it
    bool header_digest_ = false, data_digest_ = false, starved_ = false, paused_ = false, tcp_ = false, watch_sent_ = false;
    uint32_t max_data_ = scratch_size;
    uint64_t received_ = 0, put_count_ = 0;

    std::vector<Outgoing> queue_;               // ring
    size_t queue_head_ = 0, queued_ = 0, front_sent_ = 0;

    std::unique_ptr<uint8_t[]> buffer_;
    size_t capacity_, begin_ = 0, end_ = 0;
    std::unique_ptr<uint8_t[]> scratch_;

    enum class Part : uint8_t { header, data, tail };
    Part part_ = Part::header;                  // of the PDU that is being received
    wire::Bhs header_;
    Landing landing_;
    size_t data_length_ = 0, data_done_ = 0;
    bool bulk_ = false;                         // the last data segment was large: read little behind the next
};

}  // namespace iscsi::initiator
