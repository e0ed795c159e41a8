// Cuts a byte stream into PDUs (RFC 7143 §11.2): header, AHS, header digest, data segment, padding, data digest. No socket
// in here: the owner asks where to receive, receives, and says how much came.
//
// One shared receive buffer per loop serves all its connections, because most PDUs arrive whole and are done with before the
// next connection reads. A data segment that is not there in whole yet lands where the sink says (a task's own memory), so
// a large payload is copied once, by the kernel; without such a place it is gathered here.
#pragma once
#include <sys/uio.h>

#include <array>
#include <vector>

#include "core/wire/bhs.h"

namespace iscsi::wire {

struct Digests {
    bool header = false, data = false;
};

class PduSink {
public:
    // The header alone, before any of its data is looked at. false: stop, the connection is to be closed.
    // The reader has checked the length of the data segment against its limit and the header digest.
    virtual bool on_header(const Bhs& header, Bytes ahs) = 0;
    // Nothing of a data segment has come. True: the owner takes all of it from the stream by itself, and says so by passed();
    // padding or a digest behind it is the reader's again. on_pdu then gets no data.
    virtual bool on_passing(const Bhs& header, size_t length) = 0;
    // A place for the data segment of the header just seen, which has not arrived in whole: exactly `length` bytes that stay
    // valid until on_pdu or the end of the connection, or empty to have it gathered. `here` of them have come already and are
    // copied there by the reader; the rest goes there by the kernel alone.
    virtual MutableBytes on_landing(const Bhs& header, size_t length, size_t here) = 0;
    // The whole PDU. `data` is without padding; it is in the landing place, or valid only during the call. false: stop.
    virtual bool on_pdu(const Bhs& header, Bytes ahs, Bytes data) = 0;
    // The data digest does not match (RFC 7143 §7.8.1). false: stop. True goes on with the next PDU: the framing is intact.
    virtual bool on_data_digest_error(const Bhs& header) = 0;
    // Framing is lost (header digest, length over the limit): why. The reader has stopped.
    virtual void on_framing_error(const char* why) = 0;

protected:
    ~PduSink() = default;
};

class PduReader {
public:
    // `max_data`: the longest data segment accepted, our MaxRecvDataSegmentLength (during login 8192 at least).
    explicit PduReader(size_t max_data) : max_data_(max_data) {}
    void set_max_data(size_t max_data) { max_data_ = max_data; }
    void set_digests(Digests digests) { digests_ = digests; }

    // Where the next bytes go: one or two pieces of memory; the second is the rest of `shared`.
    size_t receive_into(MutableBytes shared, std::array<iovec, 2>& where);
    // `n` bytes have come there. false: the sink said stop, or framing is lost.
    bool received(size_t n, MutableBytes shared, PduSink& sink);
    // Between PDUs: nothing of the next one has come.
    bool idle() const { return state_ == State::header && have_ == 0; }
    // While a data segment lands where the sink said: its length. It may be diverted to another place of that length.
    size_t landing() const { return landing_.size(); }
    void move_landing(MutableBytes place);
    // How much of a data segment the owner still has to take from the stream; while it is not 0 nothing is to be received.
    size_t passing() const { return passing_ ? header_.data_segment_length - have_ : 0; }
    // The owner took `n` of it. false: as received().
    bool passed(size_t n, PduSink& sink);
    // Memory held beyond the object, bytes.
    size_t held() const { return gathered_.capacity(); }

private:
    enum class State : uint8_t { header, extra, data, trailer };
    bool consume(Bytes input, PduSink& sink);
    bool header_complete(PduSink& sink);
    bool data_complete(Bytes data, Bytes trailer, PduSink& sink);
    bool fail(const char* why, PduSink& sink);
    size_t extra_length() const;        // AHS and header digest
    size_t trailer_length() const;      // padding and data digest
    Bytes ahs() const;

    size_t max_data_;
    Digests digests_;
    State state_ = State::header;
    Bhs header_;
    size_t have_ = 0;                   // bytes of the current state's part that are there
    std::array<uint8_t, 255 * 4 + 4> extra_{};
    MutableBytes landing_;
    bool passing_ = false;
    std::vector<uint8_t> gathered_;
    std::array<uint8_t, 8> trailer_{};
};

}  // namespace iscsi::wire
