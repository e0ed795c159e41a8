#include "core/auth/chap.h"

#include <doctest/doctest.h>

#include <map>

using namespace iscsi;
using namespace iscsi::auth;

namespace {

std::vector<wire::TextKey> parse(const std::string& text) {
    std::vector<wire::TextKey> keys;
    REQUIRE(wire::parse_text(as_bytes(text), keys) == wire::TextError::none);
    return keys;
}
std::string nuls(std::string spaced) {
    if (!spaced.empty()) spaced += ' ';
    for (char& c : spaced)
        if (c == ' ') c = '\0';
    return spaced;
}
std::string spaces(std::string text) {
    if (!text.empty()) text.pop_back();
    for (char& c : text)
        if (c == '\0') c = ' ';
    return text;
}
std::string value(const std::string& spaced, std::string_view key) {
    std::string text = nuls(spaced);
    auto keys = parse(text);
    return std::string(wire::find_value(keys, key).value_or(""));
}
std::string response(Hash hash, const std::string& id, std::string_view secret, const std::string& challenge) {
    uint8_t c[1024], out[max_hash_length], i = uint8_t(wire::parse_number(id).value_or(0));
    const size_t n = wire::decode_binary(challenge, c).value_or(0);
    hash_of(hash, {Bytes(&i, 1), as_bytes(secret), Bytes(c, n)}, out);
    return wire::encode_hex({out, hash_length(hash)});
}

struct TargetSide {
    std::map<std::string, Secret, std::less<>> accounts{{"alice", Secret("alice's secret")}, {"bob", Secret("bob's secret")}};
    Account outgoing{"storage", Secret("storage's secret")};
    ChapTarget chap;
    Progress progress = Progress::open;
    TargetSide(bool required = true, bool prove = true, Outstanding outstanding = {})
        : chap({[this](std::string_view user) {
                    auto at = accounts.find(user);
                    return at == accounts.end() ? nullptr : &at->second;
                },
                required, prove ? &outgoing : nullptr, {std::begin(all_hashes), std::end(all_hashes)}, std::move(outstanding)}) {}
    std::string hear(const std::string& spaced) {
        const std::string text = nuls(spaced);
        wire::TextWriter answer;
        progress = chap.digest(parse(text), answer);
        return spaces(answer.text());
    }
    // Up to the challenge; the answer that carries it.
    std::string challenged(const char* algorithms = "5") {
        hear("AuthMethod=CHAP");
        return hear(std::string("CHAP_A=") + algorithms);
    }
    std::string login(const std::string& c, const char* user, const char* secret, const std::string& more = "") {
        return hear(std::string("CHAP_N=") + user + " CHAP_R=" +
                    response(Hash(wire::parse_number(value(c, "CHAP_A")).value_or(5)), value(c, "CHAP_I"), secret,
                             value(c, "CHAP_C")) + more);
    }
};

ChapInitiator::Config client(bool mutual = false) {
    ChapInitiator::Config c;
    c.chap = true;
    c.account = {"alice", Secret("alice's secret")};
    if (mutual) c.target_account = {"storage", Secret("storage's secret")};
    return c;
}

struct InitiatorSide {
    ChapInitiator chap;
    Progress progress = Progress::open;
    explicit InitiatorSide(ChapInitiator::Config c) : chap(std::move(c)) {}
    std::string start() {
        wire::TextWriter w;
        chap.start(w);
        return spaces(w.text());
    }
    std::string hear(const std::string& spaced) {
        const std::string text = nuls(spaced);
        wire::TextWriter w;
        progress = chap.digest(parse(text), w);
        return spaces(w.text());
    }
};

const std::string challenge16 = "0x000102030405060708090a0b0c0d0e0f";

}  // namespace

