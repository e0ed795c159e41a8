#include "core/config/targets_conf.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

using namespace iscsi::config;

namespace {

TargetsConf parse(std::string_view text) { return parse_targets_conf(text, "t.conf"); }

std::string first_mistake(std::string_view text) {
    auto conf = parse(text);
    return conf.mistakes.empty() ? "" : conf.mistakes[0].message();
}

}  // namespace

TEST_CASE("keys and values in every spelling") {
    auto conf = parse("default-driver iscsi\n"
                      "\tkey=value\r\n"
                      "spaced  =  a b\n"
                      "quoted \"in quotes\"\n"
                      "params thin_provisioning=1\n"
                      "none\n"
                      "hash a\\#b # comment\n"
                      "joined a\\\n   b\n"
                      "# only a comment\n"
                      "/* one\n two */\n"
                      "/* one line */\n"
                      "doc <<END\nline 1\n  line 2\nEND\n"
                      "last x");
    CHECK(conf.mistakes.empty());
    auto value = [&](const char* key) { return conf.root.first(key) ? conf.root.first(key)->value : "?"; };
    CHECK(value("default-driver") == "iscsi");
    CHECK(value("key") == "value");
    CHECK(value("spaced") == "a b");
    CHECK(value("quoted") == "in quotes");
    CHECK(value("params") == "thin_provisioning=1");
    CHECK(!conf.root.first("none")->has_value);
    CHECK(value("hash") == "a#b");
    CHECK(value("joined") == "ab");
    CHECK(value("doc") == "line 1\n  line 2");
    CHECK(value("last") == "x");
    CHECK(conf.root.entries.size() == 10);
    CHECK(conf.root.first("key")->value_place.text() == "t.conf:2:6");
    CHECK(conf.root.first("last")->key_place.text() == "t.conf:18:1");
}

TEST_CASE("blocks nest, merge by name, and are closed by any tag") {
    auto conf = parse("<target iqn.a>\n backing-store /1\n</target>\n<target iqn.b>\n <backing-store \"/my disk\">\n  lun 3\n </foo>\n</target>\n"
                      "<target iqn.a>\n backing-store /2\n</target>\n<target iqn.c/>\n");
    REQUIRE(conf.mistakes.size() == 1);             // a tag of another name is told, no more
    CHECK(conf.mistakes[0].message() == "t.conf:7:2: </foo> closes <backing-store> of line 5");
    CHECK_FALSE(conf.mistakes[0].fatal);
    auto targets = conf.root.all("target");
    REQUIRE(targets.size() == 3);
    CHECK(targets[0]->block->all("backing-store").size() == 2);
    const ConfEntry* store = targets[1]->block->first("backing-store");
    CHECK(store->value == "/my disk");
    CHECK(store->block->first("lun")->value == "3");
    CHECK(targets[2]->block->entries.empty());
}

TEST_CASE("mistakes of syntax name their place") {
    CHECK(first_mistake("<target a>\n x 1\n") == "t.conf:1:1: <target> is not closed");
    CHECK(first_mistake("<target a>\n</target>\n  </target>\n") == "t.conf:3:3: there is no block for </target> to close");
    CHECK(first_mistake("<target a>\n b x\n <b y>\n </b>\n</target>\n").starts_with("t.conf:3:3: <b> stands here as a block and at t.conf:2:2 as a plain line"));
    CHECK(first_mistake("<target a>\n <b y>\n </b>\n b x\n</target>\n").starts_with("t.conf:4:2: 'b' stands here as a plain line"));
    CHECK(first_mistake("a <<X\n1\n2\n") == "t.conf:1:3: the document that ends with 'X' has no end");
    CHECK(first_mistake("include /nonexistent/x.conf\n") == "t.conf:1:1: include /nonexistent/x.conf: No such file or directory");
    CHECK(read_targets_conf("/nonexistent/x").mistakes.at(0).exit_code == 2);
}

TEST_CASE("includes: a file, a directory, a pattern, nothing, itself") {
    char directory[] = "/tmp/targets_confXXXXXX";
    REQUIRE(::mkdtemp(directory));
    const std::string d = directory;
    auto write = [&](const std::string& name, const std::string& text) {
        int fd = ::open((d + name).c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
        REQUIRE(fd >= 0);
        CHECK(::write(fd, text.data(), text.size()) == ssize_t(text.size()));
        ::close(fd);
    };
    ::mkdir((d + "/sub").c_str(), 0700);
    write("/sub/1.conf", "<target iqn.a>\n backing-store /1\n</target>\n");
    write("/sub/2.other", "<target iqn.a>\n backing-store /2\n</target>\n");
    write("/main.conf", "include sub/*.conf\ninclude sub/*.nothing\n<target iqn.a>\n backing-store /3\n</target>\n");
    write("/dir.conf", "include " + d + "/sub\n");
    write("/self.conf", "include self.conf\n");
    auto stores = [&](const std::string& name) {
        auto conf = read_targets_conf(d + name);
        return conf.mistakes.empty() && conf.root.first("target") ? conf.root.first("target")->block->all("backing-store").size() : 99;
    };
    CHECK(stores("/main.conf") == 2);
    CHECK(stores("/dir.conf") == 2);
    CHECK(read_targets_conf(d + "/self.conf").mistakes.size() == 1);
    for (const char* name : {"/sub/1.conf", "/sub/2.other", "/main.conf", "/dir.conf", "/self.conf"}) ::unlink((d + name).c_str());
    ::rmdir((d + "/sub").c_str());
    ::rmdir(directory);
}
