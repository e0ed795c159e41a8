#include "core/mgmt/tgt_admin.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <random>

#include "core/base/log.h"
#include "core/mgmt/tgt_ops.h"
#include "core/mgmt/tgt_self_config.h"

using namespace iscsi;
using namespace iscsi::mgmt;

namespace {

struct NoDaemon final : TgtDaemon {
    Result<void> add_portal(const std::string&, uint16_t) override { return {}; }
    bool remove_portal(const std::string&, uint16_t) override { return true; }
    std::vector<std::string> portals() const override { return {}; }
    Result<void> listen(bool) override { return {}; }
    bool configure_isns(const IsnsSettings&) override { return true; }
    void stop() override {}
};

// A daemon in memory and what tgt-admin does with it.
struct Fixture {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    target::Directory directory;
    NoDaemon daemon;
    TgtOps ops{*loop, directory, daemon, {}};
    std::string said, complained;
    char folder[24] = "/tmp/tgt_adminXXXXXX";
    std::vector<std::string> files;

    Fixture() {
        log::open("test", log::Sink::quiet, log::Level::error);
        REQUIRE(::mkdtemp(folder));
    }
    ~Fixture() {
        for (const std::string& f : files) ::unlink(f.c_str());
        ::rmdir(folder);
    }
    std::string file(const std::string& name, const std::string& text) {
        const std::string path = std::string(folder) + "/" + name;
        Fd fd(::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
        REQUIRE(fd);
        REQUIRE(::write(fd.get(), text.data(), text.size()) == ssize_t(text.size()));
        if (std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
        return path;
    }
    std::string disk(const std::string& name) { return file(name, std::string(1 << 16, 'x')); }
    TgtAdmin admin(TgtAdmin::Options o = {}) {
        said.clear();
        complained.clear();
        return TgtAdmin(o, {[this](int, const TgtRequest& r) -> Result<TgtAnswer> {
                                auto slot = std::make_shared<std::optional<TgtAnswer>>();
                                ops.handle(r, std::make_shared<TgtReply>([slot](TgtAnswer a) { *slot = std::move(a); }));
                                if (!*slot) return Error{EBUSY, "busy", ""};
                                return **slot;
                            },
                            [this](const std::string& s) { said += s; },
                            [this](std::string_view program, const std::string& s) { complained += std::string(program) + ": " + s + "\n"; }});
    }
    std::shared_ptr<target::SessionRecord> add_session(int tid) {
        auto s = std::make_shared<target::SessionRecord>();
        s->sid = 1;
        s->tid = tid;
        s->initiator = "iqn.i";
        auto c = std::make_shared<target::ConnectionRecord>();
        c->address = "127.0.0.1";
        s->connections.push_back(c);
        directory.sessions.add(s);
        return s;
    }
};

TgtAdmin::Options verbose() {
    TgtAdmin::Options o;
    o.verbose = true;
    return o;
}

}  // namespace

TEST_CASE("a dump, read again, makes the same: random configurations") {
    std::mt19937 random(20241123);
    auto pick = [&](unsigned n) { return unsigned(random() % n); };
    for (int round = 0; round < 60; round++) {
        CAPTURE(round);
        Fixture a;
        const std::string disks[] = {a.disk("d0"), a.disk("d1 with blanks"), a.disk("d2#hash"), a.disk("d3")};
        auto ask = [&](TgtMode mode, TgtOp op, int tid, const std::string& text, uint64_t lun = tgt_no_lun, bool outgoing = false) {
            TgtRequest r;
            r.mode = mode;
            r.op = op;
            r.tid = tid;
            r.lun = lun;
            r.text = text;
            r.outgoing = outgoing;
            TgtCode code = TgtCode(99);
            a.ops.handle(r, std::make_shared<TgtReply>([&](TgtAnswer answer) { code = answer.code; }));
            return code;
        };
        for (const char* user : {"alice", "bob", "carol"}) ask(TgtMode::account, TgtOp::create, -1, std::string("user=") + user + ",password=secretsecret");
        if (pick(2)) ask(TgtMode::account, TgtOp::bind, -1, "user=alice");
        if (pick(3) == 0) ask(TgtMode::account, TgtOp::bind, -1, "user=bob", tgt_no_lun, true);
        for (unsigned n = pick(5); n > 0; n--) {
            const int tid = 1 + int(pick(40));
            ask(TgtMode::target, TgtOp::create, tid, "targetname=iqn.2001-04.com.example:t" + std::to_string(tid));
            const char* settings[] = {"MaxRecvDataSegmentLength=65536", "HeaderDigest=CRC32C", "InitialR2T=No", "nop_interval=7", "nop_count=3",
                                      "state=offline", "RDMAExtensions=No", "RedirectAddress=192.0.2.9", "RedirectReason=Permanent", "MaxQueueCmd=64"};
            for (unsigned k = pick(5); k > 0; k--) ask(TgtMode::target, TgtOp::update, tid, settings[pick(std::size(settings))]);
            for (unsigned k = pick(4); k > 0; k--) {
                const uint64_t lun = 3 * pick(3) + 1 + pick(3) % 3;        // units that share a file would merge
                if (lun > 4) continue;
                const char* ways[] = {"", ",bsoflags=sync", ",blocksize=4096", ",bstype=rdwr", ",bsoflags=sync,blocksize=1024"};
                ask(TgtMode::logicalunit, TgtOp::create, tid, "path=" + disks[(lun + unsigned(tid)) % 4] + ways[pick(5)], lun);
                const char* params[] = {"vendor_id=A B", "vendor_id=X#Y", "product_id=  two", "scsi_sn=S1", "scsi_id=ID ", "removable=1", "readonly=1",
                                        "thin_provisioning=1", "rotation_rate=7200", "online=0", "mode_page=8:0:18:0x10:0", "lbppbe=3"};
                for (unsigned p = pick(6); p > 0; p--) ask(TgtMode::logicalunit, TgtOp::update, tid, std::string("targetOps ") + params[pick(std::size(params))] + ",", lun);
                if (pick(6) == 0) ask(TgtMode::logicalunit, TgtOp::remove, tid, "", lun);
            }
            for (const char* rule : {"ALL", "192.0.2.0/24", "2001:db8::/32"})
                if (pick(3) == 0) ask(TgtMode::target, TgtOp::bind, tid, std::string("initiator-address=") + rule);
            if (pick(3) == 0) ask(TgtMode::target, TgtOp::bind, tid, "initiator-name=iqn.2001-04.com.example:c");
            for (const char* user : {"alice", "bob"})
                if (pick(3) == 0) ask(TgtMode::account, TgtOp::bind, tid, std::string("user=") + user);
            if (pick(3) == 0) ask(TgtMode::account, TgtOp::bind, tid, "user=carol", tgt_no_lun, true);
        }
        const std::string dump = a.ops.dump();
        auto shows = [](Fixture& f) {
            std::string text;
            TgtAdmin admin = f.admin();
            admin.show();
            return f.said;
        };
        const std::string shown = shows(a);
        // The files stay open in `a`: the second daemon must not mind.
        Fixture b;
        TgtAdmin::Options force;
        force.force = true;
        CHECK(b.admin(force).execute(b.file("dump.conf", dump)) == 0);
        CAPTURE(dump);
        CHECK(b.complained == "");
        CHECK(b.ops.dump() == dump);
        CHECK(shows(b) == shown);
        // And once more is no change at all.
        CHECK(b.admin(verbose()).update("ALL", b.file("dump.conf", dump)) == 0);
        CAPTURE(b.said);
        CHECK(b.said.find(" --op new ") == std::string::npos);
        CHECK(b.said.find(" --op delete ") == std::string::npos);
    }
}

TEST_CASE("update changes what has changed and leaves who is logged in alone") {
    Fixture f;
    const std::string one = f.disk("one"), two = f.disk("two"), three = f.disk("three");
    const std::string before = "<target iqn.a>\n backing-store " + one + "\n incominguser u secretsecret1\n initiator-address 192.0.2.1\n</target>\n"
                               "<target iqn.b>\n backing-store " + two + "\n</target>\n";
    CHECK(f.admin().execute(f.file("t.conf", before)) == 0);
    f.add_session(1);
    f.add_session(2)->sid = 2;

    CHECK(f.admin(verbose()).update("ALL", f.file("t.conf", before)) == 0);
    CHECK(f.said.find("# Target with tid 1 (iqn.a) is as the file says.\n") != std::string::npos);
    CHECK(f.said.find("# Target with tid 2 (iqn.b) is as the file says.\n") != std::string::npos);

    const std::string after = "<target iqn.a>\n backing-store " + one + "\n backing-store " + three + "\n incominguser u secretsecret2\n incominguser v secretsecret3\n"
                              " initiator-address 192.0.2.2\n MaxBurstLength 1048576\n vendor_id ACME\n</target>\n"
                              "<target iqn.b>\n backing-store " + two + "\n</target>\n";
    CHECK(f.admin(verbose()).update("ALL", f.file("t.conf", after)) == 0);
    CAPTURE(f.said);
    CHECK(f.complained == "");
    for (const char* line : {"--op update --tid 1 --name MaxBurstLength --value 1048576", "--op new --mode logicalunit --tid 1 --lun 2 -b",
                             "--lun=1 --params vendor_id=\"ACME\"", "account --op bind --tid=1 --user=v", "--op bind --mode target --tid 1 -I 192.0.2.2",
                             "--op unbind --mode target --tid 1 -I 192.0.2.1", "(iqn.b) is as the file says"}) {
        CAPTURE(line);
        CHECK(f.said.find(line) != std::string::npos);
    }
    CHECK(f.said.find("secretsecret") == std::string::npos);
    CHECK(f.said.find("--op new --mode target") == std::string::npos);
    CHECK(f.directory.sessions.size() == 2);
    const auto policy = f.directory.policy(f.directory.find(1).get());
    REQUIRE(policy.incoming.size() == 2);
    CHECK(policy.incoming[0].secret.reveal() == "secretsecret2");       // without --force, without unbinding

    // A unit that is gone from the file stays while somebody may use it; with force it goes, the session stays.
    CHECK(f.admin(verbose()).update("ALL", f.file("t.conf", before)) == 0);
    CHECK(f.said.find("# Lun 2 (" + three + ") of a target in use") != std::string::npos);
    CHECK(f.directory.find(1)->router.table()->count(2) == 1);
    TgtAdmin::Options force = verbose();
    force.force = true;
    CHECK(f.admin(force).update("ALL", f.file("t.conf", before)) == 0);
    CHECK(f.directory.find(1)->router.table()->count(2) == 0);
    CHECK(f.directory.sessions.size() == 2);
}

TEST_CASE("a mistake in the file changes nothing") {
    Fixture f;
    const std::string one = f.disk("one");
    CHECK(f.admin().execute(f.file("t.conf", "<target iqn.a>\n backing-store " + one + "\n</target>\n")) == 0);
    const std::string dump = f.ops.dump();
    for (const char* bad : {"<target iqn.a>\n", "<target iqn.b>\n incominguser x\n</target>\n", "include /nonexistent\n"}) {
        CAPTURE(bad);
        CHECK(f.admin().update("ALL", f.file("t.conf", bad)) != 0);
        CHECK(f.ops.dump() == dump);
    }
    CHECK(tgt_configure(f.ops, f.file("t.conf", "<target iqn.a>\n"), true) == 255);
    CHECK(f.ops.dump() == dump);
}

TEST_CASE("the daemon configures itself; a store that is missing does not stop the rest") {
    Fixture f;
    const std::string one = f.disk("one");
    const std::string conf = f.file("t.conf", "<target iqn.a>\n backing-store /nonexistent/x\n</target>\n<target iqn.b>\n backing-store " + one + "\n</target>\n");
    CHECK(tgt_configure(f.ops, conf, false) == 0);
    REQUIRE(f.directory.targets().size() == 2);
    CHECK(f.directory.find(1)->router.table()->size() == 1);
    CHECK(f.directory.find(2)->router.table()->size() == 2);
    CHECK(tgt_configure(f.ops, f.file("t.conf", "<target iqn.b>\n backing-store " + one + "\n</target>\n"), true) == 0);
    CHECK(f.directory.targets().size() == 1);
    CHECK(tgt_configure(f.ops, "/nonexistent/conf", true) == 2);
}