TEST_CASE("a CHAP response is the hash over identifier, secret and challenge") {
    // RFC 1994 §4.1, worked out with md5sum, sha1sum and sha256sum over 01 "secret" 00..0f
    CHECK(response(Hash::md5, "1", "secret", challenge16) == "0x740e86463bda3a4d7017d6e0fba0699d");
    CHECK(response(Hash::sha1, "1", "secret", challenge16) == "0x3890198f5112376188a9742805758384545583a6");
    CHECK(response(Hash::sha256, "1", "secret", challenge16) ==
          "0x28b96c916cf784528bbfaa6ad7e012cab293437604aae8d66a3295b319132cef");
}

TEST_CASE("one-way CHAP with each algorithm, and each user") {
    for (Hash hash : all_hashes) {
        CAPTURE(hash_name(hash));
        TargetSide t;
        CHECK(t.hear("InitiatorName=iqn.i AuthMethod=CHAP,None") == "AuthMethod=CHAP");
        const std::string c = t.hear("CHAP_A=" + std::to_string(unsigned(hash)));
        CHECK(value(c, "CHAP_A") == std::to_string(unsigned(hash)));
        CHECK(value(c, "CHAP_C").size() == 2 + 2 * hash_length(hash));
        CHECK(t.progress == Progress::open);
        CHECK(t.login(c, "bob", "bob's secret") == "");
        CHECK(t.progress == Progress::done);
        CHECK(t.chap.user() == "bob");
        CHECK_FALSE(t.chap.mutual());
    }
}

TEST_CASE("the first algorithm of the initiator's list that we have is chosen") {
    struct Row { const char* list; const char* chosen; };
    for (const Row& r : {Row{"8,7,6,5", "8"}, {"5,8", "5"}, {"99,0x7", "7"}, {"x,,128,5", "5"}}) {
        TargetSide t;
        CHECK(value(t.challenged(r.list), "CHAP_A") == r.chosen);
    }
    for (const char* list : {"", "4", "99,128", "5x"}) {
        TargetSide t;
        t.challenged(list);
        CHECK(t.progress == Progress::failed);
    }
}

TEST_CASE("methods: None only where nothing is required, as tgtd chooses") {
    struct Row { bool required; const char* offer; const char* answer; Progress progress; };
    for (const Row& r : {Row{true, "AuthMethod=None", "", Progress::failed},
                         {true, "AuthMethod=KRB5,SRP", "", Progress::failed},
                         {true, "AuthMethod=None,CHAP", "AuthMethod=CHAP", Progress::open},
                         {true, "AuthMethod=KRB5,CHAP", "AuthMethod=CHAP", Progress::open},
                         {false, "AuthMethod=None", "AuthMethod=None", Progress::done},
                         {false, "AuthMethod=CHAP,None", "AuthMethod=None", Progress::done},
                         {false, "AuthMethod=CHAP", "", Progress::failed},
                         {false, "InitiatorName=iqn.i", "", Progress::done},
                         {false, "AuthMethod=None CHAP_A=5", "AuthMethod=None", Progress::failed},
                         {true, "CHAP_A=5", "", Progress::failed},
                         {true, "AuthMethod=CHAP AuthMethod=CHAP", "", Progress::failed},
                         {true, "AuthMethod=", "", Progress::failed}}) {
        CAPTURE(r.offer);
        TargetSide t(r.required);
        CHECK(t.hear(r.offer) == r.answer);
        CHECK(t.progress == r.progress);
        CHECK(t.chap.may_skip() == !r.required);
    }
}

TEST_CASE("the first step may come with the proposal") {
    TargetSide t;
    const std::string c = t.hear("AuthMethod=CHAP CHAP_A=7");
    CHECK(value(c, "AuthMethod") == "CHAP");
    t.login(c, "alice", "alice's secret");
    CHECK(t.progress == Progress::done);
}

