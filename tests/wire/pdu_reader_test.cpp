#include "core/wire/pdu_reader.h"

#include <doctest/doctest.h>

#include <initializer_list>

#include <algorithm>
#include <string>

#include "core/wire/pdu_writer.h"

using namespace iscsi;
using namespace iscsi::wire;

namespace {

struct Seen { uint8_t opcode; std::string ahs, data; bool landed; };

struct Sink final : PduSink {
    std::vector<Seen> seen;
    std::string landing;
    bool offer_landing = false, offer_passing = false, digest_error = false, stop = false;
    const char* framing = nullptr;
    bool on_header(const Bhs&, Bytes) override { return !stop; }
    bool on_passing(const Bhs&, size_t) override { return offer_passing; }
    MutableBytes on_landing(const Bhs&, size_t length, size_t) override {
        if (!offer_landing) return {};
        landing.assign(length, '?');
        return {reinterpret_cast<uint8_t*>(landing.data()), length};
    }
    bool on_pdu(const Bhs& h, Bytes ahs, Bytes data) override {
        bool landed = !landing.empty() && data.data() == reinterpret_cast<const uint8_t*>(landing.data());
        seen.push_back({h.opcode, std::string(as_text(ahs)), std::string(as_text(data)), landed});
        return true;
    }
    bool on_data_digest_error(const Bhs&) override { return digest_error = true; }
    void on_framing_error(const char* why) override { framing = why; }
};

// The PDUs as bytes.
std::string stream(Digests digests) {
    PduBatch batch(1 << 20);
    std::string text = "five!", big(5000, 'b');
    NopOut nop;
    nop.itt = 7;
    batch.append(nop, as_bytes(text), digests);
    DataOut out;
    batch.append(out, as_bytes(big), digests);
    batch.refer(out, as_bytes(big), digests, nullptr);
    batch.append(nop, {}, digests);
    std::string all;
    for (const iovec& piece : batch.pieces()) all.append(static_cast<char*>(piece.iov_base), piece.iov_len);
    CHECK(all.size() == batch.bytes());
    return all;
}

bool feed(PduReader& reader, const std::string& bytes, size_t step, Sink& sink) {
    std::vector<uint8_t> shared(3000);
    for (size_t at = 0; at < bytes.size();) {
        std::array<iovec, 2> where;
        size_t pieces = reader.receive_into(shared, where), room = 0;
        for (size_t i = 0; i < pieces; i++) room += where[i].iov_len;
        size_t n = std::min({step, bytes.size() - at, room}), copied = 0;
        for (size_t i = 0; i < pieces && copied < n; i++) {
            size_t take = std::min(n - copied, where[i].iov_len);
            std::memcpy(where[i].iov_base, bytes.data() + at + copied, take);
            copied += take;
        }
        at += n;
        if (!reader.received(n, shared, sink)) return false;
    }
    return true;
}

}  // namespace

TEST_CASE("PDUs come out of the stream whole, however it is cut, with and without digests and a landing place") {
    for (Digests digests : {Digests{false, false}, {true, false}, {false, true}, {true, true}})
        for (bool landing : {false, true})
            for (size_t step : {size_t(1), size_t(7), size_t(48), size_t(49), size_t(1000), size_t(100000)}) {
                CAPTURE(step);
                CAPTURE(landing);
                PduReader reader(8192);
                reader.set_digests(digests);
                Sink sink;
                sink.offer_landing = landing;
                CHECK(feed(reader, stream(digests), step, sink));
                REQUIRE(sink.seen.size() == 4);
                CHECK(sink.seen[0].data == "five!");
                CHECK(sink.seen[1].data == std::string(5000, 'b'));
                CHECK(sink.seen[1].landed == landing);       // 5000 bytes never fit the shared buffer of 3000
                CHECK(sink.seen[2].data == std::string(5000, 'b'));
                CHECK(sink.seen[3].data.empty());
                CHECK(reader.idle());
                CHECK_FALSE(sink.digest_error);
            }
}

TEST_CASE("a flipped bit is a digest error: of the header it ends framing, of the data it is told") {
    std::string bytes = stream({true, true});
    for (size_t at : {size_t(20), size_t(49)}) {        // in the header, in its digest
        std::string bad = bytes;
        bad[at] ^= 1;
        PduReader reader(8192);
        reader.set_digests({true, true});
        Sink sink;
        CHECK_FALSE(feed(reader, bad, 100000, sink));
        CHECK(sink.framing != nullptr);
        CHECK(sink.seen.empty());
    }
    std::string bad = bytes;
    bad[53] ^= 1;
    PduReader reader(8192);
    reader.set_digests({true, true});
    Sink sink;
    CHECK(feed(reader, bad, 100000, sink));
    CHECK(sink.digest_error);
    CHECK(sink.seen.size() == 3);
}

TEST_CASE("a data segment over the limit is refused before a byte of it is read") {
    Bhs h;
    h.opcode = 0x05;
    h.data_segment_length = 8193;
    PduReader reader(8192);
    Sink sink;
    CHECK_FALSE(feed(reader, std::string(reinterpret_cast<char*>(&h), 48), 48, sink));
    CHECK(sink.framing != nullptr);
    CHECK(reader.held() == 0);
}

