#include "core/mgmt/tgt_ops.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "core/base/log.h"

using namespace iscsi;
using namespace iscsi::mgmt;

namespace {

struct FakeDaemon final : TgtDaemon {
    std::vector<std::string> open = {"[::]:3260", "0.0.0.0:3260"};
    bool stopped = false, listening = true, isns_works = false;
    Result<void> add_portal(const std::string& host, uint16_t port) override {
        if (host == "192.0.2.250") return Error{EADDRNOTAVAIL, "listen on", host};
        open.insert(open.begin(), host + ":" + std::to_string(port));
        return {};
    }
    bool remove_portal(const std::string& host, uint16_t port) override {
        return std::erase(open, host + ":" + std::to_string(port)) != 0;
    }
    std::vector<std::string> portals() const override { return open; }
    Result<void> listen(bool on) override { listening = on; return {}; }
    bool configure_isns(const IsnsSettings&) override { return isns_works; }
    void stop() override { stopped = true; }
};

struct Fixture {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    target::Directory directory;
    FakeDaemon daemon;
    std::unique_ptr<TgtOps> ops;
    char file[24] = "/tmp/tgt_opsXXXXXX";

    Fixture() {
        log::open("test", log::Sink::quiet, log::Level::error);
        Fd fd(::mkstemp(file));
        REQUIRE(fd);
        REQUIRE(::ftruncate(fd.get(), 64 << 20) == 0);
        TgtOps::Options options;
        options.drop_ms = 100;
        ops = std::make_unique<TgtOps>(*loop, directory, daemon, options);
    }
    ~Fixture() { ::unlink(file); }

    // The answer, or code 99 if it does not come at once.
    TgtAnswer ask(const TgtRequest& r) {
        auto answer = std::make_shared<TgtAnswer>(TgtAnswer{TgtCode(99), ""});
        ops->handle(r, std::make_shared<TgtReply>([answer](TgtAnswer a) { *answer = std::move(a); }));
        return *answer;
    }
    TgtAnswer ask(TgtMode mode, TgtOp op, int tid = -1, std::string text = "", uint64_t lun = tgt_no_lun) {
        TgtRequest r;
        r.mode = mode;
        r.op = op;
        r.tid = tid;
        r.lun = lun;
        r.text = std::move(text);
        return ask(r);
    }
    TgtCode code(TgtMode mode, TgtOp op, int tid = -1, std::string text = "", uint64_t lun = tgt_no_lun) {
        return ask(mode, op, tid, std::move(text), lun).code;
    }
    std::string show() { return ask(TgtMode::target, TgtOp::show).text; }
    std::shared_ptr<target::SessionRecord> add_session(int tid, uint16_t sid, std::string initiator, std::string address) {
        auto s = std::make_shared<target::SessionRecord>();
        s->sid = sid;
        s->tid = tid;
        s->initiator = std::move(initiator);
        auto c = std::make_shared<target::ConnectionRecord>();
        c->address = std::move(address);
        s->connections.push_back(c);
        directory.sessions.add(s);
        return s;
    }
};

constexpr auto target_mode = TgtMode::target;
constexpr auto lu = TgtMode::logicalunit;
constexpr auto account = TgtMode::account;

}  // namespace

