// The target's side of a negotiation, and both together.
#include "core/nego/negotiate.h"

#include <doctest/doctest.h>

#include "tests/support/nego_side.h"

using namespace iscsi;
using namespace iscsi::nego;
using wire::LoginStatus;

TEST_CASE("every key of the table is found by its name, and its default lies in its range") {
    CHECK(keys().size() > 40);
    Values defaults;
    for (const Key& key : keys()) {
        CAPTURE(std::string(key.name));
        CHECK(find_key(key.name) == &key);
        CHECK(key.name.size() <= wire::max_key_length);
        if (!key.field.flag && !key.field.number) continue;
        CHECK(key.initial >= key.min);
        CHECK(key.initial <= key.max);
        CHECK(key.field.get(defaults) == key.initial);
    }
    CHECK(find_key("headerdigest") == nullptr);
}

TEST_CASE("the target answers each key by its rule") {
    Limits limits;
    limits.header_digest = Digests::crc32c_none;
    limits.max_outstanding_r2t = 8;
    limits.max_connections = 4;
    limits.error_recovery_level = 2;
    limits.protocol_level = 2;
    limits.task_reporting = TaskReporting::response_fence;
    struct Row { const char* offer; const char* answer; };
    for (const Row& r : {
             Row{"HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C"},
             {"HeaderDigest=None,CRC32C", "HeaderDigest=None"},
             {"HeaderDigest=Y-x.y,CRC32C", "HeaderDigest=CRC32C"},
             {"HeaderDigest=Y-x.y", "HeaderDigest=Reject"},
             {"HeaderDigest=", "HeaderDigest=Reject"},
             {"DataDigest=CRC32C,None", "DataDigest=None"},
             {"DataDigest=CRC32C", "DataDigest=Reject"},
             {"DataDigest=crc32c", "DataDigest=Reject"},
             {"MaxConnections=1", "MaxConnections=1"}, {"MaxConnections=65535", "MaxConnections=4"},
             {"MaxConnections=0", "MaxConnections=Reject"}, {"MaxConnections=65536", "MaxConnections=Reject"},
             {"InitialR2T=No", "InitialR2T=Yes"}, {"InitialR2T=Yes", "InitialR2T=Yes"},
             {"InitialR2T=yes", "InitialR2T=Reject"}, {"InitialR2T=1", "InitialR2T=Reject"},
             {"ImmediateData=Yes", "ImmediateData=Yes"}, {"ImmediateData=No", "ImmediateData=No"},
             {"MaxBurstLength=16776192", "MaxBurstLength=262144"}, {"MaxBurstLength=512", "MaxBurstLength=512"},
             {"MaxBurstLength=511", "MaxBurstLength=Reject"}, {"MaxBurstLength=16777216", "MaxBurstLength=Reject"},
             {"MaxBurstLength=0x1000", "MaxBurstLength=4096"}, {"MaxBurstLength=512~1024", "MaxBurstLength=Reject"},
             {"MaxBurstLength=", "MaxBurstLength=Reject"}, {"MaxBurstLength=18446744073709551616", "MaxBurstLength=Reject"},
             {"MaxBurstLength=4294967808", "MaxBurstLength=Reject"},
             {"FirstBurstLength=262144", "FirstBurstLength=65536"},
             // the smaller burst decides, in either order
             {"FirstBurstLength=8192 MaxBurstLength=4096", "MaxBurstLength=4096 FirstBurstLength=4096"},
             {"DefaultTime2Wait=0", "DefaultTime2Wait=2"}, {"DefaultTime2Wait=5", "DefaultTime2Wait=5"},
             {"DefaultTime2Wait=3601", "DefaultTime2Wait=Reject"},
             {"DefaultTime2Retain=0", "DefaultTime2Retain=0"}, {"DefaultTime2Retain=60", "DefaultTime2Retain=20"},
             {"MaxOutstandingR2T=16", "MaxOutstandingR2T=8"},
             {"MaxOutstandingR2T=16 ErrorRecoveryLevel=1", "ErrorRecoveryLevel=1 MaxOutstandingR2T=1"},
             {"DataPDUInOrder=No", "DataPDUInOrder=Yes"}, {"DataSequenceInOrder=Yes", "DataSequenceInOrder=Yes"},
             {"ErrorRecoveryLevel=2", "ErrorRecoveryLevel=2"}, {"ErrorRecoveryLevel=3", "ErrorRecoveryLevel=Reject"},
             {"TaskReporting=FastAbort,ResponseFence,RFC3720", "TaskReporting=ResponseFence"},
             {"TaskReporting=RFC3720,ResponseFence", "TaskReporting=RFC3720"},
             {"TaskReporting=FastAbort", "TaskReporting=Reject"},
             {"iSCSIProtocolLevel=31", "iSCSIProtocolLevel=2"}, {"iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject"},
             {"IFMarker=No OFMarker=Yes", "IFMarker=No OFMarker=No"}, {"IFMarker=x", "IFMarker=Reject"},
             {"IFMarkInt=2048~8192 OFMarkInt=1", "IFMarkInt=Reject OFMarkInt=Reject"},
             {"RDMAExtensions=Yes", "RDMAExtensions=No"},
             {"TargetRecvDataSegmentLength=8192", "TargetRecvDataSegmentLength=Irrelevant"},
             {"MaxOutstandingUnexpectedPDUs=0", "MaxOutstandingUnexpectedPDUs=NotUnderstood"},
             {"X-com.example.k=1 Foo=2", "X-com.example.k=NotUnderstood Foo=NotUnderstood"},
             {"X-com.example.k=NotUnderstood", ""},
             {"X#NodeArchitecture=Linux/6", ""}, {"InitiatorAlias=me", ""}, {"MaxRecvDataSegmentLength=512", ""},
         }) {
        CAPTURE(r.offer);
        Side t = target(limits);
        CHECK(t.hear(r.offer) == r.answer);
        CAPTURE(t.verdict.why);
        CHECK(t.verdict);
    }
}