TEST_CASE("an initiator that proposes nothing is asked for CHAP") {
    TargetSide t;
    CHECK(t.hear("InitiatorName=iqn.i") == "AuthMethod=CHAP");
    CHECK(t.progress == Progress::open);
    SUBCASE("and agrees") {
        const std::string c = t.hear("AuthMethod=CHAP CHAP_A=5");
        CHECK(value(c, "AuthMethod") == "");
        t.login(c, "alice", "alice's secret");
        CHECK(t.progress == Progress::done);
    }
    SUBCASE("and refuses") {
        t.hear("AuthMethod=Reject");
        CHECK(t.progress == Progress::failed);
    }
    SUBCASE("and stays silent") {
        t.hear("");
        CHECK(t.progress == Progress::failed);
    }
}

TEST_CASE("mutual CHAP between our two sides, every algorithm") {
    for (Hash hash : all_hashes) {
        CAPTURE(hash_name(hash));
        auto config = client(true);
        config.algorithms = {hash};
        InitiatorSide i(config);
        TargetSide t;
        std::string text = i.start();
        CHECK(text == "AuthMethod=CHAP");
        CHECK_FALSE(i.chap.may_transit());
        text = i.hear(t.hear(text));
        text = i.hear(t.hear(text));
        CHECK(i.chap.may_transit());
        CHECK(i.chap.challenge().size() == hash_length(hash));
        text = t.hear(text);
        CHECK(t.progress == Progress::done);
        CHECK(t.chap.mutual());
        CHECK(value(text, "CHAP_N") == "storage");
        CHECK(i.hear(text) == "");
        CHECK(i.progress == Progress::done);
    }
}

TEST_CASE("wrong names, secrets and malformed responses fail alike") {
    struct Row { const char* user; const char* secret; };
    for (const Row& r : {Row{"alice", "bob's secret"}, {"alice", ""}, {"Alice", "alice's secret"}, {"nobody", "x"},
                         {"nobody", "no such account"}}) {
        CAPTURE(r.user);
        TargetSide t;
        CHECK(t.login(t.challenged(), r.user, r.secret) == "");
        CHECK(t.progress == Progress::failed);
        CHECK(std::string(t.chap.why()) == "wrong user or secret");
        CHECK(t.chap.user() == "");
        t.hear("AuthMethod=None");
        CHECK(t.progress == Progress::failed);          // for good
    }
    const std::string good16 = "0x00112233445566778899aabbccddeeff", too_long = "0x" + std::string(2050, '1');
    for (const std::string& text : {
             std::string(""), std::string("CHAP_N=alice"), "CHAP_R=" + good16, "CHAP_N= CHAP_R=" + good16,
             "CHAP_N=" + std::string(256, 'a') + " CHAP_R=" + good16, std::string("CHAP_N=alice CHAP_R=0x00"),
             "CHAP_N=alice CHAP_R=" + good16 + "00", "CHAP_N=alice CHAP_R=" + too_long, std::string("CHAP_N=alice CHAP_R=zz"),
             "CHAP_N=alice CHAP_N=alice CHAP_R=" + good16, "CHAP_A=5 CHAP_N=alice CHAP_R=" + good16,
             "AuthMethod=CHAP CHAP_N=alice CHAP_R=" + good16, "CHAP_N=alice CHAP_I=1 CHAP_R=" + good16,
             "CHAP_N=alice CHAP_R=" + good16 + " CHAP_C=" + challenge16, "SRP_U=alice CHAP_N=alice CHAP_R=" + good16,
         }) {
        CAPTURE(text);
        TargetSide t;
        t.challenged();
        t.hear(text);
        CHECK(t.progress == Progress::failed);
    }
    TargetSide empty;
    empty.accounts["eve"] = Secret("");
    empty.login(empty.challenged(), "eve", "");
    CHECK(empty.progress == Progress::failed);
}