TEST_CASE("target show prints tgt's layout to the byte") {
    Fixture f;
    CHECK(f.show() == "");
    CHECK(f.code(target_mode, TgtOp::create, 1, "targetname=iqn.2001-04.com.example:disk1") == TgtCode::ok);
    CHECK(f.code(lu, TgtOp::create, 1, std::string("path=") + f.file + ",bsoflags=sync:direct,blocksize=4096", 1) == TgtCode::ok);
    CHECK(f.code(target_mode, TgtOp::update, 1, "nop_interval=5") == TgtCode::ok);
    CHECK(f.code(target_mode, TgtOp::update, 1, "nop_count=6") == TgtCode::ok);
    CHECK(f.code(target_mode, TgtOp::bind, 1, "initiator-name=iqn.x") == TgtCode::ok);
    CHECK(f.code(target_mode, TgtOp::bind, 1, "initiator-address=ALL") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::create, -1, "user=alice,password=secretsecret1") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::create, -1, "user=bob,password=secretsecret2") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::bind, 1, "user=alice") == TgtCode::ok);
    TgtRequest out;
    out.mode = account;
    out.op = TgtOp::bind;
    out.tid = 1;
    out.outgoing = true;
    out.text = "user=bob";
    CHECK(f.ask(out).code == TgtCode::ok);
    f.add_session(1, 3, "iqn.2001-04.com.example:client1", "2001:db8::10");
    CHECK(f.show() == std::string(
        "Target 1: iqn.2001-04.com.example:disk1\n"
        "    System information:\n"
        "        Driver: iscsi\n"
        "        State: ready\n"
        "        Nop interval: 5\n"
        "        Nop count: 6\n"
        "    I_T nexus information:\n"
        "        I_T nexus: 3\n"
        "            Initiator: iqn.2001-04.com.example:client1 alias: none\n"
        "            Connection: 0\n"
        "                IP Address: 2001:db8::10\n"
        "    LUN information:\n"
        "        LUN: 0\n"
        "            Type: controller\n"
        "            SCSI ID: IET     00010000\n"
        "            SCSI SN: beaf10\n"
        "            Size: 0 MB, Block size: 1\n"
        "            Online: Yes\n"
        "            Removable media: No\n"
        "            Prevent removal: No\n"
        "            Readonly: No\n"
        "            SWP: No\n"
        "            Thin-provisioning: No\n"
        "            Backing store type: null\n"
        "            Backing store path: None\n"
        "            Backing store flags: \n"
        "        LUN: 1\n"
        "            Type: disk\n"
        "            SCSI ID: IET     00010001\n"
        "            SCSI SN: beaf11\n"
        "            Size: 67 MB, Block size: 4096\n"
        "            Online: Yes\n"
        "            Removable media: No\n"
        "            Prevent removal: No\n"
        "            Readonly: No\n"
        "            SWP: No\n"
        "            Thin-provisioning: No\n"
        "            Backing store type: rdwr\n"
        "            Backing store path: ") + f.file + "\n"
        "            Backing store flags: sync:direct\n"
        "    Account information:\n"
        "        alice\n"
        "        bob (outgoing)\n"
        "    ACL information:\n"
        "        ALL\n"
        "        iqn.x\n");
}

TEST_CASE("the parameters of a target: defaults, updates, refusals") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.x");
    auto parameters = [&] { return f.ask(target_mode, TgtOp::show, 1).text; };
    CHECK(parameters() ==
          "nop_interval=0\nnop_count=0\nMaxRecvDataSegmentLength=8192\nHeaderDigest=None\nDataDigest=None\nInitialR2T=Yes\n"
          "MaxOutstandingR2T=1\nImmediateData=Yes\nFirstBurstLength=65536\nMaxBurstLength=262144\nDataPDUInOrder=Yes\n"
          "DataSequenceInOrder=Yes\nErrorRecoveryLevel=0\nIFMarker=No\nOFMarker=No\nDefaultTime2Wait=2\nDefaultTime2Retain=20\n"
          "OFMarkInt=Reject\nIFMarkInt=Reject\nMaxConnections=1\nRDMAExtensions=Yes\nTargetRecvDataSegmentLength=262144\n"
          "InitiatorRecvDataSegmentLength=262144\nMaxOutstandingUnexpectedPDUs=0\nMaxXmitDataSegmentLength=8192\nMaxQueueCmd=128\n");
    auto update = [&](const char* text) { return f.code(target_mode, TgtOp::update, 1, text); };
    for (const char* good : {"MaxRecvDataSegmentLength=262144", "HeaderDigest=None,CRC32C", "InitialR2T=No", "maxburstlength=0x100000",
                             "state=offline", "RDMAExtensions=No", "MaxOutstandingUnexpectedPDUs=2", "MaxQueueCmd=512",
                             "MaxXmitDataSegmentLength=65536", "nop_interval=x"}) {
        CAPTURE(good);
        CHECK(update(good) == TgtCode::ok);
    }
    for (const char* bad : {"NoSuchKey=1", "MaxRecvDataSegmentLength=100", "MaxRecvDataSegmentLength=16777216", "InitialR2T=maybe",
                            "InitialR2T=yes", "HeaderDigest=MD5", "MaxRecvDataSegmentLength=abc", "MaxRecvDataSegmentLength=",
                            "State=offline", "state=bogus", "MaxQueueCmd=513", "MaxOutstandingUnexpectedPDUs=1", "OFMarkInt=1",
                            "RedirectReason=Sometimes", "RedirectPort=99999", "nonsense"}) {
        CAPTURE(bad);
        CHECK(update(bad) == TgtCode::invalid);
    }
    std::string now = parameters();
    for (const char* line : {"MaxRecvDataSegmentLength=262144\n", "HeaderDigest=CRC32C\n", "InitialR2T=No\n", "MaxBurstLength=1048576\n",
                             "RDMAExtensions=No\n", "MaxOutstandingUnexpectedPDUs=2\n", "MaxXmitDataSegmentLength=65536\n",
                             "MaxQueueCmd=512\n"}) {
        CAPTURE(line);
        CHECK(now.find(line) != std::string::npos);
    }
    update("RedirectAddress=192.0.2.11");
    update("RedirectPort=3261");
    CHECK(parameters() == "RedirectAddress=192.0.2.11\nRedirectPort=3261\nRedirectReason=Unknown\n");
    update("RedirectReason=Temporary");
    CHECK(parameters() == "RedirectAddress=192.0.2.11\nRedirectPort=3261\nRedirectReason=Temporary\n");
    update("RedirectCallback=/bin/where");
    CHECK(parameters() == "RedirectCallback=/bin/where\n");
}

