#include "applets/cli.h"

#include <doctest/doctest.h>

using namespace iscsi;

namespace {

constexpr cli::Option options[] = {
    {'m', "mode", cli::Arg::required, "MODE", "what the request is about"},
    {'t', "tid", cli::Arg::required, "TID", "target id"},
    {'T', "targetname", cli::Arg::required, "NAME", "target name"},
    {0, "force", cli::Arg::none, nullptr, "go on although it is in use"},
    {'d', "debug", cli::Arg::optional, "LEVEL", "log more"},
    {'v', "verbose", cli::Arg::none, nullptr, "say more"},
    {'x', nullptr, cli::Arg::none, nullptr, "a letter without a word"},
    {'I', "ip", cli::Arg::required, "ADDRESS", "one spelling"},
    {'I', "ipaddress", cli::Arg::required, "ADDRESS", nullptr},
};
constexpr cli::Interface interface = {"tool", "does things", "tool [option]... [WORD]...", options, nullptr, nullptr};

cli::Parsed parse(std::vector<std::string> words, bool stop_at_word = false) {
    words.insert(words.begin(), "tool");
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    return cli::parse(interface, int(words.size()), argv.data(), stop_at_word);
}

}  // namespace

TEST_CASE("options come in every spelling of getopt_long") {
    for (auto words : {std::vector<std::string>{"--tid", "5"}, {"--tid=5"}, {"-t", "5"}, {"-t5"}, {"--ti=5"}, {"--ti", "5"},
                       {"-vt5"}, {"-vxt", "5"}, {"--tid", "4", "--tid", "5"}}) {
        CAPTURE(words[0]);
        auto p = parse(words);
        CHECK(!p.error);
        CHECK(p.get("tid") == "5");
        CHECK(p.words.empty());
    }
}

TEST_CASE("values may be empty, start with a dash or hold an equals sign") {
    CHECK(parse({"--tid", ""}).get("tid") == "");
    CHECK(parse({"--tid="}).get("tid") == "");
    CHECK(parse({"--tid", "-5"}).get("tid") == "-5");
    CHECK(parse({"--tid", "--force"}).get("tid") == "--force");
    CHECK(parse({"--tid=a=b"}).get("tid") == "a=b");
    CHECK(parse({"-t=5"}).get("tid") == "=5");
}

TEST_CASE("optional arguments are only taken from the same word") {
    auto p = parse({"-d", "7", "-d8", "--debug=9", "--debug", "1"});
    CHECK(p.all("debug") == std::vector<std::string>{"", "8", "9", ""});
    CHECK(p.words == std::vector<std::string>{"7", "1"});
}

TEST_CASE("words may stand anywhere, a double dash ends the options, a dash is a word") {
    auto p = parse({"one", "-v", "-", "--tid", "3", "two", "--", "--force", "-x"});
    CHECK(!p.error);
    CHECK(p.has("verbose"));
    CHECK(!p.has("force"));
    CHECK(!p.has("x"));
    CHECK(p.words == std::vector<std::string>{"one", "-", "two", "--force", "-x"});
    auto q = parse({"-v", "help", "--force", "--nonsense"}, true);
    CHECK(!q.error);
    CHECK(q.words == std::vector<std::string>{"help", "--force", "--nonsense"});
}

TEST_CASE("a trailing double dash and an empty line") {
    CHECK(parse({"-v", "--"}).items.size() == 1);
    CHECK(parse({}).items.empty());
}