TEST_CASE("the target refuses a bad challenge in the other direction") {
    struct Row { std::string more; bool good; };
    const std::string c1024 = "0x" + std::string(2048, 'a'), c1025 = "0x" + std::string(2050, 'a');
    for (const Row& r : {Row{" CHAP_I=7 CHAP_C=" + challenge16, true}, {" CHAP_I=255 CHAP_C=" + c1024, true},
                         {" CHAP_I=7 CHAP_C=" + c1025, false}, {" CHAP_I=256 CHAP_C=" + challenge16, false},
                         {" CHAP_I=x CHAP_C=" + challenge16, false}, {" CHAP_I=7 CHAP_C=0x0011", false},
                         {" CHAP_I=7 CHAP_C=12345678901234567890", false}, {" CHAP_I=7 CHAP_C=", false},
                         {" CHAP_I=7 CHAP_C=0bAAECAwQFBgcICQoLDA0ODw==", true}, {" CHAP_I=7", false},
                         {" CHAP_C=" + challenge16, false}}) {
        CAPTURE(r.more);
        TargetSide t;
        t.login(t.challenged(), "alice", "alice's secret", r.more);
        CHECK((t.progress == Progress::done) == r.good);
    }
    SUBCASE("our own") {
        TargetSide t;
        const std::string c = t.challenged();
        t.login(c, "alice", "alice's secret", " CHAP_I=1 CHAP_C=" + value(c, "CHAP_C"));
        CHECK(t.progress == Progress::failed);
    }
    SUBCASE("that of another connection") {
        TargetSide other;
        other.challenged();
        TargetSide t(true, true, [&](Bytes c) { return equal_in_constant_time(c, other.chap.challenge()); });
        t.login(t.challenged(), "alice", "alice's secret", " CHAP_I=1 CHAP_C=" + wire::encode_hex(other.chap.challenge()));
        CHECK(t.progress == Progress::failed);
    }
    SUBCASE("without an account to prove ourselves with") {
        TargetSide t(true, false);
        t.login(t.challenged(), "alice", "alice's secret", " CHAP_I=1 CHAP_C=" + challenge16);
        CHECK(t.progress == Progress::failed);
    }
    SUBCASE("one secret for both directions") {
        TargetSide t;
        t.outgoing.secret = Secret("alice's secret");
        t.login(t.challenged(), "alice", "alice's secret", " CHAP_I=1 CHAP_C=" + challenge16);
        CHECK(t.progress == Progress::failed);
    }
}

TEST_CASE("after the end no security key is heard") {
    TargetSide t;
    t.login(t.challenged(), "alice", "alice's secret");
    CHECK(t.hear("TargetAlias=x") == "");
    CHECK(t.progress == Progress::done);
    t.hear("CHAP_A=5");
    CHECK(t.progress == Progress::failed);
}

TEST_CASE("challenges differ from login to login") {
    TargetSide a, b;
    CHECK(value(a.challenged(), "CHAP_C") != value(b.challenged(), "CHAP_C"));
}

TEST_CASE("the initiator's steps and what it refuses") {
    auto at_challenge = [](InitiatorSide& i) {
        i.start();
        return i.hear("AuthMethod=CHAP");
    };
    {
        InitiatorSide i(client());
        CHECK(at_challenge(i) == "CHAP_A=8,7,6,5");
        const std::string answer = i.hear("CHAP_A=5 CHAP_I=1 CHAP_C=" + challenge16);
        CHECK(answer == "CHAP_N=alice CHAP_R=" + response(Hash::md5, "1", "alice's secret", challenge16));
        CHECK(i.chap.may_transit());
        i.hear("TargetPortalGroupTag=1");
        CHECK(i.progress == Progress::done);
        i.hear("CHAP_N=x CHAP_R=0x00");
        CHECK(i.progress == Progress::failed);
    }
    for (const char* text : {"", "AuthMethod=None", "AuthMethod=Reject", "AuthMethod=SRP", "AuthMethod=CHAP CHAP_A=5",
                             "AuthMethod=CHAP AuthMethod=CHAP"}) {
        CAPTURE(text);
        InitiatorSide i(client());
        i.start();
        i.hear(text);
        CHECK(i.progress == Progress::failed);
    }
    for (const std::string& text : {"CHAP_A=4 CHAP_I=1 CHAP_C=" + challenge16, "CHAP_A=5,7 CHAP_I=1 CHAP_C=" + challenge16,
                                    "CHAP_A=5 CHAP_I=256 CHAP_C=" + challenge16, "CHAP_A=5 CHAP_C=" + challenge16,
                                    std::string("CHAP_A=5 CHAP_I=1"), std::string("CHAP_A=5 CHAP_I=1 CHAP_C=0x00"),
                                    "CHAP_A=5 CHAP_I=1 CHAP_N=x CHAP_C=" + challenge16,
                                    "AuthMethod=CHAP CHAP_A=5 CHAP_I=1 CHAP_C=" + challenge16, std::string("")}) {
        CAPTURE(text);
        InitiatorSide i(client());
        at_challenge(i);
        i.hear(text);
        CHECK(i.progress == Progress::failed);
        CHECK_FALSE(std::string(i.chap.why()).empty());
    }
    {
        auto config = client();
        config.outstanding = [](Bytes c) { return wire::encode_hex(c) == challenge16; };
        InitiatorSide i(config);
        at_challenge(i);
        i.hear("CHAP_A=5 CHAP_I=1 CHAP_C=" + challenge16);
        CHECK(i.progress == Progress::failed);
    }
}

