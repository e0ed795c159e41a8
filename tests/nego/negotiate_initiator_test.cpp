// The initiator's side of a negotiation: its offers, the answers it takes, those it refuses.
#include <doctest/doctest.h>

#include "tests/support/nego_side.h"

using namespace iscsi;
using namespace iscsi::nego;

TEST_CASE("the initiator offers what open-iscsi offers, in its order") {
    Side i = initiator();
    CHECK(i.offer() ==
          "InitiatorName=iqn.i InitiatorAlias=host TargetName=iqn.t SessionType=Normal HeaderDigest=None DataDigest=None "
          "DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No ErrorRecoveryLevel=0 InitialR2T=No "
          "ImmediateData=Yes MaxBurstLength=16776192 FirstBurstLength=262144 MaxOutstandingR2T=1 MaxConnections=1 "
          "DataPDUInOrder=Yes DataSequenceInOrder=Yes MaxRecvDataSegmentLength=262144");
    CHECK(i.offer() == "");

    Limits d = initiator_limits();
    d.discovery = true;
    d.max_recv_data_segment = 32768;
    CHECK(initiator(d).offer() ==
          "InitiatorName=iqn.i InitiatorAlias=host SessionType=Discovery HeaderDigest=None DataDigest=None "
          "DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No ErrorRecoveryLevel=0 "
          "MaxRecvDataSegmentLength=32768");

    Side s = initiator();
    CHECK(s.offer(Stage::security) == "InitiatorName=iqn.i InitiatorAlias=host TargetName=iqn.t SessionType=Normal");
    CHECK(s.offer(Stage::operational).starts_with("HeaderDigest=None"));

    Limits more = initiator_limits();
    more.header_digest = Digests::crc32c_none;
    more.offer_task_reporting = more.offer_protocol_level = true;
    more.task_reporting = TaskReporting::fast_abort;
    more.protocol_level = 2;
    const std::string text = initiator(more).offer();
    CHECK(text.find("HeaderDigest=CRC32C,None") != text.npos);
    CHECK(text.ends_with("TaskReporting=FastAbort,ResponseFence,RFC3720 iSCSIProtocolLevel=2"));
}

TEST_CASE("the initiator takes tgtd's answers") {
    Side i = initiator();
    i.offer();
    CHECK(i.hear("HeaderDigest=None DataDigest=None DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No "
                 "ErrorRecoveryLevel=0 InitialR2T=Yes ImmediateData=Yes MaxBurstLength=262144 FirstBurstLength=65536 "
                 "MaxOutstandingR2T=1 MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes "
                 "MaxRecvDataSegmentLength=8192 TargetPortalGroupTag=1 TargetAlias=x") == "");
    REQUIRE(i.verdict);
    CHECK(i.n.settled());
    REQUIRE(i.n.finish());
    const Params& p = i.n.params();
    CHECK(p.initial_r2t);
    CHECK(p.max_burst == 262144);
    CHECK(p.first_burst == 65536);
    CHECK(p.max_recv_data_segment == 262144);
    CHECK(p.max_xmit_data_segment == 8192);
    CHECK(p.default_time2retain == 0);
    CHECK(p.portal_group_tag == 1);
    CHECK(p.has_portal_group_tag);
    CHECK(p.target_alias == "x");
    CHECK(p.target_name == "iqn.t");
}

TEST_CASE("the initiator refuses answers that are not legal for its offer") {
    struct Row { const char* answer; bool good; };
    for (const Row& r : {
             Row{"MaxBurstLength=16776193", false}, {"MaxBurstLength=511", false}, {"MaxBurstLength=x", false},
             {"MaxBurstLength=Reject", true}, {"MaxBurstLength=Irrelevant", true}, {"MaxBurstLength=NotUnderstood", false},
             {"DefaultTime2Wait=1", false}, {"DefaultTime2Wait=3", true},
             {"InitialR2T=Yes", true}, {"InitialR2T=No", true}, {"InitialR2T=maybe", false},
             {"DataPDUInOrder=No", false}, {"ImmediateData=No", true},
             {"HeaderDigest=CRC32C", false}, {"HeaderDigest=None", true}, {"HeaderDigest=Reject", true},
             {"IFMarker=No", true}, {"IFMarker=Reject", true}, {"IFMarker=NotUnderstood", true}, {"IFMarker=Yes", false},
             {"TargetPortalGroupTag=65535", true}, {"TargetPortalGroupTag=65536", false},
             {"ErrorRecoveryLevel=1", false},
             {"TargetAddress=1.2.3.4:3260", true}, {"TargetAddress=1.2.3.4 TargetAddress=1.2.3.5", true},
             {"InitiatorName=iqn.i", false}, {"SessionType=Normal", false}, {"TargetName=iqn.t", false},
             {"TargetAlias=a TargetAlias=b", false}, {"ImmediateData=No ImmediateData=No", false},
             {"MaxRecvDataSegmentLength=100", false}, {"MaxRecvDataSegmentLength=NotUnderstood", false},
         }) {
        CAPTURE(r.answer);
        Side i = initiator();
        i.offer();
        i.hear(r.answer);
        CAPTURE(i.verdict.why);
        CHECK(bool(i.verdict) == r.good);
    }
}

TEST_CASE("the initiator says which digest it misses") {
    Limits l = initiator_limits();
    l.header_digest = Digests::crc32c;
    const char* text = "HeaderDigest=CRC32C is required, can't accept HeaderDigest=None";
    Side i = initiator(l);
    i.offer();
    i.hear("HeaderDigest=None");
    CHECK(i.verdict.why == text);
    Side silent = initiator(l);
    silent.offer();
    silent.hear("");
    CHECK(silent.n.finish().why == text);
    Side agreed = initiator(l);
    agreed.offer();
    agreed.hear("HeaderDigest=CRC32C");
    CHECK(agreed.n.finish());
    CHECK(agreed.n.params().header_digest);
}

TEST_CASE("the initiator answers what the target asks for by itself") {
    Side i = initiator();
    i.offer(Stage::security);
    CHECK(i.hear("DataDigest=CRC32C,None MaxOutstandingR2T=4 X-com.example=1") ==
          "DataDigest=None X-com.example=NotUnderstood MaxOutstandingR2T=1");
    REQUIRE(i.verdict);
    const std::string rest = i.offer();                 // and does not offer it again
    CHECK(rest.find("DataDigest") == rest.npos);
    CHECK(rest.find("MaxOutstandingR2T") == rest.npos);
    CHECK(rest.find("MaxBurstLength") != rest.npos);
}