TEST_CASE("targets: names and numbers that are taken or not admissible") {
    Fixture f;
    auto create = [&](int tid, const char* name) { return f.code(target_mode, TgtOp::create, tid, std::string("targetname=") + name); };
    CHECK(create(1, "iqn.a") == TgtCode::ok);
    CHECK(create(1, "iqn.b") == TgtCode::target_exists);
    CHECK(create(2, "iqn.a") == TgtCode::target_exists);
    CHECK(create(2, "iqn.a_b") == TgtCode::invalid);
    CHECK(create(2, "iqn.a b") == TgtCode::invalid);
    CHECK(create(2, "iqn:a,b") == TgtCode::ok);
    CHECK(create(0, "iqn.c") == TgtCode::invalid);
    CHECK(create(-1, "iqn.c") == TgtCode::invalid);
    CHECK(create(70000, "") == TgtCode::ok);
    CHECK(f.code(target_mode, TgtOp::create, 3) == TgtCode::invalid);
    CHECK(f.code(target_mode, TgtOp::start, 1) == TgtCode::invalid);
    CHECK(f.show().find("Target 2: iqn:a\n") != std::string::npos);
    CHECK(f.show().find("            SCSI ID: IET     111700000\n            SCSI SN: beaf700000\n") != std::string::npos);
    CHECK(f.code(target_mode, TgtOp::remove, 9) == TgtCode::no_target);
    CHECK(f.code(target_mode, TgtOp::remove, 1) == TgtCode::ok);
    CHECK(f.code(TgtMode::system, TgtOp::remove) == TgtCode::invalid);
    CHECK(f.code(target_mode, TgtOp::remove, 2) == TgtCode::ok);
    CHECK(f.code(target_mode, TgtOp::remove, 70000) == TgtCode::ok);
    CHECK(f.code(TgtMode::system, TgtOp::remove) == TgtCode::ok);
    CHECK(f.daemon.stopped);
}