TEST_CASE("what was answered is what was agreed on") {
    Limits limits;
    limits.header_digest = limits.data_digest = Digests::crc32c_none;
    limits.initial_r2t = false;
    Side t = target(limits);
    t.hear("HeaderDigest=CRC32C DataDigest=None InitialR2T=No ImmediateData=No MaxBurstLength=65536 MaxBurstLengthX=1 "
           "FirstBurstLength=1 MaxRecvDataSegmentLength=262144");
    REQUIRE(t.verdict);
    CHECK(t.n.finish());
    const Params& p = t.n.params();
    CHECK(p.header_digest);
    CHECK_FALSE(p.data_digest);
    CHECK_FALSE(p.initial_r2t);
    CHECK_FALSE(p.immediate_data);
    CHECK(p.max_burst == 65536);
    CHECK(p.first_burst == 65536);              // rejected: the default stays
    CHECK(p.max_xmit_data_segment == 262144);
    CHECK(p.max_recv_data_segment == 8192);     // not declared yet
}

TEST_CASE("the target refuses what must not be, with its login status") {
    struct Row { const char* text; Stage stage; LoginStatus status; };
    const auto bad = LoginStatus::initiator_error;
    for (const Row& r : {
             Row{"ImmediateData=Yes ImmediateData=Yes", Stage::operational, bad},
             {"InitiatorName=iqn.a InitiatorName=iqn.a", Stage::operational, bad},
             {"MaxRecvDataSegmentLength=1024 MaxRecvDataSegmentLength=1024", Stage::operational, bad},
             {"HeaderDigest=None", Stage::security, bad},
             {"AuthMethod=None", Stage::operational, bad},
             {"CHAP_A=5", Stage::operational, bad},
             {"SendTargets=All", Stage::operational, bad},
             {"TargetAlias=x", Stage::operational, bad},
             {"TargetPortalGroupTag=1", Stage::operational, bad},
             {"TargetAddress=1.2.3.4", Stage::operational, bad},
             {"MaxRecvDataSegmentLength=511", Stage::operational, bad},
             {"MaxRecvDataSegmentLength=16777216", Stage::operational, bad},
             {"MaxRecvDataSegmentLength=x", Stage::operational, bad},
             {"MaxBurstLength=Reject", Stage::operational, bad},
             {"MaxBurstLength=Irrelevant", Stage::operational, bad},
             {"InitialR2T=NotUnderstood", Stage::operational, bad},
             {"InitiatorName=", Stage::operational, bad},
             {"TargetName=a/b", Stage::operational, bad},
             {"SessionType=Both", Stage::operational, LoginStatus::session_type_unsupported},
         }) {
        CAPTURE(r.text);
        Side t = target();
        t.hear(r.text, r.stage);
        CHECK(t.verdict.status == r.status);
        CHECK_FALSE(t.verdict.why.empty());
    }
    const std::string long_alias = "InitiatorAlias=" + std::string(256, 'x');
    Side t = target();
    t.hear(long_alias.c_str());
    CHECK_FALSE(t.verdict);
    std::string unknown;
    for (int i = 0; i < 65; ++i) unknown += (i ? " X-" : "X-") + std::to_string(i) + "=1";
    Side u = target();
    u.hear(unknown.c_str());
    CHECK_FALSE(u.verdict);
}

