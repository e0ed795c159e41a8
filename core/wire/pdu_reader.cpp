#include "core/wire/pdu_reader.h"

#include <algorithm>

#include "core/wire/digest.h"

namespace iscsi::wire {

namespace {
constexpr size_t keep_gathered = 16 * 1024;     // a larger gather buffer is given back after use
}

size_t PduReader::extra_length() const {
    return size_t(header_.total_ahs_length) * 4 + (digests_.header ? 4 : 0);
}

size_t PduReader::trailer_length() const {
    size_t length = header_.data_segment_length;
    if (length == 0) return 0;
    return pad4(length) - length + (digests_.data ? 4 : 0);
}

Bytes PduReader::ahs() const { return Bytes(extra_).first(size_t(header_.total_ahs_length) * 4); }

bool PduReader::fail(const char* why, PduSink& sink) {
    sink.on_framing_error(why);
    return false;
}

// What has landed already goes along only for the digest; without one nobody looks at a payload that is turned away.
void PduReader::move_landing(MutableBytes place) {
    if (digests_.data) std::copy_n(landing_.begin(), state_ == State::data ? have_ : landing_.size(), place.begin());
    landing_ = place;
}

size_t PduReader::receive_into(MutableBytes shared, std::array<iovec, 2>& where) {
    if (state_ == State::data && have_ < landing_.size()) {
        where[0] = {landing_.data() + have_, landing_.size() - have_};
        where[1] = {shared.data(), shared.size()};
        return 2;
    }
    where[0] = {shared.data(), shared.size()};
    return 1;
}

bool PduReader::received(size_t n, MutableBytes shared, PduSink& sink) {
    if (state_ == State::data && have_ < landing_.size()) {
        size_t landed = std::min(n, landing_.size() - have_);
        have_ += landed;
        n -= landed;
        if (have_ < landing_.size()) return true;
        if (trailer_length() == 0) {
            if (!data_complete(landing_, {}, sink)) return false;
        } else {
            state_ = State::trailer;
            have_ = 0;
        }
    }
    return consume(Bytes(shared).first(n), sink);
}

bool PduReader::passed(size_t n, PduSink& sink) {
    have_ += n;
    if (have_ < header_.data_segment_length) return true;
    have_ = 0;
    passing_ = false;
    state_ = State::trailer;
    return trailer_length() > 0 || data_complete({}, {}, sink);
}

// Takes what `input` has of a part of `want` bytes; true when the part is whole.
static bool fill(Bytes& input, uint8_t* part, size_t want, size_t& have) {
    size_t take = std::min(input.size(), want - have);
    std::copy_n(input.data(), take, part + have);
    have += take;
    input = input.subspan(take);
    return have == want;
}

bool PduReader::consume(Bytes input, PduSink& sink) {
    for (;;) {
        switch (state_) {
        case State::header:
            if (input.empty()) return true;
            if (!fill(input, reinterpret_cast<uint8_t*>(&header_), bhs_length, have_)) return true;
            have_ = 0;
            if (header_.data_segment_length > max_data_) return fail("data segment longer than MaxRecvDataSegmentLength", sink);
            state_ = State::extra;
            [[fallthrough]];
        case State::extra:
            if (!fill(input, extra_.data(), extra_length(), have_)) return true;
            have_ = 0;
            if (!header_complete(sink)) return false;
            state_ = State::data;
            [[fallthrough]];
        case State::data: {
            size_t length = header_.data_segment_length, trailing = trailer_length();
            if (have_ == 0 && landing_.empty() && input.size() >= length + trailing) {     // all here: no copy
                Bytes data = input.first(length), trailer = input.subspan(length, trailing);
                input = input.subspan(length + trailing);
                if (!data_complete(data, trailer, sink)) return false;
                continue;
            }
            if (landing_.empty()) {
                if (input.empty() && length > 0 && sink.on_passing(header_, length)) {
                    passing_ = true;
                    return true;
                }
                landing_ = sink.on_landing(header_, length, std::min(length, input.size()));
                if (landing_.size() != length) {
                    gathered_.resize(length);
                    landing_ = gathered_;
                }
            }
            if (!fill(input, landing_.data(), length, have_)) return true;
            have_ = 0;
            state_ = State::trailer;
            [[fallthrough]];
        }
        case State::trailer:
            if (!fill(input, trailer_.data(), trailer_length(), have_)) return true;
            if (!data_complete(landing_, Bytes(trailer_).first(trailer_length()), sink)) return false;
            continue;
        }
    }
}

bool PduReader::header_complete(PduSink& sink) {
    if (digests_.header) {
        uint32_t crc = crc32c(0, {reinterpret_cast<const uint8_t*>(&header_), bhs_length});
        crc = crc32c(crc, ahs());
        if (get_digest(extra_.data() + ahs().size()) != crc) return fail("header digest error", sink);
    }
    return sink.on_header(header_, ahs());
}

bool PduReader::data_complete(Bytes data, Bytes trailer, PduSink& sink) {
    bool intact = true;
    if (digests_.data && !data.empty()) {
        uint32_t crc = crc32c(0, data);
        size_t padding = trailer.size() - 4;
        crc = crc32c(crc, trailer.first(padding));
        intact = get_digest(trailer.data() + padding) == crc;
    }
    bool go_on = intact ? sink.on_pdu(header_, ahs(), data) : sink.on_data_digest_error(header_);
    state_ = State::header;
    have_ = 0;
    landing_ = {};
    if (gathered_.capacity() > keep_gathered) std::vector<uint8_t>().swap(gathered_);
    return go_on;
}

}  // namespace iscsi::wire