TEST_CASE("logical units: what tgt refuses is refused with its code") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    const std::string path = std::string("path=") + f.file;
    auto create = [&](uint64_t lun, std::string text) { return f.code(lu, TgtOp::create, 1, std::move(text), lun); };
    CHECK(f.code(lu, TgtOp::create, 5, path, 1) == TgtCode::no_target);
    CHECK(f.code(lu, TgtOp::remove, 5, "", 1) == TgtCode::no_lun);
    CHECK(f.code(lu, TgtOp::update, 5, "", 1) == TgtCode::no_target);
    CHECK(create(0, path) == TgtCode::lun_exists);
    CHECK(create(1, "path=/nonexistent/x") == TgtCode::invalid);
    CHECK(create(1, "path=/tmp") == TgtCode::invalid);
    CHECK(create(1, "path=/dev/null") == TgtCode::invalid);
    CHECK(create(1, path + ",bstype=nosuch") == TgtCode::invalid);
    CHECK(create(1, path + ",bstype=sg") == TgtCode::invalid);
    CHECK(create(1, path + ",bsoflags=bogus") == TgtCode::invalid);
    CHECK(create(1, path + ",bstype=aio,bsoflags=direct") == TgtCode::invalid);
    CHECK(create(16384, path) == TgtCode::invalid);
    CHECK(create(1, path) == TgtCode::ok);
    CHECK(create(1, path) == TgtCode::lun_exists);
    CHECK(create(2, path + ",blocksize=1000") == TgtCode::ok);
    CHECK(create(8, "") == TgtCode::ok);
    CHECK(create(300, path) == TgtCode::ok);
    CHECK(f.code(lu, TgtOp::remove, 1, "", 0) == TgtCode::invalid);
    CHECK(f.code(lu, TgtOp::remove, 1, "", 9) == TgtCode::no_lun);
    TgtRequest cd;
    cd.mode = lu;
    cd.op = TgtOp::create;
    cd.tid = 1;
    cd.lun = 9;
    cd.device = TgtDevice::cd;
    CHECK(f.ask(cd).code == TgtCode::unsupported);

    auto s = f.add_session(1, 1, "iqn.i", "127.0.0.1");
    s->counters(1)->in_flight = 1;
    CHECK(f.code(lu, TgtOp::remove, 1, "", 1) == TgtCode::lun_active);
    s->counters(1)->in_flight = 0;
    CHECK(f.code(lu, TgtOp::remove, 1, "", 1) == TgtCode::ok);
    CHECK(f.code(lu, TgtOp::remove, 1, "", 1) == TgtCode::no_lun);
}

TEST_CASE("parameters of a logical unit are set from the left; the first refusal is the answer") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    f.ask(lu, TgtOp::create, 1, std::string("path=") + f.file, 1);
    auto update = [&](std::string params) { return f.code(lu, TgtOp::update, 1, "targetOps " + params + ",", 1); };
    CHECK(update("scsi_id=first,nosuch=1,scsi_sn=second") == TgtCode::invalid);
    std::string shown = f.show();
    CHECK(shown.find("SCSI ID: first\n") != std::string::npos);
    CHECK(shown.find("SCSI SN: second\n") != std::string::npos);
    CHECK(update("readonly") == TgtCode::invalid);
    CHECK(update("readonly=") == TgtCode::invalid);
    CHECK(f.code(lu, TgtOp::update, 1, "", 1) == TgtCode::ok);
    CHECK(update(",scsi_id=third,,") == TgtCode::ok);           // as Pacemaker's agent writes it
    CHECK(f.show().find("SCSI ID: third\n") != std::string::npos);
    CHECK(update("readonly=1,removable=1,thin_provisioning=1,online=0") == TgtCode::ok);
    shown = f.show();
    shown = shown.substr(shown.find("LUN: 1"));
    CHECK(shown.find("Online: No\n            Removable media: Yes\n") != std::string::npos);
    CHECK(shown.find("Readonly: Yes\n") != std::string::npos);
    CHECK(shown.find("Thin-provisioning: Yes\n") != std::string::npos);
}