TEST_CASE("the initiator goes without CHAP only where it may") {
    auto optional = client();
    optional.offer_none = true;
    InitiatorSide i(optional);
    CHECK(i.start() == "AuthMethod=CHAP,None");
    CHECK(i.hear("AuthMethod=None") == "");
    CHECK(i.progress == Progress::done);
    auto mutual = client(true);
    mutual.offer_none = true;
    InitiatorSide m(mutual);
    CHECK(m.start() == "AuthMethod=CHAP");
    m.hear("AuthMethod=None");
    CHECK(m.progress == Progress::failed);
    InitiatorSide none({});
    CHECK(none.start() == "AuthMethod=None");
    SUBCASE("answered") { none.hear("AuthMethod=None"); CHECK(none.progress == Progress::done); }
    SUBCASE("skipped") { none.hear(""); CHECK(none.progress == Progress::done); }
    SUBCASE("refused") { none.hear("AuthMethod=CHAP"); CHECK(none.progress == Progress::failed); }
}

TEST_CASE("the initiator believes the right target only") {
    struct Row { const char* user; const char* secret; bool good; };
    for (const Row& r : {Row{"storage", "storage's secret", true}, {"storage", "other", false}, {"rogue", "storage's secret", false},
                         {"storage", "alice's secret", false}}) {
        CAPTURE(r.secret);
        InitiatorSide i(client(true));
        i.start();
        i.hear("AuthMethod=CHAP");
        const std::string q = i.hear("CHAP_A=7 CHAP_I=1 CHAP_C=" + challenge16);
        i.hear(std::string("CHAP_N=") + r.user + " CHAP_R=" + response(Hash::sha256, value(q, "CHAP_I"), r.secret, value(q, "CHAP_C")));
        CHECK((i.progress == Progress::done) == r.good);
    }
    {   // the same secret configured for both directions
        auto config = client(true);
        config.target_account.secret = config.account.secret;
        InitiatorSide i(config);
        i.start();
        i.hear("AuthMethod=CHAP");
        const std::string q = i.hear("CHAP_A=5 CHAP_I=1 CHAP_C=" + challenge16);
        i.hear("CHAP_N=storage CHAP_R=" + response(Hash::md5, value(q, "CHAP_I"), "alice's secret", value(q, "CHAP_C")));
        CHECK(i.progress == Progress::failed);
    }
    for (const char* text : {"", "CHAP_N=storage", "CHAP_R=0x00112233445566778899aabbccddeeff", "CHAP_N=storage CHAP_R=0x00"}) {
        InitiatorSide i(client(true));
        i.start();
        i.hear("AuthMethod=CHAP");
        i.hear("CHAP_A=5 CHAP_I=1 CHAP_C=" + challenge16);
        i.hear(text);
        CHECK(i.progress == Progress::failed);
    }
}
