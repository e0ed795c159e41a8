#include "tests/support/target_harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/scsi/disk.h"
#include "core/store/memory.h"
#include "core/target/connection.h"
#include "core/wire/digest.h"

namespace iscsi::target {

TestTarget::TestTarget(ServerOptions options, std::shared_ptr<store::Store> medium) {
    ::signal(SIGPIPE, SIG_IGN);         // as the daemons do
    server = std::move(*Server::create(directory, std::move(options)));
    REQUIRE(server->add_portal("127.0.0.1", 0));
    std::string portal = server->portals().front();
    port = uint16_t(std::stoi(portal.substr(portal.rfind(':') + 1)));
    target = add_target(1, target_iqn);
    store = std::make_shared<store::TestStore>(medium ? std::move(medium) : *store::make_ram("1M", medium_size));
    REQUIRE(target->router.add(0, scsi::make_controller({1, 0, target_iqn, "host"})));
    scsi::DiskOptions disk;
    disk.identity = {1, 1, target_iqn, "host"};
    REQUIRE(target->router.add(1, scsi::Disk::over(store, disk)));
}

TestTarget::~TestTarget() { store->release(); }

std::shared_ptr<Target> TestTarget::add_target(int tid, const std::string& name) {
    auto added = directory.add(tid, name);
    added->change([](TargetConfig& c) {
        c.acl.add_address("ALL");
        c.limits.header_digest = c.limits.data_digest = nego::Digests::crc32c_none;
        c.limits.max_outstanding_r2t = 4;
        c.limits.initial_r2t = false;
    });
    return added;
}

void TestTarget::hang_disk() {
    store->cold = true;
    store->hang();
}

void TestTarget::await_stuck(int requests) {
    REQUIRE(until([&] { return store->stuck >= requests; }));
}

void TestTarget::free_disk() {
    store->release();
    store->cold = false;
}

RawClient::RawClient(TestTarget& target) : server_(target), fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(target.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

RawClient::~RawClient() = default;

void RawClient::half_close() { ::shutdown(fd_.get(), SHUT_WR); }

void RawClient::send_raw(Bytes bytes) {
    while (!bytes.empty()) {
        ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            bytes = bytes.subspan(size_t(n));
            continue;
        }
        if (errno != EAGAIN) return;            // closed: the test will see that
        if (!take()) return;
        server_.turn(0);
    }
}

void RawClient::send_pdu(wire::Bhs header, Bytes data, Bytes ahs) {
    header.data_segment_length = uint32_t(data.size());
    header.total_ahs_length = uint8_t(ahs.size() / 4);
    std::vector<uint8_t> out(sizeof header);
    std::memcpy(out.data(), &header, sizeof header);
    out.insert(out.end(), ahs.begin(), ahs.end());
    auto digest = [&](size_t from) {
        uint32_t crc = wire::crc32c(0, Bytes(out).subspan(from));
        out.resize(out.size() + 4);
        wire::put_digest(out.data() + out.size() - 4, crc);
    };
    if (header_digest) digest(0);
    size_t at = out.size();
    out.insert(out.end(), data.begin(), data.end());
    out.resize(at + pad4(data.size()));
    if (data_digest && !data.empty()) digest(at);
    send_raw(out);
}

bool RawClient::take() {
    uint8_t buffer[65536];
    while (fd_ && !ended_) {
        ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (n > 0)
            in_.insert(in_.end(), buffer, buffer + n);
        else if (n == 0 || errno != EAGAIN)
            ended_ = true;
        else
            break;
    }
    return !ended_;
}

std::optional<Pdu> RawClient::cut() {
    if (in_.size() < sizeof(wire::Bhs)) return std::nullopt;
    Pdu pdu;
    std::memcpy(static_cast<void*>(&pdu.header), in_.data(), sizeof pdu.header);
    size_t length = pdu.header.data_segment_length;
    size_t at = sizeof pdu.header + (header_digest ? 4 : 0);
    size_t whole = at + pad4(length) + (data_digest && length ? 4 : 0);
    if (in_.size() < whole) return std::nullopt;
    CHECK(pdu.header.total_ahs_length == 0);
    if (header_digest) CHECK(wire::get_digest(&in_[sizeof pdu.header]) == wire::crc32c(0, Bytes(in_).first(sizeof pdu.header)));
    if (data_digest && length) CHECK(wire::get_digest(&in_[whole - 4]) == wire::crc32c(0, Bytes(in_).subspan(at, pad4(length))));
    pdu.data.assign(in_.begin() + ptrdiff_t(at), in_.begin() + ptrdiff_t(at + length));
    in_.erase(in_.begin(), in_.begin() + ptrdiff_t(whole));
    return pdu;
}

std::optional<Pdu> RawClient::receive() {
    std::optional<Pdu> pdu;
    server_.until([&] {
        take();
        pdu = cut();
        return pdu || ended_;
    });
    return pdu;
}

bool RawClient::quiet() {
    server_.turn(10);
    take();
    return !ended_ && in_.empty();
}

bool RawClient::closed() {
    return server_.until([&] { return !take(); });
}

std::string text_of(std::initializer_list<std::string> keys) {
    std::string text;
    for (const std::string& key : keys) text += key + '\0';
    return text;
}

wire::LoginRequest RawClient::login_header(wire::Stage csg, wire::Stage nsg, bool transit) const {
    wire::LoginRequest r;
    r.flags = uint8_t((transit ? wire::LoginRequest::transit_bit : 0) | uint8_t(csg) << 2 | (transit ? uint8_t(nsg) : 0));
    for (int i = 0; i < 6; i++) r.isid[i] = uint8_t(isid >> (40 - 8 * i));
    r.tsih = tsih;
    r.itt = itt;
    r.cid = cid;
    r.cmd_sn = cmd_sn;
    return r;
}

uint16_t RawClient::login(std::vector<std::string> keys) {
    std::string text = text_of({"InitiatorName=" + initiator, "SessionType=" + session_type});
    if (session_type == "Normal") text += text_of({"TargetName=" + target_name});
    for (const std::string& key : keys) text += key + '\0';
    bool want_header = false, want_data = false;
    for (const std::string& key : keys) {
        want_header |= key == "HeaderDigest=CRC32C";
        want_data |= key == "DataDigest=CRC32C";
    }
    answers.clear();
    for (int round = 0; round < 4; round++) {
        send_text(login_header(wire::Stage::operational, wire::Stage::full_feature), text);
        auto pdu = receive();
        if (!pdu || pdu->op() != wire::Opcode::login_response) return 0xffff;
        auto r = pdu->as<wire::LoginResponse>();
        answers += pdu->text();
        if (r.status != 0) return r.status;
        if (r.flags & wire::LoginResponse::transit_bit) {
            tsih = r.tsih;
            header_digest = want_header;
            data_digest = want_data;
            itt++;
            return 0;
        }
        text.clear();
    }
    return 0xfffe;
}

uint16_t RawClient::discovery() {
    session_type = "Discovery";
    return login();
}

void RawClient::enter(std::vector<std::string> keys) {
    REQUIRE(login(std::move(keys)) == 0);
    drop_attentions();
}

wire::ScsiCommand RawClient::command(std::initializer_list<uint8_t> cdb, uint32_t length, uint8_t flags) {
    wire::ScsiCommand c;
    c.flags = uint8_t(flags | 1);               // SIMPLE
    c.lun = lun1;
    c.itt = itt++;
    c.expected_data_transfer_length = length;
    c.cmd_sn = cmd_sn++;
    std::copy(cdb.begin(), cdb.end(), c.cdb);
    return c;
}

wire::ScsiCommand RawClient::read(uint32_t lba, uint16_t blocks) {
    return command({0x28, 0, uint8_t(lba >> 24), uint8_t(lba >> 16), uint8_t(lba >> 8), uint8_t(lba), 0, uint8_t(blocks >> 8), uint8_t(blocks), 0},
                   blocks * 512u, wire::final_bit | wire::ScsiCommand::read_bit);
}

wire::ScsiCommand RawClient::write(uint32_t lba, uint16_t blocks) {
    return command({0x2a, 0, uint8_t(lba >> 24), uint8_t(lba >> 16), uint8_t(lba >> 8), uint8_t(lba), 0, uint8_t(blocks >> 8), uint8_t(blocks), 0},
                   blocks * 512u, wire::final_bit | wire::ScsiCommand::write_bit);
}

wire::DataOut RawClient::data_out(const wire::ScsiCommand& c, uint32_t ttt, uint32_t sn, uint32_t offset, bool final) const {
    wire::DataOut d;
    d.flags = final ? wire::final_bit : 0;
    d.lun = c.lun;
    d.itt = uint32_t(c.itt);
    d.ttt = ttt;
    d.data_sn = sn;
    d.buffer_offset = offset;
    return d;
}

wire::TmfRequest RawClient::tmf(wire::TmfFunction function, uint32_t referenced, uint64_t lun) {
    wire::TmfRequest t;
    t.function = uint8_t(wire::final_bit | uint8_t(function));
    t.lun = lun;
    t.itt = itt++;
    t.referenced_task_tag = referenced;
    t.cmd_sn = cmd_sn;
    return t;
}

void RawClient::drop_attentions() {
    for (int i = 0; i < 10; i++) {
        send(command({0x00}));
        if (expect<wire::ScsiResponse>().status == 0) return;
    }
    FAIL("unit attentions do not end");
}

wire::NopOut RawClient::ping() {
    wire::NopOut n;
    n.opcode |= wire::immediate_bit;
    n.itt = itt++;
    n.ttt = wire::reserved_tag;
    n.cmd_sn = cmd_sn;
    return n;
}

wire::ScsiCommand RawClient::send_hung(const wire::ScsiCommand& c, Bytes data) {
    server_.hang_disk();
    send(c, data);
    server_.await_stuck();
    return c;
}

wire::ScsiCommand RawClient::hung_write(uint32_t lba) { return send_hung(write(lba, 1), std::vector<uint8_t>(512, 0xaa)); }

std::shared_ptr<store::Store> file_medium(const std::string& path, size_t size) {
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(::ftruncate(file.get(), off_t(size)) == 0);
    auto medium = store::open_store("rdwr", path, {});
    REQUIRE(medium);
    return *medium;
}

std::vector<uint8_t> read_back(store::Store& medium, uint64_t offset, size_t length) {
    std::vector<uint8_t> bytes(length);
    store::Request r;
    r.op = store::Op::read;
    r.offset = offset;
    r.data = bytes;
    r.length = length;
    CHECK(medium.perform(r) == 0);
    return bytes;
}

}  // namespace iscsi::target