TEST_CASE("accounts: list, bindings, what cannot be") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    CHECK(f.ask(account, TgtOp::show).text == "");
    CHECK(f.code(account, TgtOp::create, -1, "user=a,password=p,q") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::create, -1, "user=b,password=x") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::create, -1, "user=b,password=y") == TgtCode::account_exists);
    CHECK(f.code(account, TgtOp::create, -1, "user=c,d,password=y") == TgtCode::invalid);
    CHECK(f.ask(account, TgtOp::show).text == "Account list:\n    b\n    a\n");
    CHECK(f.code(account, TgtOp::bind, 1, "user=zz") == TgtCode::no_account);
    CHECK(f.code(account, TgtOp::bind, 9, "user=a") == TgtCode::no_target);
    CHECK(f.code(account, TgtOp::bind, 0, "user=a") == TgtCode::no_target);
    CHECK(f.code(account, TgtOp::bind, 1, "user=a") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::bind, 1, "user=b") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::bind, 1, "user=a") == TgtCode::account_exists);
    CHECK(f.code(account, TgtOp::unbind, 1, "user=a") == TgtCode::ok);      // these two kill tgt 1.0.85
    CHECK(f.show().find("    Account information:\n        b\n    ACL") != std::string::npos);
    CHECK(f.code(account, TgtOp::remove) == TgtCode::invalid);
    CHECK(f.code(account, TgtOp::unbind, 1, "user=a") == TgtCode::no_account);
    CHECK(f.code(account, TgtOp::remove, -1, "user=b") == TgtCode::ok);
    CHECK(f.code(account, TgtOp::remove, -1, "user=b") == TgtCode::no_account);
    CHECK(f.show().find("    Account information:\n    ACL") != std::string::npos);
    CHECK(f.code(account, TgtOp::bind, -1, "user=a") == TgtCode::ok);
    CHECK(f.ask(TgtMode::system, TgtOp::show).text.find("    Account information:\n\n    a\niSNS:\n") != std::string::npos);
}

TEST_CASE("rules: one request with address and name sets both or none") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    auto bind = [&](TgtOp op, const char* text) { return f.code(target_mode, op, 1, text); };
    CHECK(bind(TgtOp::bind, "initiator-address=1.2.3.4") == TgtCode::ok);
    CHECK(bind(TgtOp::bind, "initiator-address=1.2.3.4") == TgtCode::acl_exists);
    CHECK(bind(TgtOp::bind, "initiator-address=1.2.3.4,initiator-name=iqn.x") == TgtCode::acl_exists);
    CHECK(bind(TgtOp::unbind, "initiator-name=iqn.x") == TgtCode::no_acl);
    CHECK(bind(TgtOp::bind, "initiator-address=::1,initiator-name=iqn.x") == TgtCode::ok);
    CHECK(f.show().ends_with("    ACL information:\n        1.2.3.4\n        ::1\n        iqn.x\n"));
    CHECK(bind(TgtOp::bind, "") == TgtCode::ok);
    CHECK(bind(TgtOp::bind, "") == TgtCode::binding_exists);
    CHECK(bind(TgtOp::unbind, "") == TgtCode::ok);
    CHECK(bind(TgtOp::unbind, "") == TgtCode::no_binding);
}

TEST_CASE("a target in use: refused, and with force answered when its last session is gone") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    auto s = f.add_session(1, 7, "iqn.i", "127.0.0.1");
    int drops = 0;
    s->drop = [&] { drops++; };
    CHECK(f.code(target_mode, TgtOp::remove, 1) == TgtCode::target_active);
    TgtRequest r;
    r.mode = target_mode;
    r.op = TgtOp::remove;
    r.tid = 1;
    r.force = true;
    TgtAnswer answer{TgtCode(99), ""};
    f.ops->handle(r, std::make_shared<TgtReply>([&](TgtAnswer a) { answer = a; }));
    CHECK(drops == 1);
    CHECK(answer.code == TgtCode(99));
    CHECK(f.show() == "");                      // gone at once, whole
    f.directory.sessions.remove(*s);
    f.loop->run_once(1000);
    CHECK(answer.code == TgtCode::ok);
}

TEST_CASE("a session that does not go ends the wait") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    auto s = f.add_session(1, 7, "iqn.i", "127.0.0.1");
    TgtRequest r;
    r.mode = TgtMode::connection;
    r.op = TgtOp::remove;
    r.tid = 1;
    r.sid = 8;
    CHECK(f.ask(r).code == TgtCode::no_session);
    r.sid = 7;
    r.cid = 5;
    CHECK(f.ask(r).code == TgtCode::no_connection);
    r.cid = 0;
    TgtAnswer answer{TgtCode(99), ""};
    f.ops->handle(r, std::make_shared<TgtReply>([&](TgtAnswer a) { answer = a; }));
    for (int i = 0; i < 50 && answer.code == TgtCode(99); i++) f.loop->run_once(50);
    CHECK(answer.code == TgtCode::target_active);
}