TEST_CASE("AHS reach the sink without the header digest") {
    Bhs h;
    h.opcode = 0x01;
    h.total_ahs_length = 2;
    std::string bytes(reinterpret_cast<char*>(&h), 48);
    bytes += "AHSbytes";
    PduReader reader(8192);
    Sink sink;
    CHECK(feed(reader, bytes, 5, sink));
    REQUIRE(sink.seen.size() == 1);
    CHECK(sink.seen[0].ahs == "AHSbytes");
}

TEST_CASE("what a socket did not take is kept in order, copies and references") {
    std::string bytes;
    for (size_t cut : {size_t(0), size_t(10), size_t(60), size_t(5200), size_t(10400)}) {
        PduBatch batch(1 << 20);
        std::string big(5000, 'x');
        NopOut nop;
        batch.append(nop, as_bytes("hello"), {});
        auto keep = std::make_shared<std::string>(big);
        batch.refer(nop, as_bytes(*keep), {}, keep);
        batch.append(nop, as_bytes(big), {});
        std::string all;
        for (const iovec& piece : batch.pieces()) all.append(static_cast<char*>(piece.iov_base), piece.iov_len);
        CHECK(keep.use_count() == 2);
        Unsent rest;
        rest.take(batch, std::min(cut, all.size()));
        CHECK(batch.empty());
        CHECK(keep.use_count() == (rest.empty() ? 1 : 2));
        std::string got = all.substr(0, cut);
        while (!rest.empty()) {
            iovec pieces[4];
            std::vector<ApartPiece> files;
            size_t n = rest.gather(pieces, 4, files);
            REQUIRE(n > 0);
            size_t take = std::min<size_t>(pieces[0].iov_len, 777);
            got.append(static_cast<char*>(pieces[0].iov_base), take);
            rest.sent(take);
        }
        CHECK(got == all);
        CHECK(keep.use_count() == 1);
    }
}

TEST_CASE("parts of a file stand between the pieces, and are cut like them") {
    auto keep = std::make_shared<int>(0);
    for (size_t cut : {size_t(0), size_t(50), size_t(148), size_t(149), size_t(300)}) {
        CAPTURE(cut);
        PduBatch batch(1 << 16);
        DataIn in;
        batch.refer_file(in, {7, 0, 4096}, 101, {}, keep);         // 48 + 101 + 3 of padding
        batch.append(in, as_bytes("hello"), {});                // 48 + 5 + 3
        batch.refer_file(in, {8, 0, 512}, 96, {}, keep);
        CHECK(batch.bytes() == 48 + 104 + 48 + 8 + 48 + 96);
        REQUIRE(batch.apart().size() == 2);
        CHECK(batch.pieces()[batch.apart()[0].index].iov_base == nullptr);
        CHECK(batch.pieces()[batch.apart()[1].index].iov_len == 96);
        Unsent rest;
        rest.take(batch, cut);
        CHECK(rest.bytes() == 352 - cut);
        CHECK(batch.apart().empty());
        size_t from_files = 0, at = cut;
        while (!rest.empty()) {
            iovec pieces[4];
            std::vector<ApartPiece> files;
            REQUIRE(rest.gather(pieces, 4, files) > 0);
            const size_t take = std::min<size_t>(pieces[0].iov_len, 40);
            if (!pieces[0].iov_base) {
                REQUIRE(!files.empty());
                CHECK(files[0].index == 0);
                CHECK(files[0].fd == (at < 200 ? 7 : 8));
                CHECK(files[0].offset == (at < 200 ? 4096 + at - 48 : 512 + at - 256));
                from_files += take;
            }
            rest.sent(take);
            at += take;
        }
        CHECK(at == 352);
        CHECK(from_files == 101 - (std::clamp<size_t>(cut, 48, 149) - 48) + 96 - (std::clamp<size_t>(cut, 256, 352) - 256));
        CHECK(keep.use_count() == 1);
    }
}

TEST_CASE("a data segment that the owner takes itself is not looked for in the stream") {
    Bhs h;
    h.opcode = 0x05;
    h.data_segment_length = 5000;
    std::string header(reinterpret_cast<char*>(&h), 48);
    PduReader reader(8192);
    Sink sink;
    sink.offer_passing = true;
    CHECK(feed(reader, header, 48, sink));
    CHECK(reader.passing() == 5000);
    CHECK(reader.passed(4999, sink));
    CHECK(reader.passing() == 1);
    CHECK(sink.seen.empty());
    CHECK(reader.passed(1, sink));
    CHECK(reader.passing() == 0);
    REQUIRE(sink.seen.size() == 1);
    CHECK(sink.seen[0].data.empty());
    h.data_segment_length = 5;                      // with padding, which the reader takes
    CHECK(feed(reader, std::string(reinterpret_cast<char*>(&h), 48), 48, sink));
    CHECK(reader.passed(5, sink));
    CHECK(sink.seen.size() == 1);
    CHECK(feed(reader, std::string(3, '\0') + header.substr(0, 10), 48, sink));
    CHECK(sink.seen.size() == 2);
    sink.offer_passing = true;                      // what has begun to come in is not offered
    CHECK(feed(reader, header.substr(10) + "x", 48, sink));
    CHECK(reader.passing() == 0);
}