TEST_CASE("mistakes are told in getopt's words and keep what came before") {
    struct Row { std::vector<std::string> words; const char* error; };
    for (const Row& r : {
             Row{{"--nosuch"}, "unrecognized option '--nosuch'"},
             Row{{"--nosuch=5"}, "unrecognized option '--nosuch=5'"},
             Row{{"-Z"}, "invalid option -- 'Z'"},
             Row{{"-vZ"}, "invalid option -- 'Z'"},
             Row{{"--mode"}, "option '--mode' requires an argument"},
             Row{{"--mod"}, "option '--mode' requires an argument"},
             Row{{"-m"}, "option requires an argument -- 'm'"},
             Row{{"--force=1"}, "option '--force' doesn't allow an argument"},
             Row{{"--t"}, "option '--t' is ambiguous; possibilities: '--tid' '--targetname'"},
             Row{{"--t=1"}, "option '--t=1' is ambiguous; possibilities: '--tid' '--targetname'"},
         }) {
        CAPTURE(r.error);
        std::vector<std::string> words = {"--tid", "1"};
        words.insert(words.end(), r.words.begin(), r.words.end());
        words.push_back("-v");
        if (r.words[0].find("mod") != std::string::npos || r.words[0] == "-m") words.pop_back();
        auto p = parse(words);
        REQUIRE(p.error);
        CHECK(*p.error == r.error);
        CHECK(p.get("tid") == "1");
        bool verbose = r.words[0] == "-vZ";
        CHECK(p.has("verbose") == verbose);
    }
}

TEST_CASE("two words for one letter are not ambiguous") {
    CHECK(parse({"--ip=1"}).get("ip") == "1");
    CHECK(parse({"--ipa=1"}).get("ipaddress") == "1");
    CHECK(!parse({"--i=1"}).error);
}

TEST_CASE("help shows each option once, within 80 columns") {
    std::string text = cli::help(interface);
    CHECK(text.find("  -m, --mode=MODE") != std::string::npos);
    CHECK(text.find("      --force") != std::string::npos);
    CHECK(text.find("--debug[=LEVEL]") != std::string::npos);
    CHECK(text.find("ipaddress") == std::string::npos);
    for (size_t at = 0; at < text.size();) {
        size_t end = text.find('\n', at);
        CHECK(end - at < 80);
        at = end + 1;
    }
}

TEST_CASE("the help of one mode shows what concerns it; without a mode, an overview") {
    using namespace cli;
    static constexpr Option rows[] = {{'m', "mode", Arg::required, "MODE", "which"}, {'x', "ex", Arg::none, nullptr, "one"}, {'y', "why", Arg::none, nullptr, "two"},
                                      {0, "json", Arg::none, nullptr, "as JSON"}, {0, "keep", Arg::none, nullptr, "a: leave it"}};
    const Interface moded{"t", "a test", "t -m a [-x]\n       t -m ab [-y]", rows, "Details.", "  t -m a -x\n  t -m ab -y", 8};
    const std::string all = help(moded);
    for (const char* part : {"-m a [-x]\n", "-m ab [-y]\n", "--ex ", "--why ", "--json", "--keep", "Details.", "  t -m ab -y\n"}) CHECK(all.find(part) != std::string::npos);
    Mode mode{"a", "mx", "-m "};
    const std::string of_a = help(moded, &mode);
    for (const char* part : {"Usage: t -m a [-x]\n", "--ex ", "--json", "--keep", "Examples:\n  t -m a -x\n"}) CHECK(of_a.find(part) != std::string::npos);
    for (const char* part : {"-m ab", "--why", "Details."}) CHECK(of_a.find(part) == std::string::npos);
    mode = {"ab", "my", "-m "};
    const std::string of_ab = help(moded, &mode);
    for (const char* part : {"Usage: t -m ab [-y]\n", "--why ", "--json", "Examples:\n  t -m ab -y\n"}) CHECK(of_ab.find(part) != std::string::npos);
    CHECK(of_ab.find("--keep") == std::string::npos);
    mode = {"", "m", "-m "};
    const std::string overview = help(moded, &mode);
    for (const char* part : {"-m a [-x]\n", "-m ab [-y]\n", "--mode", "Details.", "  t -m a -x\n"}) CHECK(overview.find(part) != std::string::npos);
    for (const char* part : {"--ex ", "--json", "--keep"}) CHECK(overview.find(part) == std::string::npos);
}
