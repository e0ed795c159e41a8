// Gathers the PDUs of one wake-up for one connection, so that they leave in one system call. Headers and small payloads are
// written into one arena, one behind the other; large payloads are referred to. One batch per loop serves all its
// connections in turn: fill, send, and what the socket did not take is kept by the connection (Unsent).
#pragma once
#include <sys/uio.h>

#include <deque>
#include <memory>
#include <vector>

#include "core/base/buffer.h"
#include "core/wire/bhs.h"
#include "core/wire/pdu_reader.h"

namespace iscsi::wire {

// One of a list of pieces to send that goes by a call of its own: part of a file, or memory that the kernel may refer to.
struct ApartPiece {
    int fd = -1;
    uint32_t memory = 0;    // not 0: no file, but part of so much memory. Nobody changes that while it is kept
    uint64_t offset = 0;    // bytes; of memory: which of kept() keeps it
    size_t index = 0;       // its place in the list, which has its length
};

class PduBatch {
public:
    static constexpr size_t max_pieces = 256;
    static constexpr size_t max_bytes = 256 * 1024;         // then it goes out, so that others have their turn
    // `capacity`: bytes of the arena.
    explicit PduBatch(size_t capacity) : arena_(capacity) {}

    // Room for a PDU with `data` bytes inline (0 for a referred payload)?
    bool has_room(size_t data) const { return pieces_.size() + 3 < max_pieces && bytes_ < max_bytes && arena_.size() - used_ >= data + overhead; }
    bool empty() const { return bytes_ == 0; }
    size_t bytes() const { return bytes_; }

    // Inline payload: first take the place for the data of the next PDU (behind its header, not yet part of the batch), fill
    // it, then commit with the header. REQUIRES has_room(length).
    MutableBytes payload_place(size_t length, Digests digests) {
        return arena_.span().subspan(used_ + header_size(digests), length);
    }
    // Appends header + the first header.data_segment_length bytes of payload_place(). Padding and digests are added.
    template <class Header>
    void commit(const Header& header, Digests digests) { commit_bytes(header_cast<Bhs>(header), digests); }
    // Appends header + a copy of `data`; sets DataSegmentLength.
    template <class Header>
    void append(Header header, Bytes data, Digests digests) {
        header.data_segment_length = uint32_t(data.size());
        MutableBytes place = payload_place(data.size(), digests);
        if (!data.empty()) std::memcpy(place.data(), data.data(), data.size());
        commit_bytes(header_cast<Bhs>(header), digests);
    }
    // Appends header + a reference to `data`, which must stay as it is until it has been sent (kept alive by `keep`). Not 0: it
    // is part of so much `memory`, and the kernel may refer to it too, for as long as it is kept.
    template <class Header>
    void refer(Header header, Bytes data, Digests digests, std::shared_ptr<const void> keep, uint32_t memory = 0) {
        header.data_segment_length = uint32_t(data.size());
        refer_bytes(header_cast<Bhs>(header), data, digests, std::move(keep), memory);
    }

    // Appends header + the next `length` bytes of a file, which the kernel sends by itself. REQUIRES no data digest.
    template <class Header>
    void refer_file(Header header, ApartPiece file, size_t length, Digests digests, std::shared_ptr<const void> keep) {
        header.data_segment_length = uint32_t(length);
        refer_file_bytes(header_cast<Bhs>(header), file, length, digests, std::move(keep));
    }

    // In order; where a part of a file stands, iov_base is nullptr.
    std::vector<iovec>& pieces() { return pieces_; }
    const std::vector<ApartPiece>& apart() const { return apart_; }
    const std::vector<std::shared_ptr<const void>>& kept() const { return keep_; }
    void clear();

private:
    friend class Unsent;
    static constexpr size_t overhead = bhs_length + 4 + 3 + 4;
    static size_t header_size(Digests d) { return bhs_length + (d.header ? 4 : 0); }
    void put_header(const Bhs& header, Digests digests);
    void put_trailer(Bytes data, Digests digests);
    void extend(size_t n);              // the arena's next n bytes join the last piece
    void commit_bytes(const Bhs& header, Digests digests);
    void refer_bytes(const Bhs& header, Bytes data, Digests digests, std::shared_ptr<const void> keep, uint32_t memory);
    void refer_file_bytes(const Bhs& header, ApartPiece file, size_t length, Digests digests, std::shared_ptr<const void> keep);
    void refer_piece(iovec piece, std::shared_ptr<const void> keep);

    Buffer arena_;
    size_t used_ = 0, bytes_ = 0;
    std::vector<iovec> pieces_;
    std::vector<ApartPiece> apart_;
    std::vector<std::shared_ptr<const void>> keep_;
};

// What a connection still has to send: copies of the arena's bytes, references to the rest.
class Unsent {
public:
    // The rest of `batch` after its first `sent` bytes; the batch is cleared. REQUIRES empty().
    void take(PduBatch& batch, size_t sent);
    bool empty() const { return pieces_.empty(); }
    size_t bytes() const { return bytes_; }
    // Up to `max` pieces, in order, as PduBatch::pieces() and apart().
    size_t gather(iovec* out, size_t max, std::vector<ApartPiece>& apart) const;
    const std::vector<std::shared_ptr<const void>>& kept() const { return keep_; }
    void sent(size_t n);

private:
    struct Piece {
        iovec bytes;
        ApartPiece apart;   // if it is one
    };
    std::vector<uint8_t> copies_;
    std::deque<Piece> pieces_;
    std::vector<std::shared_ptr<const void>> keep_;
    size_t bytes_ = 0;
};

}  // namespace iscsi::wire