TEST_CASE("a key of an earlier text of the login is a repetition, too") {
    Side t = target();
    t.hear("ImmediateData=Yes");
    REQUIRE(t.verdict);
    t.hear("ImmediateData=Yes");
    CHECK(t.verdict.status == LoginStatus::initiator_error);
}

TEST_CASE("names are asked for in the first request") {
    auto fresh = [] { return Side{Negotiation(Role::target, When::leading_login, {}, {})}; };
    struct Row { const char* text; LoginStatus status; };
    for (const Row& r : {Row{"TargetName=iqn.t", LoginStatus::missing_parameter},
                         {"InitiatorName=iqn.i", LoginStatus::missing_parameter},
                         {"InitiatorName=iqn.i SessionType=Normal", LoginStatus::missing_parameter},
                         {"InitiatorName=iqn.i SessionType=Discovery", LoginStatus::success},
                         {"InitiatorName=iqn.i TargetName=iqn.t", LoginStatus::success}}) {
        CAPTURE(r.text);
        Side t = fresh();
        t.hear(r.text, Stage::security);
        CHECK(t.verdict.status == r.status);
    }
}

TEST_CASE("a discovery session finds the session's keys irrelevant, wherever SessionType stands") {
    Limits limits;
    limits.error_recovery_level = 2;
    limits.max_connections = 8;
    limits.initial_r2t = false;
    Side t{Negotiation(Role::target, When::leading_login, limits, {})};
    CHECK(t.hear("MaxBurstLength=512 InitiatorName=iqn.i SessionType=Discovery MaxConnections=2 ErrorRecoveryLevel=2 "
                 "HeaderDigest=None DefaultTime2Wait=2") ==
          "MaxBurstLength=Irrelevant MaxConnections=Irrelevant ErrorRecoveryLevel=0 HeaderDigest=None DefaultTime2Wait=2");
    CHECK(t.verdict);
    bool asked = true;
    CHECK(t.offer_missing(&asked) == "");
    CHECK_FALSE(asked);
    CHECK(t.n.finish());
    CHECK(t.n.params().discovery);
    CHECK(t.n.params().max_connections == 1);
    CHECK(t.n.params().error_recovery_level == 0);
}

TEST_CASE("the target declares its tag, alias and segment length once") {
    Limits limits;
    limits.alias = "disks";
    limits.portal_group_tag = 3;
    limits.max_recv_data_segment = 65536;
    Side t = target(limits);
    CHECK(t.declare(Stage::security) == "TargetPortalGroupTag=3 TargetAlias=disks");
    CHECK(t.n.params().max_recv_data_segment == 8192);
    CHECK(t.declare(Stage::operational) == "MaxRecvDataSegmentLength=65536");
    CHECK(t.declare(Stage::operational) == "");
    CHECK(t.n.params().max_recv_data_segment == 65536);
    t.hear("MaxRecvDataSegmentLength=1024");            // the other direction is another declaration
    CHECK(t.verdict);
    t.hear("TargetAlias=NotUnderstood");
    CHECK_FALSE(t.verdict);
}

TEST_CASE("the target asks for what the initiator left open and the defaults do not give") {
    Limits limits;
    limits.data_digest = Digests::crc32c;
    limits.max_burst = 65536;
    limits.immediate_data = false;
    Side t = target(limits);
    t.hear("HeaderDigest=None FirstBurstLength=512");
    CHECK_FALSE(t.n.satisfied());
    bool asked = false;
    CHECK(t.offer_missing(&asked) == "DataDigest=CRC32C ImmediateData=No MaxBurstLength=65536");
    CHECK(asked);
    CHECK_FALSE(t.n.settled());

    SUBCASE("answered") {
        CHECK(t.hear("DataDigest=CRC32C ImmediateData=No MaxBurstLength=4096") == "");
        REQUIRE(t.verdict);
        CHECK(t.offer_missing(&asked) == "");
        CHECK_FALSE(asked);
        CHECK(t.n.settled());
        CHECK(t.n.finish());
        CHECK(t.n.params().data_digest);
        CHECK_FALSE(t.n.params().immediate_data);
        CHECK(t.n.params().max_burst == 4096);
        t.hear("MaxBurstLength=4096");
        CHECK_FALSE(t.verdict);                 // settled: a second time is a renegotiation
    }
    SUBCASE("answered against the rule") {
        t.hear("MaxBurstLength=65537");
        CHECK_FALSE(t.verdict);
    }
    SUBCASE("answered with a value that was not offered") {
        t.hear("DataDigest=None");
        CHECK_FALSE(t.verdict);
    }
    SUBCASE("not understood, though RFC 7143 defines it") {
        t.hear("ImmediateData=NotUnderstood");
        CHECK_FALSE(t.verdict);
    }
    SUBCASE("ignored") {
        for (int exchange = 0; exchange < 5; ++exchange) {
            t.hear("");
            CHECK(t.offer_missing(&asked) == "");
            CHECK(asked);                       // still waits
        }
        t.hear("");
        t.offer_missing(&asked);
        CHECK_FALSE(asked);                     // enough
        CHECK(t.n.settled());
        CHECK(t.n.finish().status == LoginStatus::initiator_error);
    }
}