TEST_CASE("connections and statistics") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    auto a = f.add_session(1, 1, "iqn.one", "127.0.0.1");
    f.add_session(1, 2, "iqn.two", "::1");
    CHECK(f.ask(TgtMode::connection, TgtOp::show, 1).text ==
          "Session: 2\n    Connection: 0\n        Initiator: iqn.two\n        IP Address: ::1\n"
          "Session: 1\n    Connection: 0\n        Initiator: iqn.one\n        IP Address: 127.0.0.1\n");
    CHECK(f.code(TgtMode::connection, TgtOp::show) == TgtCode::no_target);
    CHECK(f.code(TgtMode::session, TgtOp::show, 1) == TgtCode::invalid);
    auto c = a->counters(0);
    c->read_submitted_bytes = c->read_done_bytes = 8941;
    c->read_submitted = c->read_done = 11;
    c->write_submitted_bytes = c->write_done_bytes = 65536;
    c->write_submitted = c->write_done = 1;
    c->errors = 1;
    const std::string header = "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs\n";
    const std::string one = "  1   0   1         8941     11         8941     11        65536      1        65536      1    1\n";
    const std::string two = "  1   0   2            0      0            0      0            0      0            0      0    0\n";
    CHECK(f.ask(TgtMode::system, TgtOp::stat).text == header + one + two);
    CHECK(f.ask(target_mode, TgtOp::stat, 1).text == header + one + two);
    CHECK(f.ask(lu, TgtOp::stat, 1, "", 0).text == header + one + two);
    CHECK(f.code(lu, TgtOp::stat, 1, "", 9) == TgtCode::no_lun);
    a->connections[0]->rx_octets = 67016;
    a->connections[0]->tx_octets = 9768;
    a->connections[0]->data_out_pdus = 7;
    a->connections[0]->command_pdus = 14;
    TgtRequest r;
    r.mode = TgtMode::session;
    r.op = TgtOp::stat;
    r.sid = 1;
    const std::string connection = "sid cid rxdata_octets txdata_octets dataout_pdus datain_pdus cmd_pdus rsp_pdus\n"
                                   "  1   0         67016          9768            7           0       14        0\n";
    CHECK(f.ask(r).text == header + one + "\n" + connection);
    r.mode = TgtMode::connection;
    CHECK(f.ask(r).text == connection);
    r.cid = 7;
    CHECK(f.ask(r).code == TgtCode::no_connection);
    r.sid = 70000;
    CHECK(f.ask(r).code == TgtCode::no_session);
}

