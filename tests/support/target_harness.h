// A real target::Server over loopback TCP and a client that speaks raw PDUs, both driven by one thread: whoever waits for
// something turns the server's loop meanwhile.
#pragma once
#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "core/target/server.h"
#include "core/wire/bhs.h"
#include "tests/support/test_store.h"

namespace iscsi::target {

inline constexpr uint64_t lun1 = uint64_t(1) << 48;
inline constexpr const char* target_iqn = "iqn.2026-01.example:disk";

struct Pdu {
    wire::Bhs header;
    std::vector<uint8_t> data;
    template <class T>
    T as() const { return wire::header_cast<T>(header); }
    wire::Opcode op() const { return header.op(); }
    std::string text() const { return {data.begin(), data.end()}; }
};

struct TestTarget {
    // The disk: `medium`, or one in memory.
    explicit TestTarget(ServerOptions options = {}, std::shared_ptr<store::Store> medium = nullptr);
    ~TestTarget();
    // Turns the loop until `done` says so; false after two seconds.
    template <class F>
    bool until(F done) {
        for (uint64_t end = io::Loop::clock_ms() + 2000; !done();) {
            if (io::Loop::clock_ms() > end) return false;
            server->loop().run_once(1);
        }
        return true;
    }
    // What the clients have sent is dealt with. Loopback takes a moment to hand bytes over.
    void turn(uint64_t ms = 5) {
        for (uint64_t end = io::Loop::clock_ms() + ms; io::Loop::clock_ms() <= end;) server->loop().run_once(1);
    }
    std::shared_ptr<Target> add_target(int tid, const std::string& name);
    // From now on nothing comes out of a cache, and no request returns from the disk.
    void hang_disk();
    void await_stuck(int requests = 1);     // so many are there
    void free_disk();

    Directory directory;
    std::unique_ptr<Server> server;
    uint16_t port = 0;
    std::shared_ptr<Target> target;
    std::shared_ptr<store::TestStore> store;
    uint64_t medium_size = 1 << 20;        // size of the RAM disk
};

class RawClient {
public:
    explicit RawClient(TestTarget& target);
    ~RawClient();
    RawClient(const RawClient&) = delete;

    // DataSegmentLength and TotalAHSLength are set, padding and digests added.
    template <class Header>
    void send(const Header& header, Bytes data = {}, Bytes ahs = {}) { send_pdu(wire::header_cast<wire::Bhs>(header), data, ahs); }
    template <class Header>
    void send_text(const Header& header, const std::string& text) { send(header, as_bytes(text)); }
    // A header that promises so much data, which is the caller's to send.
    template <class Header>
    void send_head(Header header, size_t length) {
        header.data_segment_length = uint32_t(length);
        send_raw({reinterpret_cast<const uint8_t*>(&header), sizeof header});
    }
    void send_raw(Bytes bytes);
    std::optional<Pdu> receive();           // nothing: closed, or nothing came
    template <class Header>
    Header expect(std::vector<uint8_t>* data = nullptr) {
        auto pdu = receive();
        REQUIRE_MESSAGE(pdu, "no PDU where one was due");
        REQUIRE(int(pdu->op()) == int(Header().opcode & wire::opcode_mask));
        if (data) *data = pdu->data;
        return pdu->as<Header>();
    }
    bool quiet();                           // nothing comes and the connection stays
    bool closed();                          // the target closes it, perhaps after PDUs
    void close() { fd_.reset(); }
    int fd() const { return fd_.get(); }
    void half_close();

    // One Login Request; the answer is the caller's to receive.
    wire::LoginRequest login_header(wire::Stage csg, wire::Stage nsg, bool transit = true) const;
    // A whole login with these operational keys; the last response's status.
    uint16_t login(std::vector<std::string> keys = {});
    uint16_t discovery();
    // A login that goes through, and the unit attentions heard.
    void enter(std::vector<std::string> keys = {});

    wire::ScsiCommand command(std::initializer_list<uint8_t> cdb, uint32_t length = 0, uint8_t flags = wire::final_bit);
    wire::ScsiCommand read(uint32_t lba, uint16_t blocks);
    wire::ScsiCommand write(uint32_t lba, uint16_t blocks);
    wire::DataOut data_out(const wire::ScsiCommand& c, uint32_t ttt, uint32_t sn, uint32_t offset, bool final) const;
    wire::TmfRequest tmf(wire::TmfFunction function, uint32_t referenced = wire::reserved_tag, uint64_t lun = lun1);
    void drop_attentions();                 // TEST UNIT READY until it is good
    wire::NopOut ping();                    // immediate
    // Hangs the disk and sends what gets stuck there.
    wire::ScsiCommand send_hung(const wire::ScsiCommand& c, Bytes data = {});
    wire::ScsiCommand hung_write(uint32_t lba = 0);     // of a block

    std::string initiator = "iqn.2026-01.example:initiator", target_name = target_iqn, session_type = "Normal";
    uint64_t isid = 0x00023d000001;
    uint16_t tsih = 0, cid = 1;
    uint32_t itt = 1, cmd_sn = 1;
    std::string answers;                    // of the login
    bool header_digest = false, data_digest = false;

private:
    void send_pdu(wire::Bhs header, Bytes data, Bytes ahs);
    bool take();                            // what the socket has; false: end of stream
    std::optional<Pdu> cut();
    TestTarget& server_;
    Fd fd_;
    std::vector<uint8_t> in_;
    bool ended_ = false;
};

// A client that is logged in, and its target.
struct OneSession {
    TestTarget target;
    RawClient client{target};
    explicit OneSession(std::vector<std::string> keys = {}) { client.enter(std::move(keys)); }
};

// A file of `size` zero bytes as a medium.
std::shared_ptr<store::Store> file_medium(const std::string& path, size_t size);
// What is on it, past any cache of ours.
std::vector<uint8_t> read_back(store::Store& medium, uint64_t offset, size_t length);

std::string text_of(std::initializer_list<std::string> keys);
uint64_t number_of_tasks(TestTarget& target);

}  // namespace iscsi::target
