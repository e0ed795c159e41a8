#include "core/wire/pdu_writer.h"

#include <algorithm>

#include "core/wire/digest.h"

namespace iscsi::wire {

void PduBatch::extend(size_t n) {
    uint8_t* start = arena_.data() + used_;
    if (!pieces_.empty() && pieces_.back().iov_base && static_cast<uint8_t*>(pieces_.back().iov_base) + pieces_.back().iov_len == start)
        pieces_.back().iov_len += n;
    else
        pieces_.push_back({start, n});
    used_ += n;
    bytes_ += n;
}

void PduBatch::put_header(const Bhs& header, Digests digests) {
    uint8_t* at = arena_.data() + used_;
    std::memcpy(at, &header, bhs_length);
    if (digests.header) put_digest(at + bhs_length, crc32c(0, {at, bhs_length}));
    extend(header_size(digests));
}

void PduBatch::put_trailer(Bytes data, Digests digests) {
    if (data.empty()) return;
    uint8_t* at = arena_.data() + used_;
    size_t padding = pad4(data.size()) - data.size();
    std::memset(at, 0, padding);
    if (digests.data) put_digest(at + padding, crc32c(crc32c(0, data), {at, padding}));
    if (size_t n = padding + (digests.data ? 4 : 0)) extend(n);
}

void PduBatch::commit_bytes(const Bhs& header, Digests digests) {
    put_header(header, digests);
    Bytes data(arena_.data() + used_, header.data_segment_length);
    if (!data.empty()) extend(data.size());
    put_trailer(data, digests);
}

void PduBatch::refer_bytes(const Bhs& header, Bytes data, Digests digests, std::shared_ptr<const void> keep, uint32_t memory) {
    put_header(header, digests);
    if (data.empty()) return;
    refer_piece({const_cast<uint8_t*>(data.data()), data.size()}, std::move(keep));
    if (memory > 0) apart_.push_back({-1, memory, keep_.size() - 1, pieces_.size() - 1});
    put_trailer(data, digests);
}

void PduBatch::refer_file_bytes(const Bhs& header, ApartPiece file, size_t length, Digests digests, std::shared_ptr<const void> keep) {
    put_header(header, digests);
    if (length == 0) return;
    file.index = pieces_.size();
    apart_.push_back(file);
    refer_piece({nullptr, length}, std::move(keep));
    if (size_t padding = pad4(length) - length) {
        std::memset(arena_.data() + used_, 0, padding);
        extend(padding);
    }
}

void PduBatch::refer_piece(iovec piece, std::shared_ptr<const void> keep) {
    pieces_.push_back(piece);
    bytes_ += piece.iov_len;
    if (keep && (keep_.empty() || keep_.back() != keep)) keep_.push_back(std::move(keep));
}

void PduBatch::clear() {
    used_ = bytes_ = 0;
    pieces_.clear();
    apart_.clear();
    keep_.clear();
}

void Unsent::take(PduBatch& batch, size_t sent) {
    auto inside = [&](const uint8_t* p) { return p >= batch.arena_.data() && p < batch.arena_.data() + batch.arena_.size(); };
    copies_.reserve(batch.used_);           // pieces point into it, so it must not move
    auto next = batch.apart_.begin();
    for (size_t i = 0; i < batch.pieces_.size(); i++) {
        const iovec& piece = batch.pieces_[i];
        ApartPiece apart;
        if (next != batch.apart_.end() && next->index == i) apart = *next++;
        size_t gone = std::min(sent, piece.iov_len);
        sent -= gone;
        if (gone == piece.iov_len) continue;
        size_t left = piece.iov_len - gone;
        bytes_ += left;
        if (!piece.iov_base) {
            apart.offset += gone;
            pieces_.push_back({{nullptr, left}, apart});
            continue;
        }
        auto* p = static_cast<uint8_t*>(piece.iov_base) + gone;
        if (inside(p)) {
            copies_.insert(copies_.end(), p, p + left);
            p = copies_.data() + copies_.size() - left;
        }
        pieces_.push_back({{p, left}, apart});
    }
    if (!pieces_.empty()) keep_.swap(batch.keep_);
    batch.clear();
}

size_t Unsent::gather(iovec* out, size_t max, std::vector<ApartPiece>& apart) const {
    apart.clear();
    size_t n = std::min(max, pieces_.size());
    for (size_t i = 0; i < n; i++) {
        out[i] = pieces_[i].bytes;
        if (out[i].iov_base && pieces_[i].apart.memory == 0) continue;
        apart.push_back(pieces_[i].apart);
        apart.back().index = i;
    }
    return n;
}

void Unsent::sent(size_t n) {
    bytes_ -= n;
    while (n > 0 && !pieces_.empty()) {
        Piece& front = pieces_.front();
        size_t gone = std::min(n, front.bytes.iov_len);
        if (front.bytes.iov_base)
            front.bytes.iov_base = static_cast<uint8_t*>(front.bytes.iov_base) + gone;
        else
            front.apart.offset += gone;
        front.bytes.iov_len -= gone;
        n -= gone;
        if (front.bytes.iov_len == 0) pieces_.pop_front();
    }
    if (pieces_.empty()) {
        std::vector<uint8_t>().swap(copies_);
        keep_.clear();
    }
}

}  // namespace iscsi::wire