TEST_CASE("system and drivers") {
    Fixture f;
    auto update = [&](const char* text) { return f.code(TgtMode::system, TgtOp::update, -1, text); };
    CHECK(f.ask(TgtMode::system, TgtOp::show).text ==
          "System:\n    State: ready\n    debug: off\nLLDs:\n    iscsi: ready\n    iser: error\nBacking stores:\n    null\n    ram\n"
          "    rdwr (bsoflags sync:direct)\n    aio\nDevice types:\n    disk\n    controller\niSNS:\n    iSNS=Off\n    iSNSServerIP=\n"
          "    iSNSServerPort=3205\n    iSNSAccessControl=Off\n");
    CHECK(update("State=offline") == TgtCode::ok);
    CHECK(f.directory.state == target::SystemState::offline);
    CHECK(update("state=ready") == TgtCode::invalid);
    CHECK(update("State=sleeping") == TgtCode::invalid);
    CHECK(update("debug=maybe") == TgtCode::invalid);
    CHECK(update("iSNSServerIP=192.0.2.53") == TgtCode::ok);
    CHECK(update("iSNSServerPort=x") == TgtCode::invalid);
    CHECK(update("iSNS=maybe") == TgtCode::invalid);
    CHECK(update("iSNS=On") == TgtCode::unsupported);
    f.daemon.isns_works = true;
    CHECK(update("iSNS=On") == TgtCode::ok);
    CHECK(f.ask(TgtMode::system, TgtOp::show).text.find("    iSNS=On\n    iSNSServerIP=192.0.2.53\n") != std::string::npos);

    auto driver = [&](TgtMode mode, TgtOp op, const char* lld) {
        TgtRequest r;
        r.mode = mode;
        r.op = op;
        r.lld = lld;
        return f.ask(r).code;
    };
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    CHECK(f.ask(TgtMode::lld, TgtOp::show).text == "LLDs:\n    iscsi: ready\n        Target 1: iqn.a\n    iser: error\n");
    CHECK(driver(TgtMode::lld, TgtOp::start, "iser") == TgtCode::unknown);
    CHECK(driver(TgtMode::lld, TgtOp::start, "iscsi") == TgtCode::ok);
    CHECK(driver(TgtMode::lld, TgtOp::start, "nosuch") == TgtCode::no_driver);
    CHECK(driver(target_mode, TgtOp::show, "iser") == TgtCode::no_driver);
    CHECK(driver(TgtMode::lld, TgtOp::stop, "iscsi") == TgtCode::driver_busy);
    f.ask(target_mode, TgtOp::remove, 1);
    CHECK(driver(TgtMode::lld, TgtOp::stop, "iscsi") == TgtCode::ok);
    CHECK(!f.daemon.listening);
    CHECK(driver(target_mode, TgtOp::show, "") == TgtCode::no_driver);
    CHECK(f.ask(TgtMode::lld, TgtOp::show).text == "LLDs:\n    iscsi: stopped\n    iser: error\n");
    CHECK(driver(TgtMode::lld, TgtOp::start, "") == TgtCode::ok);
    CHECK(f.daemon.listening);
}

TEST_CASE("portals in every spelling") {
    Fixture f;
    auto portal = [&](TgtOp op, const char* text) { return f.code(TgtMode::portal, op, -1, std::string("portalOps ") + text + ","); };
    CHECK(f.ask(TgtMode::portal, TgtOp::show).text == "Portal: [::]:3260,1\nPortal: 0.0.0.0:3260,1\n");
    f.daemon.open.clear();
    for (const char* text : {"portal=192.0.2.1", "portal=192.0.2.1:3270", "portal=[2001:db8::1]", "portal=[2001:db8::1]:3271",
                             "portal=2001:db8::2", "portal=:3272", "portal=san1:0", "portal=a,portal=b"}) {
        CAPTURE(text);
        CHECK(portal(TgtOp::create, text) == TgtCode::ok);
    }
    CHECK(f.daemon.open == std::vector<std::string>{"b:3260", "a:3260", "san1:0", ":3272", "2001:db8::2:3260", "2001:db8::1:3271",
                                                    "2001:db8::1:3260", "192.0.2.1:3270", "192.0.2.1:3260"});
    for (const char* text : {"portal=", "portal=a:", "portal=a:65536", "portal=a:x", "portal=[::1", "portal=[]:3", "port=a", "a",
                             "portal=192.0.2.250"}) {
        CAPTURE(text);
        CHECK(portal(TgtOp::create, text) == TgtCode::invalid);
    }
    CHECK(portal(TgtOp::remove, "portal=192.0.2.1:3270") == TgtCode::ok);
    CHECK(portal(TgtOp::remove, "portal=192.0.2.1:3270") == TgtCode::invalid);
}

TEST_CASE("JSON answers hold the same") {
    Fixture f;
    f.ask(target_mode, TgtOp::create, 1, "targetname=iqn.a");
    TgtRequest r;
    r.mode = target_mode;
    r.json = true;
    std::string text = f.ask(r).text;
    CHECK(text.starts_with("[\n  {\n    \"tid\": 1,\n    \"name\": \"iqn.a\""));
    CHECK(text.find("\"type\": \"controller\"") != std::string::npos);
    for (TgtMode mode : {TgtMode::system, TgtMode::account, TgtMode::portal, TgtMode::lld}) {
        r.mode = mode;
        text = f.ask(r).text;
        CHECK((text[0] == '[' || text[0] == '{'));
    }
}