TEST_CASE("No to an AND and Yes to an OR need no answer") {
    Limits off;
    off.immediate_data = false;
    Side t = target(off);
    t.hear("HeaderDigest=None");
    bool asked = false;
    CHECK(t.offer_missing(&asked) == "ImmediateData=No");
    CHECK(asked);
    CHECK(t.n.settled());
    SUBCASE("silence is consent") {
        t.hear("");
        t.offer_missing(&asked);
        CHECK_FALSE(asked);
        CHECK(t.n.finish());
        CHECK_FALSE(t.n.params().immediate_data);
    }
    SUBCASE("a Reject is not") {
        t.hear("ImmediateData=Reject");
        CHECK(t.n.params().immediate_data);
        CHECK_FALSE(t.n.finish());
    }
    Limits l = initiator_limits();
    l.immediate_data = false;
    Side i = initiator(l);
    i.offer();
    i.hear("HeaderDigest=None");
    CHECK(i.n.finish());
    CHECK_FALSE(i.n.params().immediate_data);
}

TEST_CASE("names and session type belong in the first text of a login") {
    for (const char* late : {"SessionType=Discovery", "SessionType=Normal", "TargetName=iqn.u", "InitiatorName=iqn.j"}) {
        CAPTURE(late);
        Side t = target();
        t.hear("ImmediateData=Yes");
        REQUIRE(t.verdict);
        t.hear(late);
        CHECK(t.verdict.status == LoginStatus::initiator_error);
        CHECK_FALSE(t.n.params().discovery);
    }
}

TEST_CASE("FirstBurstLength never exceeds MaxBurstLength") {
    Side late = target();
    CHECK(late.hear("FirstBurstLength=8192") == "FirstBurstLength=8192");
    late.hear("MaxBurstLength=4096");
    CHECK(late.n.finish().status == LoginStatus::initiator_error);
    Side open = target();
    open.hear("MaxBurstLength=4096");
    CHECK(open.n.finish());
    CHECK(open.n.params().first_burst == 4096);
    Limits l = initiator_limits();
    l.first_burst = 1 << 20;
    l.max_burst = 65536;
    Side i = initiator(l);
    CHECK(i.offer().find("FirstBurstLength=65536") != std::string::npos);
    i.hear("MaxBurstLength=8192 FirstBurstLength=65536");
    CHECK(i.n.finish());
    CHECK(i.n.params().first_burst == 8192);
}

TEST_CASE("a rejected offer leaves a value the target may not admit") {
    Limits limits;
    limits.max_burst = 4096;
    Side t = target(limits);
    CHECK(t.hear("MaxBurstLength=1") == "MaxBurstLength=Reject");
    CHECK_FALSE(t.n.finish());
}

TEST_CASE("another connection of a session changes its own values only") {
    Params session = named();
    session.max_burst = 4096;
    session.header_digest = true;
    session.max_xmit_data_segment = 512;
    Limits limits;
    limits.header_digest = Digests::none_crc32c;
    limits.max_burst = 1024;                    // changed since: not asked again
    Side t{Negotiation(Role::target, When::further_login, limits, session)};
    CHECK_FALSE(t.n.params().header_digest);
    CHECK(t.n.params().max_xmit_data_segment == 8192);
    CHECK(t.hear("InitiatorName=iqn.i TargetName=iqn.t SessionType=Normal HeaderDigest=None MaxBurstLength=512") ==
          "HeaderDigest=None MaxBurstLength=Reject");
    CHECK(t.verdict);
    CHECK(t.n.satisfied());
    CHECK(t.n.params().max_burst == 4096);
    Side other{Negotiation(Role::target, When::further_login, limits, session)};
    other.hear("InitiatorName=iqn.other TargetName=iqn.t");
    CHECK(other.verdict.status == LoginStatus::cannot_include);
    Side discovery{Negotiation(Role::target, When::further_login, limits, session)};
    discovery.hear("InitiatorName=iqn.i TargetName=iqn.t SessionType=Discovery");
    CHECK(discovery.verdict.status == LoginStatus::cannot_include);
}

