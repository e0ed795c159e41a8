#include "core/initiator/copy.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "tests/support/ram_target.h"

using namespace iscsi;
using namespace iscsi::initiator;
using test::RamTarget;

namespace {

constexpr size_t mib = 1 << 20;

struct Folder {
    char path[32] = "/tmp/copyXXXXXX";
    Folder() { REQUIRE(::mkdtemp(path)); }
    ~Folder() { (void)!::system(("rm -r " + std::string(path)).c_str()); }
    std::string file(const char* name) const { return std::string(path) + "/" + name; }
};

std::vector<uint8_t> noise(size_t n, uint64_t seed) {
    std::vector<uint8_t> v(n);
    for (uint8_t& b : v) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        b = uint8_t(seed);
    }
    return v;
}

void write_file(const std::string& path, const std::vector<uint8_t>& data) {
    REQUIRE(bool(replace_file(path, std::string(data.begin(), data.end()), 0600)));
}

std::vector<uint8_t> read_back(const std::string& path) {
    auto text = read_file(path, 64 * mib);
    REQUIRE(bool(text));
    return {text->begin(), text->end()};
}

struct Rig {
    std::unique_ptr<io::Loop> loop = std::move(*io::Loop::create());
    Folder folder;
    RamTarget target{*loop, 8 * mib};
    CopyPlan plan;

    std::unique_ptr<CopySide> remote(bool write) {
        auto side = open_remote_side(target.url(), session_config(target.url(), "iqn.2026-01.test:i"), *loop, write);
        REQUIRE_MESSAGE(bool(side), side.error().text());
        return std::move(*side);
    }
    CopyResult up(const std::string& path) {
        auto source = open_file_source(path);
        REQUIRE(bool(source));
        auto destination = remote(true);
        return Copy(*loop, **source, *destination, plan).run(nullptr);
    }
    CopyResult down(const std::string& path) {
        auto source = remote(false);
        auto destination = open_file_destination(path, source->size(), plan.resume, *loop);
        REQUIRE(bool(destination));
        return Copy(*loop, *source, **destination, plan).run(nullptr);
    }
};

}  // namespace

TEST_CASE("a file goes to a unit and back, holes and zeros without data") {
    for (int variant = 0; variant < 3; variant++) {
        CAPTURE(variant);
        Rig rig;
        rig.target.thin = variant != 1;
        rig.target.refuse_write_same = variant == 2;
        rig.target.refuse_lba_status = variant == 2;
        std::fill(rig.target.disk.begin(), rig.target.disk.end(), uint8_t(0xee));
        std::fill(rig.target.mapped.begin(), rig.target.mapped.end(), true);
        auto data = noise(8 * mib, 7);
        std::fill(data.begin() + 1 * mib, data.begin() + 3 * mib, uint8_t(0));
        std::fill(data.begin() + 5 * mib + 100, data.begin() + 5 * mib + 9000, uint8_t(0));
        write_file(rig.folder.file("source"), data);
        rig.plan.verify = true;
        auto result = rig.up(rig.folder.file("source"));
        CHECK_MESSAGE(result.ok, result.error);
        CHECK(rig.target.disk == data);
        CHECK(result.data == 6 * mib);
        CHECK(result.holes == 2 * mib);
        CHECK((rig.target.same > 0) == (variant != 2));
        CHECK(rig.target.mapped[1 * mib / 512] == (variant != 0));
        CHECK(rig.target.flushes == 1);

        rig.target.reads = 0;
        rig.plan.verify = false;
        result = rig.down(rig.folder.file("back"));
        CHECK_MESSAGE(result.ok, result.error);
        CHECK(read_back(rig.folder.file("back")) == data);
        CHECK(rig.target.reads == (variant == 0 ? 6 : 8));
        struct stat st{};
        REQUIRE(::stat(rig.folder.file("back").c_str(), &st) == 0);
        CHECK(st.st_blocks * 512 <= off_t(6 * mib + 65536));
    }
}

TEST_CASE("a file that is no whole number of blocks is padded, one that is too large refused") {
    Rig rig;
    auto data = noise(3 * mib + 1001, 3);
    write_file(rig.folder.file("odd"), data);
    rig.plan.verify = true;
    CHECK(rig.up(rig.folder.file("odd")).ok);
    CHECK(std::equal(data.begin(), data.end(), rig.target.disk.begin()));
    CHECK(rig.target.disk[data.size()] == 0);
    write_file(rig.folder.file("large"), noise(8 * mib + 1, 3));
    auto result = rig.up(rig.folder.file("large"));
    CHECK_FALSE(result.ok);
    CHECK(result.error.find("smaller") != std::string::npos);
    CHECK_FALSE(bool(open_file_source(rig.folder.file("none"))));
}

TEST_CASE("what fails is named with its place, and a copy resumes there") {
    Rig rig;
    auto data = noise(8 * mib, 11);
    write_file(rig.folder.file("source"), data);
    rig.target.fail_at_lba = 5 * mib / 512 + 3;
    rig.plan.depth = 1;
    rig.plan.state_file = rig.folder.file("state");
    auto result = rig.up(rig.folder.file("source"));
    CHECK_FALSE(result.ok);
    CHECK(result.error.find("write at byte 5242880: CHECK CONDITION, medium error") != std::string::npos);
    REQUIRE(exists(rig.plan.state_file));
    rig.target.fail_at_lba = UINT32_MAX;
    rig.target.writes = 0;
    rig.plan.resume = true;
    result = rig.up(rig.folder.file("source"));
    CHECK_MESSAGE(result.ok, result.error);
    CHECK(result.resumed_at == 5 * mib);
    CHECK(rig.target.writes == 3);
    CHECK(rig.target.disk == data);
    CHECK_FALSE(exists(rig.plan.state_file));

    // The state of another copy is not taken.
    REQUIRE(bool(replace_file(rig.plan.state_file, "iscsi cp state 1\nsource x\ndestination y\nposition 4096\n", 0600)));
    result = rig.up(rig.folder.file("source"));
    CHECK_FALSE(result.ok);
    CHECK(result.error.find("cannot resume") == 0);
}

TEST_CASE("a copy outlives the loss of its connection") {
    for (bool upwards : {true, false}) {
        CAPTURE(upwards);
        Rig rig;
        auto data = noise(8 * mib, 5);
        if (!upwards) rig.target.disk = data;
        std::fill(rig.target.mapped.begin(), rig.target.mapped.end(), true);
        write_file(rig.folder.file("source"), data);
        rig.target.drop_after = 3;
        auto result = upwards ? rig.up(rig.folder.file("source")) : rig.down(rig.folder.file("back"));
        CHECK_MESSAGE(result.ok, result.error);
        CHECK((upwards ? rig.target.disk : read_back(rig.folder.file("back"))) == data);
    }
}

TEST_CASE("verify finds a difference") {
    Rig rig;
    auto data = noise(2 * mib, 9);
    write_file(rig.folder.file("source"), data);
    REQUIRE(rig.up(rig.folder.file("source")).ok);
    auto source = open_file_source(rig.folder.file("source"));
    auto destination = rig.remote(true);
    rig.plan.verify = true;
    Copy copy(*rig.loop, **source, *destination, rig.plan);
    bool changed = false;
    auto result = copy.run([&](const CopyProgress& p) {
        if (!changed && !p.verifying && p.done == p.total) changed = true, rig.target.disk[mib + 77] ^= 1;
    });
    CHECK_FALSE(result.ok);
    CHECK(result.error.find("differs at byte 1048653") != std::string::npos);
}