TEST_CASE("Full Feature Phase: declarations count, negotiations are rejected, login keys are errors") {
    struct Row { const char* text; const char* answer; bool good; };
    for (const Row& r : {Row{"MaxRecvDataSegmentLength=4096", "", true}, {"InitiatorAlias=new", "", true},
                         {"SendTargets=All", "", true}, {"HeaderDigest=CRC32C", "HeaderDigest=Reject", true},
                         {"MaxBurstLength=512", "MaxBurstLength=Reject", true}, {"X-k=1", "X-k=NotUnderstood", true},
                         {"IFMarker=No", "IFMarker=Reject", true},
                         {"InitiatorName=iqn.i", "", false}, {"SessionType=Normal", "", false},
                         {"TargetName=iqn.t", "", false}, {"AuthMethod=None", "", false},
                         {"MaxRecvDataSegmentLength=512 MaxRecvDataSegmentLength=512", "", false}}) {
        CAPTURE(r.text);
        Limits limits;
        limits.header_digest = Digests::crc32c_none;
        Side t = target(limits, When::full_feature);
        CHECK(t.hear(r.text, Stage::full_feature) == r.answer);
        CHECK(bool(t.verdict) == r.good);
    }
    Side t = target({}, When::full_feature);
    t.hear("MaxRecvDataSegmentLength=4096", Stage::full_feature);
    CHECK(t.n.params().max_xmit_data_segment == 4096);
    CHECK(t.declare(Stage::full_feature) == "");
}

TEST_CASE("both sides end with the same values") {
    Limits t;
    t.header_digest = t.data_digest = Digests::none_crc32c;
    t.initial_r2t = false;
    t.max_outstanding_r2t = 16;
    t.max_burst = 1 << 20;
    Limits i = initiator_limits();
    i.header_digest = Digests::crc32c_none;
    i.data_digest = Digests::none_crc32c;
    i.max_outstanding_r2t = 4;
    i.offer_task_reporting = i.offer_protocol_level = true;
    Negotiation target(Role::target, When::leading_login, t, {}), initiator(Role::initiator, When::leading_login, i, {});
    wire::TextWriter request, response, more;
    std::vector<wire::TextKey> keys;
    initiator.offer(Stage::operational, request);
    REQUIRE(wire::parse_text(as_bytes(request.text()), keys) == wire::TextError::none);
    REQUIRE(target.digest(Stage::operational, keys, response));
    target.declare(Stage::operational, response);
    CHECK_FALSE(target.offer_missing(response));
    REQUIRE(wire::parse_text(as_bytes(response.text()), keys) == wire::TextError::none);
    REQUIRE(initiator.digest(Stage::operational, keys, more));
    CHECK(more.empty());
    CHECK(initiator.settled());
    REQUIRE(target.finish());
    REQUIRE(initiator.finish());
    const Params &a = target.params(), &b = initiator.params();
    for (const Key& key : nego::keys())
        if (key.field.flag || key.field.number)
            if (key.field.number != &Values::max_recv_data_segment) CHECK(key.field.get(a) == key.field.get(b));
    CHECK(a.header_digest);
    CHECK(b.header_digest);
    CHECK_FALSE(a.data_digest);
    CHECK(a.max_xmit_data_segment == b.max_recv_data_segment);
    CHECK(b.max_xmit_data_segment == a.max_recv_data_segment);
    CHECK(a.task_reporting == b.task_reporting);
}

TEST_CASE("texts are gathered under a limit and handed out in pieces") {
    TextGatherer g(8);
    CHECK(g.add(as_bytes("12345")));
    CHECK_FALSE(g.add(as_bytes("6789")));
    CHECK(g.add(as_bytes("678")));
    CHECK(as_text(g.text()) == "12345678");
    TextPieces p("abcdefg");
    auto a = p.next(3), b = p.next(3), c = p.next(3);
    CHECK((a.text == "abc" && a.more));
    CHECK((b.text == "def" && b.more));
    CHECK((c.text == "g" && !c.more));
    CHECK(p.done());
}
